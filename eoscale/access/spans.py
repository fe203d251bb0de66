"""Spans: which bytes to ask for together.

All of this is pure: a plan says what it gives, and a run asks for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eoscale.access.pace import Link

LIMIT = 8 * 2**20
"""Bytes of the longest request that joins ranges."""
_GAP = 16 * 2**10
"""Bytes that are read over whatever the link: on all that are worth using they cost less than a request."""
_WASTE = 0.25
"""Bytes that nobody wants for each one that is wanted: beyond it longer gaps save few requests more."""


class Span(NamedTuple):
    """One request and the ranges that it serves."""

    start: int
    stop: int
    members: tuple[int, ...]
    """Positions of the ranges in the caller's arrays."""


class Cost(NamedTuple):
    """What reading took."""

    requests: int
    bytes: int

    def __add__(self, other: object) -> Cost:
        """Return the cost of both."""
        if not isinstance(other, Cost):
            return NotImplemented
        return Cost(self.requests + other.requests, self.bytes + other.bytes)


def coalesce(
    offsets: NDArray[np.int64], sizes: NDArray[np.int64], *, gap: int | None = None, limit: int = LIMIT
) -> tuple[Span, ...]:
    """Return the requests that cover some ranges, near ones joined.

    Parameters
    ----------
    offsets, sizes : (n,) int64
        In bytes, any order, sizes above zero; ranges may touch or overlap.
    gap : int, optional
        Ranges at most this far apart are joined; unless said, what :func:`longest_gap` gives for a bucket in
        the region, so that a plan and a run agree wherever each is made.
    limit : int
        A joined request is at most this long; a single range may be longer.

    Returns
    -------
    tuple of Span
        By start. Each range is the member of exactly one span, which covers it.

    Examples
    --------
    >>> coalesce(np.array([100, 0, 90_000]), np.array([50, 80, 10]), gap=64)
    (Span(start=0, stop=150, members=(1, 0)), Span(start=90000, stop=90010, members=(2,)))
    """
    if gap is None:
        gap = longest_gap(offsets, sizes, Link())
    order = np.argsort(offsets, kind="stable")
    starts = offsets[order]
    spans: list[Span] = []
    members: list[int] = []
    begin = end = 0
    for member, start, stop in zip(
        order.tolist(), starts.tolist(), (starts + sizes[order]).tolist(), strict=True
    ):
        if members and start - end <= gap and max(end, stop) - begin <= limit:
            end = max(end, stop)
            members.append(member)
            continue
        if members:
            spans.append(Span(begin, end, tuple(members)))
        begin, end, members = start, stop, [member]
    return (*spans, Span(begin, end, tuple(members))) if members else ()


def longest_gap(offsets: NDArray[np.int64], sizes: NDArray[np.int64], link: Link) -> int:
    """Return how far apart ranges may be that are worth one request together.

    A gap is worth it as long as its bytes take less than a request does. All gaps together are at most a
    quarter of what is wanted, the shortest ones first, but for those that cost nothing to speak of.

    Parameters
    ----------
    offsets, sizes : (n,) int64
        As of :func:`coalesce`.
    link : Link
        What the way to the object allows.

    Returns
    -------
    int
        In bytes.

    Examples
    --------
    >>> starts, sizes = np.array([0, 70_000, 160_000]), np.array([50_000, 50_000, 50_000])
    >>> longest_gap(starts, sizes, Link()), longest_gap(starts, sizes, Link(bandwidth=1e5))
    (20000, 16384)
    """
    order = np.argsort(offsets, kind="stable")
    starts = offsets[order]
    reached = np.maximum.accumulate(starts + sizes[order])
    gaps = np.sort(starts[1:] - reached[:-1])
    gaps = gaps[(gaps > 0) & (gaps <= link.request_seconds / link.byte_seconds)]
    # gaps that are as long as the longest are all joined, or none of them
    spent = np.cumsum(gaps)[np.searchsorted(gaps, gaps, side="right") - 1]
    afforded = gaps[spent <= _WASTE * sizes.sum()]
    return max(_GAP, int(afforded[-1])) if afforded.size else _GAP
