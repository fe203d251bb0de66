"""The fractal heap: where groups and datasets of the new form keep many links and attributes.

Source: HDF5 File Format Specification, "Fractal Heap".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from eoscale.errors import CorruptGranuleError, UnsafeGranuleError
from eoscale.hdf5.format.checksum import lookup3
from eoscale.hdf5.format.cursor import Cursor, File
from eoscale.hdf5.format.trees import records
from eoscale.hdf5.format.walk import Unfamiliar, Walk

_LARGEST = 16 * 2**20
"""Bytes of a block or an object that are read."""
_MANAGED, _HUGE, _TINY = 0, 1, 2
_HUGE_RECORDS = 1


class Heap(NamedTuple):
    """What the header of a fractal heap says."""

    address: int
    id_size: int
    checked: bool
    """Direct blocks carry a checksum."""
    length_size: int
    """Bytes of an object's length in its id."""
    huge: int
    """Address of the tree of huge objects."""
    width: int
    """Blocks in a row."""
    start: int
    """Bytes of a block of the first two rows; twice as many in each row after them."""
    bits: int
    """Of an offset."""
    direct_rows: int
    """Rows of blocks that hold objects; blocks of later rows hold blocks."""
    root: int
    rows: int
    """Of the root block; 0 where it holds objects."""

    @property
    def offset_size(self) -> int:
        """Bytes of an offset."""
        return -(-self.bits // 8)

    def size(self, row: int) -> int:
        """Return the bytes of a block of a row."""
        return self.start << max(0, row - 1)

    def begin(self, row: int) -> int:
        """Return the offset of a row from the beginning of its block."""
        return self.width * self.start << (row - 1) if row else 0


class _Place(NamedTuple):
    """A block on the way to an object."""

    address: int
    rows: int
    """0 of a block that holds objects."""
    begin: int
    """Offset of the block in the heap."""
    size: int


def objects(file: File, address: int, ids: Sequence[bytes]) -> Walk[list[Cursor]]:
    """Return the objects of a heap that have some ids, each block read once.

    Parameters
    ----------
    file : File
    address : int
        Of the heap's header.
    ids : sequence of bytes
        At least as long as the heap's ids.

    Raises
    ------
    CorruptGranuleError
        If there is no such heap or object.
    Unfamiliar
        If the heap is packed by filters.
    """
    heap = yield from _heap(file, address)
    kinds = [each[0] >> 4 & 3 for each in ids]
    found: dict[int, memoryview] = {}
    found |= yield from _managed(file, heap, {n: ids[n] for n, kind in enumerate(kinds) if kind == _MANAGED})
    found |= yield from _huge(file, heap, {n: ids[n] for n, kind in enumerate(kinds) if kind == _HUGE})
    found |= {n: _tiny(heap, ids[n]) for n, kind in enumerate(kinds) if kind == _TINY}
    if len(found) < len(ids):
        raise CorruptGranuleError("an object of an unknown kind in a heap: damaged")
    return [Cursor(file, found[number]) for number in range(len(ids))]


def _heap(file: File, address: int) -> Walk[Heap]:
    offset, length = file.offset_size, file.length_size
    cursor = yield from file.read(address, 26 + 12 * length + 3 * offset)
    cursor.expect(b"FRHP", 0)
    id_size, filtered, flags, largest_object = (cursor.uint(width) for width in (2, 2, 1, 4))
    if filtered:
        raise Unfamiliar("a fractal heap is packed by filters")
    cursor.skip(length)
    huge = cursor.address()
    cursor.skip(length + offset + 8 * length)  # free space and counts
    width, start, largest, bits = cursor.uint(2), cursor.length(), cursor.length(), cursor.uint(2)
    cursor.skip(2)
    root, rows = cursor.address(), cursor.uint(2)
    cursor.verify()
    powers = all(n > 0 and not n & (n - 1) for n in (width, start, largest))
    if not powers or not start <= largest or not 0 < bits <= 64 or rows > 64:
        raise CorruptGranuleError(f"a heap of blocks of {start} to {largest} bytes, {bits} bits: damaged")
    if largest > _LARGEST:
        raise UnsafeGranuleError(f"a heap with blocks of {largest} bytes, at most {_LARGEST} are read")
    return Heap(
        address=address,
        id_size=id_size,
        checked=bool(flags & 2),
        length_size=min(-(-(largest.bit_length() - 1) // 8), max(1, -(-largest_object.bit_length() // 8))),
        huge=huge,
        width=width,
        start=start,
        bits=bits,
        direct_rows=largest.bit_length() - start.bit_length() + 2,
        root=root,
        rows=rows,
    )


def _managed(file: File, heap: Heap, ids: dict[int, bytes]) -> Walk[dict[int, memoryview]]:
    spans: dict[int, tuple[int, int]] = {}
    for number, raw in ids.items():
        cursor = Cursor(file, memoryview(raw), 1)
        spans[number] = cursor.uint(heap.offset_size), cursor.uint(heap.length_size)
    places = dict.fromkeys(ids, _Place(heap.root, heap.rows, 0, heap.start))
    while waiting := {number: place for number, place in places.items() if place.rows}:
        distinct = sorted(set(waiting.values()))
        blocks = dict(zip(distinct, (yield from _indirect(file, heap, distinct)), strict=True))
        for number, place in waiting.items():
            places[number] = _child(heap, place, blocks[place], spans[number][0])
    distinct = sorted(set(places.values()))
    direct = dict(zip(distinct, (yield from _direct(file, heap, distinct)), strict=True))
    return {number: _cut(direct[place], place, *spans[number]) for number, place in places.items()}


def _cut(block: memoryview, place: _Place, offset: int, length: int) -> memoryview:
    begin = offset - place.begin
    if begin < 0 or begin + length > len(block):
        raise CorruptGranuleError("an object does not lie in its block of a heap: damaged")
    return block[begin : begin + length]


def _indirect(file: File, heap: Heap, places: Sequence[_Place]) -> Walk[list[list[int]]]:
    """Return the addresses of the children of blocks that hold blocks."""
    head = 5 + file.offset_size + heap.offset_size
    pieces = [(p.address, head + p.rows * heap.width * file.offset_size + 4) for p in places]
    found = yield from file.read_all(pieces)
    children = []
    for place, cursor in zip(places, found, strict=True):
        cursor.expect(b"FHIB", 0)
        cursor.skip(head - 5)
        children.append([cursor.address() for _ in range(place.rows * heap.width)])
        cursor.verify()
    return children


def _child(heap: Heap, place: _Place, children: Sequence[int], offset: int) -> _Place:
    """Return the block inside a block that an offset lies in."""
    inside = offset - place.begin
    row = next((row for row in range(place.rows) if heap.begin(row) <= inside < heap.begin(row + 1)), None)
    if row is None:
        raise CorruptGranuleError(f"offset {offset:#x} is outside its heap: damaged")
    size = heap.size(row)
    column = (inside - heap.begin(row)) // size
    begin = place.begin + heap.begin(row) + column * size
    rows = 0 if row < heap.direct_rows else size.bit_length() - (heap.start * heap.width).bit_length() + 1
    if row >= heap.direct_rows and not 0 < rows < place.rows:
        raise CorruptGranuleError("a heap's block holds itself: damaged")
    return _Place(children[row * heap.width + column], rows, begin, size)


def _direct(file: File, heap: Heap, places: Sequence[_Place]) -> Walk[list[memoryview]]:
    """Return whole blocks that hold objects: offsets count from their beginning."""
    found = yield from file.read_all([(place.address, place.size) for place in places])
    for cursor in found:
        cursor.expect(b"FHDB", 0)
        cursor.skip(file.offset_size + heap.offset_size)
        if heap.checked:
            at, stored = cursor.at, cursor.uint(4)
            # the checksum counts as zero in itself
            if lookup3(bytes(cursor.data[:at]) + bytes(4) + bytes(cursor.data[at + 4 :])) != stored:
                raise CorruptGranuleError("a heap's block does not agree with its checksum: damaged")
    return [cursor.data for cursor in found]


def _huge(file: File, heap: Heap, ids: dict[int, bytes]) -> Walk[dict[int, memoryview]]:
    if not ids:
        return {}
    offset, length = file.offset_size, file.length_size
    if heap.id_size > offset + length:
        raise Unfamiliar("a huge object is named by its address")
    table = yield from records(file, heap.huge, _HUGE_RECORDS)
    if table.shape[1] != offset + 2 * length:
        raise CorruptGranuleError("a tree of huge objects has records of another size: damaged")
    places = {row[offset + length :].tobytes(): row for row in table}
    pieces = []
    for raw in ids.values():
        key = raw[1 : heap.id_size].ljust(length, b"\0")[:length]
        if key not in places:
            raise CorruptGranuleError("a huge object is not in its tree: damaged")
        row = Cursor(file, memoryview(places[key].tobytes()))
        pieces.append((row.address(), row.length()))
    if sum(size for _, size in pieces) > _LARGEST:
        raise UnsafeGranuleError(f"objects of more than {_LARGEST} bytes in a heap are not read")
    found = yield from file.read_all(pieces)
    return {number: cursor.data for number, cursor in zip(ids, found, strict=True)}


def _tiny(heap: Heap, raw: bytes) -> memoryview:
    if heap.id_size > 17:
        raise CorruptGranuleError("a tiny object in a heap of long ids: damaged")
    return memoryview(raw)[1 : 2 + (raw[0] & 15)]
