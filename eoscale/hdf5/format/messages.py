"""The messages of a dataset: its shape, how it is laid out, packed and filled.

Source: HDF5 File Format Specification, "Data Object Header Messages".
"""

from __future__ import annotations

from typing import NamedTuple

from eoscale.errors import CorruptGranuleError, UnsafeGranuleError
from eoscale.hdf5 import safety
from eoscale.hdf5.format.chunk_indexes import (
    BTREE_1,
    BTREE_2,
    EXTENSIBLE_ARRAY,
    FIXED_ARRAY,
    IMPLICIT,
    SINGLE,
)
from eoscale.hdf5.format.cursor import Cursor, remembered
from eoscale.hdf5.format.walk import Unfamiliar
from eoscale.model.chunk_index import Filter

COMPACT, CONTIGUOUS, CHUNKED, VIRTUAL = range(4)
_NULL = 2
_PAGES = 1
_MOST_FILTERS = 32
_REGISTERED = 256
"""Filters from this number on bring their name."""
_FILTERS = {
    1: "deflate",
    2: "shuffle",
    3: "fletcher32",
    4: "szip",
    5: "nbit",
    6: "scale-offset",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32015: "zstd",
}


class Dataspace(NamedTuple):
    """The shape of a dataset or attribute."""

    shape: tuple[int, ...] | None
    """None where there are no values at all."""
    most: tuple[int | None, ...]
    """Largest shape; None where there is no limit."""


def dataspace(cursor: Cursor) -> Dataspace:
    """Return what a dataspace message says.

    Raises
    ------
    CorruptGranuleError
        If it is none.
    UnsafeGranuleError
        If it has too many dimensions.
    """
    version = cursor.version("a dataspace", 1, 2)
    rank, flags, kind = cursor.take(3)
    if version == 1:
        cursor.skip(4)
    if rank > safety.MOST_DIMENSIONS:
        raise UnsafeGranuleError(f"{rank} dimensions, at most {safety.MOST_DIMENSIONS} are read")
    shape = tuple(cursor.length() for _ in range(rank))
    unlimited = (1 << 8 * cursor.file.length_size) - 1
    limits = [cursor.length() for _ in range(rank)] if flags & 1 else shape
    most = tuple(None if limit == unlimited else limit for limit in limits)
    if any(limit is not None and limit < n for n, limit in zip(shape, most, strict=True)):
        raise CorruptGranuleError(f"shape {shape} is larger than its largest, {most}: damaged")
    return Dataspace(None if version == 2 and kind == _NULL else shape, most)


class Layout(NamedTuple):
    """How the values of a dataset are laid out."""

    kind: int
    """:data:`COMPACT`, :data:`CONTIGUOUS` or :data:`CHUNKED`."""
    address: int = 0
    size: int = 0
    """Bytes of a contiguous dataset."""
    inline: bytes = b""
    chunk_index: int = 0
    """Its kind."""
    chunk: tuple[int, ...] = ()
    """Shape of a chunk, and at its end the bytes of an element."""
    plain_edges: bool = False
    single: tuple[int, int] | None = None
    version: int = 3


def layout(cursor: Cursor) -> Layout:
    """Return what a layout message says.

    Raises
    ------
    CorruptGranuleError
        If it is none.
    UnsafeGranuleError
        If the values lie in another file.
    Unfamiliar
        If it was written before 2005.
    """
    version = cursor.version("a layout", 1, 2, 3, 4, 5)
    if version < 3:
        raise Unfamiliar(f"a layout message of version {version}, from before 2005")
    kind = cursor.uint(1)
    if kind == COMPACT:
        return Layout(kind, inline=bytes(cursor.take(cursor.uint(2))))
    if kind == CONTIGUOUS:
        return Layout(kind, cursor.address(), cursor.length())
    if kind == VIRTUAL:
        raise UnsafeGranuleError("has its values in other files (a virtual dataset)")
    if kind != CHUNKED:
        raise CorruptGranuleError(f"a layout of kind {kind}: damaged")
    if version == 3:
        rank = cursor.uint(1)
        address = cursor.address()
        return Layout(kind, address, chunk_index=BTREE_1, chunk=tuple(cursor.uint(4) for _ in range(rank)))
    return _chunked(cursor)._replace(version=version)


def _chunked(cursor: Cursor) -> Layout:
    flags, rank, width = cursor.uint(1), cursor.uint(1), cursor.uint(1)
    chunk = tuple(cursor.uint(width) for _ in range(rank))
    index = cursor.uint(1)
    single = None
    if index == SINGLE and flags & 2:
        single = cursor.length(), cursor.uint(4)
    elif index not in (SINGLE, IMPLICIT, FIXED_ARRAY, EXTENSIBLE_ARRAY, BTREE_2):
        raise CorruptGranuleError(f"a chunk index of kind {index}: damaged")
    # how the index grows is said again where it lies
    cursor.skip({FIXED_ARRAY: 1, EXTENSIBLE_ARRAY: 5, BTREE_2: 6}.get(index, 0))
    return Layout(
        CHUNKED, cursor.address(), chunk_index=index, chunk=chunk, plain_edges=bool(flags & 1), single=single
    )


@remembered
def pipeline(cursor: Cursor) -> tuple[Filter, ...]:
    """Return what a filter pipeline message says, in the order in which filters were applied.

    Raises
    ------
    CorruptGranuleError
        If it is none.
    """
    version = cursor.version("a filter pipeline", 1, 2)
    count = cursor.uint(1)
    if count > _MOST_FILTERS:
        raise CorruptGranuleError(f"a pipeline of {count} filters, at most {_MOST_FILTERS}: damaged")
    if version == 1:
        cursor.skip(6)
    return tuple(_filter(cursor, version) for _ in range(count))


def _filter(cursor: Cursor, version: int) -> Filter:
    code = cursor.uint(2)
    length = cursor.uint(2) if version == 1 or code >= _REGISTERED else 0
    cursor.skip(2)  # whether it may be left out of a chunk; the chunk's mask says whether it was
    count = cursor.uint(2)
    cursor.skip(-(-length // 8) * 8 if version == 1 else length)
    parameters = tuple(cursor.uint(4) for _ in range(count))
    cursor.skip(4 * (count % 2) if version == 1 else 0)
    return Filter(id=code, name=filter_name(code), parameters=parameters)


def filter_name(code: int) -> str:
    """Return what the filter of a registered number is called.

    Examples
    --------
    >>> filter_name(2), filter_name(400)
    ('shuffle', 'an unregistered filter')
    """
    return _FILTERS.get(code, "an unregistered filter")


def fill(cursor: Cursor) -> bytes:
    """Return one element for what was never written, as a fill value message says; empty where it says none.

    Raises
    ------
    CorruptGranuleError
        If it is none.
    """
    version = cursor.version("a fill value", 1, 2, 3)
    if version == 3:
        stated = bool(cursor.uint(1) & 0x20)
    else:
        cursor.skip(2)
        stated = bool(cursor.uint(1)) or version == 1
    return bytes(cursor.take(cursor.uint(4))) if stated else b""


def old_fill(cursor: Cursor) -> bytes:
    """Return the same from a message of the older kind."""
    return bytes(cursor.take(cursor.uint(4)))


def paged(cursor: Cursor) -> int:
    """Return the bytes of a page, as a file space message says; 0 where there are no pages.

    Raises
    ------
    CorruptGranuleError
        If it is none.
    """
    if cursor.version("file space information", 0, 1) == 0:
        return 0
    strategy = cursor.uint(1)
    cursor.skip(1 + cursor.file.length_size)  # whether free space is kept, and from which size on
    return cursor.length() if strategy == _PAGES else 0
