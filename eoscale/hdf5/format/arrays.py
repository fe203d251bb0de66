"""Arrays of chunks, and the fixed array: where chunks lie, by their number.

Source: HDF5 File Format Specification, appendix C, "The Fixed Array Index".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eoscale.errors import CorruptGranuleError
from eoscale.hdf5.format.cursor import Cursor, File
from eoscale.hdf5.format.walk import Walk

Numbers = NDArray[np.int64]
_MASK = 4
"""Bytes of a filter mask."""
CHECKSUM = 4


class Elements(NamedTuple):
    """What an array says of some chunks, in the order in which they were asked for."""

    addresses: NDArray[np.uint64]
    """The file's undefined address where there is no chunk."""
    sizes: NDArray[np.int64] | None = None
    """Stored bytes; None where chunks are not filtered."""
    masks: NDArray[np.int64] | None = None

    def only(self, chosen: NDArray[np.bool_]) -> Elements:
        """Return some of the elements."""
        sizes, masks = (None if part is None else part[chosen] for part in (self.sizes, self.masks))
        return Elements(self.addresses[chosen], sizes, masks)


class BlockLayout(NamedTuple):
    """How elements lie in a block."""

    file: File
    header: int
    """Address of the array's header, which each of its blocks repeats."""
    kind: int
    """1 where chunks are filtered."""
    width: int
    """Bytes of an element."""

    @property
    def head(self) -> int:
        """Bytes that every block begins with."""
        return 6 + self.file.offset_size

    def enter(self, cursor: Cursor, signature: bytes) -> None:
        """Check what a block begins with."""
        cursor.expect(signature, 0)
        if cursor.uint(1) != self.kind or cursor.address() != self.header:
            raise CorruptGranuleError("an array holds a block of another: damaged")

    def none(self, count: int) -> NDArray[np.uint8]:
        """Return elements of chunks that there are not."""
        empty = np.zeros((count, self.width), np.uint8)
        empty[:, : self.file.offset_size] = 255
        return empty

    def elements(self, cursor: Cursor, count: int) -> NDArray[np.uint8]:
        """Return the next elements, (count, width) bytes."""
        return np.frombuffer(cursor.take(count * self.width), np.uint8).reshape(count, self.width)

    def decoded(self, raw: NDArray[np.uint8]) -> Elements:
        """Return what the bytes of elements say."""
        return decoded(raw, self.file.offset_size, filtered=bool(self.kind))


def decoded(raw: NDArray[np.uint8], offset_size: int, *, filtered: bool) -> Elements:
    """Return what the bytes of elements say: address and, of filtered chunks, stored bytes and filter mask.

    Parameters
    ----------
    raw : (n, width) uint8
    offset_size : int
        Bytes of an address.
    filtered : bool
    """
    addresses = _number(raw[:, :offset_size])
    if not filtered:
        return Elements(addresses)
    sizes = np.minimum(_number(raw[:, offset_size:-_MASK]), np.uint64(2**62))
    return Elements(addresses, sizes.astype(np.int64), _number(raw[:, -_MASK:]).astype(np.int64))


def _number(raw: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return little-endian numbers of up to eight bytes."""
    wide = np.zeros((len(raw), 8), np.uint8)
    wide[:, : raw.shape[1]] = raw
    return wide.view("<u8")[:, 0]


def width(file: File, size_width: int) -> int:
    """Return the bytes that say where a chunk lies: address and, of filtered chunks, size and mask."""
    return file.offset_size + (size_width + _MASK if size_width else 0)


def block_layout(file: File, address: int, size_width: int, cursor: Cursor) -> BlockLayout:
    """Return how elements lie, and check what an array's header says of them behind its signature.

    Raises
    ------
    CorruptGranuleError
        If it says something else.
    """
    found, expected = tuple(cursor.take(2)), (int(size_width > 0), width(file, size_width))
    if found != expected:
        raise CorruptGranuleError(f"an array of kind and element size {found}, expected {expected}: damaged")
    return BlockLayout(file, address, *expected)


def fixed(file: File, address: int, size_width: int, numbers: Numbers, most: int) -> Walk[Elements]:
    """Return the elements of some numbers of a fixed array.

    Parameters
    ----------
    file : File
    address : int
        Of the array's header.
    size_width : int
        Bytes in which it says how long a chunk is; 0 where chunks are not filtered.
    numbers : (n,) int64
        Below ``most``.
    most : int
        How many elements the array must have.

    Raises
    ------
    CorruptGranuleError
        If it is none, or of another length.
    """
    header = yield from file.read(address, 12 + file.length_size + file.offset_size)
    header.expect(b"FAHD", 0)
    layout = block_layout(file, address, size_width, header)
    page_bits, count, block = header.uint(1), header.length(), header.address()
    header.verify()
    if count != most or page_bits > 32:
        raise CorruptGranuleError(f"an array of {count} chunks, expected {most}: damaged")
    if block == file.undefined:
        return layout.decoded(layout.none(len(numbers)))
    if count <= 1 << page_bits:
        cursor = yield from file.read(block, layout.head + count * layout.width + CHECKSUM)
        layout.enter(cursor, b"FADB")
        found = layout.elements(cursor, count)
        cursor.verify()
        return layout.decoded(found[numbers])
    pages = -(-count >> page_bits)
    head = layout.head + -(-pages // 8) + CHECKSUM
    cursor = yield from file.read(block, head)
    layout.enter(cursor, b"FADB")
    bitmap = cursor.take(-(-pages // 8))
    cursor.verify()
    paged = Pages(layout, block + head, page_bits, count, bitmap)
    return layout.decoded((yield from paged.read(numbers)))


class Pages(NamedTuple):
    """A block of elements in pages, each with a checksum; some have never been written."""

    layout: BlockLayout
    address: int
    """Of the first page."""
    bits: int
    """A page has two to the power of this many elements; the last one what is left."""
    length: int
    bitmap: memoryview
    """A bit a page, the highest of a byte first: whether it has been written."""
    first: int = 0
    """Bit of the first page."""

    def written(self, page: int) -> bool:
        """Return whether a page has been written."""
        bit = self.first + page
        return bool(self.bitmap[bit // 8] & (0x80 >> bit % 8))

    def read(self, numbers: Numbers) -> Walk[NDArray[np.uint8]]:
        """Return the elements of some numbers, from the pages that hold them."""
        result = self.layout.none(len(numbers))
        wanted = [page for page in np.unique(numbers >> self.bits).tolist() if self.written(page)]
        size = (self.layout.width << self.bits) + CHECKSUM
        lengths = [min(1 << self.bits, self.length - (page << self.bits)) for page in wanted]
        found = yield from self.layout.file.read_all(
            [
                (self.address + page * size, length * self.layout.width + CHECKSUM)
                for page, length in zip(wanted, lengths, strict=True)
            ]
        )
        for page, length, cursor in zip(wanted, lengths, found, strict=True):
            elements = self.layout.elements(cursor, length)
            cursor.verify()
            here = numbers >> self.bits == page
            result[here] = elements[numbers[here] - (page << self.bits)]
        return result
