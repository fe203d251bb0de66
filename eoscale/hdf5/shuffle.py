"""Shuffled bytes and bits: filters 2 and 32008.

Both put the first byte (or bit) of all elements first, then the second one of all, and so on.

Sources: HDF5 File Format Specification, filter 2; bitshuffle (Masui et al., Astronomy and Computing 12, 2015)
and its README.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from eoscale.errors import CorruptGranuleError, UnsupportedFilterError
from eoscale.hdf5 import blosc, lz4, zstd

_PLAIN, _LZ4, _ZSTD = 0, 2, 3
"""What bitshuffle packs its blocks with."""
_USUAL_BLOCK, _SMALLEST_BLOCK = 8192, 128
"""Where the file states no size of a block: bytes, and elements at least."""


def unshuffle(blocks: Iterable[bytes | memoryview], size: int, width: int, values: NDArray[np.uint8]) -> None:
    """Put the bytes of elements together again, in blocks that each were shuffled by themselves.

    Parameters
    ----------
    blocks : iterable of bytes
        What does not fill an element lies at the end of each, as it is.
    size : int
        Bytes of each block, above zero.
    width : int
        Bytes of an element: the file's word, however large.
    values : (n,) uint8
        Contiguous; receives the bytes of all blocks, one behind the other.

    Examples
    --------
    >>> values = np.empty(8, np.uint8)
    >>> unshuffle([b"acbd", b"egfh"], 4, 2, values)
    >>> values.tobytes()
    b'abcdefgh'
    """
    if 2 * width > size or width <= 1:  # one element keeps its order
        flat = values.data
        for start, block in zip(range(0, values.size, size), blocks, strict=True):
            flat[start : start + size] = block
        return
    if width <= blosc.WIDEST:
        blosc.unshuffle(blocks, size, width, values)
        return
    whole = size - size % width
    for block, target in zip(blocks, values.reshape(-1, size), strict=True):
        data = np.frombuffer(block, np.uint8)
        target[:whole].reshape(-1, width)[...] = data[:whole].reshape(width, -1).T
        target[whole:] = data[whole:]


def unbitshuffle(data: bytes | memoryview, parameters: tuple[int, ...], room: int) -> memoryview:
    """Put the bits of elements together again, and unpack their blocks before that if they are packed.

    Parameters
    ----------
    data : bytes
        The last elements, fewer than eight, lie at the end as they are.
    parameters : tuple of int
        Two of the version, bytes of an element, elements of a block (0: about 8 KiB), codec.
    room : int
        Bytes that it may hold at most.

    Raises
    ------
    CorruptGranuleError
        If the chunk is damaged, or holds more.
    UnsafeGranuleError
        If it has too many blocks.
    UnsupportedFilterError
        If elements are wider than 255 bytes, or the codec is none of LZ4 and Zstandard.

    Examples
    --------
    >>> unbitshuffle(bytes.fromhex("aa aa aa aa aa aa aa aa 07"), (0, 4, 1), 9).hex()
    '00ff00ff00ff00ff07'
    """
    width, elements, codec = (*parameters, 0, 0, 0)[2:5]
    if not 0 < width <= blosc.WIDEST or codec not in (_PLAIN, _LZ4, _ZSTD):
        raise UnsupportedFilterError(f"bitshuffle of {width} bytes with codec {codec} is not read")
    if codec == _PLAIN:
        usual = max(_USUAL_BLOCK // width // 8 * 8, _SMALLEST_BLOCK)
        nbytes, block = len(data), width * (elements or usual)
    else:
        nbytes, block = lz4.sizes(data, room)
    if nbytes % width or block % (8 * width):
        raise CorruptGranuleError(f"{nbytes} bytes in blocks of {block} for elements of {width}")
    whole = nbytes - nbytes % (8 * width)
    packed, rest = _blocks(data, whole, block, codec)
    if len(rest) != nbytes - whole:
        raise CorruptGranuleError(f"{len(rest)} bytes behind the blocks, expected {nbytes - whole}")
    result = np.empty(nbytes, np.uint8)
    if packed:
        inside = blosc.ZSTD if codec == _ZSTD else blosc.LZ4
        blosc.undo(packed, block, inside | blosc.BITS, width, result[:whole])
    result[whole:] = np.frombuffer(rest, np.uint8)
    return result.data


def _blocks(
    data: bytes | memoryview, whole: int, block: int, codec: int
) -> tuple[list[memoryview], memoryview]:
    """Return the blocks of a chunk, and the elements behind them."""
    count = lz4.count(whole, block)
    if codec == _PLAIN:
        body, rest = memoryview(data)[:whole], memoryview(data)[whole:]
        return [body[number * block : (number + 1) * block] for number in range(count)], rest
    packed, rest = lz4.blocks(data, count)
    for number, body in enumerate(packed):
        size = min(block, whole - number * block)
        if len(body) == size:
            # packed to just its own length: blosc would take it for one that is not packed
            packed[number] = zstd.decompress(body, size) if codec == _ZSTD else lz4.unpacked(body, size)
    return packed, rest
