"""Scale-offset: numbers as their differences from the least of a chunk, in as few bits as these need.

Filter 6. Floats are scaled by a power of ten first and lose the digits behind it (D-scaling); libhdf5 knows
the numbers of another way (E-scaling) and has never implemented it. The largest number that the bits can hold
stands for the fill value, where the filter was told of one.

Sources: HDF5 File Format Specification, filter 6; H5Pset_scaleoffset in the HDF5 Reference Manual; bytes that
libhdf5 2.0 writes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eoscale.errors import CorruptGranuleError, UnsupportedFilterError
from eoscale.model.columns import Array

_D_SCALING, _E_SCALING, _INTEGERS = range(3)
_HEADER = 21
"""Bytes before the numbers: 4 their bits, 1 the bytes of the least, 8 the least, 8 zeros."""
_FILL = 8
"""The fill value begins at this parameter; there are twelve of them for it."""


class _Packing(NamedTuple):
    """What the file says of the numbers of a variable; the first eight parameters of the filter."""

    scaling: int
    digits: int
    """Decimal ones that floats keep; of integers, the bits that the writer asked for."""
    length: int
    """Numbers of a chunk."""
    floats: int
    width: int
    """Bytes of a number."""
    signed: int
    big: int
    """Endian."""
    filled: int
    """Whether there is a fill value."""


def restore(data: bytes | memoryview, parameters: tuple[int, ...], room: int) -> memoryview:
    """Return the numbers of a chunk, in the byte order of the file.

    Parameters
    ----------
    data : bytes
    parameters : tuple of int
        Of the filter, 20 of them.
    room : int
        Bytes that the numbers may take at most.

    Raises
    ------
    CorruptGranuleError
        If the chunk is cut, or holds more.
    UnsupportedFilterError
        If the numbers are of a kind that libhdf5 does not pack.

    Examples
    --------
    >>> integers = (2, 0, 3, 0, 2, 1, 0, 0, *(0,) * 12)
    >>> chunk = bytes.fromhex("02000000 08 fcffffffffffffff 0000000000000000 18")
    >>> np.frombuffer(restore(chunk, integers, 6), "<i2")
    array([-4, -3, -2], dtype=int16)
    """
    if len(parameters) < _FILL + 2:
        raise CorruptGranuleError(f"scale-offset with {len(parameters)} parameters, expected 20")
    packing = _Packing(*parameters[:_FILL])
    dtype = _dtype(packing)
    bits = int.from_bytes(data[:4], "little")
    if packing.length * packing.width > room or bits > 8 * packing.width:
        raise CorruptGranuleError(f"{packing.length} numbers of {bits} bits, room for {room} bytes")
    if len(data) < _HEADER + -(-packing.length * bits // 8):
        raise CorruptGranuleError(f"{len(data)} bytes for {packing.length} numbers of {bits} bits")
    body = np.frombuffer(data, np.uint8)[_HEADER:]
    if bits == 8 * packing.width:
        # nothing would be saved: the numbers themselves, as they lay in the memory of the writer
        result: Array = body[: packing.length * packing.width].view(dtype)
    else:
        least = np.frombuffer(data, np.uint8)[5 : 5 + packing.width].view(dtype)
        codes = unpacked(body, bits, packing.length)
        result = _scaled(codes, least, packing.digits) if packing.floats else codes.astype(dtype) + least
        if packing.filled:
            words = np.array(parameters[_FILL : _FILL + 2], "<u4")
            result[codes == 2**bits - 1] = words.view(np.uint8)[: packing.width].view(dtype)
    return result.astype(dtype.newbyteorder(">" if packing.big else "<")).view(np.uint8).data


def _dtype(packing: _Packing) -> np.dtype[np.generic]:
    """Return the type of the numbers, in the order of bytes that this filter keeps them in."""
    widths = (4, 8) if packing.floats else (1, 2, 4, 8)
    scaling = _D_SCALING if packing.floats else _INTEGERS
    if packing.width not in widths or packing.scaling != scaling or packing.floats > 1:
        raise UnsupportedFilterError(f"scale-offset of kind {packing.scaling} is not read")
    kind = "f" if packing.floats else "ui"[packing.signed & 1]
    return np.dtype(f"<{kind}{packing.width}")


def _scaled(codes: Array, least: Array, digits: int) -> Array:
    """Return the floats that codes stand for."""
    kind = least.dtype.type
    signed = (digits ^ 1 << 31) - (1 << 31)
    with np.errstate(all="ignore"):
        # what a damaged file says may be no number, or too large
        scaled: Array = codes.astype(kind) / kind(np.float64(10) ** signed) + least
    return scaled


def unpacked(packed: NDArray[np.uint8], bits: int, count: int) -> Array:
    """Return unsigned numbers that lie bit by bit behind each other, their highest bit first.

    Parameters
    ----------
    packed : (m,) uint8
        At least as many as the numbers take.
    bits : int
        Of a number, below 64.
    count : int

    Examples
    --------
    >>> unpacked(np.array([0b_001_010_01, 0b_1_100_0000], np.uint8), 3, 4).tolist()
    [1, 2, 3, 4]
    """
    if not bits:
        return np.zeros(count, np.uint8)
    # eight numbers fill as many bytes as one of them has bits, so every eighth begins at the same bit
    rows = -(-count // 8)
    bodies = np.zeros(rows * bits + 9, np.uint8)
    used = packed[: rows * bits]
    bodies[: used.size] = used
    # a number begins at one of the eight bits of a byte
    width = next(width for width in (2, 4, 8) if 8 * width >= bits + 7 or width == 8)
    result = np.empty((rows, 8), f"u{width}")
    for place in range(8):
        byte, bit = divmod(place * bits, 8)
        window = np.ndarray((rows,), f">u{width}", bodies, byte, (bits,)).astype(result.dtype)
        window <<= bit
        if bit + bits > 64:
            window |= np.ndarray((rows,), np.uint8, bodies, byte + 8, (bits,)) >> (8 - bit)
        np.right_shift(window, 8 * width - bits, out=result[:, place])
    return result.reshape(-1)[:count]
