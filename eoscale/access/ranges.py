"""Ranges: asking for bytes of an object.

These functions run on the I/O thread. They keep to the budgets of the process, ask again what may
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
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from eoscale.access import budgets, disks, objects, transports
from eoscale.access.attempts import Transient, hedged, insist
from eoscale.access.head import Head
from eoscale.access.pace import Link
from eoscale.access.spans import LIMIT, Cost, Span, coalesce
from eoscale.errors import AccessError, scrub

T = TypeVar("T")

_PIECES = 4
"""Of a whole object that are copied at once."""


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
