from __future__ import annotations

from tracemalloc import get_traced_memory, start, stop

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import zstd
from pyarrow import BufferOutputStream, CompressedOutputStream

from eoscale.errors import CorruptGranuleError, UnsupportedFilterError
from eoscale.hdf5.filters import ZSTD, decode
from eoscale.hdf5.zstd import content_size, decompress
from tests.hdf5.files import noise, same
from tests.hdf5.stored import compressible, described, mutants, outcomes, step, store

PLAIN = compressible("<f8", (700,), 3)
PACKED = store(PLAIN, step(ZSTD, 3))


@given(
    dtype=st.sampled_from(["<i1", ">i2", "<f4", "S3"]),
    size=st.integers(1, 2000),
    level=st.integers(-20, 12),
    seed=st.integers(0, 99),
)
def test_every_level_decodes_to_what_h5py_reads(dtype: str, size: int, level: int, seed: int) -> None:
    values = compressible(dtype, (size,), seed)
    packed = store(values, step(ZSTD, level % 2**32))
    assert same(packed.values, values)
    assert same(packed.decoded(), values)


def test_what_cannot_be_made_smaller_decodes_too() -> None:
    values = noise("<u1", 300_000)
    packed = store(values, step(ZSTD, 3))
    assert len(packed.raw) > values.nbytes
    assert same(packed.decoded(), values)


@given(st.sampled_from([1, 255, 256, 65_791, 65_792, 200_000]) | st.integers(1, 300_000))
def test_a_header_tells_the_size_of_what_it_holds(size: int) -> None:
    assert content_size(zstd.compress(bytes(size), 1)) == size


def test_a_frame_that_does_not_tell_its_size_is_not_read_as_libhdf5_does_not() -> None:
    sink = BufferOutputStream()
    with CompressedOutputStream(sink, "zstd") as stream:
        stream.write(PLAIN.tobytes())
    raw = sink.getvalue().to_pybytes()
    assert zstd.decompress(raw) == PLAIN.tobytes()
    with pytest.raises(UnsupportedFilterError, match="beam/h: a zstd frame that does not tell its size"):
        decode(raw, PACKED.dataset)


def test_every_cut_and_whatever_follows_is_refused() -> None:
    raw = PACKED.raw
    cuts = (raw[:size] for size in range(len(raw)))
    assert outcomes(cuts, PACKED.dataset) == (len(raw), 0)
    longer = iter([raw + b"\0", raw + b"later", raw + raw])
    assert outcomes(longer, PACKED.dataset) == (3, 0)


def test_more_than_a_chunk_can_hold_is_refused_before_it_is_made() -> None:
    bomb = zstd.compress(bytes(2**26), 1)
    assert len(bomb) < 10_000
    # says that it is small, and is not
    liar = bomb[:4] + bytes([0x20, 255]) + bomb[6 + 4 :]
    start()
    for raw in (bomb, liar):
        with pytest.raises(CorruptGranuleError):
            decode(raw, described("<f4", (64,), [step(ZSTD, 3)]))
    _, peak = get_traced_memory()
    stop()
    assert peak < 2**20


def test_damaged_frames_are_refused_or_decode_to_their_size() -> None:
    refused, _ = outcomes(mutants(PACKED.raw, 2000, 18), PACKED.dataset)
    assert refused > 1000
    random = np.random.default_rng(2)
    garbage = (b"\x28\xb5\x2f\xfd" + random.bytes(int(random.integers(200))) for _ in range(1000))
    refused, accepted = outcomes(garbage, PACKED.dataset)
    assert (refused, accepted) == (1000, 0)


@given(st.binary(max_size=60))
def test_what_is_no_frame_is_refused(content: bytes) -> None:
    with pytest.raises(CorruptGranuleError, match="no zstd frame"):
        decompress(content, 100)
