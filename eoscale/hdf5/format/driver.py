"""Driving walks: over bytes in memory, or block by block over a file far away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import exp
from typing import TypeAlias, TypeVar

from eoscale.access.pace import Link
from eoscale.hdf5.format.contents import page_size
from eoscale.hdf5.format.walk import Range, Walk

T = TypeVar("T")

Fetch: TypeAlias = Callable[[Sequence[Range]], Awaitable[Sequence[memoryview]]]
"""From ranges to their bytes, each exactly as long as asked for, all at once."""

_SMALL = 2**21
"""Bytes; a file up to this size is taken whole before anything is known of it."""
FIRST = 2**16
"""Bytes of the block that tells whether a file is in pages."""
_PIECE = 3 * 2**20
"""Bytes; of what lies in one run, so much is asked for in one request. Shorter ones take more of a processor,
longer ones keep a file waiting, and with it the memory that it holds."""
_TOGETHER = 16
"""Blocks of a file in pages, in which most of what is wanted lies."""
_BLOCKS = tuple(1 << power for power in range(14, 23))
"""Bytes of a block."""
_PAGED = 2**18
"""Bytes of a block of a file in pages, which keep its metadata together."""
_MOST = 0.9
"""Of the blocks of a file: where more hold metadata, it is taken whole."""


def block_size(size: int, places: int, link: Link, page: int = 0) -> int:
    """Return the bytes that are fetched at a time of a file whose metadata are read.

    Requests cost time, and so do bytes that nobody wanted: large blocks are best of a small file, or where
    answers are long in coming, small ones of a large file. A file is taken whole that has something in nearly
    all of its blocks.

    Parameters
    ----------
    size : int
        Bytes of the file.
    places : int
        How many there are in it of metadata that are wanted, anywhere.
    link : Link
        What the way to it allows.
    page : int
        Bytes of its pages; 0 where it has none.

    Returns
    -------
    int
        ``size`` if the file is to be taken whole.

    Examples
    --------
    >>> region = Link(latency=0.02, bandwidth=80e6)
    >>> block_size(36_000_000, 200, region), block_size(2_000_000_000, 200, region)
    (36000000, 16384)
    """
    best = min(_BLOCKS, key=lambda block: _seconds(size, places, link, block))
    if page and size > _SMALL:
        return min(_PAGED, max(best, page))
    if size <= _SMALL or _touched(size, places, best) > _MOST:
        return max(1, size)
    return best


def held(size: int, places: int, block: int, page: int = 0) -> int:
    """Return about how many bytes of a file are kept while its metadata are read.

    Parameters and errors as of :func:`block_size`, whose result is ``block``.
    """
    if page:
        return min(size, _TOGETHER * block)
    return round(size * _touched(size, places, block))


def _touched(size: int, places: int, block: int) -> float:
    """Return the share of a file's blocks in which some of the places lie, if these lie anywhere."""
    return 1 - exp(-places * block / size) if size else 1.0


def _seconds(size: int, places: int, link: Link, block: int) -> float:
    """Return what fetching the places takes of what all requests of a process share."""
    nbytes = _touched(size, places, block) * size
    return nbytes / block * link.request_seconds + nbytes * link.byte_seconds


class Blocks:
    """A file far away as blocks, each of which is fetched once, when something in it is asked for."""

    def __init__(self, size: int, fetch: Fetch, block: int) -> None:
        self.size = size
        self.block = block
        self._fetch = fetch
        self._held: dict[int, memoryview] = {}
        """By number: the bytes from the beginning of that block on, at least to its end."""

    async def read(self, ranges: Sequence[Range]) -> list[memoryview]:
        """Return the bytes of ranges that lie in the file; blocks that are lacking are fetched at once."""
        await self.hold(ranges)
        return [self._cut(asked) for asked in ranges]

    async def hold(self, ranges: Sequence[Range]) -> None:
        """Fetch the blocks of ranges that are lacking."""
        most = max(1, _PIECE // self.block)
        lacking = sorted({n for asked in ranges for n in self._numbers(asked)} - self._held.keys())
        runs: list[list[int]] = []
        for number in lacking:
            if runs and runs[-1][-1] == number - 1 and len(runs[-1]) < most:
                runs[-1].append(number)
            else:
                runs.append([number])
        spans = [(run[0] * self.block, min(self.size, (run[-1] + 1) * self.block)) for run in runs]
        if spans:
            bodies = await self._fetch([(start, stop - start) for start, stop in spans])
            for run, body in zip(runs, bodies, strict=True):
                for place, number in enumerate(run):
                    self._held[number] = body[place * self.block :]

    def _numbers(self, asked: Range) -> range:
        offset, length = asked
        return range(offset // self.block, -(-(offset + length) // self.block))

    def _cut(self, asked: Range) -> memoryview:
        offset, length = asked
        numbers = self._numbers(asked)
        if not numbers:
            return memoryview(b"")
        begin = offset - numbers[0] * self.block
        first = self._held[numbers[0]]
        if begin + length <= len(first):
            return first[begin : begin + length]
        starts = (number * self.block for number in numbers)
        pieces = [
            self._held[start // self.block][max(0, offset - start) : min(self.block, offset + length - start)]
            for start in starts
        ]
        return memoryview(b"".join(pieces))


async def pages(size: int, fetch: Fetch) -> int:
    """Return the bytes of the pages of a file far away; 0 where it has none, or is small.

    Raises
    ------
    AccessError
        As ``fetch`` does; and what a file raises that is none of HDF5.
    """
    return await through(Blocks(size, fetch, FIRST), page_size(size)) if size > _SMALL else 0


async def afar(size: int, fetch: Fetch, walk: Walk[T], block: int) -> T:
    """Return what a walk makes of a file far away.

    Parameters
    ----------
    size : int
        Bytes of the file.
    fetch : callable
    walk : Walk
    block : int
        As of :func:`block_size`.

    Raises
    ------
    AccessError
        As ``fetch`` does; and whatever the walk raises.
    """
    blocks = Blocks(size, fetch, min(block, _PIECE))
    if block >= size:
        await blocks.hold([(0, size)])
    return await through(blocks, walk)


async def through(blocks: Blocks, walk: Walk[T]) -> T:
    """Return what a walk makes of blocks."""
    try:
        ranges = next(walk)
        while True:
            ranges = walk.send(await blocks.read(ranges))
    except StopIteration as end:
        result: T = end.value
        return result


def over(content: bytes | memoryview, walk: Walk[T]) -> T:
    """Return what a walk makes of a file that is in memory.

    Examples
    --------
    >>> def walk():
    ...     body, = yield [(1, 2)]
    ...     return bytes(body)
    >>> over(b"abcd", walk())
    b'bc'
    """
    data = memoryview(content)
    return driven(walk, lambda asked: data[asked[0] : asked[0] + asked[1]])


def driven(walk: Walk[T], read: Callable[[Range], memoryview]) -> T:
    """Return what a walk makes of what a function returns of each range, one after another."""
    try:
        ranges = next(walk)
        while True:
            ranges = walk.send([read(asked) for asked in ranges])
    except StopIteration as end:
        result: T = end.value
        return result
