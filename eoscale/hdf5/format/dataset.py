"""A dataset: from the messages of its object header to its chunk index."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from eoscale.errors import CorruptGranuleError, UnsafeGranuleError, UnsupportedFilterError
from eoscale.hdf5 import safety
from eoscale.hdf5.format import chunk_indexes, messages
from eoscale.hdf5.format.attributes import attributes
from eoscale.hdf5.format.chunk_indexes import Chunking, Table
from eoscale.hdf5.format.cursor import File
from eoscale.hdf5.format.datatypes import DType, only_datatype
from eoscale.hdf5.format.groups import is_group
from eoscale.hdf5.format.messages import CHUNKED, COMPACT, Dataspace, Layout
from eoscale.hdf5.format.objects import (
    DATASPACE,
    DATATYPE,
    EXTERNAL,
    FILL,
    LAYOUT,
    OLD_FILL,
    PIPELINE,
    Message,
    only,
    resolved,
)
from eoscale.hdf5.format.walk import Walk
from eoscale.model.chunk_index import UNALLOCATED, DatasetIndex, Filter

ATTRIBUTES = (
    "_FillValue",
    "units",
    "long_name",
    "standard_name",
    "scale_factor",
    "add_offset",
    "flag_values",
    "flag_masks",
    "flag_meanings",
)
"""What decoding and describing need; a real variable has twice as many."""
_WIDE = 5
_PIECE = 2**20
"""Bytes; a contiguous variable is read in pieces of whole rows of about this size."""


class _Described(NamedTuple):
    """What the messages of a dataset say."""

    space: Dataspace
    shape: tuple[int, ...]
    dtype: DType
    layout: Layout
    filters: tuple[Filter, ...]
    fill: bytes
    in_heap: bool


def is_dataset(found: list[Message]) -> bool:
    """Return whether an object header is that of a dataset."""
    kinds = {message.type for message in found}
    return {DATASPACE, DATATYPE} <= kinds and not is_group(found)


def dataset(file: File, path: str, found: list[Message]) -> Walk[DatasetIndex]:
    """Return where the chunks of a variable lie.

    Parameters
    ----------
    file : File
    path : str
        What the variable is called.
    found : list of Message
        Its object header.

    Raises
    ------
    GranuleError
        If it is damaged, unsafe, or has no values.
    Unfamiliar
        If libhdf5 is needed.
    """
    described = yield from _described(file, found)
    shape, dtype, layout = described.shape, described.dtype, described.layout
    chunk_shape = _chunk_shape(described)
    safety.check_shape(path, shape, chunk_shape, dtype.itemsize)
    file.allot(prod(-(-n // c) for n, c in zip(shape, chunk_shape, strict=True)))
    inline = None
    if layout.kind == CHUNKED:
        places = yield from chunk_indexes.table(file, _chunking(file, described, chunk_shape))
    elif layout.kind == COMPACT:
        inline = layout.inline
        if len(inline) != prod(shape) * dtype.itemsize:
            raise CorruptGranuleError(f"{path}: {len(inline)} bytes for {shape} {dtype}: damaged")
        places = Table(*(np.zeros(0, np.int64) for _ in range(3)))
    else:
        places = contiguous(file, layout, shape, chunk_shape, dtype.itemsize)
    return DatasetIndex(
        path=path,
        shape=shape,
        dtype=dtype,
        chunk_shape=chunk_shape,
        offsets=places.offsets,
        sizes=places.sizes,
        masks=places.masks,
        filters=described.filters,
        fill=described.fill,
        inline=inline,
        clipped=layout.kind not in (CHUNKED, COMPACT),
        in_heap=described.in_heap,
        attributes=(yield from attributes(file, found, ATTRIBUTES)),
    )


def _described(file: File, found: list[Message]) -> Walk[_Described]:
    if only(found, EXTERNAL) is not None:
        raise UnsafeGranuleError("has its values in other files (external raw storage)")
    layout = messages.layout(_one(found, LAYOUT).read(file))
    space = messages.dataspace((yield from resolved(file, _one(found, DATASPACE))))
    if space.shape is None:
        raise UnsupportedFilterError("has no values at all (a null dataspace): expected numbers")
    kind = only_datatype((yield from resolved(file, _one(found, DATATYPE))))
    pipeline, new, old = (only(found, number) for number in (PIPELINE, FILL, OLD_FILL))
    filters = () if pipeline is None else messages.pipeline((yield from resolved(file, pipeline)))
    fill = b""
    if new is not None:
        fill = messages.fill((yield from resolved(file, new)))
    elif old is not None:
        fill = messages.old_fill((yield from resolved(file, old)))
    if kind.vlen or not any(fill):
        fill = b""
    if len(fill) not in (0, kind.dtype.itemsize):
        raise CorruptGranuleError(f"a fill value of {len(fill)} bytes for {kind.dtype}: damaged")
    return _Described(space, space.shape, kind.dtype, layout, filters, fill, kind.vlen and kind.text)


def _one(found: list[Message], kind: int) -> Message:
    message = only(found, kind)
    if message is None:
        raise CorruptGranuleError(f"a dataset lacks message {kind} of its header: damaged")
    return message


def _chunk_shape(described: _Described) -> tuple[int, ...]:
    shape, itemsize = described.shape, described.dtype.itemsize
    if described.layout.kind != CHUNKED:
        return rows(shape, itemsize)
    *chunk, element = described.layout.chunk or (0,)
    if len(chunk) != len(shape) or element != itemsize or not all(chunk) or not chunk:
        raise CorruptGranuleError(f"chunks of {chunk} times {element} bytes for {shape}: damaged")
    return tuple(chunk)


def _chunking(file: File, described: _Described, chunk_shape: tuple[int, ...]) -> Chunking:
    layout = described.layout
    nbytes = prod(chunk_shape) * described.dtype.itemsize
    return Chunking(
        kind=layout.chunk_index,
        address=layout.address,
        chunk_shape=chunk_shape,
        shape=described.shape,
        most=described.space.most,
        nbytes=nbytes,
        size_width=_size_width(file, described, nbytes) if described.filters else 0,
        single=layout.single,
        plain_edges=layout.plain_edges,
    )


def _size_width(file: File, described: _Described, nbytes: int) -> int:
    """Return the bytes in which an array or tree says how long a filtered chunk is.

    Room for a chunk that grows under its filters: one byte more than its size takes; since version 5 of the
    layout, as a length.
    """
    return file.length_size if described.layout.version >= _WIDE else min(8, 1 + -(-nbytes.bit_length() // 8))


def rows(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return a piece of whole rows, as if a variable that is stored in one run had such chunks.

    Examples
    --------
    >>> rows((1_000_000, 3), 8)
    (43690, 3)
    """
    if not shape:
        return ()
    row = max(1, prod(shape[1:]) * itemsize)
    return (max(1, min(shape[0], _PIECE // row)), *(max(1, n) for n in shape[1:]))


def contiguous(
    file: File, layout: Layout, shape: tuple[int, ...], chunk_shape: tuple[int, ...], itemsize: int
) -> Table:
    """Return the pieces of a variable that is stored in one run.

    Raises
    ------
    CorruptGranuleError
        If the run is too short, or not all of it lies in the file.
    """
    grid = tuple(-(-n // c) for n, c in zip(shape, chunk_shape, strict=True))
    nbytes = prod(shape) * itemsize
    allocated = layout.address != file.undefined and nbytes > 0
    start = file.base + layout.address
    if allocated and (layout.size < nbytes or start + nbytes > file.size):
        raise CorruptGranuleError(
            f"{nbytes} bytes in a run of {layout.size} at {start} of {file.size}: truncated or damaged"
        )
    row = nbytes // shape[0] if shape and shape[0] else nbytes
    first = np.arange(grid[0] if grid else 1, dtype=np.int64) * (chunk_shape[0] if chunk_shape else 1)
    length = np.minimum(chunk_shape[0], shape[0] - first) if shape else np.ones(1, np.int64)
    offsets = start + first * row if allocated else np.full(first.shape, UNALLOCATED)
    some = slice(prod(grid))  # no piece at all where another dimension is empty
    return Table(offsets[some].reshape(grid), (length * row)[some].reshape(grid), np.zeros(grid, np.int64))
