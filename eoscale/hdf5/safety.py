"""Safety: what a granule may not be, checked before any of it is read or allocated.

An HDF5 file can name other files as the place of its values, and can declare sizes that no machine has.
"""

from __future__ import annotations

from math import prod

from eoscale.errors import UnsafeGranuleError

LARGEST_CHUNK = 256 * 2**20
"""Bytes of one decoded chunk."""
MOST_DIMENSIONS = 8
MOST_VALUES = 2**31
"""Of one variable: 13 times the photons of an ATL03 granule."""
MOST_CHUNKS = 2**22
"""Of all variables that are indexed together: a table takes 24 bytes a chunk. An ATL03 granule has 16,000 in
its longest variable and 210,000 in all."""
MOST_LINKS = 32
"""Soft links followed on the way to one variable."""


def check_shape(path: str, shape: tuple[int, ...], chunk_shape: tuple[int, ...], itemsize: int) -> None:
    """Refuse a variable whose declared sizes could exhaust memory.

    Raises
    ------
    UnsafeGranuleError
        Without granule and URL, which the caller knows.

    Examples
    --------
    >>> check_shape("bomb", (2**60,), (2**40,), 8)
    Traceback (most recent call last):
    eoscale.errors.UnsafeGranuleError: bomb: a chunk of 8796093022208 bytes, at most 268435456 are read
    """
    if len(shape) > MOST_DIMENSIONS:
        raise UnsafeGranuleError(f"{path}: {len(shape)} dimensions, at most {MOST_DIMENSIONS} are read")
    nbytes = prod(chunk_shape) * itemsize
    if nbytes > LARGEST_CHUNK:
        raise UnsafeGranuleError(f"{path}: a chunk of {nbytes} bytes, at most {LARGEST_CHUNK} are read")
    # where one dimension is empty the others must be sane as well: tables have their shape
    values = prod(max(1, n) for n in shape)
    if values > MOST_VALUES:
        raise UnsafeGranuleError(f"{path}: {values} values, at most {MOST_VALUES} are read")
    chunks = prod(max(1, -(-n // max(c, 1))) for n, c in zip(shape, chunk_shape, strict=True))
    if chunks > MOST_CHUNKS:
        raise UnsafeGranuleError(f"{path}: {chunks} chunks, at most {MOST_CHUNKS} are read")
