"""Filters: from the stored bytes of a chunk to its values (pure).

The pipeline is undone from its last step to its first; steps that the chunk's mask skips are left out.
A chunk that does not come out at its exact size, or does not agree with its checksum, is corrupt.
"""

from __future__ import annotations

import zlib

import numpy as np

from eoscale.errors import CorruptGranuleError, UnsupportedFilterError
from eoscale.model.chunk_index import DatasetIndex
from eoscale.model.columns import Array

DEFLATE, SHUFFLE, FLETCHER32 = DECODED = 1, 2, 3
_CHECKSUM = 4
"""Bytes of a fletcher32 checksum, behind the data."""


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
    UnsupportedFilterError
        If the pipeline has a filter that is not read.
    """
    nbytes = dataset.chunk_nbytes
    data: bytes | memoryview = raw
    for number, step in reversed(list(enumerate(dataset.filters))):
        if mask >> number & 1:
            continue
        # a filter before this one may have left a few bytes more than the chunk's: a checksum, a deflate
        room = nbytes + _CHECKSUM if number == 0 else 2 * nbytes + 1024
        if step.id == DEFLATE:
            data = _inflate(data, room, dataset.path)
        elif step.id == SHUFFLE:
            data = _unshuffle(data, step.parameters[0] if step.parameters else dataset.dtype.itemsize)
        elif step.id == FLETCHER32:
            data = _verified(data, dataset.path)
        else:
            raise UnsupportedFilterError(f"{dataset.path} is packed by filter {step.id} ({step.name})")
    size = len(data)
    row = nbytes // dataset.chunk_shape[0] if dataset.chunk_shape else nbytes
    if size != nbytes and not (dataset.clipped and size < nbytes and size % row == 0):
        raise CorruptGranuleError(f"{dataset.path}: a chunk decodes to {size} bytes, expected {nbytes}")
    return np.frombuffer(data, dataset.dtype).reshape((-1, *dataset.chunk_shape[1:]))


def _inflate(data: bytes | memoryview, room: int, path: str) -> bytes:
    stream = zlib.decompressobj()
    try:
        result = stream.decompress(data, room)
    except zlib.error as error:
        raise CorruptGranuleError(f"{path}: a chunk is no deflate stream ({error})") from error
    if not stream.eof:
        # either cut short, or it goes on past what the chunk can hold; adler32 was not reached
        raise CorruptGranuleError(f"{path}: a deflate stream does not end where its chunk does")
    return result


def _unshuffle(data: bytes | memoryview, width: int) -> bytes | memoryview:
    if width <= 1 or len(data) < 2 * width:
        return data  # one element keeps its order; the width is the file's word, however large
    planes = np.frombuffer(data, np.uint8)
    count = planes.size // width
    result = np.empty(planes.size, np.uint8)
    elements = result[: count * width].reshape(count, width)
    for byte in range(width):
        elements[:, byte] = planes[byte * count : (byte + 1) * count]
    # bytes that do not fill an element stay at the end, as they are
    result[count * width :] = planes[count * width :]
    return result.data


def _verified(data: bytes | memoryview, path: str) -> bytes | memoryview:
    body, stored = data[:-_CHECKSUM], int.from_bytes(data[-_CHECKSUM:], "little")
    computed = fletcher32(body)
    # before HDF5 1.6.3 both halves were stored with their bytes swapped; the library accepts either
    halves = computed >> 16, computed & 0xFFFF
    swapped = int.from_bytes(b"".join(half.to_bytes(2, "little") for half in halves), "big")
    if len(data) < _CHECKSUM or stored not in (computed, swapped):
        raise CorruptGranuleError(f"{path}: a chunk does not agree with its fletcher32 checksum")
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
    even = len(data) // 2 * 2
    words = np.frombuffer(data[:even], ">u2").astype(np.uint64)
    if len(data) % 2:
        words = np.append(words, np.uint64(data[-1] << 8))
    if not words.any():
        return 0
    # word i is counted once in the first sum and (n - i) times in the second
    times = np.arange(words.size, 0, -1, dtype=np.uint64) % np.uint64(65535)
    first = int(words.sum() % np.uint64(65535))
    second = int((words * times % np.uint64(65535)).sum() % np.uint64(65535))
    return (second or 65535) << 16 | (first or 65535)
