"""Driving walks: over bytes in memory, or block by block over a file far away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

from eoscale.hdf5.format.contents import page_size
from eoscale.hdf5.format.walk import Range, Walk

T = TypeVar("T")

Fetch: TypeAlias = Callable[[Sequence[Range]], Awaitable[Sequence[memoryview]]]
"""From ranges to their bytes, each exactly as long as asked for, all at once."""

_SMALL = 2**21
"""Bytes; a file up to this size is taken whole, in one request."""
_LARGE = 2**28
"""Bytes; in a file from this size on, chunks between two pieces of metadata are large too."""
_SCATTERED, _SCATTERED_WIDELY, _PAGED = 2**17, 2**14, 2**18
"""Bytes of a block. Metadata lie all over a file as libhdf5 writes it unless told otherwise: larger blocks
save few requests and fetch mostly values. In pages they lie together."""


def block_size(size: int, page: int = 0) -> int:
    """Return the bytes that are fetched at a time of a file.

    Parameters
    ----------
    size : int
        Bytes of the file.
    page : int
        Bytes of its pages; 0 where it has none.

    Examples
    --------
    >>> block_size(300_000), block_size(36_000_000), block_size(36_000_000, page=8 * 2**20)
    (300000, 131072, 262144)
    """
    if size <= _SMALL:
        return max(1, size)
    scattered = _SCATTERED_WIDELY if size >= _LARGE else _SCATTERED
    return min(_PAGED, max(scattered, page)) if page else scattered


class Blocks:
    """A file far away as blocks, each of which is fetched once, when something in it is asked for."""

    def __init__(self, size: int, fetch: Fetch, page: int = 0) -> None:
        self.size = size
        self.block = block_size(size, page)
        self._fetch = fetch
        self._held: dict[int, memoryview] = {}
        """By number: the bytes from the beginning of that block on, at least to its end."""

    async def read(self, ranges: Sequence[Range]) -> list[memoryview]:
        """Return the bytes of ranges that lie in the file; blocks that are lacking are fetched at once."""
        lacking = sorted({n for asked in ranges for n in self._numbers(asked)} - self._held.keys())
        runs: list[list[int]] = []
        for number in lacking:
            if runs and runs[-1][-1] == number - 1:
                runs[-1].append(number)
            else:
                runs.append([number])
        spans = [(run[0] * self.block, min(self.size, (run[-1] + 1) * self.block)) for run in runs]
        if spans:
            bodies = await self._fetch([(start, stop - start) for start, stop in spans])
            for run, body in zip(runs, bodies, strict=True):
                for place, number in enumerate(run):
                    self._held[number] = body[place * self.block :]
        return [self._cut(asked) for asked in ranges]

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
        pieces = [self._held[number][: self.block] for number in numbers]
        return memoryview(b"".join(pieces))[begin : begin + length]


async def afar(size: int, fetch: Fetch, walk: Walk[T]) -> T:
    """Return what a walk makes of a file far away, in blocks that suit the file.

    Parameters
    ----------
    size : int
        Bytes of the file.
    fetch : callable
    walk : Walk

    Raises
    ------
    AccessError
        As ``fetch`` does; and whatever the walk raises.
    """
    blocks = Blocks(size, fetch)
    page = await through(blocks, page_size(size))
    if block_size(size, page) != blocks.block:
        blocks = Blocks(size, fetch, page)
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
    try:
        ranges = next(walk)
        while True:
            ranges = walk.send([data[offset : offset + length] for offset, length in ranges])
    except StopIteration as end:
        result: T = end.value
        return result
