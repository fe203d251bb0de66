from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from eoscale.access import budgets, loop, ranges, transports
from eoscale.access.ranges import Cost, Span, coalesce
from tests.access import pieces
from tests.servers.ranges import RangeServer

Ints: TypeAlias = NDArray[np.int64]
SIZE = 300_000
CONTENT = random.Random(1).randbytes(SIZE)  # noqa: S311  no secret
RANGES = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, 40_000)), max_size=25).map(
    lambda pairs: [(start, min(size, SIZE - start)) for start, size in pairs]
)


@dataclass(frozen=True)
class Places:
    """One object, by a path and by a server."""

    local: str
    remote: str
    server: RangeServer


@pytest.fixture(scope="module")
def places() -> Iterator[Places]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        (folder / "granule.bin").write_bytes(CONTENT)
        server = stack.enter_context(RangeServer(folder))
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        yield Places(str(folder / "granule.bin"), server.url("granule.bin"), server)


@pytest.fixture(autouse=True)
def _allowed(monkeypatch: pytest.MonkeyPatch, places: Places) -> None:
    monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", places.server.host)


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


@given(RANGES)
def test_a_local_file_gives_exactly_its_bytes(places: Places, pairs: list[tuple[int, int]]) -> None:
    head = pieces.head(places.local)
    found, cost = pieces.read(places.local, head.etag, *columns(pairs))
    assert [bytes(piece) for piece in found] == [CONTENT[start : start + size] for start, size in pairs]
    spans = coalesce(*columns(pairs))
    assert cost == Cost(len(spans), sum(span.stop - span.start for span in spans))


@given(RANGES)
def test_a_server_gives_exactly_the_bytes_and_counts_what_we_count(
    places: Places, pairs: list[tuple[int, int]]
) -> None:
    head = pieces.head(places.remote)
    server = places.server
    asked, sent = len(server.asked), server.bytes
    found, cost = pieces.read(places.remote, head.etag, *columns(pairs))
    assert [bytes(piece) for piece in found] == [CONTENT[start : start + size] for start, size in pairs]
    assert cost == Cost(len(server.asked) - asked, server.bytes - sent)
    assert sorted(server.asked[asked:]) == [
        ("/granule.bin", span.start, span.stop) for span in coalesce(*columns(pairs))
    ]


def test_a_whole_object_is_copied_in_pieces_of_the_limit(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "LIMIT", 100_000)
    for url in (places.local, places.remote):
        copy = Path(places.local).with_name("copy.bin")
        assert loop.run(ranges.copied(url, pieces.head(url), copy)) == Cost(-(-SIZE // 100_000), SIZE)
        assert copy.read_bytes() == CONTENT
    empty = Path(places.local).with_name("empty.bin")
    empty.write_bytes(b"")
    assert loop.run(ranges.copied(str(empty), pieces.head(str(empty)), copy)) == Cost(0, 0)
    assert copy.read_bytes() == b""


def test_requests_of_one_read_run_at_once_and_within_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.bin").write_bytes(CONTENT)
    busy, most = 0, 0
    with RangeServer(tmp_path) as server:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        url = server.url("a.bin")
        get = transports.get

        async def watched(url: str, start: int, stop: int, etag: str) -> memoryview:
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            body = await get(url, start, stop, etag)
            busy -= 1
            return body

        monkeypatch.setattr(transports, "get", watched)
        offsets = np.arange(0, SIZE, 2000)
        spans = coalesce(offsets, np.full(offsets.size, 10), gap=0)
        assert len(spans) == 150
        loop.run(ranges.fetch(url, pieces.head(url).etag, spans))
    assert most == budgets.CONNECTIONS


@given(*[st.integers(0, 2**40)] * 4)
def test_costs_add_up(a: int, b: int, c: int, d: int) -> None:
    assert Cost(a, b) + Cost(c, d) == Cost(a + c, b + d)
    assert pickle.loads(pickle.dumps(Cost(a, b))) == Cost(a, b)  # noqa: S301  just made
