"""Heaps: where names, links, attributes and text of varying length are kept."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from eoscale.errors import CorruptGranuleError, UnsafeGranuleError
from eoscale.hdf5.format.cursor import File, text
from eoscale.hdf5.format.walk import Walk, together

_LARGEST = 16 * 2**20
"""Bytes of a heap that is read."""
_USUAL = 4096
"""Bytes of a global heap, unless something larger is in it."""
_FORMS = {2: "H", 4: "I", 8: "Q"}


def names(file: File, address: int) -> Walk[Names]:
    """Return the names of a group of the old form: a local heap."""
    cursor = yield from file.read(address, 8 + 2 * file.length_size + file.offset_size)
    cursor.expect(b"HEAP", 0)
    cursor.skip(3)
    size = cursor.length()
    cursor.skip(file.length_size)  # free space
    _demand_small(size)
    return Names((yield from file.read(cursor.address(), size)).data)


class Names:
    """Texts by their offset in a local heap."""

    def __init__(self, data: memoryview) -> None:
        self.data = bytes(data)

    def raw(self, offset: int) -> bytes:
        """Return the bytes of a name.

        Raises
        ------
        CorruptGranuleError
            If it does not lie in the heap.
        """
        end = self.data.find(b"\0", offset)
        if end < 0 or offset >= len(self.data):
            raise CorruptGranuleError(f"a name at {offset} of a heap of {len(self.data)} bytes: damaged")
        return self.data[offset:end]


class _Reference(NamedTuple):
    """Where a value of varying length lies in a global heap."""

    length: int
    address: int
    number: int


def texts(file: File, elements: bytes | memoryview) -> Walk[list[str]]:
    """Return texts of varying length, each heap read once.

    Parameters
    ----------
    file : File
    elements : bytes
        One after another, as they are stored: each says where in a heap its text lies.

    Raises
    ------
    CorruptGranuleError
        If one does not lie where it should.
    """
    form = struct.Struct(f"<I{_FORMS[file.offset_size]}I")
    wanted = [_Reference(*place) for place in form.iter_unpack(elements)]
    addresses = sorted({each.address for each in wanted if each.length})
    heaps = yield from together(file.once(address, _collection) for address in addresses)
    found = dict(zip(addresses, heaps, strict=True))
    return [_text(found[each.address], each) if each.length else "" for each in wanted]


def _text(collection: dict[int, memoryview], reference: _Reference) -> str:
    data = collection.get(reference.number)
    if data is None or len(data) < reference.length:
        raise CorruptGranuleError(f"text {reference.number} is not in its heap: damaged")
    return text(data[: reference.length]).partition("\0")[0]


def _collection(file: File, address: int) -> Walk[dict[int, memoryview]]:
    """Return the objects of a global heap by their number."""
    head = 8 + -(-file.length_size // 8) * 8  # of the heap, and of each of its objects
    cursor = yield from file.read(address, head, ahead=_USUAL - head)
    cursor.expect(b"GCOL", 1)
    cursor.skip(3)
    size = cursor.length()
    _demand_small(size)
    if size > len(cursor.data):
        cursor = yield from file.read(address, size)
    return dict(_objects(cursor.data[:size], head, file.length_size))


def _objects(data: memoryview, head: int, length_size: int) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of the objects of a global heap."""
    form = struct.Struct(f"<H6x{_FORMS[length_size]}")
    at = head
    while at + head <= len(data):
        number, length = form.unpack_from(data, at)
        at += head
        if not number:
            return  # the rest is free
        if at + length > len(data):
            raise CorruptGranuleError("an object is longer than its heap: damaged")
        yield number, data[at : at + length]
        at += length + -length % 8


def _demand_small(size: int) -> None:
    if size > _LARGEST:
        raise UnsafeGranuleError(f"a heap of {size} bytes, at most {_LARGEST} are read")
