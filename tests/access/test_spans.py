from __future__ import annotations

import random
from itertools import accumulate, pairwise
from typing import TypeAlias

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from eoscale.access.pace import Link
from eoscale.access.spans import Span, coalesce, longest_gap

Ints: TypeAlias = NDArray[np.int64]
SIZE = 300_000
RANGES = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, 40_000)), max_size=25)
APART = st.lists(st.tuples(st.integers(10_000, 40_000), st.integers(50_000, 150_000)), max_size=8).map(
    lambda steps: [
        (stop - size, size)
        for stop, (_, size) in zip(accumulate(gap + size for gap, size in steps), steps, strict=True)
    ]
)
"""Ranges behind each other, with gaps between them, some of which are worth reading over."""
LINKS = st.builds(Link, latency=st.floats(0, 2), bandwidth=st.floats(1e3, 1e10))


def columns(pairs: list[tuple[int, int]]) -> tuple[Ints, Ints]:
    return np.array([start for start, _ in pairs], np.int64), np.array([size for _, size in pairs], np.int64)


@given(RANGES, st.integers(0, 30_000), st.integers(1, 100_000))
def test_each_range_is_covered_by_exactly_one_span(
    pairs: list[tuple[int, int]], gap: int, limit: int
) -> None:
    spans = coalesce(*columns(pairs), gap=gap, limit=limit)
    assert sorted(member for span in spans for member in span.members) == list(range(len(pairs)))
    for span in spans:
        for member in span.members:
            start, size = pairs[member]
            assert span.start <= start
            assert start + size <= span.stop


@given(RANGES, st.integers(0, 30_000), st.integers(1, 100_000))
def test_spans_are_as_short_as_their_ranges_and_no_longer_than_the_limit(
    pairs: list[tuple[int, int]], gap: int, limit: int
) -> None:
    for span in coalesce(*columns(pairs), gap=gap, limit=limit):
        assert span.start == min(pairs[member][0] for member in span.members)
        assert span.stop == max(sum(pairs[member]) for member in span.members)
        assert span.stop - span.start <= limit or len(span.members) == 1


@given(RANGES, st.integers(0, 30_000), st.integers(1, 100_000))
def test_no_gap_inside_a_span_is_longer_than_allowed(
    pairs: list[tuple[int, int]], gap: int, limit: int
) -> None:
    for span in coalesce(*columns(pairs), gap=gap, limit=limit):
        reached = span.start
        for start, size in sorted(pairs[member] for member in span.members):
            assert start - reached <= gap
            reached = max(reached, start + size)


@given(RANGES, st.integers(0, 30_000))
def test_spans_are_sorted_and_neighbours_are_joined_where_nothing_forbids_it(
    pairs: list[tuple[int, int]], gap: int
) -> None:
    spans = coalesce(*columns(pairs), gap=gap, limit=SIZE)
    assert list(spans) == sorted(spans)
    for span, following in pairwise(spans):
        assert following.start - span.stop > gap


@given(st.integers(0, 10**9), st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, 10**6))
def test_ranges_are_joined_up_to_the_gap_and_the_limit_and_not_a_byte_further(
    start: int, size: int, between: int, following: int
) -> None:
    pair = columns([(start, size), (start + size + between, following)])
    length = size + between + following
    joined = (Span(start, start + length, (0, 1)),)
    assert coalesce(*pair, gap=between, limit=length) == joined
    assert len(coalesce(*pair, gap=between - 1, limit=length)) == 2
    assert len(coalesce(*pair, gap=between, limit=length - 1)) == 2


def test_nothing_is_asked_for_where_nothing_is_wanted() -> None:
    assert coalesce(*columns([])) == ()
    assert coalesce(np.array([5]), np.array([3])) == (Span(5, 8, (0,)),)


def between(pairs: list[tuple[int, int]]) -> list[int]:
    """Return the gaps between ranges, one byte after the other looked at."""
    wanted = np.zeros(1 + max((start + size for start, size in pairs), default=0), bool)
    for start, size in pairs:
        wanted[start : start + size] = True
    edges = np.flatnonzero(np.diff(wanted)) + 1
    inside = edges[1:-1] if wanted.any() and not wanted[0] else edges[:-1]
    return [int(stop - start) for start, stop in zip(inside[::2], inside[1::2], strict=True)]


@given(st.one_of(RANGES, APART), LINKS)
def test_no_more_is_read_over_than_a_quarter_of_what_is_wanted_but_what_costs_nothing(
    pairs: list[tuple[int, int]], link: Link
) -> None:
    longest = longest_gap(*columns(pairs), link)
    over = sum(gap for gap in between(pairs) if gap <= longest)
    assert longest >= 16_384
    assert longest == 16_384 or over <= sum(size for _, size in pairs) / 4


@given(st.one_of(RANGES, APART), LINKS)
def test_the_next_longer_gap_costs_more_than_a_request_or_than_is_allowed(
    pairs: list[tuple[int, int]], link: Link
) -> None:
    longest = longest_gap(*columns(pairs), link)
    gaps = between(pairs)
    for following in sorted(gap for gap in gaps if gap > longest)[:1]:
        dear = following * link.byte_seconds > link.request_seconds
        assert dear or sum(gap for gap in gaps if gap <= following) > sum(size for _, size in pairs) / 4


@given(st.one_of(RANGES, APART), LINKS, st.floats(1, 100), st.randoms(use_true_random=False))
def test_gaps_are_as_long_or_longer_where_answers_are_longer_in_coming_in_whatever_order_ranges_are(
    pairs: list[tuple[int, int]], link: Link, times: float, chance: random.Random
) -> None:
    shuffled = chance.sample(pairs, len(pairs))
    farther = link._replace(latency=link.latency * times)
    assert longest_gap(*columns(pairs), link) <= longest_gap(*columns(shuffled), farther)


def test_a_gap_is_worth_it_only_while_its_bytes_take_less_than_a_request() -> None:
    apart = columns([(0, 10**6), (1_100_000, 10**6)])
    assert longest_gap(*apart, Link(latency=0.0, bandwidth=80e6)) == 100_000
    assert longest_gap(*apart, Link(latency=0.0, bandwidth=1e6)) == 16_384  # 100 KB: 0.5 ms, a request 0.3 ms
    assert longest_gap(*apart, Link(latency=0.2, bandwidth=1e6)) == 100_000


def test_a_plan_joins_ranges_as_for_a_bucket_in_the_region() -> None:
    pairs = columns([(0, 100_000), (130_000, 100_000), (290_000, 100_000)])
    assert longest_gap(*pairs, Link()) == 30_000
    assert coalesce(*pairs) == coalesce(*pairs, gap=30_000) != coalesce(*pairs, gap=60_000)
