from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.model.chunk_index import UNALLOCATED, ChunkIndex, DatasetIndex
from tests.strategies import dataset_indexes


def _index(**words: object) -> DatasetIndex:
    facts: dict[str, object] = {
        "path": "gt1l/h",
        "shape": (10,),
        "dtype": np.dtype("f4"),
        "chunk_shape": (4,),
        "offsets": np.array([100, UNALLOCATED, 300]),
        "sizes": np.array([16, 0, 16]),
        "masks": np.zeros(3, np.int64),
    }
    return DatasetIndex(**{**facts, **words})  # type: ignore[arg-type]


def _holding(index: DatasetIndex, rows: list[int]) -> list[int]:
    """Return the chunks that hold some rows, cell by cell."""
    numbers = set()
    for cell in np.ndindex(index.shape):
        if not cell or cell[0] in rows:
            at = tuple(i // c for i, c in zip(cell, index.chunk_shape, strict=True))
            numbers.add(int(np.ravel_multi_index(at, index.grid)) if at else 0)
    return sorted(numbers)


@given(dataset_indexes(), st.data())
def test_the_chunks_of_some_rows_are_those_that_hold_them(index: DatasetIndex, data: st.DataObject) -> None:
    length = index.shape[0] if index.shape else 1
    rows = data.draw(st.lists(st.sampled_from(range(length)), unique=True)) if length else []
    found = index.chunks(np.array(sorted(rows), np.int64))
    assert found.tolist() == _holding(index, rows)


@given(dataset_indexes())
def test_the_ranges_of_all_rows_tile_the_variable(index: DatasetIndex) -> None:
    rows = np.arange(index.shape[0] if index.shape else 1)
    offsets, sizes = index.ranges(rows)
    written = index.offsets.ravel() != UNALLOCATED
    assert offsets.tolist() == index.offsets.ravel()[written].tolist()
    assert sizes.tolist() == index.sizes.ravel()[written].tolist()


@given(dataset_indexes())
def test_every_row_belongs_to_one_row_of_chunks(index: DatasetIndex) -> None:
    each = [
        set(index.chunks(np.array([row])).tolist()) for row in range(index.shape[0] if index.shape else 1)
    ]
    for one in each:
        for other in each:
            assert one == other or not one & other
    assert set().union(*each) == set(range(index.offsets.size))


def test_no_rows_need_no_chunks() -> None:
    assert _index().chunks(np.empty(0, np.int64)).size == 0
    assert all(part.size == 0 for part in _index().ranges(np.empty(0, np.int64)))


def test_a_chunk_that_was_never_written_has_no_range() -> None:
    offsets, sizes = _index().ranges(np.arange(10))
    assert offsets.tolist() == [100, 300]
    assert sizes.tolist() == [16, 16]
    assert _index().ranges(np.array([5]))[0].size == 0


def test_a_variable_inside_its_header_has_no_chunks() -> None:
    nothing = np.empty(0, np.int64)
    index = _index(inline=b"\0" * 40, offsets=nothing, sizes=nothing, masks=nothing)
    assert index.grid == (0,)
    assert index.chunks(np.arange(10)).size == 0


@pytest.mark.parametrize("table", ["offsets", "sizes", "masks"])
def test_a_table_of_another_shape_is_refused(table: str) -> None:
    with pytest.raises(ValueError, match=r"gt1l/h: chunk table of shape \(2,\), expected \(3,\)"):
        _index(**{table: np.zeros(2, np.int64)})


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        _index().offsets[0] = 7


@given(dataset_indexes())
def test_a_pickled_index_is_the_same_whatever_has_been_looked_at(index: DatasetIndex) -> None:
    looked_at = pickle.loads(pickle.dumps(index))  # noqa: S301  its own bytes
    assert looked_at.chunk_nbytes == int(np.prod(index.chunk_shape, dtype=int)) * 4
    assert looked_at == index
    assert hash(looked_at) == hash(index)


@pytest.mark.parametrize(
    "words",
    [
        {"dtype": np.dtype(">f4")},
        {"fill": b"\1\0\0\0"},
        {"attributes": {"units": "m"}},
        {"offsets": np.array([100, UNALLOCATED, 301])},
        {"clipped": True},
    ],
)
def test_another_layout_is_another_index(words: dict[str, object]) -> None:
    assert _index(**words) != _index()
    assert _index() == _index()


def test_the_fill_value_is_of_the_variables_own_type() -> None:
    assert _index().fill_value is None
    for stated in (np.array([7.0]), np.float64(7), 7):
        fill = _index(attributes={"_FillValue": stated}).fill_value
        assert fill is not None
        assert (fill.shape, fill.dtype, float(fill)) == ((), np.dtype("f4"), 7.0)


def test_the_repr_is_one_line() -> None:
    assert repr(_index()) == "<DatasetIndex gt1l/h (10,) float32: 3 chunks, unfiltered>"


def test_what_building_an_index_cost_is_no_part_of_it() -> None:
    index = ChunkIndex(
        granule="a",
        url="https://h/a.h5",
        size=9,
        etag='"1"',
        datasets={"gt1l/h": _index()},
        absent=frozenset("x"),
    )
    assert replace(index, requests=7, bytes_read=10**6, url="s3://b/a.h5") == index
    assert replace(index, etag='"2"') != index
    assert replace(index, absent=frozenset()) != index
    assert repr(index) == "<ChunkIndex of a: 1 variables, 1 absent>"
