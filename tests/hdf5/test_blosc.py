from __future__ import annotations

from collections.abc import Iterator
from struct import pack, unpack_from
from tracemalloc import get_traced_memory, start, stop

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import blosc

from eoscale.errors import CorruptGranuleError, UnsupportedFilterError
from eoscale.hdf5.blosc import COPIED, SNAPPY, WHOLE, decompress, undo
from eoscale.hdf5.filters import BLOSC, decode
from eoscale.model.chunk_index import Filter
from eoscale.model.columns import Array
from tests.hdf5.files import noise, same
from tests.hdf5.stored import Stored, compressible, described, mutants, outcomes, step, store

NAMES = ("blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd")
READ = [codec for codec, name in enumerate(NAMES) if name != "snappy"]


def filter_of(codec: int, *, level: int = 5, shuffle: int = 1) -> Filter:
    # the first four are for the plugin to fill in
    return step(BLOSC, 0, 0, 0, 0, level, shuffle, codec)


def steady(dtype: str, size: int, seed: int) -> Array:
    """Return values that every codec makes smaller."""
    return np.repeat(compressible(dtype, (size,), seed), 16)[:size]


def split(size: int) -> Stored:
    """Return a chunk whose one block is split by the bytes of an element."""
    return store(steady("<f4", size, 3), filter_of(1))


@pytest.mark.parametrize("codec", READ, ids=NAMES.__getitem__)
@given(
    dtype=st.sampled_from(["<i1", ">i2", "<f4", ">f8", "S3"]),
    size=st.integers(300, 5000),
    level=st.integers(1, 9),
    shuffle=st.sampled_from([0, 1, 2]),
    seed=st.integers(0, 99),
)
def test_every_codec_and_shuffle_decodes_to_what_h5py_reads(
    codec: int, dtype: str, size: int, level: int, shuffle: int, seed: int
) -> None:
    values = steady(dtype, size, seed)
    packed = store(values, filter_of(codec, level=level, shuffle=shuffle))
    assert same(packed.values, values)
    assert same(packed.decoded(), values)


@pytest.mark.parametrize("codec", READ, ids=NAMES.__getitem__)
@pytest.mark.parametrize("shuffle", [0, 1, 2])
def test_chunks_of_many_blocks_decode_to_what_h5py_reads(codec: int, shuffle: int) -> None:
    values = (np.arange(400_001) // 100).astype("<f8")
    packed = store(values, filter_of(codec, level=3, shuffle=shuffle))
    nbytes, block = unpack_from("<ii", packed.raw, 4)
    assert nbytes > 2 * block
    assert same(packed.decoded(), values)


def test_what_does_not_shrink_is_skipped_and_read() -> None:
    values = noise("<f8", 5000)
    packed = store(values, filter_of(1), skipping=True)
    assert packed.mask == 1
    assert same(packed.decoded(), values)


def test_a_frame_that_is_a_copy_is_read() -> None:
    values = noise("<f8", 500)
    raw = blosc.compress(values, b"lz4", 5, blosc.SHUFFLE)
    assert raw[2] & COPIED
    dataset = described("<f8", (500,), [filter_of(1)])
    assert same(decode(raw, dataset), values)
    for nbytes in (3999, 4001):
        with pytest.raises(CorruptGranuleError, match="impossible sizes"):
            decode(raw[:4] + pack("<i", nbytes) + raw[8:], dataset)


def test_snappy_is_refused_by_name() -> None:
    packed = store(np.zeros(500), filter_of(NAMES.index("snappy")))
    assert packed.raw[2] & ~31 == SNAPPY
    with pytest.raises(UnsupportedFilterError, match="beam/h: blosc with Snappy"):
        packed.decoded()


def test_a_block_that_does_not_hold_its_bytes_is_refused() -> None:
    result = np.empty(10, np.uint8)
    with pytest.raises(CorruptGranuleError, match="does not decompress"):
        undo([b"abc"], 10, 1 << 5, 1, result)


def test_every_cut_and_whatever_follows_is_refused() -> None:
    packed = split(700)
    cuts = (packed.raw[:size] for size in range(len(packed.raw)))
    assert outcomes(cuts, packed.dataset) == (len(packed.raw), 0)
    with pytest.raises(CorruptGranuleError, match="impossible sizes"):
        decode(packed.raw + b"\0", packed.dataset)


def test_more_than_a_chunk_can_hold_is_refused_before_it_is_made() -> None:
    bomb = blosc.compress(np.zeros(2**26, np.uint8), b"zstd", 9, blosc.NOSHUFFLE)
    assert len(bomb) < 100_000
    # says that it is small, and is not
    liar = bomb[:4] + pack("<ii", 256, 256) + bomb[12:]
    start()
    for raw in (bomb, liar):
        with pytest.raises(CorruptGranuleError):
            decode(raw, described("<f4", (64,), [filter_of(1)]))
    _, peak = get_traced_memory()
    stop()
    assert peak < 2**20


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 1),
        ("version", 5),
        ("width", 0),
        ("nbytes", 0),
        ("nbytes", -4),
        ("nbytes", 2801),
        ("nbytes", 2**31 - 1),
        ("block", 0),
        ("block", -1),
        ("block", 2801),
        ("block", 2798),
        ("block", 4),
        ("size", 16),
        ("size", -1),
        ("size", 2**31 - 1),
        ("start", 0),
        ("start", 19),
        ("start", -1),
        ("start", 2**31 - 1),
    ],
)
def test_impossible_headers_are_refused_before_the_codec_sees_them(field: str, value: int) -> None:
    packed = split(700)
    assert same(packed.decoded(), packed.values)
    place, form = {
        "version": (0, "<B"),
        "width": (3, "<B"),
        "nbytes": (4, "<i"),
        "block": (8, "<i"),
        "size": (12, "<i"),
        "start": (16, "<i"),
    }[field]
    other = pack(form, value)
    raw = packed.raw[:place] + other + packed.raw[place + len(other) :]
    assert raw != packed.raw
    with pytest.raises(CorruptGranuleError, match="impossible sizes"):
        decompress(raw, 2800)


def test_a_split_block_without_whole_elements_is_refused() -> None:
    # C-Blosc would leave the last two bytes of the first block as they were in memory
    body = b"".join(pack("<i", 699) + bytes(699) for _ in range(4)) + pack("<i", 2) + bytes(2)
    starts = pack("<2i", 24, 24 + 4 * 703)
    header = pack("<4B3i", 2, 1, 1 << 5, 4, 2800, 2798, 24 + len(body))
    assert len(blosc.decompress(header + starts + body)) == 2800
    with pytest.raises(CorruptGranuleError, match="impossible sizes"):
        decompress(header + starts + body, 2800)


@pytest.mark.parametrize("codec", READ, ids=NAMES.__getitem__)
@pytest.mark.parametrize("shuffle", [0, 1, 2])
def test_damaged_frames_are_refused_or_decode_to_their_size(codec: int, shuffle: int) -> None:
    packed = store(steady("<f4", 1000, 3), filter_of(codec, shuffle=shuffle))
    refused, _ = outcomes(mutants(packed.raw, 400, 40), packed.dataset)
    assert refused > 100
    refused, accepted = outcomes(_garbage(500, 4000), packed.dataset)
    assert refused > 400
    assert refused + accepted == 500


def _garbage(number: int, nbytes: int) -> Iterator[bytes]:
    """Yield frames whose headers are sound and whose blocks are random."""
    random = np.random.default_rng(number)
    for _ in range(number):
        block = int(random.choice([nbytes, 400, 1200]))
        count = -(-nbytes // block)
        body = random.bytes(int(random.integers(4 * count, 3000)))
        size = 16 + 4 * count + len(body)
        flags = int(random.integers(256)) & ~COPIED | WHOLE * int(random.integers(2))
        header = pack("<4B3i", 2, 1, flags, 4, nbytes, block, size)
        starts = random.integers(16 + 4 * count, size - 3, count).astype("<i4")
        lengths = random.integers(-1, 2000, 3)
        lengthy = bytearray(body)
        for length in lengths:
            at = int(random.integers(0, max(len(body) - 4, 1)))
            lengthy[at : at + 4] = int(length).to_bytes(4, "little", signed=True)
        yield header + starts.tobytes() + bytes(lengthy[: len(body)])
