from __future__ import annotations

import zlib
from io import BytesIO
from itertools import product
from tracemalloc import get_traced_memory, start, stop

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.errors import CorruptGranuleError, UnsupportedFilterError
from eoscale.hdf5.filters import (
    BITSHUFFLE,
    BLOSC,
    DECODED,
    DEFLATE,
    FLETCHER32,
    LZ4,
    SCALE_OFFSET,
    SHUFFLE,
    ZSTD,
    decode,
    decode_many,
    fletcher32,
    pipeline,
)
from eoscale.model.chunk_index import Filter
from eoscale.model.columns import Array
from tests.hdf5.files import noise, same
from tests.hdf5.stored import Stored, compressible, dataset, described, refused_or_same, step, store, stored

NAMES = {DEFLATE: "deflate", SHUFFLE: "shuffle", FLETCHER32: "fletcher32"}
DTYPES = ("<i1", ">i2", "<u4", ">f4", "<f8", "S3")


def chain(codes: tuple[int, ...], level: int = 4) -> list[Filter]:
    """Return filters of libhdf5's own."""
    return [step(code, level) if code == DEFLATE else step(code) for code in codes]


def named(codes: tuple[int, ...]) -> str:
    return "+".join(NAMES[code] for code in codes) or "none"


PIPELINES = [
    (*[SHUFFLE] * shuffled, *[DEFLATE] * packed, *[FLETCHER32] * checked)
    for shuffled, packed, checked in product((0, 1), repeat=3)
]


@pytest.mark.parametrize("codes", PIPELINES, ids=named)
@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    level=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_every_pipeline_decodes_to_what_h5py_reads(
    codes: tuple[int, ...], dtype: str, shape: tuple[int, ...], level: int, seed: int
) -> None:
    values = compressible(dtype, shape, seed)
    packed = store(values, *chain(codes, level))
    assert [one.id for one in packed.dataset.filters] == list(codes)
    assert same(packed.values, values)
    assert same(decode(packed.raw, packed.dataset, packed.mask), values)
    assert same(decode(memoryview(packed.raw), packed.dataset, packed.mask), values)


@pytest.mark.parametrize(
    "codes",
    [
        (DEFLATE, DEFLATE),
        (SHUFFLE, DEFLATE, DEFLATE),
        (FLETCHER32, DEFLATE),
        (FLETCHER32, SHUFFLE, DEFLATE, FLETCHER32),
        (DEFLATE, SHUFFLE, DEFLATE),
        (DEFLATE, FLETCHER32, SHUFFLE),
    ],
    ids=named,
)
@given(size=st.integers(1, 700), seed=st.integers(0, 99), level=st.integers(0, 9))
def test_filters_that_stand_twice_or_in_an_odd_order_are_undone_in_turn(
    codes: tuple[int, ...], size: int, seed: int, level: int
) -> None:
    values = compressible("<f4", (size,), seed)
    packed = store(values, *chain(codes, level))
    assert same(decode(packed.raw, packed.dataset, packed.mask), values)


FIRST = [
    step(SCALE_OFFSET, 2, 0),
    step(BLOSC, 0, 0, 0, 0, 5, 1, 1),
    step(BLOSC, 0, 0, 0, 0, 5, 2, 5),
]
"""Those that must be given values: Blosc's plugin writes beyond a buffer that is shorter than its header."""
ANYWHERE = [
    step(DEFLATE, 4),
    step(SHUFFLE),
    step(FLETCHER32),
    step(LZ4, 256),
    step(BITSHUFFLE, 0, 0),
    step(BITSHUFFLE, 64, 2),
    step(BITSHUFFLE, 0, 3, 3),
    step(ZSTD, 3),
]


@given(
    dtype=st.sampled_from(["<i1", ">i2", "<u4", ">i8"]),
    shape=st.lists(st.integers(6, 12), min_size=2, max_size=3).map(tuple),
    first=st.lists(st.sampled_from(FIRST), max_size=1),
    # plugins can be told what to do only once a chunk
    others=st.lists(st.sampled_from(ANYWHERE), max_size=5, unique_by=lambda one: one.id),
    seed=st.integers(0, 99),
)
def test_any_filters_in_any_order_are_undone(
    dtype: str, shape: tuple[int, ...], first: list[Filter], others: list[Filter], seed: int
) -> None:
    values = compressible(dtype, shape, seed)
    packed = store(values, *first, *others, skipping=True)
    assert [one.id for one in packed.dataset.filters] == [one.id for one in first + others]
    assert same(packed.values, values)
    assert same(packed.decoded(), values)


@pytest.mark.parametrize("one", FIRST + ANYWHERE, ids=str)
def test_what_a_filter_makes_larger_passes_through_the_next_one(one: Filter) -> None:
    values = noise("<u8", 4000)
    packed = store(values, one, step(DEFLATE, 1), skipping=True)
    assert len(packed.raw) >= values.nbytes
    assert same(packed.decoded(), values)


def test_every_filter_that_is_read_is_tested_against_libhdf5() -> None:
    assert {one.id for one in FIRST + ANYWHERE} == DECODED


def test_a_pipeline_is_compiled_once_for_all_chunks_of_equal_variables() -> None:
    values = compressible("<f4", (100,), 1)
    first, second = (store(values, *chain((SHUFFLE, DEFLATE))).dataset for _ in range(2))
    steps = [pipeline(one.filters, 4, one.chunk_nbytes, 0) for one in (first, second)]
    assert first.filters is not second.filters
    assert steps[0] is steps[1]


@given(mask=st.integers(0, 7), size=st.integers(1, 50))
def test_filters_that_a_chunk_skips_are_not_undone(mask: int, size: int) -> None:
    values = compressible("<i4", (size,), size)
    codes = (SHUFFLE, DEFLATE, FLETCHER32)
    raw = store(values, *chain(tuple(code for i, code in enumerate(codes) if not mask >> i & 1))).raw
    image = BytesIO()
    with h5py.File(image, "w") as file:
        dataset(file, values, chain(codes)).id.write_direct_chunk((0,), raw, mask)
    with h5py.File(image) as file:  # the library keeps masks of chunks that it has just written to itself
        packed = stored(file["h"])
    assert packed.mask == mask
    assert same(packed.values, values)
    assert same(decode(packed.raw, packed.dataset, packed.mask), values)


@pytest.mark.parametrize("codes", [*PIPELINES, (DEFLATE, SHUFFLE), (SHUFFLE, DEFLATE, DEFLATE)], ids=named)
@given(
    dtype=st.sampled_from([*DTYPES, "S300"]),
    size=st.integers(1, 60),
    masks=st.lists(st.sampled_from([0, 0, 0, 1, 2, 7]), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)
def test_many_chunks_decode_to_what_each_of_them_does(
    codes: tuple[int, ...], dtype: str, size: int, masks: list[int], seed: int
) -> None:
    dataset = described(dtype, (size,), chain(codes))
    raws = [skipping(codes, mask, compressible(dtype, (size,), seed + i)) for i, mask in enumerate(masks)]
    values = np.empty((len(raws), size), dtype)
    decode_many(raws, dataset, masks, values.reshape(-1).view(np.uint8))
    for row, raw, mask in zip(values, raws, masks, strict=True):
        assert same(row, decode(raw, dataset, mask))


def skipping(codes: tuple[int, ...], mask: int, values: Array) -> bytes:
    """Return a chunk that some filters are skipped for."""
    return store(values, *chain(tuple(code for i, code in enumerate(codes) if not mask >> i & 1))).raw


@pytest.mark.parametrize("codes", [codes for codes in PIPELINES if codes], ids=named)
@given(data=st.data())
def test_one_chunk_of_many_that_is_damaged_is_never_accepted_as_other_values(
    codes: tuple[int, ...], data: st.DataObject
) -> None:
    packed = store(compressible("<f8", (60,), 3), *chain(codes))
    raws = [packed.raw] * 3
    number = data.draw(st.integers(0, 2))
    raws[number] = data.draw(st.sampled_from([packed.raw[:-1], packed.raw[9:], b"", packed.raw + b"\0"]))
    values = np.empty((3, 60))
    try:
        decode_many(raws, packed.dataset, [0] * 3, values.reshape(-1).view(np.uint8))
    except CorruptGranuleError as error:
        assert "beam/h" in str(error)  # noqa: PT017  or no error at all
    else:  # what follows the end of a stream says nothing
        assert raws[number] == packed.raw + b"\0"
        assert same(values, np.array([packed.values] * 3))


def test_what_cannot_be_made_smaller_decodes_too() -> None:
    values = np.frombuffer(np.random.default_rng(0).bytes(200_000), np.uint8)
    packed = store(values, *chain((DEFLATE, DEFLATE, FLETCHER32), level=1))
    assert len(packed.raw) > values.nbytes
    assert same(decode(packed.raw, packed.dataset, packed.mask), values)


@given(st.binary(min_size=1, max_size=3000))
def test_the_checksum_is_the_one_that_hdf5_stores(content: bytes) -> None:
    raw = store(np.frombuffer(content, np.uint8), step(FLETCHER32)).raw
    assert raw[:-4] == content
    assert int.from_bytes(raw[-4:], "little") == fletcher32(content)


@given(st.integers(0, 255), st.integers(1, 800))
def test_the_checksum_of_equal_bytes_is_the_one_that_hdf5_stores(byte: int, size: int) -> None:
    # sums that are multiples of 65535 are where implementations differ
    content = bytes([byte]) * size
    raw = store(np.frombuffer(content, np.uint8), step(FLETCHER32)).raw
    assert int.from_bytes(raw[-4:], "little") == fletcher32(content)


def test_the_checksum_of_a_long_chunk_does_not_overflow() -> None:
    content = b"\xff\xfe" * 2**20
    raw = store(np.frombuffer(content, np.uint8), step(FLETCHER32)).raw
    assert int.from_bytes(raw[-4:], "little") == fletcher32(content)


def test_a_checksum_with_swapped_halves_is_accepted_as_old_libraries_wrote_it() -> None:
    packed = store(np.arange(50, dtype="<i2"), step(FLETCHER32))
    a, b, c, d = packed.raw[-4:]
    assert same(decode(packed.raw[:-4] + bytes([b, a, d, c]), packed.dataset), packed.values)
    with pytest.raises(CorruptGranuleError, match="fletcher32"):
        decode(packed.raw[:-4] + bytes([d, c, b, a]), packed.dataset)


DAMAGED: dict[tuple[int, ...], Stored] = {
    codes: store(compressible("<f8", (60,), 3), *chain(codes))
    for codes in (
        (FLETCHER32,),
        (DEFLATE,),
        (SHUFFLE, DEFLATE),
        (SHUFFLE, DEFLATE, FLETCHER32),
        (SHUFFLE, FLETCHER32),
    )
}


@pytest.mark.parametrize("codes", DAMAGED, ids=named)
@given(data=st.data())
def test_a_flipped_bit_is_never_accepted_as_other_values(codes: tuple[int, ...], data: st.DataObject) -> None:
    packed = DAMAGED[codes]
    position = data.draw(st.integers(0, len(packed.raw) - 1))
    damaged = bytearray(packed.raw)
    damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    refused_or_same(bytes(damaged), packed)


@pytest.mark.parametrize("codes", DAMAGED, ids=named)
@given(data=st.data())
def test_a_chunk_that_is_cut_or_goes_on_is_never_accepted_as_other_values(
    codes: tuple[int, ...], data: st.DataObject
) -> None:
    packed = DAMAGED[codes]
    size = data.draw(st.integers(0, len(packed.raw) - 1))
    with pytest.raises(CorruptGranuleError):
        decode(packed.raw[:size], packed.dataset)
    refused_or_same(packed.raw + data.draw(st.binary(min_size=1, max_size=20)), packed)


@given(st.binary(max_size=200), st.sampled_from(PIPELINES))
def test_garbage_is_refused(content: bytes, codes: tuple[int, ...]) -> None:
    dataset = described("<f8", (40,), chain(codes))
    with pytest.raises(CorruptGranuleError):
        decode(content, dataset)


@pytest.mark.parametrize("codes", [(DEFLATE,), (SHUFFLE, DEFLATE), (DEFLATE, DEFLATE)])
def test_a_stream_that_grows_without_end_is_refused_before_it_does(codes: tuple[int, ...]) -> None:
    bomb = zlib.compress(bytes(2**26), 9)
    if codes[0] == DEFLATE and len(codes) == 2:
        bomb = zlib.compress(bomb, 9)
    dataset = described("<f4", (256,), chain(codes))
    start()
    with pytest.raises(CorruptGranuleError, match="does not end where its chunk does"):
        decode(bomb, dataset)
    _, peak = get_traced_memory()
    stop()
    assert peak < 2**20


def test_shuffle_without_a_parameter_takes_the_width_of_the_type() -> None:
    packed = store(np.arange(9, dtype="<u4"), step(SHUFFLE))
    bare = described("<u4", (9,), [step(SHUFFLE)])
    assert same(decode(packed.raw, bare), packed.values)


@pytest.mark.parametrize(("code", "name"), [(4, "szip"), (5, "nbit"), (32026, ""), (99, "")])
def test_an_unknown_filter_is_refused_by_name_unless_the_chunk_skips_it(code: int, name: str) -> None:
    assert code not in DECODED
    values = np.arange(4, dtype="<i2")
    dataset = described("<i2", (4,), [Filter(id=code, name=name)])
    with pytest.raises(UnsupportedFilterError, match=rf"beam/h: packed by filter {code} \({name}\)"):
        decode(values.tobytes(), dataset)
    assert same(decode(values.tobytes(), dataset, 1), values)


@given(rows=st.integers(0, 7), excess=st.integers(0, 5))
def test_only_whole_rows_of_a_clipped_chunk_are_accepted(rows: int, excess: int) -> None:
    content = bytes(rows * 6 + excess)
    clipped, exact = (described("<i2", (5, 3), (), clipped=flag) for flag in (True, False))
    if len(content) % 6 == 0 and len(content) <= 30:
        assert decode(content, clipped).shape == (rows + excess // 6, 3)
    else:
        with pytest.raises(CorruptGranuleError, match="expected 30"):
            decode(content, clipped)
    if len(content) != 30:
        with pytest.raises(CorruptGranuleError, match="expected 30"):
            decode(content, exact)


def test_decoding_does_not_change_what_was_stored() -> None:
    packed = store(compressible("<f8", (60,), 1), *chain((SHUFFLE, DEFLATE, FLETCHER32)))
    before = bytes(packed.raw)
    decode(packed.raw, packed.dataset)
    assert packed.raw == before
