"""Extensible arrays: where chunks lie, by their number, in an array that grows.

Source: HDF5 File Format Specification, appendix C, "The Extensible Array Index".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eoscale.errors import CorruptGranuleError
from eoscale.hdf5.format.arrays import CHECKSUM, BlockLayout, Elements, Numbers, Pages, block_layout
from eoscale.hdf5.format.cursor import File
from eoscale.hdf5.format.walk import Unfamiliar, Walk, together


class _Shape(NamedTuple):
    """How an extensible array grows: block after block, each second one twice as long."""

    bits: int
    """Of a number."""
    direct: int
    """Elements in the index block itself."""
    least: int
    """Elements of the smallest data block."""
    pointers: int
    page_bits: int

    @property
    def direct_levels(self) -> int:
        """Levels whose data blocks the index block points to."""
        return 2 * (self.pointers.bit_length() - 1)

    @property
    def direct_blocks(self) -> int:
        return 2 * (self.pointers - 1)

    @property
    def levels(self) -> int:
        return 1 + self.bits - (self.least.bit_length() - 1)

    def blocks(self, level: int) -> int:
        """Return the number of data blocks of a level."""
        return 1 << level // 2

    def length(self, level: int) -> int:
        """Return the number of elements of its data blocks."""
        return self.least << (level + 1) // 2

    def begin(self, level: int) -> int:
        """Return the number of its first element."""
        return self.direct + self.least * ((1 << level) - 1)


class _Block(NamedTuple):
    """A data block that holds wanted numbers."""

    address: int
    level: int
    begin: int
    """Number of its first element."""
    wanted: NDArray[np.bool_]
    """Which of the numbers it holds."""
    bitmap: memoryview
    first: int


def extensible(file: File, address: int, size_width: int, numbers: Numbers) -> Walk[Elements]:
    """Return the elements of some numbers of an extensible array.

    Parameters and errors as :func:`~eoscale.hdf5.format.arrays.fixed`, but for ``most``.
    """
    header = yield from file.read(address, 16 + 6 * file.length_size + file.offset_size)
    header.expect(b"EAHD", 0)
    layout = block_layout(file, address, size_width, header)
    shape = _Shape(*(header.uint(1) for _ in range(5)))
    header.skip(4 * file.length_size)
    count = header.length()
    header.skip(file.length_size)
    block = header.address()
    header.verify()
    powers = all(n and not n & (n - 1) for n in (shape.least, shape.pointers))
    if not powers or shape.bits > 64 or shape.levels <= shape.direct_levels or shape.page_bits > 32:
        raise CorruptGranuleError(f"an extensible array of {shape}: damaged")
    result = layout.none(len(numbers))
    if block != file.undefined:
        yield from _fill(layout, shape, block, np.where(numbers < count, numbers, -1), result)
    return layout.decoded(result)


def _fill(
    layout: BlockLayout, shape: _Shape, address: int, numbers: Numbers, result: NDArray[np.uint8]
) -> Walk[None]:
    """Put the elements of some numbers into their rows; a number below zero has none."""
    file = layout.file
    pointers = shape.direct_blocks + shape.levels - shape.direct_levels
    size = layout.head + shape.direct * layout.width + pointers * file.offset_size + CHECKSUM
    index = yield from file.read(address, size)
    layout.enter(index, b"EAIB")
    elements = layout.elements(index, shape.direct)
    addresses = [index.address() for _ in range(pointers)]
    index.verify()
    here = (numbers >= 0) & (numbers < shape.direct)
    result[here] = elements[numbers[here]]
    blocks = list(_direct_blocks(shape, addresses, numbers))
    blocks += yield from _secondary_blocks(layout, shape, addresses[shape.direct_blocks :], numbers)
    blocks = [block for block in blocks if block.address != file.undefined]
    found = yield from together(_data(layout, shape, block, numbers) for block in blocks)
    for block, elements in zip(blocks, found, strict=True):
        result[block.wanted] = elements


def _direct_blocks(shape: _Shape, addresses: list[int], numbers: Numbers) -> Iterator[_Block]:
    place = 0
    for level in range(shape.direct_levels):
        for number, begin, wanted in _held(shape, level, numbers):
            if shape.length(level) > 1 << shape.page_bits:
                raise Unfamiliar("an extensible array has pages where no writer makes them")
            yield _Block(addresses[place + number], level, begin, wanted, memoryview(b""), 0)
        place += shape.blocks(level)


def _held(shape: _Shape, level: int, numbers: Numbers) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
    """Yield the data blocks of a level that hold numbers: which one, its first number, and which it holds."""
    begin, length = shape.begin(level), shape.length(level)
    inside = numbers[(numbers >= begin) & (numbers < begin + length * shape.blocks(level))]
    for number in np.unique((inside - begin) // length).tolist():
        first = begin + number * length
        yield number, first, (numbers >= first) & (numbers < first + length)


def _secondary_blocks(
    layout: BlockLayout, shape: _Shape, addresses: list[int], numbers: Numbers
) -> Walk[list[_Block]]:
    file = layout.file
    offset = -(-shape.bits // 8)
    last = int(numbers.max())
    levels = [
        level
        for level in range(shape.direct_levels, shape.levels)
        if shape.begin(level) <= last and addresses[level - shape.direct_levels] != file.undefined
    ]
    bitmaps = [_bitmap(shape, level) for level in levels]
    found = yield from file.read_all(
        [
            (
                addresses[level - shape.direct_levels],
                layout.head + offset + bitmap + shape.blocks(level) * file.offset_size + CHECKSUM,
            )
            for level, bitmap in zip(levels, bitmaps, strict=True)
        ]
    )
    blocks = []
    for level, length, cursor in zip(levels, bitmaps, found, strict=True):
        layout.enter(cursor, b"EASB")
        cursor.skip(offset)
        bitmap = cursor.take(length)
        places = [cursor.address() for _ in range(shape.blocks(level))]
        cursor.verify()
        pages = shape.length(level) >> shape.page_bits
        blocks += [
            _Block(places[number], level, begin, wanted, bitmap, number * pages)
            for number, begin, wanted in _held(shape, level, numbers)
        ]
    return blocks


def _bitmap(shape: _Shape, level: int) -> int:
    """Return the bytes of the bitmap of a level's pages; none where its data blocks have no pages."""
    pages = shape.length(level) >> shape.page_bits
    return shape.blocks(level) * -(-pages // 8) if pages > 1 else 0


def _data(layout: BlockLayout, shape: _Shape, block: _Block, numbers: Numbers) -> Walk[NDArray[np.uint8]]:
    """Return the elements of the numbers that a data block holds."""
    inside = numbers[block.wanted] - block.begin
    length = shape.length(block.level)
    head = layout.head + -(-shape.bits // 8)
    paged = length > 1 << shape.page_bits
    cursor = yield from layout.file.read(
        block.address, head + (0 if paged else length * layout.width) + CHECKSUM
    )
    layout.enter(cursor, b"EADB")
    cursor.skip(head - layout.head)
    if paged:
        cursor.verify()
        pages = Pages(
            layout, block.address + head + CHECKSUM, shape.page_bits, length, block.bitmap, block.first
        )
        return (yield from pages.read(inside))
    elements = layout.elements(cursor, length)
    cursor.verify()
    return elements[inside]
