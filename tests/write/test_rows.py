from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.access.bucket import BucketPath
from eoscale.model.columns import RESERVED
from eoscale.model.curve import SPANS, Curve
from eoscale.write import places, rows
from eoscale.write.pieces import Left, Piece
from eoscale.write.places import Place
from tests.suites.sinks import full_disk
from tests.write.forgetful import ForgetfulServer

END = 2**32
WIDTH = END // SPANS
IDS = ["ATL06_1", "größer", "a b"]
DISTANCES = st.lists(
    st.sampled_from([0, 1, WIDTH - 1, WIDTH, 64 * WIDTH - 1, 64 * WIDTH, 2**31, END - 1])
    | st.integers(0, END - 1)
).map(sorted)
SPAN = st.sampled_from([0, 1, 63, 64, 65, SPANS // 2, SPANS - 1]) | st.integers(0, SPANS - 1)


def table(distances: list[int]) -> pa.Table:
    """Return rows along a curve: their number tells each of those at one place from the others."""
    number = len(distances)
    return pa.table(
        {
            rows.DISTANCE: np.array(distances, np.uint32),
            "number": np.arange(number),
            "h_li": pa.array(np.linspace(0, 1, number, dtype=np.float32), mask=np.arange(number) % 3 == 0),
            "beam": pa.array(["gt1l"] * number, pa.string()),
            "granule": np.arange(number, dtype=np.int32) % len(IDS),
        }
    )


def stretch(at: Place, left: Left, first: int, last: int) -> pa.Table:
    """Return the rows of some spans as the task does that writes them."""
    wanted = range(rows.tiles(first, last)[0], rows.tiles(first, last)[1] + 1)
    ends = [left.pieces[tile] for tile in wanted if tile in left.pieces]
    if not ends:
        return table([])
    found = rows.load(Piece(at.with_name(left.name), ends[0][0], ends[-1][1]), (first, last))
    assert all(ids == IDS for _, ids in found)
    return pa.concat_tables([each for each, _ in found])


@given(DISTANCES, st.tuples(SPAN, SPAN).map(sorted))
def test_a_stretch_of_the_curve_is_the_rows_that_lie_on_it(distances: list[int], spans: list[int]) -> None:
    first, last = spans
    with TemporaryDirectory() as folder:
        at = Path(folder) / "rows"
        found = stretch(at, rows.save(at, table(distances), IDS), first, last)
    lies = Curve.span(np.array(distances, np.uint32))
    expected = np.flatnonzero((first <= lies) & (lies <= last))
    assert found.equals(table(distances).take(expected))


@given(DISTANCES, st.sets(SPAN))
def test_stretches_that_follow_one_another_hold_every_row_once(distances: list[int], cuts: set[int]) -> None:
    edges = sorted({0, *cuts, SPANS})
    with TemporaryDirectory() as folder:
        at = Path(folder) / "rows"
        left = rows.save(at, table(distances), IDS)
        found = [stretch(at, left, first, behind - 1) for first, behind in pairwise(edges)]
    assert pa.concat_tables(found).equals(table(distances))


@given(DISTANCES)
def test_each_tile_of_rows_holds_the_spans_that_belong_to_it(distances: list[int]) -> None:
    with TemporaryDirectory() as folder:
        left = rows.save(Path(folder) / "rows", table(distances), IDS)
    spans = Curve.span(np.array(distances, np.uint32)).tolist()
    assert list(left.pieces) == sorted({rows.tiles(span, span)[0] for span in spans})


def test_rows_in_many_chunks_are_saved_as_one(folder: Place) -> None:
    chunks = pa.concat_tables([table([1, 2]), table([]), table([2, 5 * WIDTH])])
    assert chunks[rows.DISTANCE].num_chunks > 1
    left = rows.save(folder / "rows", chunks, IDS)
    assert stretch(folder / "rows", left, 0, 0)[rows.DISTANCE].to_pylist() == [1, 2, 2]


def test_a_batch_without_rows_leaves_an_object_without_rows(folder: Place) -> None:
    left = rows.save(folder / "rows", pa.table({rows.DISTANCE: np.empty(0, np.uint32)}), [])
    assert (left.nbytes, left.pieces) == (0, {})
    assert places.sizes(folder) == {left.name: 0}


def test_rows_stay_when_their_object_goes(folder: Place) -> None:
    at = folder / "rows"
    spread = [number * 40_000 for number in range(100_000)]
    left = rows.save(at, table(spread), IDS)
    found = stretch(at, left, 1, SPANS - 2)
    places.remove(at.with_name(left.name))
    expected = [number for number, each in enumerate(spread) if WIDTH <= each < END - WIDTH]
    assert found["number"].to_pylist() == expected
    assert len(expected) > 90_000


def test_a_stretch_is_asked_of_a_bucket_without_the_others(
    bucket: BucketPath, server: ForgetfulServer
) -> None:
    left = rows.save(bucket / "rows", table([number * 40_000 for number in range(100_000)]), IDS)
    before = server.answered.copy()
    assert stretch(bucket / "rows", left, 130, 140).num_rows > 100
    assert server.answered - before == {("GET", "206"): 1}
    start, stop = left.pieces[2]
    assert stop - start < left.nbytes / 50


def test_saving_again_leaves_the_same_bytes_and_nothing_beside(folder: Place) -> None:
    left = rows.save(folder / "rows", table([1, 2, 3]), IDS)
    assert rows.save(folder / "rows", table([1, 2, 3]), IDS) == left
    assert places.sizes(folder) == {left.name: left.nbytes}


def test_a_writer_whose_disk_is_full_leaves_what_was_there(tmp_path: Path) -> None:
    left = rows.save(tmp_path / "rows", table([1, 2, 3]), IDS)
    with full_disk(left.nbytes // 2), pytest.raises(OSError, match="File too large"):
        rows.save(tmp_path / "rows", table([4, 5, 6]), IDS)
    assert places.sizes(tmp_path) == {left.name: left.nbytes}
    assert stretch(tmp_path / "rows", left, 0, SPANS - 1).equals(table([1, 2, 3]))


def test_no_column_that_a_table_has_is_named_like_the_distance() -> None:
    assert rows.DISTANCE not in RESERVED
    assert not rows.DISTANCE.isidentifier(), "a variable may well be called distance"
