"""Blosc: frames of C-Blosc 1, and what other filters store in a frame of it.

C-Blosc has the fastest code at hand for shuffled bytes, shuffled bits, LZ4 and Zstandard. Filters that store
the same under other headers are undone by it as well: :func:`unshuffle` and :func:`undo` put it in a frame.
What a frame of the file says of itself is checked first; C-Blosc checks the lengths inside its blocks.

Source: README_CHUNK_FORMAT.rst of C-Blosc 1.21.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
from struct import Struct, pack_into
from typing import NamedTuple

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from eoscale.errors import CorruptGranuleError, UnsupportedFilterError

BYTES, COPIED, BITS, WHOLE = 1, 2, 4, 16
"""Flags of a frame: elements have their bytes shuffled, all is stored as it is, elements have their bits
shuffled, blocks are not split by the bytes of an element. The three bits above are the codec."""
LZ4, SNAPPY, ZSTD = (codec << 5 for codec in (1, 2, 4))
WIDEST = 255
"""Bytes of an element that can be shuffled."""
_VERSION, _CODEC_VERSION = 2, 1
_HEADER = Struct("<4B3i")
_LENGTH = Struct("<i")

# Dask has the threads; zarr asks for the same
blosc.use_threads = False


class _Frame(NamedTuple):
    """What a header says."""

    version: int
    codec_version: int
    flags: int
    width: int
    """Bytes of an element."""
    nbytes: int
    """Decompressed."""
    block: int
    """Bytes of a decompressed block; the last one may be shorter."""
    size: int
    """Bytes of the frame with its header."""


def decompress(data: bytes | memoryview, room: int) -> memoryview:
    """Return what a frame holds.

    Parameters
    ----------
    data : bytes
    room : int
        Bytes that it may hold at most.

    Raises
    ------
    CorruptGranuleError
        If it is no frame, is cut, or holds more.
    UnsupportedFilterError
        If it is packed by Snappy.

    Examples
    --------
    >>> decompress(bytes.fromhex("02010201 03000000 03000000 13000000 616263"), 3).tobytes()
    b'abc'
    """
    if len(data) < _HEADER.size:
        raise CorruptGranuleError("a blosc frame is cut in its header")
    frame = _Frame(*_HEADER.unpack_from(data))
    if not (_sound(frame, len(data), room) and _placed(frame, data)):
        raise CorruptGranuleError("a blosc frame has impossible sizes")
    if frame.flags & ~31 == SNAPPY and not frame.flags & COPIED:
        raise UnsupportedFilterError("blosc with Snappy inside is not read")
    return _decompressed(data)


def unshuffle(blocks: Iterable[bytes | memoryview], size: int, width: int, values: NDArray[np.uint8]) -> None:
    """Put the bytes of elements together again, in blocks that each were shuffled by themselves.

    Parameters
    ----------
    blocks : iterable of bytes
        What does not fill an element lies at the end of each, as it is.
    size : int
        Bytes of each block, at least two elements.
    width : int
        Bytes of an element, at most :data:`WIDEST`.
    values : (n,) uint8
        Contiguous; receives the bytes of all blocks, one behind the other.

    Examples
    --------
    >>> values = np.empty(14, np.uint8)
    >>> unshuffle([b"acebdf.", b"gikhjl."], 7, 2, values)
    >>> values.tobytes()
    b'abcdef.ghijkl.'
    """
    # a block that has the length of its values is one that is not packed
    count = values.size // size
    first = _HEADER.size + _LENGTH.size * count
    starts = range(first, first + count * (_LENGTH.size + size), _LENGTH.size + size)
    frame = np.empty(starts.stop, np.uint8).data
    _HEADER.pack_into(
        frame, 0, _VERSION, _CODEC_VERSION, LZ4 | BYTES | WHOLE, width, values.size, size, starts.stop
    )
    pack_into(f"<{count}i", frame, _HEADER.size, *starts)
    for start, block in zip(starts, blocks, strict=True):
        _LENGTH.pack_into(frame, start, size)
        begin = start + _LENGTH.size
        frame[begin : begin + size] = block
    _decompressed(frame, values)


def undo(
    blocks: Sequence[bytes | memoryview], block: int, flags: int, width: int, result: NDArray[np.uint8]
) -> None:
    """Decompress blocks into an array.

    Parameters
    ----------
    blocks : sequence of bytes
        Packed by one codec; those that have the length of their values are not packed.
    block : int
        Bytes of a decompressed block; the last one may be shorter.
    flags : int
        Codec; :data:`BITS` where these are shuffled.
    width : int
        Bytes of an element, at most :data:`WIDEST`.
    result : (n,) uint8
        Contiguous; receives the bytes of all blocks.

    Raises
    ------
    CorruptGranuleError
        If a block is not what it should be.

    Examples
    --------
    >>> result = np.empty(4, np.uint8)
    >>> undo([b"abc", b"d"], 3, LZ4, 1, result)
    >>> result.tobytes()
    b'abcd'
    """
    lengths = map(len, blocks)
    *starts, size = accumulate(
        (_LENGTH.size + length for length in lengths), initial=_HEADER.size + _LENGTH.size * len(blocks)
    )
    block = min(block, result.size)
    header = _HEADER.pack(_VERSION, _CODEC_VERSION, flags | WHOLE, width, result.size, block, size)
    places = b"".join(map(_LENGTH.pack, starts))
    bodies = chain.from_iterable((_LENGTH.pack(len(body)), body) for body in blocks)
    _decompressed(b"".join((header, places, *bodies)), result)


def _sound(frame: _Frame, size: int, room: int) -> bool:
    """Return whether the sizes of a frame agree with each other and with what there is."""
    if frame.version != _VERSION or frame.size != size or not 0 < frame.nbytes <= room:
        return False
    if frame.flags & COPIED:
        return frame.size == _HEADER.size + frame.nbytes
    # a block that is split must have whole elements: C-Blosc would leave its last bytes as they were
    whole = frame.width and (frame.block % frame.width == 0 or frame.block < frame.width)
    return 0 < frame.block <= frame.nbytes and bool(whole)


def _placed(frame: _Frame, data: bytes | memoryview) -> bool:
    """Return whether all blocks of a frame begin inside of it."""
    if frame.flags & COPIED:
        return True
    count = -(-frame.nbytes // frame.block)
    first, last = _HEADER.size + _LENGTH.size * count, frame.size - _LENGTH.size
    if first > last:
        return False
    starts = np.frombuffer(data, "<i4", count, _HEADER.size)
    return bool(first <= starts.min() and starts.max() <= last)


def _decompressed(frame: bytes | memoryview, result: NDArray[np.uint8] | None = None) -> memoryview:
    """Return what a frame holds, whose header is sound."""
    try:
        return memoryview(blosc.decompress(frame, result))
    except (RuntimeError, ValueError) as error:
        raise CorruptGranuleError(f"a block does not decompress ({error})") from error
