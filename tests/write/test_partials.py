from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from eoscale.model.reduction import Partial
from eoscale.write import partials, places
from eoscale.write.partials import Part
from eoscale.write.pieces import Left, Piece
from eoscale.write.places import Place

GRANULES = ["ATL06_1", "ATL06_2", "größer", "a b"]
PARTS = st.builds(
    Part, granule=st.sampled_from(GRANULES), variable=st.sampled_from(["h_li", "h_li_sigma", "höhe"])
)
Tiles = Mapping[int, Mapping[Part, Partial]]


@st.composite
def partial(draw: st.DrawFn) -> Partial:
    keys = np.array(sorted(draw(st.sets(st.integers(0, 2**62), max_size=8))), np.int64)
    columns = {
        "count": draw(hn.arrays(np.int64, keys.size)),
        "sum": draw(hn.arrays(np.float64, keys.size, elements=st.floats(width=64))),
    }
    return Partial(keys=keys, columns=columns)


TILES = st.dictionaries(st.integers(0, 4), st.dictionaries(PARTS, partial(), min_size=1, max_size=5))


def some(seed: int, parts: int = 3) -> Tiles:
    random = np.random.default_rng(seed)
    return {
        tile: {
            Part(f"granule {number}", "h_li"): Partial(
                keys=np.arange(5), columns={"count": random.integers(0, 9, 5), "sum": random.normal(size=5)}
            )
            for number in range(parts)
        }
        for tile in (0, 1)
    }


def piece(at: Place, left: Left, tile: int, counted: frozenset[str] | None = None) -> Piece:
    return Piece(at.with_name(left.name), *left.pieces[tile], counted)


@given(TILES)
@settings(max_examples=30)
def test_what_is_saved_is_loaded_tile_by_tile(tiles: Tiles) -> None:
    with TemporaryDirectory() as folder:
        at = Path(folder) / "0"
        left = partials.save(at, tiles)
        assert left.pieces.keys() == tiles.keys()
        for tile, parts in tiles.items():
            loaded = partials.load(piece(at, left, tile))
            assert loaded == parts
            assert list(loaded) == sorted(loaded)


@given(TILES, st.frozensets(st.sampled_from(GRANULES)))
@settings(max_examples=30)
def test_granules_that_do_not_count_are_left_out(tiles: Tiles, counted: frozenset[str]) -> None:
    with TemporaryDirectory() as folder:
        at = Path(folder) / "0"
        left = partials.save(at, tiles)
        for tile, parts in tiles.items():
            expected = {part: each for part, each in parts.items() if part.granule in counted}
            assert partials.load(piece(at, left, tile, counted)) == expected


@given(TILES, st.randoms())
@settings(max_examples=30)
def test_the_same_content_in_any_order_gives_the_same_bytes(tiles: Tiles, random: Random) -> None:
    order = {tile: list(parts) for tile, parts in random.sample(list(tiles.items()), len(tiles))}
    for parts in order.values():
        random.shuffle(parts)
    with TemporaryDirectory() as folder:
        at = Path(folder) / "0"
        first = partials.save(at, tiles)
        again = {tile: {part: tiles[tile][part] for part in parts} for tile, parts in order.items()}
        assert partials.save(at, again) == first
        assert [path.name for path in at.parent.iterdir()] == [first.name]


def test_values_keep_every_bit(folder: Place) -> None:
    odd = np.array([0x7FF8000000000001, 0x8000000000000000, 0x7FF0000000000000, 1], np.uint64).view(
        np.float64
    )
    part = Part("a", "h_li")
    left = partials.save(folder / "0", {0: {part: Partial(keys=np.arange(4), columns={"sum": odd})}})
    assert partials.load(piece(folder / "0", left, 0))[part].columns["sum"].tobytes() == odd.tobytes()


def test_a_batch_without_partials_leaves_an_object_without_partials(folder: Place) -> None:
    left = partials.save(folder / "0", {})
    assert not left.pieces
    assert places.sizes(folder) == {left.name: 0}


def test_what_another_attempt_leaves_does_not_change_what_was_left_before(folder: Place) -> None:
    at = folder / "0"
    first = partials.save(at, some(1))
    loaded = partials.load(piece(at, first, 0))
    second = partials.save(at, some(2, parts=50))
    assert loaded == partials.load(piece(at, first, 0)) == some(1)[0]
    assert partials.load(piece(at, second, 0)) == some(2, parts=50)[0]


def test_a_reader_sees_all_of_it_while_it_is_written_again(tmp_path: Path) -> None:
    at, expected = tmp_path / "0", some(0, parts=40)
    left = partials.save(at, expected)
    done, rewritten = threading.Event(), 0

    def rewrite() -> None:
        nonlocal rewritten
        while not done.is_set():
            assert partials.save(at, expected) == left
            rewritten += 1

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for number in range(100):
            assert partials.load(piece(at, left, number % 2)) == expected[number % 2]
    finally:
        done.set()
        writer.join()
    assert rewritten


def test_an_attempt_that_fails_leaves_nothing_and_the_earlier_object_as_it_was(folder: Place) -> None:
    at = folder / "0"
    left = partials.save(at, some(1))
    unlike = {Part("z", "h_li"): Partial(keys=np.arange(1), columns={"other": np.zeros(1)})}
    with pytest.raises((ValueError, pa.ArrowException)):
        partials.save(at, {0: {**some(2)[0], **unlike}})
    assert places.sizes(folder) == {left.name: left.nbytes}
    assert partials.load(piece(at, left, 0)) == some(1)[0]


def test_any_arrow_reader_opens_a_tile(tmp_path: Path) -> None:
    left = partials.save(tmp_path / "0", some(1))
    start, stop = left.pieces[1]
    table = pa.ipc.open_stream((tmp_path / left.name).read_bytes()[start:stop]).read_all()
    assert table.column_names == ["key", "count", "sum"]
    assert table.num_rows == 15
