"""Ranges: which bytes to ask for together (pure), and asking for them.

The functions that ask run on the I/O thread. They keep to the budgets of the process, ask again what may
pass, ask twice what is late, and cancel the rest when one request has failed for good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from eoscale.access import budgets, disks, objects, transports
from eoscale.access.attempts import Transient, hedged, insist
from eoscale.access.head import Head
from eoscale.access.pace import Link
from eoscale.errors import AccessError, scrub

T = TypeVar("T")

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


async def head(url: str) -> Head:
    """Return size and version of an object.

    Raises
    ------
    AccessError
        If it cannot be reached.
    """
    return (await opening(url, 1))[0]


async def opening(url: str, nbytes: int) -> tuple[Head, memoryview]:
    """Return size and version of an object, and at most so many of its first bytes, or none.

    Raises
    ------
    AccessError
        If it cannot be reached.
    """
    return await _asked(url, nbytes, partial(transports.opening, url, nbytes))


def link(url: str) -> Link:
    """Return what the way to an object allows, as far as its host's answers have shown."""
    return budgets.here().paces[transports.host(url)].link


async def fetch(url: str, etag: str, spans: Sequence[Span]) -> list[memoryview]:
    """Return the bytes of each span, all asked for at once.

    Parameters
    ----------
    url : str
    etag : str
        The version that :func:`head` gave.
    spans : sequence of Span

    Raises
    ------
    AccessError
        If one of them cannot be read exactly.
    """
    bodies = [memoryview(b"")] * len(spans)

    async def one(number: int, span: Span) -> None:
        async with budgets.here().in_flight.of(_length(span)):
            bodies[number] = await _got(url, etag, span)

    await _together(one(number, span) for number, span in enumerate(spans))
    return bodies


async def deliver(
    url: str,
    etag: str,
    offsets: NDArray[np.int64],
    sizes: NDArray[np.int64],
    take: Callable[[Mapping[int, memoryview]], None],
) -> Cost:
    """Hand over the bytes of each range as they come, and return what they cost.

    No more is asked for than what has been taken leaves room for, so memory is bounded whatever is read.

    Parameters
    ----------
    url, etag : str
        As of :func:`fetch`.
    offsets, sizes : (n,) int64
        As of :func:`coalesce`.
    take : callable
        Called in other threads, some at once, with the bytes of ranges that came together, by number.

    Raises
    ------
    AccessError
        If one of them cannot be read exactly; and what ``take`` raises.
    """
    spans = coalesce(offsets, sizes)
    delivery = _Delivery(url, etag, offsets, sizes, take)
    path = objects.local(url)
    if path is None:
        await _together(map(delivery.afar, spans))
    else:
        await _together(delivery.on_disk(path, some) for some in _lots(spans))
    return Cost(len(spans), sum(map(_length, spans)))


@dataclass(frozen=True)
class _Delivery:
    """Ranges of one object, on their way to who takes them."""

    url: str
    etag: str
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    take: Callable[[Mapping[int, memoryview]], None]

    async def afar(self, span: Span) -> None:
        """Ask for a span, and hand it over."""
        here = budgets.here()
        async with here.in_flight.of(_length(span)):
            body = await _got(self.url, self.etag, span)
            await here.crew.do(lambda: self.take(self._cut(span, body)))

    async def on_disk(self, path: Path, spans: Sequence[Span]) -> None:
        """Read spans of a local file, and hand them over together."""

        def work(read: disks.Read) -> None:
            found: dict[int, memoryview] = {}
            for span in spans:
                found |= self._cut(span, read(span.start, _length(span)))
            self.take(found)

        async with budgets.here().in_flight.of(sum(map(_length, spans))):
            await disks.reading(self.url, self.etag, path, work)

    def _cut(self, span: Span, body: memoryview) -> dict[int, memoryview]:
        starts = {member: int(self.offsets[member]) - span.start for member in span.members}
        return {member: body[start : start + int(self.sizes[member])] for member, start in starts.items()}


async def copied(url: str, head: Head, path: Path, begin: int = 0) -> Cost:
    """Copy an object to a local file, some pieces at a time, and return what it cost.

    Parameters
    ----------
    url : str
    head : Head
    path : Path
    begin : int
        Bytes that the file has already.

    Raises
    ------
    AccessError
        If a piece cannot be read exactly.
    """
    starts = range(begin, head.size, LIMIT)
    with path.open("ab" if begin else "wb") as file:
        for first in range(0, len(starts), _PIECES):
            some = starts[first : first + _PIECES]
            spans = [Span(start, min(head.size, start + LIMIT), ()) for start in some]
            file.writelines(await fetch(url, head.etag, spans))
    return Cost(len(starts), head.size - begin)


def _length(span: Span) -> int:
    return span.stop - span.start


def _lots(spans: Sequence[Span]) -> list[list[Span]]:
    """Return spans that are read together: no more bytes than one request may have, but always one."""
    lots: list[list[Span]] = []
    held = LIMIT
    for span in spans:
        held += _length(span)
        if held > LIMIT:
            lots.append([])
            held = _length(span)
        lots[-1].append(span)
    return lots


async def _together(asked: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Wait for all; the first that fails cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in asked:
                group.create_task(each)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _got(url: str, etag: str, span: Span) -> memoryview:
    get = partial(transports.get, url, span.start, span.stop, etag)
    return await _asked(url, _length(span), get)


async def _asked(url: str, nbytes: int, ask: Callable[[], Awaitable[T]]) -> T:
    """Return what a request gives, within the budgets of the process."""
    here = budgets.here()
    host = transports.host(url)
    pace = here.paces[host]

    async def timed() -> T:
        clock = asyncio.get_running_loop().time
        began = clock()
        answer = await ask()
        pace.record(clock() - began, nbytes)
        return answer

    async def attempt() -> T:
        permit = await transports.admitted(url)
        async with permit or nullcontext(), here.connections:
            if not host:
                return await ask()  # a disk is neither late nor busy
            limit = budgets.PATIENCE.limit(nbytes)
            try:
                # a second request would need a second permit
                return await hedged(timed, inf if permit else pace.late, limit, here.hedges)
            except AccessError:  # of services that give credentials, and perhaps a TimeoutError too
                raise
            except TimeoutError:
                late = AccessError(f"{scrub(url)} gave no answer within {limit:.0f} s")
                raise Transient(late) from None

    return await insist(attempt, budgets.PATIENCE, url)
