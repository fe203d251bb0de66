from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from eoscale.errors import RecipeError
from eoscale.model.grid import Grid, _multiples
from eoscale.model.region import LONGITUDE_LATITUDE, Region, transformer
from tests.strategies import (
    POLAR,
    RESOLUTIONS,
    Floats,
    grids,
    near_the_edges,
    polar_regions,
    polygons,
    projected_regions,
    regions_in_any_turn,
)


def _around(first: int, cells: int, resolution: float) -> Floats:
    """Return edges, the nearest floats on both sides of each, and the middles between them."""
    edges = np.asarray((first + np.arange(cells + 1)) * resolution, np.float64)
    middles = (edges[1:] + edges[:-1]) / 2
    return np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf), middles])


def _located(grid: Grid, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return coordinates of the rows on the grid, and the multiples of the resolution below them."""
    found = grid.locate({"longitude": x, "latitude": y})
    row, column = np.divmod(found.bins, grid.width)
    return x[found.rows], y[found.rows], grid.west + column, grid.south + grid.height - 1 - row


@given(grids())
def test_a_cell_holds_its_west_and_south_edges(grid: Grid) -> None:
    resolution = grid.resolution
    x = _around(grid.west, grid.width, resolution)
    y = _around(grid.south, grid.height, resolution)
    x, y = (along.ravel() for along in np.meshgrid(x[np.abs(x) <= 180], y[np.abs(y) <= 90]))
    x, y, i, j = _located(grid, x, y)
    # rows west of the grid's west edge, and 180 on a grid from -180, lie in their cell a turn further
    here = (x >= grid.west * resolution) & (x < grid.west * resolution + 360)
    x, y, i, j = x[here], y[here], i[here], j[here]
    assert (i * resolution <= x).all()
    assert (x < (i + 1) * resolution).all()
    assert (j * resolution <= y).all()
    assert ((y < (j + 1) * resolution) | (y == 90)).all()


@given(grids(), st.lists(st.tuples(st.floats(-180, 360), st.floats(-90, 90)), min_size=1))
@example(Grid(crs="EPSG:4326", resolution=60, west=0, south=0, width=6, height=1), [(-1e-170, 0)])
def test_a_row_is_on_the_grid_exactly_where_a_cell_holds_it_in_some_turn(
    grid: Grid, points: list[tuple[float, float]]
) -> None:
    x, y = np.array(points).T
    west, south = grid.west * grid.resolution, grid.south * grid.resolution
    east, north = (grid.west + grid.width) * grid.resolution, (grid.south + grid.height) * grid.resolution
    turned = x + np.array([-720, -360, 0, 360, 720])[:, None]
    # a hair west of the seam a turn rounds to the seam, where all round the Earth there is a cell too
    on_grid = ((turned >= west) & (turned < east)).any(axis=0) | (east - west >= 360)
    on_grid &= y >= south
    on_grid &= (y < north) | ((y == 90) & (north == 90))
    found = grid.locate({"longitude": x, "latitude": y})
    assert found.rows.tolist() == np.flatnonzero(on_grid).tolist()
    assert found.weights is None


@given(st.sampled_from([0.1, 1 / 3, 0.7, 1.0, 2.5, 50.0]) | st.floats(0.05, 200), st.floats(-180, 179))
def test_a_grid_all_round_the_earth_holds_every_place_once(resolution: float, west: float) -> None:
    world = Region.from_bbox(west, -90, west + 360, 90)
    for region in (world, None):
        grid = Grid.over(region, crs=LONGITUDE_LATITUDE, resolution=resolution)
        assert (grid.width - 1) * resolution < 360 <= grid.width * resolution
        x = _around(grid.west, min(grid.width, 50), resolution)
        x = np.concatenate([x, x + 360, x - 360, [-180, 180, 0, 360, -360, 540, west, west + 360]])
        y = np.resize([90.0, 0.0, -90.0], x.shape)
        assert grid.locate({"longitude": x, "latitude": y}).rows.size == x.size
    column = _located(grid, np.array([180.0, -180.0]), np.zeros(2))[2]
    assert column[0] == column[1]


def test_rows_at_180_degrees_and_at_the_poles_are_in_the_first_column_and_the_outer_rows() -> None:
    world = Grid.over(None, crs=LONGITUDE_LATITUDE, resolution=0.5)
    _, _, i, j = _located(world, np.array([180.0, -180.0, 10.0, 10.0]), np.array([0.0, 0.0, 90.0, -90.0]))
    assert i.tolist() == [-360, -360, 20, 20]
    assert j.tolist() == [0, 0, 179, -180]
    north = Grid(crs=LONGITUDE_LATITUDE, resolution=1.0, west=0, south=80, width=3, height=9)
    assert not north.locate({"longitude": np.ones(1), "latitude": np.array([90.0])}).rows.size


def test_a_grid_across_the_antimeridian_holds_both_sides_of_it() -> None:
    grid = Grid.over(Region.from_bbox(170, -20, -170, -10), crs=LONGITUDE_LATITUDE, resolution=0.5)
    assert (grid.west, grid.width) == (340, 40)
    x = np.array([-175.0, 185.0, 175.0, 180.0, -180.0, -170.5, 169.0, -169.0, 0.0])
    found = grid.locate({"longitude": x, "latitude": np.full(x.shape, -15.0)})
    assert found.rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert (found.bins % grid.width).tolist() == [30, 30, 10, 20, 20, 39]
    assert grid.coordinates()["longitude"].values[[0, -1]].tolist() == [170.25, 189.75]


@given(RESOLUTIONS, st.lists(st.floats(-1e7, 1e7), min_size=1), st.integers(-(10**6), 10**6))
def test_multiples_are_exact_at_the_edges_as_integer_times_resolution(
    resolution: float, values: list[float], k: int
) -> None:
    edge = k * resolution
    points = np.array([*values, edge, np.nextafter(edge, -np.inf), np.nextafter(edge, np.inf)])
    found = _multiples(points, resolution)
    assert (found * resolution <= points).all()
    assert (points < (found + 1) * resolution).all()
    # at most one step from what exact arithmetic says
    exact = [Fraction(value) // Fraction(resolution) for value in points.tolist()]
    assert np.abs(found - np.array(exact, np.float64)).max() <= 1


def test_rows_without_coordinates_are_off_grid() -> None:
    grid = Grid(crs=LONGITUDE_LATITUDE, resolution=1.0, west=-1, south=-1, width=2, height=2)
    x = np.array([np.nan, 0.0, np.inf, 0.0, -np.inf, 0.0])
    y = np.array([0.0, np.nan, 0.0, np.inf, 0.0, 0.0])
    assert grid.locate({"longitude": x, "latitude": y}).rows.tolist() == [5]


def test_rows_that_the_crs_cannot_hold_are_off_grid() -> None:
    grid = Grid(crs="EPSG:3857", resolution=1e6, west=-20, south=-20, width=40, height=40)
    found = grid.locate({"longitude": np.zeros(3), "latitude": np.array([-90.0, 0.0, 91.0])})
    assert found.rows.tolist() == [1]


@given(grids(), st.integers(-3, 3), st.integers(-3, 3))
def test_grids_of_one_resolution_share_their_edges(grid: Grid, right: int, up: int) -> None:
    other = Grid(
        crs=grid.crs,
        resolution=grid.resolution,
        west=grid.west + right,
        south=grid.south + up,
        width=grid.width,
        height=grid.height,
    )
    x = _around(grid.west, grid.width, grid.resolution)
    # a row off a grid's own turn may be on it in another
    west, east = max(grid.west, other.west), min(grid.west, other.west)
    x = x[(np.abs(x) <= 180) & (x >= west * grid.resolution) & (x < east * grid.resolution + 360)]
    y = np.full(x.shape, np.clip((grid.south + grid.height / 2) * grid.resolution, -90, 90))
    here, there = _located(grid, x, y), _located(other, x, y)
    both = np.intersect1d(here[0], there[0])
    assert here[2][np.isin(here[0], both)].tolist() == there[2][np.isin(there[0], both)].tolist()


@given(grids())
def test_centres_lie_inside_their_own_cells(grid: Grid) -> None:
    coordinates = grid.coordinates()
    y, x = (coordinates[dim].values for dim in grid.dims)
    west, south = np.meshgrid(grid.west + np.arange(grid.width), grid.south + np.arange(grid.height)[::-1])
    assert (west * grid.resolution < x).all()
    assert (x < (west + 1) * grid.resolution).all()
    assert (south * grid.resolution < y[:, None]).all()
    assert (y[:, None] < (south + 1) * grid.resolution).all()
    assert (np.diff(y) < 0).all()
    assert (np.diff(x) > 0).all()


@given(grids())
def test_the_geobox_has_the_same_centres(grid: Grid) -> None:
    ours, theirs = grid.coordinates(), grid.geobox.coordinates
    assert grid.geobox.shape == grid.shape
    for dim in grid.dims:
        np.testing.assert_allclose(
            ours[dim].values, theirs[dim].values, rtol=0, atol=1e-9 * grid.resolution + 1e-9
        )


def test_coordinates_are_written_as_cf_and_gdal_do() -> None:
    coordinates = Grid(
        crs="EPSG:3413", resolution=1000, west=-200, south=-2300, width=3, height=2
    ).coordinates()
    assert coordinates["y"].values.tolist() == [-2298500.0, -2299500.0]
    assert coordinates["y"].attrs["standard_name"] == "projection_y_coordinate"
    assert coordinates["x"].attrs["units"] == "metre"
    mapping = coordinates["spatial_ref"]
    assert int(mapping) == 3413
    assert mapping.attrs["grid_mapping_name"] == "polar_stereographic"
    assert [float(word) for word in mapping.attrs["GeoTransform"].split()] == [
        -200_000.0,
        1000.0,
        0.0,
        -2_298_000.0,
        0.0,
        -1000.0,
    ]


def test_dimensions_are_named_after_the_kind_of_crs() -> None:
    size = {"west": 0, "south": 0, "width": 2, "height": 3}
    degrees = Grid(crs=LONGITUDE_LATITUDE, resolution=0.5, **size)
    metres = Grid(crs="EPSG:3413", resolution=1000, **size)
    assert (degrees.dims, metres.dims) == (("latitude", "longitude"), ("y", "x"))
    assert degrees.shape == (3, 2)
    assert degrees.coordinates()["latitude"].attrs["standard_name"] == "latitude"
    assert repr(metres) == "<Grid 3 x 2 cells of 1000, EPSG:3413>"


@given(polygons(), RESOLUTIONS)
def test_a_grid_over_a_region_is_the_smallest_that_covers_it(shape: BaseGeometry, resolution: float) -> None:
    resolution = min(max(resolution, 0.05), 60)
    region = Region(geometry=shape)
    grid = Grid.over(region, crs=LONGITUDE_LATITUDE, resolution=resolution)
    left, bottom, right, top = region.bounds
    east, north = grid.west + grid.width, grid.south + grid.height
    assert grid.west * resolution <= left < (grid.west + 1) * resolution
    assert grid.south * resolution <= bottom < (grid.south + 1) * resolution
    assert (east - 1) * resolution < right <= east * resolution or grid.width * resolution >= 360
    assert (north - 1) * resolution < top <= north * resolution


@given(polygons(), RESOLUTIONS)
def test_a_grid_over_a_region_holds_every_row_of_it(shape: BaseGeometry, resolution: float) -> None:
    region = Region(geometry=shape)
    longitude, latitude = near_the_edges(shape).T
    inside = region.contains(longitude, latitude)
    columns = {"longitude": longitude[inside], "latitude": latitude[inside]}
    for crs, side in ((LONGITUDE_LATITUDE, resolution), ("EPSG:6933", resolution * 1e5)):
        found = Grid.over(region, crs=crs, resolution=side).locate(columns)
        assert found.rows.size == inside.sum()


@given(projected_regions(), st.sampled_from(["EPSG:3413", "EPSG:32622", LONGITUDE_LATITUDE]))
def test_a_grid_in_another_crs_holds_every_row_of_a_region(region: Region, crs: str) -> None:
    _assert_held(region, crs, 0.01 if crs == LONGITUDE_LATITUDE else 100.0)


@given(
    regions_in_any_turn() | polar_regions(),
    st.sampled_from([LONGITUDE_LATITUDE, "EPSG:6933", "EPSG:8857", "ESRI:54009", "EPSG:3832"]),
)
def test_a_grid_holds_every_row_of_a_region_across_the_antimeridian_or_around_a_pole(
    region: Region, crs: str
) -> None:
    _assert_held(region, crs, 0.1 if crs == LONGITUDE_LATITUDE else 1e5)


@given(polar_regions(), st.sampled_from(sorted(POLAR)))
def test_a_grid_in_a_polar_crs_holds_every_row_of_a_polar_region(region: Region, crs: str) -> None:
    if POLAR[crs] == POLAR[region.crs]:
        _assert_held(region, crs, 1e3)


def _assert_held(region: Region, crs: str, resolution: float) -> None:
    points = near_the_edges(region.geometry)
    x, y = transformer(region.crs, LONGITUDE_LATITUDE).transform(*points.T)
    random = np.random.default_rng(0)
    west, south, east, north = region.bounds
    x = np.concatenate([x, random.uniform(west, east, 2000), [0, 180, 0, 180]])
    y = np.concatenate([y, random.uniform(south, north, 2000), [90, 90, -90, -90]])
    inside = region.contains(x, y)
    assert inside.any()
    found = Grid.over(region, crs=crs, resolution=resolution).locate(
        {"longitude": x[inside], "latitude": y[inside]}
    )
    assert found.rows.size == inside.sum()


@pytest.mark.parametrize(
    ("crs", "area"),
    [
        ("EPSG:3413", (-180, 60, 180, 90)),
        ("EPSG:3031", (-180, -90, 180, -60)),
        ("EPSG:3832", (170, -20, -170, -10)),
        ("EPSG:6933", (170, -20, -170, -10)),
        (LONGITUDE_LATITUDE, (-180, 60, 180, 90)),
    ],
)
def test_grids_over_caps_and_over_the_antimeridian_hold_what_is_inside(
    crs: str, area: tuple[float, float, float, float]
) -> None:
    region = Region.from_bbox(*area)
    _assert_held(region, crs, 0.1 if crs == LONGITUDE_LATITUDE else 5e4)


@pytest.mark.parametrize(("crs", "south", "side"), [("EPSG:3413", 60.0, 1), ("EPSG:3031", -60.3, -1)])
def test_the_curved_edge_of_a_box_is_on_the_grid_at_its_very_top(crs: str, south: float, side: int) -> None:
    middle = -45 if side > 0 else 0
    region = Region.from_bbox(middle - 20.3, south, middle + 30, south + 0.3)
    longitude = np.linspace(middle - 20.2, middle + 29.9, 100_001)
    edge = south if side > 0 else region.bounds[3]
    latitude = np.full(longitude.shape, np.nextafter(edge, 90 * side))
    assert region.contains(longitude, latitude).all()
    grid = Grid.over(region, crs=crs, resolution=3.0)
    assert grid.locate({"longitude": longitude, "latitude": latitude}).rows.size == longitude.size


def test_without_a_region_a_grid_covers_where_its_crs_is_used() -> None:
    world = Grid.over(None, crs=LONGITUDE_LATITUDE, resolution=0.1)
    assert (world.west, world.south, world.width, world.height) == (-1800, -900, 3600, 1800)
    arctic = Grid.over(None, crs="EPSG:3413", resolution=1e5)
    found = arctic.locate(
        {"longitude": np.array([0.0, 90.0, -45.0]), "latitude": np.array([90.0, 61.0, 61.0])}
    )
    assert found.rows.size == 3


def test_equal_grids_have_equal_digests() -> None:
    size = {"resolution": 1000, "west": 0, "south": 0, "width": 2}
    assert Grid(crs="EPSG:3413", height=2, **size) == Grid(crs="EPSG:3413", height=2, **size)
    assert Grid(crs="EPSG:3413", height=2, **size) != Grid(crs="EPSG:3413", height=3, **size)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"crs": "EPSG:1"}, "CRS 'EPSG:1' is unknown to PROJ: give e.g. EPSG:3413"),
        ({"resolution": 0}, "resolution is 0, expected a positive number"),
        ({"resolution": np.nan}, "resolution is nan, expected a positive number"),
        ({"width": 0}, "grid of 0 x 2 cells; expected 1"),
        ({"width": -1, "height": -1}, "grid of -1 x -1 cells"),
        ({"width": 2**30, "height": 2**11}, r"expected 1 to 2\*\*40"),
        ({"crs": "EPSG:4326", "resolution": 0.7, "width": 516}, "round the Earth more than once.*most 515"),
    ],
)
def test_what_is_no_grid_is_refused(words: dict[str, float], reason: str) -> None:
    good = {"crs": "EPSG:3413", "resolution": 1000, "west": 0, "south": 0, "width": 2, "height": 2}
    with pytest.raises(RecipeError, match=reason):
        Grid(**{**good, **words})  # type: ignore[arg-type]


def test_a_grid_over_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match="resolution is -1, expected a positive number"):
        Grid.over(None, crs="EPSG:3413", resolution=-1)
    with pytest.raises(RecipeError, match="states no area of use: give a region"):
        Grid.over(None, crs="+proj=laea +lat_0=45 +lon_0=0", resolution=1000)
    with pytest.raises(RecipeError, match="CRS 'nowhere' is unknown"):
        Grid.over(Region.from_bbox(0, 0, 1, 1), crs="nowhere", resolution=1)
