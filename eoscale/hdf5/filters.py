"""Filters: from the stored bytes of chunks to their values (pure).

The pipeline is undone from its last step to its first; steps that the chunk's mask skips are left out.
A chunk that does not come out at its exact size, or does not agree with its checksum, is corrupt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import groupby
from typing import NamedTuple, TypeAlias

import deflate
import numpy as np
from numcodecs.fletcher32 import Fletcher32
from numpy.typing import NDArray

from eoscale.errors import CorruptGranuleError, GranuleError, UnsupportedFilterError
from eoscale.hdf5 import blosc, lz4, scale_offset, shuffle, zstd
from eoscale.model.chunk_index import DatasetIndex, Filter
from eoscale.model.columns import Array

DEFLATE, SHUFFLE, FLETCHER32, SCALE_OFFSET = 1, 2, 3, 6
BLOSC, LZ4, BITSHUFFLE, ZSTD = 32001, 32004, 32008, 32015
_CHECKSUM = 4
"""Bytes of a fletcher32 checksum, behind the data."""
TOGETHER = 320_000
"""Bytes of values to decode by one call of :func:`decode_many`: what the cache of a processor holds."""

Bytes: TypeAlias = bytes | memoryview
Undo: TypeAlias = Callable[[Bytes], Bytes]
"""From what a filter made to what it was given."""


class Pipeline(NamedTuple):
    """What undoes some filters."""

    steps: tuple[Undo, ...]
    width: int
    """Bytes of the elements whose bytes are shuffled after all steps; at most 1 where none are."""


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
    try:
        steps, width = _pipeline(dataset, mask)
        data = _unshuffled(_undone(raw, steps, dataset), width)
    except GranuleError as error:
        raise type(error)(f"{dataset.path}: {error.message}") from error
    # an element may be an array itself
    return np.frombuffer(data, dataset.dtype).reshape((-1, *dataset.chunk_shape[1:], *dataset.dtype.shape))


def decode_many(
    raws: Sequence[Bytes], dataset: DatasetIndex, masks: Sequence[int], values: NDArray[np.uint8]
) -> None:
    """Decode chunks to one behind the other, unshuffled by one native call.

    That copies less than :func:`decode` does for each, and threads wait less for each other: they give up the
    interpreter and take it again once a chunk, not three times. Of chunks that skipped other filters than
    their neighbours, each such run takes a call.

    Parameters
    ----------
    raws, dataset, masks
        As of :func:`decode`, for each chunk; none of a layout that clips its last chunk.
    values : (n,) uint8
        Contiguous; receives the bytes of all chunks.

    Raises
    ------
    CorruptGranuleError, UnsafeGranuleError, UnsupportedFilterError
        As :func:`decode`, if one of the chunks is faulty.

    Examples
    --------
    >>> table = np.zeros(2, np.int64)
    >>> shuffled = DatasetIndex(
    ...     path="h", shape=(4,), dtype=np.dtype("<i2"), chunk_shape=(2,),
    ...     offsets=table, sizes=table, masks=table, filters=(Filter(id=SHUFFLE, name="shuffle"),),
    ... )
    >>> values = np.empty(4, "<i2")
    >>> decode_many([bytes([1, 2, 0, 0]), bytes([3, 4, 0, 0])], shuffled, [0, 0], values.view(np.uint8))
    >>> values
    array([1, 2, 3, 4], dtype=int16)
    """
    nbytes = dataset.chunk_nbytes
    try:
        for mask, members in groupby(range(len(raws)), masks.__getitem__):
            steps, width = _pipeline(dataset, mask)
            some = list(members)
            blocks = (_undone(raws[member], steps, dataset) for member in some)
            shuffle.unshuffle(blocks, nbytes, width, values[some[0] * nbytes : (some[-1] + 1) * nbytes])
    except GranuleError as error:
        raise type(error)(f"{dataset.path}: {error.message}") from error


def _pipeline(dataset: DatasetIndex, mask: int) -> Pipeline:
    return pipeline(dataset.filters, dataset.dtype.itemsize, dataset.chunk_nbytes, mask)


def _undone(data: Bytes, steps: Sequence[Undo], dataset: DatasetIndex) -> Bytes:
    """Return what some steps make of a chunk, after which it should be as long as its values."""
    for undo in steps:
        data = undo(data)
    size, nbytes = len(data), dataset.chunk_nbytes
    if size == nbytes or (
        dataset.clipped and size < nbytes and size % (nbytes // dataset.chunk_shape[0]) == 0
    ):
        return data
    raise CorruptGranuleError(f"a chunk decodes to {size} bytes, expected {nbytes}")


@lru_cache
def pipeline(filters: tuple[Filter, ...], itemsize: int, nbytes: int, mask: int) -> Pipeline:
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
    >>> steps, width = pipeline(filters, 4, 40_000, 0)
    >>> len(steps), width
    (1, 4)
    """
    steps: list[Undo] = []
    width, room = 1, nbytes
    for number, step in enumerate(filters):
        if mask >> number & 1:
            continue
        if step.id not in DECODED:
            raise UnsupportedFilterError(f"packed by filter {step.id} ({step.name}), which is not read")
        if step.id != SHUFFLE:
            steps.append(_UNDO[step.id](step.parameters, room))
            # what it made may be a little more than it was given: a checksum, what does not shrink
            room = 2 * nbytes + 1024
            continue
        (element,) = step.parameters or (itemsize,)
        if steps or width > 1:
            steps.append(partial(_unshuffled, width=element))
        else:
            width = element
    return Pipeline(tuple(reversed(steps)), width)


def _inflate(_: tuple[int, ...], room: int) -> Undo:
    def inflate(data: Bytes) -> memoryview:
        try:
            return memoryview(deflate.zlib_decompress(data, room))
        except deflate.DeflateError as error:
            # libdeflate does not tell a damaged stream from one that is cut, or longer than the chunk
            raise CorruptGranuleError(
                "a deflate stream is damaged or does not end where its chunk does"
            ) from error

    return inflate


def _unshuffled(data: Bytes, width: int) -> Bytes:
    if width <= 1 or not data:
        return data
    values = np.empty(len(data), np.uint8)
    shuffle.unshuffle([data], len(data), width, values)
    return values.data


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


_UNDO: dict[int, Callable[[tuple[int, ...], int], Undo]] = {
    DEFLATE: _inflate,
    FLETCHER32: lambda _, __: _verified,
    SCALE_OFFSET: lambda parameters, room: lambda data: scale_offset.restore(data, parameters, room),
    BLOSC: lambda _, room: lambda data: blosc.decompress(data, room),
    LZ4: lambda _, room: lambda data: lz4.decompress(data, room),
    BITSHUFFLE: lambda parameters, room: lambda data: shuffle.unbitshuffle(data, parameters, room),
    ZSTD: lambda _, room: lambda data: zstd.decompress(data, room),
}
"""From the parameters of a filter, and the bytes that it was given at most, to what undoes it."""
DECODED = frozenset({SHUFFLE, *_UNDO})
"""Numbers of the filters that can be undone."""
