from __future__ import annotations

from struct import pack
from tracemalloc import get_traced_memory, start, stop

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.errors import CorruptGranuleError, UnsafeGranuleError
from eoscale.hdf5.filters import LZ4, decode
from eoscale.hdf5.lz4 import MOST_BLOCKS, decompress, unpacked
from tests.hdf5.files import noise, same
from tests.hdf5.stored import compressible, described, mutants, outcomes, step, store

PLAIN = compressible("<f8", (500,), 3)
PACKED = store(PLAIN, step(LZ4, 1024))


@given(
    dtype=st.sampled_from(["<i1", ">i2", "<f4", "S3"]),
    size=st.integers(1, 2000),
    block=st.sampled_from([0, 16, 100, 1000, 4096]),
    seed=st.integers(0, 99),
)
def test_blocks_of_every_size_decode_to_what_h5py_reads(dtype: str, size: int, block: int, seed: int) -> None:
    values = compressible(dtype, (size,), seed)
    packed = store(values, step(LZ4, block))
    assert same(packed.values, values)
    assert same(packed.decoded(), values)


@given(size=st.integers(1, 3000), block=st.integers(1, 400))
def test_blocks_that_do_not_shrink_are_stored_as_they_are(size: int, block: int) -> None:
    values = noise("<u1", size)
    packed = store(values, step(LZ4, block))
    blocks = -(-size // block)
    assert len(packed.raw) == 12 + 4 * blocks + size
    # of one block more the size may be beyond what a filter may add
    assert same(decode(packed.raw, packed.dataset), values)


def test_every_cut_is_refused() -> None:
    cuts = (PACKED.raw[:size] for size in range(len(PACKED.raw)))
    assert outcomes(cuts, PACKED.dataset) == (len(PACKED.raw), 0)


def test_more_than_a_chunk_can_hold_is_refused_before_it_is_made() -> None:
    bomb = store(np.zeros(2**26, "<u1"), step(LZ4, 0)).raw
    assert len(bomb) < 300_000
    # says that it is small, and is not
    liar = pack(">qi", 256, 256) + bomb[12:]
    start()
    for raw in (bomb, liar):
        with pytest.raises(CorruptGranuleError):
            decode(raw, described("<f4", (64,), [step(LZ4)]))
    _, peak = get_traced_memory()
    stop()
    assert peak < 2**20


def test_a_chunk_of_very_many_blocks_is_refused() -> None:
    nbytes = MOST_BLOCKS + 1
    raw = pack(">qi", nbytes, 1) + b"\0\0\0\1a" * nbytes
    with pytest.raises(UnsafeGranuleError, match="65537 blocks, at most 65536"):
        decompress(raw, nbytes)
    assert bytes(decompress(pack(">qi", nbytes - 1, 1) + raw[12:-5], nbytes)) == b"a" * (nbytes - 1)


@pytest.mark.parametrize(
    ("nbytes", "block"), [(0, 8), (-1, 8), (4001, 8), (2**63 - 1, 8), (4000, 0), (4000, -1), (4000, -(2**31))]
)
def test_impossible_sizes_are_refused(nbytes: int, block: int) -> None:
    assert len(decompress(pack(">qi", 4000, 1024) + PACKED.raw[12:], 4000)) == 4000
    with pytest.raises(CorruptGranuleError, match="expected at most 4000"):
        decompress(pack(">qi", nbytes, block) + PACKED.raw[12:], 4000)


def test_damaged_chunks_are_refused_or_decode_to_their_size() -> None:
    refused, accepted = outcomes(mutants(PACKED.raw, 3000, 16), PACKED.dataset)
    assert refused > 1000
    assert accepted > 100
    random = np.random.default_rng(2)
    sizes = [0, 1, 8, 999, 1000, 4000, 2**31 - 1]
    garbage = (
        pack(">qiI", *random.choice(sizes, 3)) + random.bytes(int(random.integers(3000))) for _ in range(1000)
    )
    refused, accepted = outcomes(garbage, PACKED.dataset)
    assert refused > 900


@given(st.binary(max_size=300), st.integers(1, 300))
def test_a_block_that_is_no_lz4_is_refused_or_gives_its_size(content: bytes, nbytes: int) -> None:
    try:
        assert len(unpacked(content, nbytes)) == nbytes
    except CorruptGranuleError as error:
        assert "does not decompress" in str(error)  # noqa: PT017  or no error at all
