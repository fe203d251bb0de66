from __future__ import annotations

from struct import pack, unpack_from
from tracemalloc import get_traced_memory, start, stop

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eoscale.errors import CorruptGranuleError, UnsafeGranuleError, UnsupportedFilterError
from eoscale.hdf5.filters import BITSHUFFLE, SHUFFLE, decode
from eoscale.hdf5.shuffle import unbitshuffle, unshuffle
from eoscale.model.columns import Array
from tests.hdf5.files import noise, same
from tests.hdf5.stored import compressible, described, mutants, outcomes, step, store

PLAIN, LZ4, ZSTD = 0, 2, 3
CODECS = {"plain": PLAIN, "lz4": LZ4, "zstd": ZSTD}


@given(size=st.integers(1, 3000), width=st.integers(1, 300))
@example(size=300_001, width=4)
@example(size=300_000, width=255)
@example(size=300_000, width=256)
@example(size=2**17 + 7, width=2)
def test_bytes_are_put_together_by_a_width_of_the_file_and_the_rest_stays(size: int, width: int) -> None:
    content = noise("<u1", size)
    count = size // width
    shuffled = content[: count * width].reshape(count, width).T.tobytes() + content[count * width :].tobytes()
    values = np.empty(2 * size, np.uint8)
    unshuffle([shuffled, memoryview(shuffled)], size, width, values)
    assert values.tobytes() == 2 * content.tobytes()


@pytest.mark.parametrize("dtype", ["<u1", ">i2", "<f8", "S3", "S16", "S255", "S256", "S1000"])
@given(size=st.integers(1, 50))
def test_elements_of_every_width_decode_to_what_h5py_reads(dtype: str, size: int) -> None:
    packed = store(noise(dtype, size), step(SHUFFLE))
    assert same(packed.decoded(), packed.values)


@pytest.mark.parametrize("width", [2**31, 2**63, 33, 64])
def test_a_shuffle_wider_than_the_chunk_takes_no_time(width: int) -> None:
    values = np.arange(8, dtype="<f8")
    dataset = described("<f8", (8,), [step(SHUFFLE, width)])
    assert same(decode(values.tobytes(), dataset), values)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@given(
    dtype=st.sampled_from(["<i1", ">i2", "<f4", ">f8", "S3", "S200"]),
    size=st.integers(1, 700) | st.integers(9000, 9100),
    block=st.sampled_from([0, 8, 64, 128, 2000]),
    seed=st.integers(0, 99),
)
def test_bits_of_blocks_of_every_size_decode_to_what_h5py_reads(
    codec: int, dtype: str, size: int, block: int, seed: int
) -> None:
    values = compressible(dtype, (size,), seed)
    packed = store(values, step(BITSHUFFLE, block, codec))
    assert same(packed.values, values)
    assert same(packed.decoded(), values)


def bit_planes(content: Array) -> Array:
    """Return the values whose bits, put in planes, are some bytes: elements of 8 bytes."""
    return np.frombuffer(unbitshuffle(content.tobytes(), (0, 4, 8), content.size), "<f8")


@pytest.mark.parametrize("packing", [(LZ4,), (ZSTD, 1)], ids=["lz4", "zstd"])
def test_a_block_that_is_packed_to_its_own_length_is_unpacked(packing: tuple[int, ...]) -> None:
    size, found = 256, 0
    for repeated in range(4, 60):
        # what is repeated saves just what the codec adds
        content = noise("<u1", size).copy()
        content[100 : 100 + repeated] = content[:repeated]
        values = bit_planes(content)
        packed = store(values, step(BITSHUFFLE, size // 8, *packing))
        (length,) = unpack_from(">i", packed.raw, 12)
        found += length == size
        assert same(packed.decoded(), values)
    assert found


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_every_cut_of_shuffled_bits_is_refused(codec: int) -> None:
    packed = store(compressible("<f4", (203,), 3), step(BITSHUFFLE, 64, codec))
    cuts = (packed.raw[:size] for size in range(len(packed.raw)))
    assert outcomes(cuts, packed.dataset) == (len(packed.raw), 0)
    assert outcomes(iter([packed.raw + b"\0\0\0\0"]), packed.dataset) == (1, 0)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_damaged_bits_are_refused_or_decode_to_their_size(codec: int) -> None:
    packed = store(compressible("<f4", (1003,), 3), step(BITSHUFFLE, 128, codec))
    refused, accepted = outcomes(mutants(packed.raw, 1500, 16), packed.dataset)
    assert refused > 400
    assert accepted > (0 if codec == ZSTD else 100)
    random = np.random.default_rng(1)
    numbers = [0, 1, 2, 3, 4, 7, 8, 255, 256, 2**31, 2**32 - 1]
    refused = 0
    for _ in range(500):
        other = [int(number) for number in random.choice(numbers, random.integers(2, 6))]
        dataset = described("<f4", (1003,), [step(BITSHUFFLE, *other)])
        refused += outcomes(iter([packed.raw]), dataset)[0]
    assert refused > 400


def test_more_than_a_chunk_can_hold_is_refused_before_it_is_made() -> None:
    bomb = store(np.zeros(2**26, "<u1"), step(BITSHUFFLE, 2**26, LZ4)).raw
    assert len(bomb) < 300_000
    # says that it is small, and is not
    liar = pack(">qi", 256, 256) + bomb[12:]
    start()
    for raw in (bomb, liar):
        with pytest.raises(CorruptGranuleError):
            decode(raw, described("<f4", (64,), [step(BITSHUFFLE, 0, 4, 4, 0, LZ4)]))
    _, peak = get_traced_memory()
    stop()
    assert peak < 2**20


def test_very_many_blocks_are_refused() -> None:
    with pytest.raises(UnsafeGranuleError, match="131072 blocks, at most 65536"):
        unbitshuffle(bytes(2**20), (0, 4, 1, 8), 2**20)
    assert bytes(unbitshuffle(bytes(2**20), (0, 4, 1, 16), 2**20)) == bytes(2**20)


@pytest.mark.parametrize(("width", "codec"), [(0, PLAIN), (256, PLAIN), (4, 1), (4, 4)])
def test_bits_of_wide_elements_and_other_codecs_are_refused(width: int, codec: int) -> None:
    with pytest.raises(UnsupportedFilterError, match=f"bitshuffle of {width} bytes with codec {codec}"):
        unbitshuffle(bytes(4096), (0, 4, width, 0, codec), 4096)
