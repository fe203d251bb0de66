"""Filters: from the stored bytes of a chunk to its values (pure).

The pipeline is undone from its last step to its first; steps that the chunk's mask skips are left out.
A chunk that does not come out at its exact size, or does not agree with its checksum, is corrupt.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import deflate
import numpy as np
from numcodecs.fletcher32 import Fletcher32

from eoscale.errors import CorruptGranuleError, GranuleError, UnsupportedFilterError
from eoscale.hdf5 import blosc, lz4, scale_offset, shuffle, zstd
from eoscale.model.chunk_index import DatasetIndex, Filter
from eoscale.model.columns import Array

DEFLATE, SHUFFLE, FLETCHER32, SCALE_OFFSET = 1, 2, 3, 6
BLOSC, LZ4, BITSHUFFLE, ZSTD = 32001, 32004, 32008, 32015
_CHECKSUM = 4
"""Bytes of a fletcher32 checksum, behind the data."""

Bytes: TypeAlias = bytes | memoryview
Undo: TypeAlias = Callable[[Bytes, tuple[int, ...], int], Bytes]
"""From what a filter made, its parameters, and the bytes that it was given at most, to what it was given."""


class Step(NamedTuple):
    """One step of undoing a pipeline."""

    undo: Undo
    parameters: tuple[int, ...]
    room: int


def decode(raw: bytes | memoryview, dataset: DatasetIndex, mask: int = 0) -> Array:
    """Return the values of one stored chunk.

    Parameters
    ----------
    raw : bytes
        As they lie in the file.
    dataset : DatasetIndex
    mask : int
        Bit i is set where filter i of the pipeline was skipped.

    Returns
    -------
    (m, ...) array
        Of the chunk's shape; of fewer rows where the layout clips its last chunk.

    Raises
    ------
    CorruptGranuleError
        If the bytes do not decode to a chunk, or a checksum differs.
    UnsafeGranuleError
        If the chunk is cut in too many blocks.
    UnsupportedFilterError
        If the pipeline has a filter that is not read, or one that is used in a way that is not.
    """
    nbytes = dataset.chunk_nbytes
    data: Bytes = raw
    try:
        for undo, parameters, room in pipeline(dataset.filters, dataset.dtype.itemsize, nbytes, mask):
            data = undo(data, parameters, room)
    except GranuleError as error:
        raise type(error)(f"{dataset.path}: {error.message}") from error
    size = len(data)
    row = nbytes // dataset.chunk_shape[0] if dataset.chunk_shape else nbytes
    if size != nbytes and not (dataset.clipped and size < nbytes and size % row == 0):
        raise CorruptGranuleError(f"{dataset.path}: a chunk decodes to {size} bytes, expected {nbytes}")
    # an element may be an array itself
    return np.frombuffer(data, dataset.dtype).reshape((-1, *dataset.chunk_shape[1:], *dataset.dtype.shape))


@lru_cache
def pipeline(filters: tuple[Filter, ...], itemsize: int, nbytes: int, mask: int) -> tuple[Step, ...]:
    """Return what undoes some filters, the last one first.

    Parameters
    ----------
    filters : tuple of Filter
        In the order in which they were applied.
    itemsize : int
        Bytes of an element.
    nbytes : int
        Of a decoded chunk.
    mask : int
        Bit i is set where filter i was skipped.

    Raises
    ------
    UnsupportedFilterError
        If one of them is not read.

    Examples
    --------
    >>> filters = Filter(id=SHUFFLE, name="shuffle", parameters=(4,)), Filter(id=DEFLATE, name="deflate")
    >>> [(step.parameters, step.room) for step in pipeline(filters, 4, 40_000, 0)]
    [((), 40000), ((4,), 40000)]
    """
    steps: list[Step] = []
    room = nbytes
    for number, step in enumerate(filters):
        if mask >> number & 1:
            continue
        if step.id not in _UNDO:
            raise UnsupportedFilterError(f"packed by filter {step.id} ({step.name}), which is not read")
        parameters = step.parameters or ((itemsize,) if step.id == SHUFFLE else ())
        steps.append(Step(_UNDO[step.id], parameters, room))
        if step.id != SHUFFLE:
            # what it made may be a little more than it was given: a checksum, what does not shrink
            room = 2 * nbytes + 1024
    return tuple(reversed(steps))


def _inflate(data: Bytes, room: int) -> memoryview:
    try:
        return memoryview(deflate.zlib_decompress(data, room))
    except deflate.DeflateError as error:
        # libdeflate does not tell a damaged stream from one that is cut or goes on past what the chunk holds
        raise CorruptGranuleError(
            "a deflate stream is damaged or does not end where its chunk does"
        ) from error


def _verified(data: Bytes) -> Bytes:
    body, stored = data[:-_CHECKSUM], int.from_bytes(data[-_CHECKSUM:], "little")
    computed = fletcher32(body)
    # before HDF5 1.6.3 both halves were stored with their bytes swapped; the library accepts either
    halves = computed >> 16, computed & 0xFFFF
    swapped = int.from_bytes(b"".join(half.to_bytes(2, "little") for half in halves), "big")
    if len(data) < _CHECKSUM or stored not in (computed, swapped):
        raise CorruptGranuleError("a chunk does not agree with its fletcher32 checksum")
    return body


def fletcher32(data: bytes | memoryview) -> int:
    """Return HDF5's fletcher32 checksum of some bytes.

    Two sums of big-endian 16-bit words modulo 65535, where a sum that is not zero never reads as zero. An
    odd last byte counts as the high half of a word.

    Source: HDF5 File Format Specification, filter 3; Fletcher, IEEE Trans. Commun. 30 (1982).

    Examples
    --------
    >>> hex(fletcher32(b"abcde"))
    '0x4ff029c7'
    """
    return int.from_bytes(Fletcher32().encode(data)[-_CHECKSUM:], "little") if len(data) else 0


_UNDO: dict[int, Undo] = {
    DEFLATE: lambda data, _, room: _inflate(data, room),
    SHUFFLE: lambda data, parameters, _: shuffle.unshuffle(data, parameters[0]),
    FLETCHER32: lambda data, _, __: _verified(data),
    SCALE_OFFSET: scale_offset.restore,
    BLOSC: lambda data, _, room: blosc.decompress(data, room),
    LZ4: lambda data, _, room: lz4.decompress(data, room),
    BITSHUFFLE: shuffle.unbitshuffle,
    ZSTD: lambda data, _, room: zstd.decompress(data, room),
}
DECODED = frozenset(_UNDO)
"""Numbers of the filters that can be undone."""
