from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.model.axis import Located
from eoscale.model.columns import Columns
from eoscale.model.cube import Cube
from eoscale.model.grid import Grid
from eoscale.model.period import Period
from tests.strategies import cubes

_DAYS = Period.every("1D", start="2024-01-01", stop="2024-01-04")
_CELLS = Grid(crs="EPSG:4326", resolution=1.0, west=-3, south=-2, width=5, height=4)


def _at(cube: Cube, cells: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Columns:
    """Return one row in the middle of each flat cell, as if of an axis order of time, y, x."""
    sizes = dict(zip(cube.dims, np.unravel_index(cells, cube.shape), strict=True))
    count = np.zeros(cells.size, np.int64)
    coordinates = cube.coordinates()
    names = {"longitude": "longitude", "latitude": "latitude", "time": "time"}
    return {
        name: coordinates[dim].values[sizes[dim]] if dim in sizes else count for name, dim in names.items()
    }


@given(cubes())
def test_keys_and_cells_are_one_to_one(cube: Cube) -> None:
    cells = np.arange(prod(cube.shape))
    located = cube.locate(_at(cube, cells))
    assert located.rows.tolist() == cells.tolist()
    assert len(set(located.bins.tolist())) == cells.size
    assert 0 <= located.bins.min() <= located.bins.max() < cube.tiles * cube.tile_cells


@given(cubes())
def test_a_key_lies_in_the_tile_whose_block_holds_its_cell(cube: Cube) -> None:
    cells = np.arange(prod(cube.shape))
    keys = cube.locate(_at(cube, cells)).bins
    for cell, key in zip(cells, keys, strict=True):
        block = cube.block(int(key) // cube.tile_cells)
        position = np.unravel_index(cell, cube.shape)
        assert all(part.start <= at < part.stop for part, at in zip(block, position, strict=True))


@given(cubes())
def test_the_blocks_of_all_tiles_hold_every_cell_once(cube: Cube) -> None:
    covered = np.zeros(cube.shape, int)
    for tile in range(cube.tiles):
        covered[cube.block(tile)] += 1
    assert (covered == 1).all()


@given(cubes(), st.data())
def test_dense_tiles_put_values_back_where_rows_were_found(cube: Cube, data: st.DataObject) -> None:
    some = st.lists(st.integers(0, prod(cube.shape) - 1), min_size=1, max_size=30)
    cells = np.array(data.draw(some), np.int64)
    keys, counts = np.unique(cube.locate(_at(cube, cells)).bins, return_counts=True)
    whole = np.full(cube.shape, -1)
    for tile in range(cube.tiles):
        of_tile = keys // cube.tile_cells == tile
        whole[cube.block(tile)] = cube.dense(tile, keys[of_tile], counts[of_tile], fill=0)
    expected = np.zeros(prod(cube.shape), int)
    np.add.at(expected, cells, 1)
    assert whole.ravel().tolist() == expected.tolist()


def test_a_dense_tile_keeps_the_type_of_its_values() -> None:
    cube = Cube(axes=(_CELLS,), tile_shape=(2, 3))
    block = cube.dense(1, np.array([6]), np.array([7.5], np.float32), fill=np.nan)
    assert block.dtype == np.float32
    assert block.shape == (2, 2)
    np.testing.assert_array_equal(block, [[7.5, np.nan], [np.nan, np.nan]])


def test_a_row_must_lie_on_every_axis() -> None:
    cube = Cube(axes=(_DAYS, _CELLS))
    columns = {
        "time": np.array(["2024-01-02", "2025-01-01", "2024-01-01", "NaT"], "M8[ns]"),
        "longitude": np.array([0.5, 0.5, 90.0, 0.5]),
        "latitude": np.zeros(4),
    }
    assert cube.locate(columns).rows.tolist() == [0]


def test_time_comes_first_and_is_cut_span_by_span() -> None:
    cube = Cube(axes=(_DAYS, _CELLS))
    assert cube.dims == ("time", "latitude", "longitude")
    assert cube.shape == (3, 4, 5)
    assert cube.tile_shape == (1, 4, 5)
    assert cube.tiles == 3
    assert repr(cube) == "<Cube (time: 3, latitude: 4, longitude: 5) in 3 tiles of (1, 4, 5)>"
    assert set(cube.coordinates().coords) == {"time", "time_bounds", "latitude", "longitude", "spatial_ref"}


def test_time_alone_is_one_tile_and_large_grids_are_cut() -> None:
    assert Cube(axes=(_DAYS,)).tile_shape == (3,)
    large = Grid(crs="EPSG:3413", resolution=1000, west=0, south=0, width=1025, height=100)
    assert Cube(axes=(large,)).tile_shape == (100, 512)
    assert Cube(axes=(large,)).tile_grid == (1, 3)


def test_weights_of_several_axes_multiply_and_follow_their_rows() -> None:
    class Halves:
        """Two bins that share each row, but for the first row, which has none."""

        dims = ("half",)
        shape = (2,)

        def locate(self, columns: Columns) -> Located:
            rows = np.repeat(np.arange(1, len(columns["time"])), 2)
            return Located(rows, np.tile([0, 1], rows.size // 2), np.tile([0.25, 0.75], rows.size // 2))

        coordinates = _DAYS.coordinates

    cube = Cube(axes=(Halves(), Halves()))
    located = cube.locate({"time": np.arange(4)})
    # each axis leaves out the first row that reaches it
    assert located.rows.tolist() == np.repeat([1, 2, 2, 3, 3], 2).tolist()
    assert located.weights is not None
    first = np.repeat([0.75, 0.25, 0.75, 0.25, 0.75], 2)
    assert located.weights.tolist() == (first * np.tile([0.25, 0.75], 5)).tolist()


@pytest.mark.parametrize("tile_shape", [(1,), (0, 1, 1), (1, 1, 1, 1)])
def test_tiles_that_do_not_cut_the_cube_are_refused(tile_shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not cut a cube of"):
        Cube(axes=(_DAYS, _CELLS), tile_shape=tile_shape)
