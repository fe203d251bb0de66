"""LZ4: the blocks of filter 32004, whose form bitshuffle has too.

A header of 12 bytes tells the size of the chunk and that of a block; each block comes with its length.

Source: HDF5_LZ4.pdf of The HDF Group (Rissi and Borisch).
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

import numpy as np
from numcodecs import lz4

from eoscale.errors import CorruptGranuleError, UnsafeGranuleError
from eoscale.hdf5 import blosc

MOST_BLOCKS = 2**16
"""Of one chunk: the largest chunk that is read has half as many of the usual 8 KiB."""
_HEADER = Struct(">qi")
_LENGTH = Struct(">i")
_SIZE = Struct("<i")
"""What numcodecs has before a block."""


class Sizes(NamedTuple):
    """What the header of a chunk says."""

    nbytes: int
    """Of the decompressed chunk."""
    block: int
    """Bytes of a decompressed block; the last one may be shorter."""


def decompress(data: bytes | memoryview, room: int) -> memoryview:
    """Return what the blocks of a chunk hold.

    Parameters
    ----------
    data : bytes
    room : int
        Bytes that they may hold at most.

    Raises
    ------
    CorruptGranuleError
        If the chunk is damaged, or holds more.
    UnsafeGranuleError
        If it has more than :data:`MOST_BLOCKS` blocks.

    Examples
    --------
    >>> decompress(bytes.fromhex("0000000000000005 00000003 00000003 616263 00000002 6465"), 5).tobytes()
    b'abcde'
    """
    nbytes, block = sizes(data, room)
    # a block that does not shrink is stored as it is, which is what blosc takes one of full length for
    packed, _ = blocks(data, count(nbytes, block))
    result = np.empty(nbytes, np.uint8)
    blosc.undo(packed, block, blosc.LZ4, 1, result)
    return result.data


def sizes(data: bytes | memoryview, room: int) -> Sizes:
    """Return what the header of a chunk says, if that can be."""
    if len(data) < _HEADER.size:
        raise CorruptGranuleError("a chunk of blocks is cut in its header")
    nbytes, block = _HEADER.unpack_from(data)
    if not 0 < nbytes <= room or block <= 0:
        raise CorruptGranuleError(f"{nbytes} bytes in blocks of {block}, expected at most {room}")
    return Sizes(nbytes, block)


def count(nbytes: int, block: int) -> int:
    """Return the number of blocks of some bytes."""
    number = -(-nbytes // block)
    if number > MOST_BLOCKS:
        raise UnsafeGranuleError(f"a chunk of {number} blocks, at most {MOST_BLOCKS} are read")
    return number


def blocks(data: bytes | memoryview, number: int) -> tuple[list[memoryview], memoryview]:
    """Return the packed blocks of a chunk, and what lies behind them."""
    view, position = memoryview(data), _HEADER.size
    found = []
    for _ in range(number):
        start = position + _LENGTH.size
        if start > len(view):
            raise CorruptGranuleError("a chunk of blocks is cut")
        (length,) = _LENGTH.unpack_from(view, position)
        position = start + length
        if not start < position <= len(view):
            raise CorruptGranuleError(f"a block of {length} bytes does not lie in its chunk")
        found.append(view[start:position])
    return found, view[position:]


def unpacked(body: bytes | memoryview, nbytes: int) -> memoryview:
    """Return what one packed block holds, which must be some number of bytes."""
    result = np.empty(nbytes, np.uint8)
    try:
        lz4.decompress(_SIZE.pack(nbytes) + bytes(body), result)
    except (RuntimeError, ValueError) as error:
        raise CorruptGranuleError(f"a block does not decompress ({error})") from error
    return result.data
