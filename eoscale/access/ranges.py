"""Ranges: which bytes to ask for together (pure), and asking for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from eoscale.access import loop, transports
from eoscale.access.transports import Head

CONNECTIONS = 64
"""Requests in flight per process."""
GAP = 16 * 2**10
"""Bytes. Two ranges nearer than this are asked for together: 16 KiB cost less than a request."""
LIMIT = 8 * 2**20
"""Bytes of the longest request that joins ranges."""
_PIECES = 4
"""Of a whole object that are copied at once."""


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
    offsets: NDArray[np.int64], sizes: NDArray[np.int64], *, gap: int = GAP, limit: int = LIMIT
) -> tuple[Span, ...]:
    """Return the requests that cover some ranges, near ones joined.

    Parameters
    ----------
    offsets, sizes : (n,) int64
        In bytes, any order, sizes above zero; ranges may touch or overlap.
    gap : int
        Ranges at most this far apart are joined.
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
    spans: list[Span] = []
    for member in np.argsort(offsets, kind="stable").tolist():
        start, stop = int(offsets[member]), int(offsets[member] + sizes[member])
        if spans:
            last = spans[-1]
            joined = max(last.stop, stop)
            if start - last.stop <= gap and joined - last.start <= limit:
                spans[-1] = Span(last.start, joined, (*last.members, member))
                continue
        spans.append(Span(start, stop, (member,)))
    return tuple(spans)


_connections: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def fetch(url: str, etag: str, spans: Sequence[Span]) -> list[memoryview]:
    """Return the bytes of each span, asked for at once within the process's budget of connections.

    Raises
    ------
    AccessError
        As :func:`transports.get`; the other requests are cancelled then.
    """
    budget = _connections.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(CONNECTIONS))

    async def one(span: Span) -> memoryview:
        async with budget:
            return await transports.get(url, span.start, span.stop, etag)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(span)) for span in spans]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def read(
    url: str, etag: str, offsets: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[list[memoryview], Cost]:
    """Return the bytes of each range in the order given, and what it cost.

    Raises
    ------
    AccessError
        If one of them cannot be read exactly.
    """
    spans = coalesce(offsets, sizes)
    bodies = loop.run(fetch(url, etag, spans))
    pieces = [memoryview(b"")] * len(offsets)
    for span, body in zip(spans, bodies, strict=True):
        for member in span.members:
            begin = int(offsets[member]) - span.start
            pieces[member] = body[begin : begin + int(sizes[member])]
    return pieces, Cost(len(spans), sum(span.stop - span.start for span in spans))


def head(url: str) -> Head:
    """Return size and version of an object.

    Raises
    ------
    AccessError
        If it cannot be reached.
    """
    return loop.run(transports.head(url))


async def copied(url: str, head: Head, path: Path) -> Cost:
    """Copy an object to a local file, some pieces at a time, and return what it cost.

    Raises
    ------
    AccessError
        If a piece cannot be read exactly.
    """
    starts = range(0, head.size, LIMIT)
    with path.open("wb") as file:
        for first in range(0, len(starts), _PIECES):
            some = starts[first : first + _PIECES]
            spans = [Span(start, min(head.size, start + LIMIT), ()) for start in some]
            file.writelines(await fetch(url, head.etag, spans))
    return Cost(len(starts), head.size)
