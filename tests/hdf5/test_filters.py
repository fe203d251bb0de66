from __future__ import annotations

import zlib
from io import BytesIO
from itertools import product
from tracemalloc import get_traced_memory, start, stop
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.errors import CorruptGranuleError, UnsupportedFilterError
from eoscale.hdf5.filters import DEFLATE, FLETCHER32, SHUFFLE, decode, fletcher32
from eoscale.model.chunk_index import DatasetIndex, Filter
from eoscale.model.columns import Array

NAMES = {DEFLATE: "deflate", SHUFFLE: "shuffle", FLETCHER32: "fletcher32"}
DTYPES = ("<i1", ">i2", "<u4", ">f4", "<f8", "S3")


class Stored(NamedTuple):
    """One chunk as h5py stored it, what describes it, and what h5py reads."""

    raw: bytes
    dataset: DatasetIndex
    mask: int
    values: Array


def described(
    dtype: str, shape: tuple[int, ...], filters: tuple[Filter, ...], *, clipped: bool = False
) -> DatasetIndex:
    table = np.zeros((1,) * len(shape), np.int64)
    return DatasetIndex(
        path="beam/h",
        shape=shape,
        dtype=np.dtype(dtype),
        chunk_shape=shape,
        offsets=table,
        sizes=table.copy(),
        masks=table.copy(),
        filters=filters,
        clipped=clipped,
    )


def step(number: int, *parameters: int) -> Filter:
    return Filter(id=number, name=NAMES[number], parameters=parameters)


def pipeline(file: h5py.File, values: Array, codes: tuple[int, ...], level: int) -> h5py.Dataset:
    """Create a dataset of one chunk whose filters stand in any order, even twice."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk(values.shape)
    for code in codes:
        creation.set_filter(code, h5py.h5z.FLAG_MANDATORY, (level,) if code == DEFLATE else ())
    space = h5py.h5s.create_simple(values.shape)
    return h5py.Dataset(h5py.h5d.create(file.id, b"h", h5py.h5t.py_create(values.dtype), space, creation))


def store(values: Array, codes: tuple[int, ...], *, level: int = 4) -> Stored:
    """Let HDF5 pack values."""
    with h5py.File(BytesIO(), "w") as file:
        dataset = pipeline(file, values, codes, level)
        dataset[...] = values
        return stored(dataset)


def stored(dataset: h5py.Dataset) -> Stored:
    origin = (0,) * dataset.ndim
    _, raw = dataset.id.read_direct_chunk(origin)
    mask = dataset.id.get_chunk_info(0).filter_mask
    creation = dataset.id.get_create_plist()
    steps = [creation.get_filter(number) for number in range(creation.get_nfilters())]
    filters = tuple(step(code, *values) for code, _, values, _ in steps)
    return Stored(raw, described(dataset.dtype.str, dataset.shape, filters), mask, dataset[()])


def compressible(dtype: str, shape: tuple[int, ...], seed: int) -> Array:
    random = np.random.default_rng(seed)
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    content = np.cumsum(random.integers(0, 3, count)).astype(np.uint8).tobytes()
    return np.frombuffer(content, dtype).reshape(shape)


def same(left: Array, right: Array) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


PIPELINES = [
    (*[SHUFFLE] * shuffled, *[DEFLATE] * packed, *[FLETCHER32] * checked)
    for shuffled, packed, checked in product((0, 1), repeat=3)
]


@pytest.mark.parametrize(
    "codes", PIPELINES, ids=lambda codes: "+".join(NAMES[code] for code in codes) or "none"
)
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
    packed = store(values, codes, level=level)
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
    ids=lambda codes: "+".join(NAMES[code] for code in codes),
)
@given(size=st.integers(1, 700), seed=st.integers(0, 99), level=st.integers(0, 9))
def test_filters_that_stand_twice_or_in_an_odd_order_are_undone_in_turn(
    codes: tuple[int, ...], size: int, seed: int, level: int
) -> None:
    values = compressible("<f4", (size,), seed)
    packed = store(values, codes, level=level)
    assert same(decode(packed.raw, packed.dataset, packed.mask), values)


@given(mask=st.integers(0, 7), size=st.integers(1, 50))
def test_filters_that_a_chunk_skips_are_not_undone(mask: int, size: int) -> None:
    values = compressible("<i4", (size,), size)
    codes = (SHUFFLE, DEFLATE, FLETCHER32)
    raw = store(values, tuple(code for i, code in enumerate(codes) if not mask >> i & 1)).raw
    image = BytesIO()
    with h5py.File(image, "w") as file:
        pipeline(file, values, codes, 4).id.write_direct_chunk((0,), raw, mask)
    with h5py.File(image) as file:  # the library keeps masks of chunks that it has just written to itself
        packed = stored(file["h"])
    assert packed.mask == mask
    assert same(packed.values, values)
    assert same(decode(packed.raw, packed.dataset, packed.mask), values)


def test_what_cannot_be_made_smaller_decodes_too() -> None:
    values = np.frombuffer(np.random.default_rng(0).bytes(200_000), np.uint8)
    packed = store(values, (DEFLATE, DEFLATE, FLETCHER32), level=1)
    assert len(packed.raw) > values.nbytes
    assert same(decode(packed.raw, packed.dataset, packed.mask), values)


@given(st.binary(min_size=1, max_size=3000))
def test_the_checksum_is_the_one_that_hdf5_stores(content: bytes) -> None:
    raw = store(np.frombuffer(content, np.uint8), (FLETCHER32,)).raw
    assert raw[:-4] == content
    assert int.from_bytes(raw[-4:], "little") == fletcher32(content)


@given(st.integers(0, 255), st.integers(1, 800))
def test_the_checksum_of_equal_bytes_is_the_one_that_hdf5_stores(byte: int, size: int) -> None:
    # sums that are multiples of 65535 are where implementations differ
    content = bytes([byte]) * size
    raw = store(np.frombuffer(content, np.uint8), (FLETCHER32,)).raw
    assert int.from_bytes(raw[-4:], "little") == fletcher32(content)


def test_the_checksum_of_a_long_chunk_does_not_overflow() -> None:
    content = b"\xff\xfe" * 2**20
    raw = store(np.frombuffer(content, np.uint8), (FLETCHER32,)).raw
    assert int.from_bytes(raw[-4:], "little") == fletcher32(content)


def test_a_checksum_with_swapped_halves_is_accepted_as_old_libraries_wrote_it() -> None:
    packed = store(np.arange(50, dtype="<i2"), (FLETCHER32,))
    a, b, c, d = packed.raw[-4:]
    assert same(decode(packed.raw[:-4] + bytes([b, a, d, c]), packed.dataset), packed.values)
    with pytest.raises(CorruptGranuleError, match="fletcher32"):
        decode(packed.raw[:-4] + bytes([d, c, b, a]), packed.dataset)


DAMAGED: dict[tuple[int, ...], Stored] = {
    codes: store(compressible("<f8", (60,), 3), codes)
    for codes in (
        (FLETCHER32,),
        (DEFLATE,),
        (SHUFFLE, DEFLATE),
        (SHUFFLE, DEFLATE, FLETCHER32),
        (SHUFFLE, FLETCHER32),
    )
}


@pytest.mark.parametrize("codes", DAMAGED, ids=lambda codes: "+".join(NAMES[code] for code in codes))
@given(data=st.data())
def test_a_flipped_bit_is_never_accepted_as_other_values(codes: tuple[int, ...], data: st.DataObject) -> None:
    packed = DAMAGED[codes]
    position = data.draw(st.integers(0, len(packed.raw) - 1))
    damaged = bytearray(packed.raw)
    damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    refused_or_same(bytes(damaged), packed)


@pytest.mark.parametrize("codes", DAMAGED, ids=lambda codes: "+".join(NAMES[code] for code in codes))
@given(data=st.data())
def test_a_chunk_that_is_cut_or_goes_on_is_never_accepted_as_other_values(
    codes: tuple[int, ...], data: st.DataObject
) -> None:
    packed = DAMAGED[codes]
    size = data.draw(st.integers(0, len(packed.raw) - 1))
    with pytest.raises(CorruptGranuleError):
        decode(packed.raw[:size], packed.dataset)
    refused_or_same(packed.raw + data.draw(st.binary(min_size=1, max_size=20)), packed)


def refused_or_same(raw: bytes, packed: Stored) -> None:
    try:
        values = decode(raw, packed.dataset)
    except CorruptGranuleError as error:
        assert "beam/h" in str(error)  # noqa: PT017  or no error at all
    else:
        assert same(values, packed.values)


@given(st.binary(max_size=200), st.sampled_from(PIPELINES))
def test_garbage_is_refused(content: bytes, codes: tuple[int, ...]) -> None:
    dataset = described("<f8", (40,), tuple(map(step, codes)))
    with pytest.raises(CorruptGranuleError):
        decode(content, dataset)


@pytest.mark.parametrize("codes", [(DEFLATE,), (SHUFFLE, DEFLATE), (DEFLATE, DEFLATE)])
def test_a_stream_that_grows_without_end_is_refused_before_it_does(codes: tuple[int, ...]) -> None:
    bomb = zlib.compress(bytes(2**26), 9)
    if codes[0] == DEFLATE and len(codes) == 2:
        bomb = zlib.compress(bomb, 9)
    dataset = described("<f4", (256,), tuple(map(step, codes)))
    start()
    with pytest.raises(CorruptGranuleError, match="does not end where its chunk does"):
        decode(bomb, dataset)
    _, peak = get_traced_memory()
    stop()
    assert peak < 2**20


@pytest.mark.parametrize("width", [2**31, 2**63, 33, 64])
def test_a_shuffle_wider_than_the_chunk_takes_no_time(width: int) -> None:
    values = np.arange(8, dtype="<f8")
    dataset = described("<f8", (8,), (step(SHUFFLE, width),))
    assert same(decode(values.tobytes(), dataset), values)


@given(st.integers(1, 40), st.integers(1, 9))
def test_shuffle_takes_its_width_from_the_file_and_leaves_the_rest_of_the_bytes(
    size: int, width: int
) -> None:
    content = np.random.default_rng(size).bytes(size)
    count = size // width
    rows = np.frombuffer(content[: count * width], np.uint8).reshape(count, width)
    shuffled = rows.T.tobytes() + content[count * width :]
    dataset = described("<u1", (size,), (step(SHUFFLE, width),))
    assert decode(shuffled, dataset).tobytes() == content


def test_shuffle_without_a_parameter_takes_the_width_of_the_type() -> None:
    packed = store(np.arange(9, dtype="<u4"), (SHUFFLE,))
    bare = described("<u4", (9,), (step(SHUFFLE),))
    assert same(decode(packed.raw, bare), packed.values)


@pytest.mark.parametrize(("code", "name"), [(4, "szip"), (6, "scale-offset"), (32015, "zstd"), (99, "")])
def test_an_unknown_filter_is_refused_by_name_unless_the_chunk_skips_it(code: int, name: str) -> None:
    values = np.arange(4, dtype="<i2")
    dataset = described("<i2", (4,), (Filter(id=code, name=name),))
    with pytest.raises(UnsupportedFilterError, match=rf"beam/h is packed by filter {code} \({name}\)"):
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
    packed: Any = store(compressible("<f8", (60,), 1), (SHUFFLE, DEFLATE, FLETCHER32))
    before = bytes(packed.raw)
    decode(packed.raw, packed.dataset)
    assert packed.raw == before
