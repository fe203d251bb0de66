"""Attributes: those of an object that have some names, as plain values.

Source: HDF5 File Format Specification, "The Attribute Message", "The Attribute Info Message".
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from math import prod
from struct import Struct
from typing import Any, NamedTuple

import numpy as np

from eoscale.errors import CorruptGranuleError, GranuleError, UnsafeGranuleError, UnsupportedFilterError
from eoscale.hdf5.format import fractal_heap, heaps, trees
from eoscale.hdf5.format.checksum import lookup3
from eoscale.hdf5.format.cursor import Cursor, File, remembered, text
from eoscale.hdf5.format.datatypes import DType, datatype
from eoscale.hdf5.format.messages import dataspace
from eoscale.hdf5.format.objects import (
    ATTRIBUTE,
    ATTRIBUTE_INFO,
    DATASPACE,
    DATATYPE,
    SHARED,
    Message,
    only,
    resolved,
)
from eoscale.hdf5.format.walk import Unfamiliar, Walk, together

_LARGEST = 2**20
"""Bytes of one attribute that is read."""
_DECODING = ("_FillValue", "scale_factor", "add_offset")
"""Without these values would be decoded wrongly."""
_BY_NAME = 8
_ELSEWHERE = object()
_SIZES = Struct("<BHHH")


def attributes(file: File, found: list[Message], wanted: Sequence[str]) -> Walk[dict[str, Any]]:
    """Return the attributes of an object that have some names.

    Parameters
    ----------
    file : File
    found : list of Message
        The object header.
    wanted : sequence of str

    Returns
    -------
    dict of str to str, numpy scalar or array
        One value is a scalar, whether its writer made it a scalar or an array of one, and text is ``str``,
        whether of fixed or of varying length. What numpy has no type for is left out.

    Raises
    ------
    GranuleError, Unfamiliar
        If one of them cannot be read, or left out without decoding values wrongly.
    """
    stated = [message for message in found if message.type == ATTRIBUTE]
    bodies = [message.read(file) for message in stated if not message.flags & SHARED]
    bodies += yield from together(resolved(file, message) for message in stated if message.flags & SHARED)
    info = only(found, ATTRIBUTE_INFO)
    if info is not None:
        bodies += yield from _dense(file, info.read(file), wanted)
    chosen = {name: body for name, body in zip(map(_name, bodies), bodies, strict=True) if name in wanted}
    values = {name: _own(body) for name, body in chosen.items()}
    rest = [name for name, value in values.items() if value is _ELSEWHERE]
    found_there = yield from together(_value(file, chosen[name]) for name in rest)
    values.update(zip(rest, found_there, strict=True))
    return {name: value for name, value in values.items() if value is not None}


def _dense(file: File, info: Cursor, wanted: Sequence[str]) -> Walk[list[Cursor]]:
    info.version("attribute information", 0)
    info.skip(2 * (info.uint(1) & 1))
    heap, tree = info.address(), info.address()
    if heap == file.undefined:
        return []
    records = yield from trees.records(file, tree, _BY_NAME)
    if records.shape[1] != 17:
        raise CorruptGranuleError("a tree of attributes has records of another size: damaged")
    hashes = [lookup3(name.encode()) for name in wanted]
    chosen = records[np.isin(np.ascontiguousarray(records[:, 13:]).view("<u4")[:, 0], hashes)]
    if (chosen[:, 8] & SHARED).any():
        raise Unfamiliar("an attribute is kept in the table of shared messages")
    return (yield from fractal_heap.objects(file, heap, [row[:8].tobytes() for row in chosen]))


class _Head(NamedTuple):
    """What an attribute begins with."""

    version: int
    flags: int
    name_size: int
    type_size: int
    space_size: int


def _head(cursor: Cursor) -> _Head:
    version = cursor.version("an attribute", 1, 2, 3)
    flags, *sizes = cursor.unpack(_SIZES)
    cursor.skip(version == 3)  # character set
    return _Head(version, flags * (version > 1), *sizes)


def _part(cursor: Cursor, head: _Head, size: int) -> memoryview:
    piece = cursor.take(size)
    cursor.skip(-size % 8 if head.version == 1 else 0)
    return piece


@remembered
def _name(cursor: Cursor) -> str:
    """Return the name of an attribute: few of them are wanted, and the others not read further."""
    name, end, _ = text(cursor.take(_head(cursor).name_size)).partition("\0")
    if not end:
        raise CorruptGranuleError(f"the name of attribute {name!r} has no end: damaged")
    return name


@remembered
def _own(cursor: Cursor) -> object:
    """Return the value of an attribute, or :data:`_ELSEWHERE` if its message alone does not tell it."""
    with suppress(GranuleError, Unfamiliar):
        try:
            next(_value(cursor.file, cursor))
        except StopIteration as end:
            return end.value
    return _ELSEWHERE


def _value(file: File, cursor: Cursor) -> Walk[Any]:
    """Return a value, or None where there is none or it is of a type that numpy lacks."""
    name = _name(cursor)
    head = _head(cursor)
    _part(cursor, head, head.name_size)
    type_ = Message(DATATYPE, SHARED * (head.flags & 1), _part(cursor, head, head.type_size))
    space = Message(DATASPACE, SHARED * (head.flags >> 1 & 1), _part(cursor, head, head.space_size))
    kind = datatype((yield from resolved(file, type_)))
    shape = dataspace((yield from resolved(file, space))).shape
    if shape is None:
        return None
    size = prod(shape) * kind.dtype.itemsize
    if size > _LARGEST:
        raise UnsafeGranuleError(f"an attribute of {size} bytes, at most {_LARGEST} are read")
    data = cursor.take(size)
    if kind.text:
        if kind.vlen:
            texts = yield from heaps.texts(file, data)
        else:
            texts = _texts(data, kind.dtype)
        return texts[0] if len(texts) == 1 else np.array(texts, np.str_).reshape(shape)
    if kind.vlen or (kind.dtype.kind == "V" and not kind.dtype.names):
        if name in _DECODING:
            raise UnsupportedFilterError(f"its attribute {name} is of a type that is not read")
        return None
    # bytes of its own: it outlives the block that it came in, and a copy of a structure loses what pads it
    values = np.frombuffer(bytes(data), kind.dtype).reshape(shape)
    return values.reshape(-1)[0] if values.size == 1 else values


def _texts(data: memoryview, dtype: DType) -> list[str]:
    """Return texts of fixed length, without what pads them: zeros, or spaces in a type that numpy lacks."""
    width, padding = dtype.itemsize, " " if dtype.kind == "V" else ""
    pieces = [bytes(data[at : at + width]) for at in range(0, len(data), width)]
    return [piece.partition(b"\0")[0].decode("utf-8", "replace").rstrip(padding) for piece in pieces]
