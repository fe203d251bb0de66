from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.errors import UnsafeGranuleError
from eoscale.hdf5 import safety

SIZES = st.lists(st.integers(0, 2**40), max_size=10)
CHUNKS = st.lists(st.integers(1, 2**32), min_size=10, max_size=10)


@given(SIZES, CHUNKS, st.sampled_from([1, 2, 4, 8, 16, 300]))
def test_what_is_let_through_keeps_every_limit(shape: list[int], sizes: list[int], itemsize: int) -> None:
    chunk_shape = sizes[: len(shape)]
    chunks = prod(max(1, -(-n // c)) for n, c in zip(shape, chunk_shape, strict=True))
    within = (
        len(shape) <= safety.MOST_DIMENSIONS
        and prod(chunk_shape) * itemsize <= safety.LARGEST_CHUNK
        and prod(max(1, n) for n in shape) <= safety.MOST_VALUES
        and chunks <= safety.MOST_CHUNKS
    )
    try:
        safety.check_shape("h", tuple(shape), tuple(chunk_shape), itemsize)
    except UnsafeGranuleError as error:
        assert not within
        assert str(error).startswith("h: ")  # noqa: PT017  or no error at all
    else:
        assert within


@pytest.mark.parametrize(
    ("shape", "chunk_shape", "itemsize"),
    [
        ((160_000_000,), (10_000,), 8),
        ((10_000, 4091, 21), (1, 4091, 21), 4),
        ((0,), (1024,), 8),
        ((), (), 8),
        ((2**25,), (2**25,), 8),
        ((1,) * 8, (1,) * 8, 8),
        ((2**31,), (2**25,), 1),
    ],
)
def test_granules_as_missions_make_them_pass(
    shape: tuple[int, ...], chunk_shape: tuple[int, ...], itemsize: int
) -> None:
    safety.check_shape("h", shape, chunk_shape, itemsize)


@pytest.mark.parametrize(
    ("shape", "chunk_shape", "itemsize", "message"),
    [
        ((2**26,), (2**25 + 1,), 8, r"a chunk of 268435464 bytes, at most 268435456 are read"),
        ((1,) * 9, (1,) * 9, 1, "9 dimensions, at most 8 are read"),
        ((2**31 + 1,), (2**25,), 1, "2147483649 values, at most 2147483648 are read"),
        ((2**22 + 1,), (1,), 1, "4194305 chunks, at most 4194304 are read"),
    ],
)
def test_one_more_than_the_limit_is_refused_and_says_both(
    shape: tuple[int, ...], chunk_shape: tuple[int, ...], itemsize: int, message: str
) -> None:
    with pytest.raises(UnsafeGranuleError, match=message):
        safety.check_shape("h", shape, chunk_shape, itemsize)
