from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eoscale.access.bucket import BucketPath
from eoscale.errors import AccessError
from eoscale.write import pieces, places
from eoscale.write.pieces import Left, Piece, Words
from eoscale.write.places import Place
from tests.suites.sinks import full_disk
from tests.write.forgetful import ForgetfulServer

Tiles = Mapping[int, Sequence[tuple[pa.RecordBatch, Words]]]


def batch(values: list[float]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"row": np.arange(len(values)), "h": np.array(values, np.float64)})


WORDS = st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5), max_size=3)
BATCHES = st.lists(st.tuples(st.lists(st.floats(), max_size=5).map(batch), WORDS), min_size=1, max_size=3)
TILES = st.dictionaries(st.integers(0, 9), BATCHES, max_size=6)


def some(seed: int = 1) -> Tiles:
    random = np.random.default_rng(seed)
    return {tile: [(batch(random.normal(size=500).tolist()), {"of": str(tile)})] for tile in (2, 3, 7)}


def piece(at: Place, left: Left, *tiles: int) -> Piece:
    """Return where the object has some neighbouring tiles."""
    return Piece(at.with_name(left.name), left.pieces[tiles[0]][0], left.pieces[tiles[-1]][1])


def same(
    found: Sequence[tuple[pa.RecordBatch, Words]], given: Sequence[tuple[pa.RecordBatch, Words]]
) -> bool:
    """Return whether record batches and their words agree, down to the last bit of a NaN."""
    bits = [
        [(one["h"].to_numpy().tobytes(), one.schema, words) for one, words in each] for each in (found, given)
    ]
    return bits[0] == bits[1]


@given(TILES, st.data())
@settings(max_examples=30)
def test_what_is_saved_of_neighbouring_tiles_is_loaded_in_their_order(
    tiles: Tiles, data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        at = Path(folder, "0000000-0000002")
        left = pieces.save(at, tiles)
        numbers = sorted(tiles)
        assert list(left.pieces) == numbers
        for number in numbers:
            assert same(list(pieces.load(piece(at, left, number))), tiles[number])
        if numbers:
            first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(numbers) - 1)] * 2)))
            wanted = numbers[first : last + 1]
            expected = [each for number in wanted for each in tiles[number]]
            assert same(list(pieces.load(piece(at, left, *wanted))), expected)


@given(TILES)
@settings(max_examples=30)
def test_the_stretches_of_the_tiles_follow_one_another_and_are_all_of_the_object(tiles: Tiles) -> None:
    with TemporaryDirectory() as folder:
        left = pieces.save(Path(folder, "a"), tiles)
        assert (Path(folder) / left.name).stat().st_size == left.nbytes
        edges = [edge for stretch in left.pieces.values() for edge in stretch]
        assert edges == sorted(edges)
        assert all(one[1] == other[0] for one, other in pairwise(left.pieces.values()))
        assert (edges[:1], edges[-1:]) == (([0], [left.nbytes]) if tiles else ([], []))


@given(TILES, st.randoms())
@settings(max_examples=30)
def test_the_name_tells_the_content_whatever_the_order(tiles: Tiles, random: Random) -> None:
    order = list(tiles)
    random.shuffle(order)
    with TemporaryDirectory() as folder:
        first = pieces.save(Path(folder, "a"), tiles)
        again = pieces.save(Path(folder, "a"), {tile: tiles[tile] for tile in order})
        assert again == first
        (file,) = Path(folder).iterdir()
        assert file.name == first.name == f"a-{hashlib.sha256(file.read_bytes()).hexdigest()[:32]}.arrow"


def test_another_attempt_leaves_the_same_or_another_object_beside(folder: Place) -> None:
    first, second = pieces.save(folder / "a", some(1)), pieces.save(folder / "a", some(2))
    assert first.name != second.name
    assert pieces.save(folder / "a", some(1)) == first
    assert places.sizes(folder) == {first.name: first.nbytes, second.name: second.nbytes}
    for left, tiles in ((first, some(1)), (second, some(2))):
        assert same(list(pieces.load(piece(folder / "a", left, 3))), tiles[3])


def test_a_batch_without_rows_leaves_an_empty_object(folder: Place) -> None:
    left = pieces.save(folder / "a", {})
    assert (left.nbytes, left.pieces) == (0, {})
    assert places.sizes(folder) == {left.name: 0}


def test_only_the_bytes_of_a_piece_are_asked_of_a_bucket(bucket: BucketPath, server: ForgetfulServer) -> None:
    left = pieces.save(bucket / "a", some())
    before = server.answered.copy()
    assert len(list(pieces.load(piece(bucket / "a", left, 2, 3)))) == 2
    assert server.answered - before == {("GET", "206"): 1}


@pytest.mark.parametrize("cut", ["between tiles", "within a tile", "before its end is marked", "all of it"])
def test_an_object_that_was_cut_is_an_error_and_not_fewer_rows(folder: Place, cut: str) -> None:
    left = pieces.save(folder / "a", some())
    whole = piece(folder / "a", left, 2, 3, 7)
    assert len(list(pieces.load(whole))) == 3
    kept = {
        "between tiles": left.pieces[3][1],
        "within a tile": left.pieces[7][0] + 100,
        "before its end is marked": left.nbytes - 8,
        "all of it": 0,
    }[cut]
    places.put(whole.at, whole.at.read_bytes()[:kept])
    with pytest.raises((pa.ArrowException, AccessError, EOFError, OSError)):
        list(pieces.load(whole))


def test_an_object_that_is_gone_is_an_error(folder: Place) -> None:
    left = pieces.save(folder / "a", some())
    places.remove(folder / left.name)
    with pytest.raises(OSError, match=r"not found|No such file"):
        list(pieces.load(piece(folder / "a", left, 2)))


def test_record_batches_of_different_columns_leave_nothing(folder: Place) -> None:
    unlike = pa.RecordBatch.from_pydict({"other": [1]})
    with pytest.raises((ValueError, pa.ArrowException)):
        pieces.save(folder / "a", {0: [(batch([1.0]), {}), (unlike, {})]})
    assert places.sizes(folder) == {}


def test_a_writer_whose_disk_is_full_leaves_what_was_there(tmp_path: Path) -> None:
    left = pieces.save(tmp_path / "a", some(1))
    with full_disk(left.nbytes // 2), pytest.raises(OSError, match="File too large"):
        pieces.save(tmp_path / "a", some(2))
    assert places.sizes(tmp_path) == {left.name: left.nbytes}
    assert same(list(pieces.load(piece(tmp_path / "a", left, 7))), some(1)[7])


@given(st.none() | st.frozensets(st.sampled_from("abc")))
def test_granules_count_unless_others_alone_do(counted: frozenset[str] | None) -> None:
    found = Piece(Path("a"), 0, 1, counted)
    assert {name for name in "abc" if found.counts(name)} == (set("abc") if counted is None else counted)
