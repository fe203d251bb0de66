from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.model.columns import RESERVED
from eoscale.write import rows
from tests.suites.sinks import full_disk

END = 2**32
DISTANCES = st.lists(st.sampled_from([0, 1, 7, 2**31, END - 1]) | st.integers(0, END - 1)).map(sorted)
EDGES = st.sampled_from([0, 1, 7, 2**31, END]) | st.integers(0, END)


def table(distances: list[int]) -> pa.Table:
    """Return rows along a curve: their number tells each of those at one place from the others."""
    number = len(distances)
    return pa.table(
        {
            rows.DISTANCE: np.array(distances, np.uint32),
            "number": np.arange(number),
            "h_li": pa.array(np.linspace(0, 1, number, dtype=np.float32), mask=np.arange(number) % 3 == 0),
            "beam": pa.array(["gt1l"] * number, pa.string()),
        }
    )


@given(DISTANCES, st.tuples(EDGES, EDGES).map(sorted))
def test_a_stretch_of_the_curve_is_the_rows_that_lie_on_it(distances: list[int], edges: list[int]) -> None:
    start, stop = edges
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.arrow"
        rows.save(path, table(distances))
        found = rows.load(path, start, stop)
    expected = [number for number, distance in enumerate(distances) if start <= distance < stop]
    assert found.equals(table(distances).take(pa.array(expected, pa.int64())))


@given(DISTANCES, st.lists(EDGES).map(sorted))
def test_stretches_that_follow_one_another_hold_every_row_once(distances: list[int], cuts: list[int]) -> None:
    edges = [0, *cuts, END]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.arrow"
        rows.save(path, table(distances))
        pieces = [rows.load(path, *stretch) for stretch in pairwise(edges)]
    assert pa.concat_tables(pieces).equals(table(distances))


def test_rows_in_many_pieces_are_saved_as_one(tmp_path: Path) -> None:
    pieces = pa.concat_tables([table([1, 2]), table([]), table([2, 5])])
    assert pieces[rows.DISTANCE].num_chunks > 1
    rows.save(tmp_path / "rows.arrow", pieces)
    assert rows.load(tmp_path / "rows.arrow", 2, 5)[rows.DISTANCE].to_pylist() == [2, 2]


def test_rows_stay_when_their_file_goes(tmp_path: Path) -> None:
    path = tmp_path / "rows.arrow"
    rows.save(path, table(list(range(100_000))))
    found = rows.load(path, 10, 99_990)
    rows.save(path, table([5]))
    path.unlink()
    assert found["number"].to_pylist() == list(range(10, 99_990))


def test_saving_again_leaves_the_same_bytes_and_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "rows.arrow"
    rows.save(path, table([1, 2, 3]))
    once = path.read_bytes()
    rows.save(path, table([1, 2, 3]))
    assert path.read_bytes() == once
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_whose_disk_is_full_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.arrow"
    rows.save(path, table([1, 2, 3]))
    once = path.read_bytes()
    with full_disk(len(once) // 2), pytest.raises(OSError, match="File too large"):
        rows.save(path, table([4, 5, 6]))
    assert path.read_bytes() == once


def test_no_column_that_a_table_has_is_named_like_the_distance() -> None:
    assert rows.DISTANCE not in RESERVED
    assert not rows.DISTANCE.isidentifier(), "a variable may well be called distance"
