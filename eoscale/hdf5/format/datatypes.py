"""Datatypes: how one element is stored, as a numpy dtype.

Source: HDF5 File Format Specification, "The Datatype Message".
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from eoscale.errors import CorruptGranuleError, UnsafeGranuleError
from eoscale.hdf5.format.cursor import Cursor, remembered

_DEEPEST = 16
_LARGEST = 2**24
"""Bytes of one element."""
_IEEE = {2: (10, 5, 0, 10, 15), 4: (23, 8, 0, 23, 127), 8: (52, 11, 0, 52, 1023)}
"""Of floats of some bytes: exponent location and size, mantissa location and size, exponent bias."""
_SPACES = 2
_HEAD = Struct("<II")
_FLOAT = Struct("<HHBBBBI")
_BOOLEAN = {"FALSE": 0, "TRUE": 1}

DType: TypeAlias = "np.dtype[Any]"


class Datatype(NamedTuple):
    """How one element is stored."""

    dtype: DType
    """``V`` of the element's size where numpy has no such type."""
    text: bool = False
    """Text: of fixed length, or in a heap."""
    vlen: bool = False
    """The element says where in a heap its value lies."""


def datatype(cursor: Cursor, depth: int = 0) -> Datatype:
    """Return the type that a datatype message describes, and leave the cursor behind it.

    Raises
    ------
    CorruptGranuleError
        If it is none.
    UnsafeGranuleError
        If it is absurdly deep or long.
    """
    head, size = cursor.unpack(_HEAD)
    kind, version, bits = head & 15, head >> 4 & 15, head >> 8
    if not 1 <= version <= 5 or not size:
        raise CorruptGranuleError(f"a type of version {version} and {size} bytes: damaged")
    if depth > _DEEPEST or size > _LARGEST:
        raise UnsafeGranuleError(f"a type of {size} bytes, {depth} levels deep")
    found = _READERS.get(kind, _opaque)(cursor, _Head(version, bits, size, depth))
    if found.dtype.itemsize != size:
        raise CorruptGranuleError(f"a type of {size} bytes takes {found.dtype.itemsize}: damaged")
    return found


only_datatype = remembered(datatype)
"""The same, of a cursor of which nothing else is read."""


class _Head(NamedTuple):
    version: int
    bits: int
    size: int
    depth: int

    @property
    def order(self) -> str:
        return ">" if self.bits & 1 else "<"


def _void(size: int) -> Datatype:
    return Datatype(np.dtype((np.void, size)))


def _opaque(_cursor: Cursor, head: _Head) -> Datatype:
    # what later versions may bring: its properties are not understood, so that nothing may follow them
    return _void(head.size)


def _complex(cursor: Cursor, head: _Head) -> Datatype:
    return _pair(datatype(cursor, head.depth + 1).dtype, head.size)


def _pair(part: DType, size: int) -> Datatype:
    """Return the type of complex numbers; h5py wrote them as structures until HDF5 had such a type."""
    if part.kind != "f" or part.itemsize not in (4, 8) or size != 2 * part.itemsize:
        return _void(size)
    return Datatype(np.dtype(f"{part.byteorder}c{size}"))


def _integer(cursor: Cursor, head: _Head) -> Datatype:
    offset, precision = cursor.uint(2), cursor.uint(2)
    if offset or precision != 8 * head.size or head.size not in (1, 2, 4, 8):
        return _void(head.size)
    return Datatype(np.dtype(f"{head.order}{'i' if head.bits & 8 else 'u'}{head.size}"))


def _float(cursor: Cursor, head: _Head) -> Datatype:
    offset, precision, *layout = cursor.unpack(_FLOAT)
    implied, sign = head.bits >> 4 & 3, head.bits >> 8 & 255
    ordinary = not offset and precision == 8 * head.size == sign + 1 and implied == 2
    if not ordinary or tuple(layout) != _IEEE.get(head.size) or head.bits & 0x40:
        return _void(head.size)
    return Datatype(np.dtype(f"{head.order}f{head.size}"))


def _time(cursor: Cursor, head: _Head) -> Datatype:
    cursor.skip(2)
    return _void(head.size)


def _string(_cursor: Cursor, head: _Head) -> Datatype:
    # numpy knows no text that is padded with spaces
    kind = np.void if head.bits & 15 == _SPACES else np.bytes_
    return Datatype(np.dtype((kind, head.size)), text=True)


def _bit_field(cursor: Cursor, head: _Head) -> Datatype:
    return _integer(cursor, head._replace(bits=head.bits & 1))


def _tagged(cursor: Cursor, head: _Head) -> Datatype:
    cursor.skip(head.bits & 255)
    return _void(head.size)


def _compound(cursor: Cursor, head: _Head) -> Datatype:
    names, types, offsets = [], [], []
    for _ in range(head.bits & 0xFFFF):
        names.append(cursor.text(padded=head.version < 3))
        offsets.append(cursor.uint(-(-head.size.bit_length() // 8) if head.version >= 3 else 4))
        dims: tuple[int, ...] = ()
        if head.version == 1:
            rank = cursor.uint(1)
            cursor.skip(3 + 4 + 4)
            dims = tuple(cursor.uint(4) for _ in range(4))[:rank]
        types.append(_shaped(datatype(cursor, head.depth + 1).dtype, dims))
    if names == ["r", "i"] and types[0] == types[1] and offsets == [0, types[0].itemsize]:
        return _pair(types[0], head.size)
    layout: dict[str, Any] = {"names": names, "formats": types, "offsets": offsets, "itemsize": head.size}
    try:
        return Datatype(np.dtype(layout))  # type: ignore[call-overload]
    except (ValueError, TypeError) as error:
        raise CorruptGranuleError(f"a compound type that cannot be ({error}): damaged") from None


def _reference(_cursor: Cursor, head: _Head) -> Datatype:
    return _void(head.size)


def _enumeration(cursor: Cursor, head: _Head) -> Datatype:
    base = datatype(cursor, head.depth + 1).dtype
    count = head.bits & 0xFFFF
    names = [cursor.text(padded=head.version < 3) for _ in range(count)]
    values = np.frombuffer(cursor.take(count * base.itemsize), base)
    if (
        base.kind in "iu"
        and dict(zip(names, values.tolist(), strict=True)) == _BOOLEAN
        and base.itemsize == 1
    ):
        return Datatype(np.dtype(np.bool_))  # as h5py and its readers write it
    return Datatype(base)


def _varying(cursor: Cursor, head: _Head) -> Datatype:
    datatype(cursor, head.depth + 1)
    return Datatype(np.dtype((np.void, head.size)), text=head.bits & 15 == 1, vlen=True)


def _array(cursor: Cursor, head: _Head) -> Datatype:
    rank = cursor.uint(1)
    old = head.version < 3
    cursor.skip(3 * old)
    dims = tuple(cursor.uint(4) for _ in range(rank))
    cursor.skip(4 * rank * old)
    return Datatype(_shaped(datatype(cursor, head.depth + 1).dtype, dims))


def _shaped(dtype: DType, dims: tuple[int, ...]) -> DType:
    if len(dims) > 32 or np.prod(dims, dtype=object) * dtype.itemsize > _LARGEST:
        raise UnsafeGranuleError(f"a type that is an array of {dims}")
    return np.dtype((dtype, dims)) if dims else dtype


_READERS: dict[int, Callable[[Cursor, _Head], Datatype]] = {
    0: _integer,
    1: _float,
    2: _time,
    3: _string,
    4: _bit_field,
    5: _tagged,
    6: _compound,
    7: _reference,
    8: _enumeration,
    9: _varying,
    10: _array,
    11: _complex,
}
