from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eoscale.hdf5 import entry, plain
from eoscale.model.chunk_index import UNALLOCATED, ChunkIndex, DatasetIndex, Filter
from eoscale.model.zone_map import ZoneMap

SIMPLE = ["<f4", ">f8", "<f2", "|i1", ">i2", "<i8", "<u8", "|b1", "<c8", "|S7", "|V5"]
TEXTS = st.text(max_size=8)
NAMES = st.text(min_size=1, max_size=5)


@st.composite
def structures(draw: st.DrawFn, fields: st.SearchStrategy[np.dtype[Any]]) -> np.dtype[Any]:
    """Compound types with gaps between their fields and after the last one, in any order."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    formats = [draw(fields) for _ in names]
    offsets, end = [0] * len(names), 0
    for number in draw(st.permutations(range(len(names)))):
        offsets[number] = end + draw(st.integers(0, 3))
        end = offsets[number] + formats[number].itemsize
    places = {
        "names": names,
        "formats": formats,
        "offsets": offsets,
        "itemsize": end + draw(st.integers(0, 3)),
    }
    return np.dtype(places)  # type: ignore[call-overload, no-any-return]


def dtypes() -> st.SearchStrategy[np.dtype[Any]]:
    simple = st.sampled_from(SIMPLE).map(np.dtype)
    shapes = hnp.array_shapes(max_dims=2, max_side=3)
    arrays = st.tuples(simple, shapes).map(np.dtype)
    return st.recursive(simple, lambda inner: structures(inner | arrays), max_leaves=4) | arrays


def values() -> st.SearchStrategy[Any]:
    """Values of attributes: text, numpy scalars of all types, and arrays of those and of text."""
    plainly = st.sampled_from(["<U3", ">U2", *(name for name in SIMPLE if "V" not in name)])
    arrays = hnp.arrays(plainly, hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
    scalars = hnp.arrays(plainly, 1).map(lambda array: array[0])
    texts = st.lists(TEXTS, max_size=3).map(lambda several: np.array(several, object))
    odd = st.sampled_from([np.bytes_(b"\0a\0"), np.bytes_(b""), np.str_(""), np.array("é")])
    return TEXTS | arrays | scalars | texts | odd


@st.composite
def datasets(draw: st.DrawFn, path: str) -> DatasetIndex:
    dtype = draw(dtypes())
    shape = tuple(draw(st.lists(st.integers(0, 9), max_size=3)))
    chunk_shape = tuple(draw(st.integers(1, 5)) for _ in shape)
    nbytes = int(np.prod(shape, dtype=int)) * dtype.itemsize
    inline = draw(st.none() | st.binary(min_size=nbytes, max_size=nbytes))
    grid = tuple(-(-n // c) for n, c in zip(shape, chunk_shape, strict=True)) if inline is None else (0,)
    sizes = draw(hnp.arrays(np.int64, grid, elements=st.integers(1, 1000)))
    offsets = draw(hnp.arrays(np.int64, grid, elements=st.integers(UNALLOCATED, 2**40)))
    return DatasetIndex(
        path=path,
        shape=shape,
        dtype=dtype,
        chunk_shape=chunk_shape,
        offsets=offsets,
        sizes=np.where(offsets == UNALLOCATED, 0, sizes),
        masks=draw(hnp.arrays(np.int64, grid, elements=st.integers(0, 2**32 - 1))),
        filters=tuple(
            Filter(id=code, name=name, parameters=tuple(parameters))
            for code, name, parameters in draw(
                st.lists(st.tuples(st.integers(1, 32015), TEXTS, st.lists(st.integers(0, 9))), max_size=3)
            )
        ),
        fill=draw(st.just(b"") | st.binary(min_size=dtype.itemsize, max_size=dtype.itemsize)),
        inline=inline,
        clipped=draw(st.booleans()),
        attributes=draw(st.dictionaries(TEXTS, values(), max_size=3)),
    )


def zones_of(rows: int) -> ZoneMap:
    """Return the zone map of a track, of which one row has no place."""
    latitude = np.linspace(60, 61, rows)
    latitude[rows // 2 : rows // 2 + 1] = np.nan
    time = np.datetime64("2024-04-01", "ns") + np.arange(rows) * np.timedelta64(1, "s")
    return ZoneMap.of(np.full(rows, 180.0), latitude, time, chunk_rows=4)


@st.composite
def indexes(draw: st.DrawFn) -> ChunkIndex:
    """Indexes of no variable and of some, of all types that a file may hold."""
    paths = draw(st.lists(TEXTS, max_size=3, unique=True))
    found = {path: draw(datasets(path)) for path in paths}
    mapped = [path for path in draw(st.lists(st.sampled_from(paths))) if found[path].shape] if paths else []
    return ChunkIndex(
        granule=draw(TEXTS),
        url=draw(TEXTS),
        size=2**40 + 2000,
        etag=draw(TEXTS),
        datasets=found,
        zones={path: zones_of(found[path].shape[0]) for path in mapped},
        absent=draw(st.frozensets(TEXTS, max_size=3)),
        fallback=draw(TEXTS),
    )


def small(**words: Any) -> DatasetIndex:  # noqa: ANN401  any field
    facts: dict[str, Any] = {
        "path": "gt1l/h",
        "shape": (10,),
        "dtype": np.dtype("<f4"),
        "chunk_shape": (4,),
        "offsets": np.array([100, UNALLOCATED, 300]),
        "sizes": np.array([16, 0, 16]),
        "masks": np.array([0, 0, 1]),
        "filters": (Filter(id=1, name="deflate", parameters=(6,)),),
        "fill": b"abcd",
        "attributes": {
            "units": "meters",
            "_FillValue": np.float32("nan"),
            "flag_values": np.array([0, 1], "i1"),
        },
    }
    return DatasetIndex(**{**facts, **words})


def holding(*several: DatasetIndex, **words: Any) -> ChunkIndex:  # noqa: ANN401  any field
    facts: dict[str, Any] = {"granule": "a", "url": "https://h/a.h5", "size": 1000, "etag": '"1"'}
    return ChunkIndex(**{**facts, "datasets": {each.path: each for each in several}, **words})


def assert_same(one: ChunkIndex, other: ChunkIndex) -> None:
    """Compare more than equality does: types with their fields, and the bytes of attributes."""
    assert one == other
    assert (one.url, one.fallback) == (other.url, other.fallback)
    assert one.zones == other.zones
    for path, dataset in one.datasets.items():
        twin = other.datasets[path]
        assert dataset.dtype == twin.dtype
        assert repr(dataset.dtype) == repr(twin.dtype)
        for name, value in dataset.attributes.items():
            found = twin.attributes[name]
            assert type(found) is type(value)
            if isinstance(value, str):
                assert found == value
            else:
                assert (found.dtype, found.shape) == (value.dtype, value.shape)
                assert (
                    found.tolist() == value.tolist()
                    if value.dtype.hasobject
                    else found.tobytes() == value.tobytes()
                )


@given(indexes())
def test_an_index_comes_back_as_it_was(index: ChunkIndex) -> None:
    assert_same(entry.from_bytes(entry.to_bytes(index)), index)


def test_what_building_it_cost_does_not_come_back_and_why_libhdf5_was_needed_does() -> None:
    index = holding(small(), bytes_read=10**6, requests=7, fallback="a fractal heap")
    found = entry.from_bytes(entry.to_bytes(index))
    assert (found.bytes_read, found.requests, found.fallback) == (0, 0, "a fractal heap")


def test_the_order_of_variables_does_not_change_the_bytes() -> None:
    one, other = small(path="a"), small(path="b", shape=(3,), **_tables([1]))
    assert entry.to_bytes(holding(one, other)) == entry.to_bytes(holding(other, one))


def test_numbers_of_numpy_serve_where_python_has_its_own() -> None:
    index = holding(small(shape=(np.int64(10),), filters=(Filter(id=np.uint32(1), name="deflate"),)))  # type: ignore[arg-type]
    found = entry.from_bytes(entry.to_bytes(replace(index, size=np.int64(1000)))).datasets["gt1l/h"]  # type: ignore[arg-type]
    assert (found.shape, type(found.shape[0])) == ((10,), int)


def _tables(offsets: list[int], sizes: list[int] | None = None) -> dict[str, Any]:
    places = np.array(offsets, np.int64)
    lengths = np.full(places.shape, 16) if sizes is None else np.array(sizes, np.int64)
    return {"offsets": places, "sizes": lengths, "masks": np.zeros(places.shape, np.int64)}


@pytest.mark.parametrize(
    "dtype", ["O", "U3", "M8[s]", "m8[ns]", np.dtype([("a", "O")]), np.dtype(("O", (2,)))], ids=str
)
def test_a_type_that_no_file_holds_is_not_kept(dtype: object) -> None:
    with pytest.raises(TypeError, match="cannot be kept"):
        entry.to_bytes(holding(small(dtype=np.dtype(dtype))))  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "value",
    [None, b"text", 1.5, [1], np.array([b"bytes"], object), np.array([None], object), np.datetime64("NaT")],
)
def test_an_attribute_that_is_no_plain_value_is_not_kept(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be kept"):
        plain.state_value(value)


CONTENT = entry.to_bytes(holding(small(), small(path="gt2l/h")))


def test_a_torn_entry_is_never_taken_for_an_index() -> None:
    for length in range(len(CONTENT)):
        for torn in (
            CONTENT[:length],
            CONTENT[:length] + bytes(len(CONTENT) - length),
            CONTENT[-length or 8 :],
        ):
            if torn != CONTENT:
                with pytest.raises(ValueError, match="no index"):
                    entry.from_bytes(torn)


@given(st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bits_are_found_or_change_nothing(flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(CONTENT)
    for position, bits in flips:
        damaged[position] ^= bits
    try:
        found = entry.from_bytes(bytes(damaged))
    except ValueError:
        return
    assert_same(found, entry.from_bytes(CONTENT))


@given(st.binary(max_size=200))
def test_bytes_of_anything_else_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="no index"):
        entry.from_bytes(content)


def test_another_format_version_is_told_from_damage() -> None:
    with patch.object(entry, "FORMAT", entry.FORMAT + 1):
        later = entry.to_bytes(holding(small()))
    with pytest.raises(entry.FormatError, match=rf"is of format \d, expected {entry.FORMAT}"):
        entry.from_bytes(later)


@pytest.mark.parametrize(
    "words",
    [
        _tables([100, 200, 985]),
        _tables([100, 200, 2**63 - 5]),
        _tables([100, 200, -2]),
        _tables([100, 200, 300], [16, 16, 0]),
        _tables([100, 200, 300], [16, 16, -1]),
        _tables([100, -1, 300], [16, -16, 16]),
        {"masks": np.array([0, 0, -1])},
        {"masks": np.array([0, 0, 2**32])},
        {"shape": (2**40,), "chunk_shape": (2**39,), **_tables([1, 2])},
        {"shape": (2**31,), "chunk_shape": (2**31,), **_tables([1])},
        {
            "shape": (1,) * 9,
            "chunk_shape": (1,) * 9,
            **{n: v.reshape((1,) * 9) for n, v in _tables([1]).items()},
        },
        {"fill": b"abc"},
        {"inline": b"0" * 39, **_tables([])},
        {"inline": b"", **_tables([])},
        {"dtype": np.dtype("S0"), "fill": b""},
    ],
    ids=str,
)
def test_an_entry_that_says_what_cannot_be_is_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no index"):
        entry.from_bytes(entry.to_bytes(holding(small(**words))))


def test_a_chunk_longer_than_any_filter_leaves_it_is_refused() -> None:
    # or somebody could make a reader fetch a whole granule for one chunk of 16 bytes
    for size, refused in ((2 * 16 + 1024, False), (2 * 16 + 1025, True)):
        content = entry.to_bytes(holding(small(**_tables([0, 1, 2], [16, 16, size])), size=10**9))
        if refused:
            with pytest.raises(ValueError, match="not inside the file"):
                entry.from_bytes(content)
        else:
            entry.from_bytes(content)


FORMAT = f'"format":{entry.FORMAT}'
SIMPLY = '"dtype":"<f4","chunk'
DEEP = '{"base":' * 9 + '"<f4"' + ',"shape":[1]}' * 9


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (SIMPLY, '"dtype":"|O","chunk'),
        (SIMPLY, '"dtype":"O","chunk'),
        (SIMPLY, '"dtype":"<f4,O","chunk'),
        (SIMPLY, '"dtype":"<M8[s]","chunk'),
        (SIMPLY, '"dtype":["<f4"],"chunk'),
        (SIMPLY, '"dtype":"<U4","chunk'),
        (SIMPLY, '"dtype":null,"chunk'),
        (SIMPLY, f'"dtype":{DEEP},"chunk'),
        (SIMPLY, '"dtype":{"base":"<f4","shape":[-1]},"chunk'),
        (SIMPLY, '"dtype":{"base":"<f4","shape":[99999999999]},"chunk'),
        (SIMPLY, '"dtype":{"names":["a"],"formats":["|O"],"offsets":[0],"itemsize":8},"chunk'),
        (SIMPLY, '"dtype":{"names":["a"],"formats":["<f4"],"offsets":[8],"itemsize":4},"chunk'),
        (SIMPLY, '"dtype":{"names":["a"],"formats":[],"offsets":[0],"itemsize":4},"chunk'),
        ('"shape":[10]', '"shape":[10.0]'),
        ('"shape":[10]', '"shape":[-10]'),
        ('"shape":[10]', '"shape":"10"'),
        ('"shape":[10]', '"shape":[10,10]'),
        ('"shape":[10]', '"shape":[100]'),
        ('"shape":[10]', f'"shape":[{10**30}]'),
        ('"chunk_shape":[4]', '"chunk_shape":[0]'),
        ('"chunk_shape":[4]', '"chunk_shape":[-4]'),
        ('"path":"gt1l/h"', '"path":7'),
        ('"path":"gt1l/h",', ""),
        ('"filters":[[1,"deflate",6]]', '"filters":[["1","deflate",6]]'),
        ('"filters":[[1,"deflate",6]]', '"filters":[[1]]'),
        ('"filters":[[1,"deflate",6]]', '"filters":[[1,2]]'),
        ('"clipped":false', '"clipped":0'),
        ('"fill":"', '"fill":"A'),
        ('"units":"meters"', '"units":[]'),
        ('"units":"meters"', '"units":{"text":1}'),
        ('"units":"meters"', '"units":{"texts":[1],"shape":[1]}'),
        ('"units":"meters"', '"units":{"texts":["a"],"shape":[2]}'),
        ('"units":"meters"', '"units":{"dtype":"|O","shape":[1],"bytes":"AAAAAAAAAAA="}'),
        ('"units":"meters"', '"units":{"dtype":"<i4","shape":[9],"bytes":"AAAA"}'),
        ('"units":"meters"', '"units":{"dtype":"<U1","shape":[1],"bytes":"/////w=="}'),
        ('"attributes":{', '"attributes":[{'),
        ('"attributes":{', '"attributes":7,"more":{'),
        ('"kind":0', '"kind":1'),
        ('"kind":0', '"kind":-1'),
        ('"kind":0', '"kind":"0"'),
        ('"kinds":["', '"kinds":[7,"'),
        ('"absent":[]', '"absent":[1]'),
        ('"absent":[]', '"absent":7'),
        ('"size":1000', '"size":null'),
        ('"size":1000', '"size":-1000'),
        ('"size":1000', f'"size":-{10**30}'),
        ('"granule":"a"', '"granule":["a"]'),
        ('"etag":', '"tag":'),
        (FORMAT, '"format":"1"'),
        (FORMAT, FORMAT.replace("format", "form")),
        ('"zones":{', '"zones":[{'),
        ('"zones":{"gt1l/h"', '"zones":{"gt1l/x"'),
        ('"rows":10', '"rows":11'),
        ('"starts":{"dtype":"<i8"', '"starts":{"dtype":"<u8"'),
        ('"boxes":{"dtype":"<f4","shape":[9,4]', '"boxes":{"dtype":"<f4","shape":[6,6]'),
        ('"times":{"dtype":"<i8","shape":[9,2]', '"times":{"dtype":"<i8","shape":[18]'),
        ('"starts":{', '"starters":{'),
        ('{"format"', '[{"format"'),
        ('"datasets":[', f'"datasets":{"[" * 10**5}'),
    ],
)  # fmt: skip
def test_a_forged_description_is_refused_whatever_it_says(old: str, new: str) -> None:
    content = forged(lambda text: text.replace(old, new, 1))
    assert content != entry.to_bytes(holding(small(), zones={"gt1l/h": zones_of(10)}))
    with pytest.raises(ValueError, match="no index"):
        entry.from_bytes(content)


def forged(change: Callable[[str], str]) -> bytes:
    """Return an entry whose description was changed before its digest was taken."""
    honest = json.dumps

    def dumps(*values: Any, **options: Any) -> str:  # noqa: ANN401  as json has it
        return change(honest(*values, **options))

    with patch.object(json, "dumps", dumps):
        return entry.to_bytes(holding(small(), zones={"gt1l/h": zones_of(10)}))


def test_a_forged_description_that_says_nothing_wrong_is_read() -> None:
    content = forged(lambda text: text.replace('"units":"meters"', '"units":"feet","more":"x"'))
    assert entry.from_bytes(content).datasets["gt1l/h"].attributes["units"] == "feet"
