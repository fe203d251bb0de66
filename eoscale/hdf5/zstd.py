"""Zstandard: the frame of filter 32015."""

from __future__ import annotations

import numpy as np
from numcodecs import zstd

from eoscale.errors import CorruptGranuleError, UnsupportedFilterError

_MAGIC = b"\x28\xb5\x2f\xfd"
_LONGEST_HEADER = 18


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
        If it is no frame, is damaged, or holds more.
    UnsupportedFilterError
        If it does not say how much it holds; libhdf5 does not read such a one either.

    Examples
    --------
    >>> decompress(bytes.fromhex("28b52ffd 20 03 190000 616263"), 3).tobytes()
    b'abc'
    """
    nbytes = content_size(data)
    if nbytes > room:
        raise CorruptGranuleError(f"a zstd frame of {nbytes} bytes, expected at most {room}")
    result = np.empty(nbytes, np.uint8)
    try:
        zstd.decompress(data, result)
    except (RuntimeError, ValueError) as error:
        raise CorruptGranuleError(f"a zstd frame is damaged ({error})") from error
    return result.data


def content_size(data: bytes | memoryview) -> int:
    """Return how many bytes the header of a frame says that it holds.

    Source: RFC 8878, section 3.1.1.1.

    Examples
    --------
    >>> content_size(bytes.fromhex("28b52ffd 60 2c01"))
    556
    """
    header = bytes(data[:_LONGEST_HEADER])
    if header[:4] != _MAGIC or len(header) < len(_MAGIC) + 1:
        raise CorruptGranuleError("a chunk is no zstd frame")
    descriptor = header[4]
    single, dictionary = descriptor >> 5 & 1, (0, 1, 2, 4)[descriptor & 3]
    start, width = 6 - single + dictionary, (single, 2, 4, 8)[descriptor >> 6]
    if not width:
        raise UnsupportedFilterError("a zstd frame that does not tell its size is not read")
    return int.from_bytes(header[start : start + width], "little") + (256 if width == 2 else 0)
