from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from eoscale.errors import RecipeError
from eoscale.model.mask import _EDGE
from eoscale.model.region import LONGITUDE_LATITUDE, Region, transformer
from tests.strategies import (
    POLAR,
    Floats,
    near_the_edges,
    polar_regions,
    polygons,
    projected_regions,
    regions_in_any_turn,
    stars,
)

_BOWTIE = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
_TWICE = shapely.Polygon([(0, 0), (3, 0), (3, 3), (1, 3), (1, 1), (2, 1), (2, 2), (-1, 2), (-1, 0)])
_FIJI = shapely.MultiPolygon([shapely.box(177, -20, 180, -15), shapely.box(-180, -20, -178, -16)])
_WORLD = shapely.box(-180, -90, 180, 90)
_SEEDS = st.integers(0, 2**32)


def _special() -> Floats:
    """Return (n, 2) points where longitudes begin and end, at the poles, and nowhere."""
    x = [-540.0, -360.0, -180.0, 0.0, 180.0, 360.0, 540.0]
    x += [float(np.nextafter(end, to)) for end in (-180.0, 180.0) for to in (-999, 999)]
    y = [-90.0, -89.9, -15.0, 0.0, 18.0, 75.0, 89.9, 90.0]
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return np.concatenate([places, [(np.nan, 0), (0, np.nan), (np.inf, 0), (-np.inf, 0), (0, np.inf)]])


def _within(region: Region, points: Floats) -> NDArray[np.bool_]:
    """Return what geopandas finds within, in the polygon's own CRS: in any turn if that is geographic."""
    x, y = points.T
    if region.crs != LONGITUDE_LATITUDE:
        own = Transformer.from_crs("EPSG:4326", region.crs, always_xy=True)
        x, y = own.transform(x, y)
        turns = [0] if own.target_crs is not None and own.target_crs.is_projected else [-1, 0, 1]
    else:
        turns = [-2, -1, 0, 1, 2]
    found = np.zeros(len(points), np.bool_)
    finite = np.isfinite(x) & np.isfinite(y)
    for turn in turns:
        shifted = gpd.GeoSeries.from_xy(x[finite] + 360 * turn, y[finite])
        found[finite] |= shifted.within(region.geometry).to_numpy()
    return found


def _in_degrees(region: Region) -> Floats:
    """Return (n, 2) longitudes and latitudes at, beside and off the region's edges, in several turns."""
    points = near_the_edges(region.geometry)
    if region.crs != LONGITUDE_LATITUDE:
        points = np.column_stack(transformer(region.crs, LONGITUDE_LATITUDE).transform(*points.T))
    places = np.concatenate([points, points + np.array([360, 0]), points - np.array([360, 0])])
    return np.concatenate([places[np.isfinite(places).all(axis=1)], _special()])


@given(regions_in_any_turn() | polar_regions() | projected_regions())
def test_a_region_contains_what_lies_within_it_in_its_own_crs(region: Region) -> None:
    points = _in_degrees(region)
    assert region.contains(*points.T).tolist() == _within(region, points).tolist()


@given(regions_in_any_turn() | polar_regions() | projected_regions())
def test_many_points_are_found_as_few_are(region: Region) -> None:
    points = _in_degrees(region)
    random = np.random.default_rng(0)
    anywhere = np.column_stack([random.uniform(-180, 360, 40_000), random.uniform(-90, 90, 40_000)])
    west, south, east, north = region.bounds
    nearby = random.uniform((west, south), (east, north), (40_000, 2))
    many = np.concatenate([anywhere, nearby, points])
    found = region.contains(*many.T)
    raster = region._mask._raster
    assert (raster is None) == (region._mask._box is not None)
    if raster is not None:
        assert (raster.look_up(*near_the_edges(region.geometry).T) == _EDGE).any()
    few = Region(geometry=region.geometry, crs=region.crs)
    assert found[-len(points) :].tolist() == few.contains(*points.T).tolist()
    assert not few._mask.built
    expected = _within(region, many[::40])
    assert (found[::40] == expected).all()


@given(regions_in_any_turn() | polar_regions() | projected_regions())
def test_what_a_region_contains_is_inside_its_bounds_in_some_turn(region: Region) -> None:
    points = _in_degrees(region)
    random = np.random.default_rng(1)
    points = np.concatenate([points, random.uniform((-180, -90), (180, 90), (2000, 2))])
    inside = points[region.contains(*points.T)]
    west, south, east, north = region.bounds
    assert -180 <= west < 180
    assert west < east <= west + 360
    turns = np.array([-720, -360, 0, 360, 720])[:, None]
    assert ((inside[:, 0] + turns >= west) & (inside[:, 0] + turns <= east)).any(axis=0).all()
    assert ((inside[:, 1] >= south) & (inside[:, 1] <= north)).all()


@given(
    regions_in_any_turn() | polar_regions() | projected_regions() | st.just(Region(geometry=_WORLD)), _SEEDS
)
def test_a_box_that_holds_a_point_inside_touches_the_region(region: Region, seed: int) -> None:
    points = _in_degrees(region)
    points = points[region.contains(*points.T)]
    random = np.random.default_rng(seed)
    reach = random.choice([0, 1e-12, 1e-3, 1, 180], (len(points), 4))
    boxes = np.concatenate([points - reach[:, :2], points + reach[:, 2:]], axis=1)
    boxes[:, ::2] += 360 * random.integers(-1, 2, (len(points), 1))
    assert region.touches(boxes).all()
    assert region.touches(np.array([region.bounds])).all()


@given(regions_in_any_turn(), _SEEDS)
def test_a_box_touches_a_region_of_degrees_if_it_meets_its_polygon_in_some_turn(
    region: Region, seed: int
) -> None:
    random = np.random.default_rng(seed)
    west, south, east, north = region.bounds
    corner = random.uniform((west - 30, south - 30), (east + 30, north + 30), (300, 2))
    size = random.choice([0, 1e-3, 1, 30], (300, 2))
    boxes = np.concatenate([corner, corner + size], axis=1)
    turns = [shapely.box(*(boxes + turn).T) for turn in np.outer(360 * np.arange(-4, 4), [1, 0, 1, 0])]
    distance = np.min([shapely.distance(region.geometry, turned) for turned in turns], axis=0)
    assert (distance > 1e-6).any()
    assert region.touches(boxes)[distance == 0].all()
    assert not region.touches(boxes)[distance > 1e-6].any()


@given(polar_regions() | projected_regions())
def test_a_box_away_from_the_bounds_touches_no_region(region: Region) -> None:
    west, south, east, north = region.bounds
    away = [(-180.0, north + 0.1, 180.0, north + 9), (-180.0, south - 9, 180.0, south - 0.1)]
    if east - west < 359:
        away.append((east + 0.1, -90.0, west + 359.9, 90.0))
    assert not region.touches(np.array(away)).any()
    assert region.touches(np.array([(west + 720, south, east + 720, north)])).all()


@pytest.mark.parametrize("turn", [-360, 0, 360])
def test_a_box_a_centimetre_off_touches_nothing_and_one_on_the_edge_does(turn: float) -> None:
    region = Region.from_bbox(0, 0, 1, 1)
    for off, touched in [(0, True), (1e-7, False)]:
        boxes = np.array([(1 + off, 0, 2, 1), (-1, 0, -off, 1), (0, 1 + off, 1, 2), (0, -1, 1, -off)])
        boxes[:, ::2] += turn
        assert region.touches(boxes).tolist() == [touched] * 4


def test_boxes_of_nothing_touch_nothing() -> None:
    for region in (Region(geometry=_WORLD), Region(geometry=shapely.box(0, 0, 1e6, 1e6), crs="EPSG:3413")):
        assert region.touches(np.array([[np.nan] * 4, [0, 89, 1, 90]])).tolist() == [False, True]
        assert region.touches(np.zeros((0, 4))).shape == (0,)


@given(st.sampled_from(sorted(POLAR)), st.data())
def test_a_region_around_a_pole_contains_it_and_reaches_all_round(crs: str, data: st.DataObject) -> None:
    star = data.draw(stars(x=0, y=0, reach=1e6))
    region = Region(geometry=shapely.Polygon(star.exterior), crs=crs)
    pole = 90.0 * POLAR[crs]
    assert region.contains([0, 77, -180], [pole] * 3).all()
    west, south, east, north = region.bounds
    assert (west, east) == (-180, 180)
    assert pole in (south, north)
    assert 70 < abs(south + north - pole) < 90


@given(regions_in_any_turn())
def test_the_same_polygon_a_turn_further_is_the_same_region(region: Region) -> None:
    west, _, east, _ = region.geometry.bounds
    turn = -360 if east > 180 else 360
    if not (west + turn >= -360 and east + turn <= 540):
        return
    # binary fractions, that a turn leaves exact
    shape = shapely.set_precision(region.geometry, 2**-20)
    moved = shapely.transform(shape, lambda xy: xy + np.array([turn, 0]))
    one, other = Region(geometry=shape), Region(geometry=moved)
    points = np.random.default_rng(2).uniform((-180, -90), (180, 90), (5000, 2))
    points = np.round(np.concatenate([points, shapely.get_coordinates(shape)]) * 2**20) / 2**20
    assert one.bounds == other.bounds
    assert one.contains(*points.T).tolist() == other.contains(*points.T).tolist()


@given(polygons() | regions_in_any_turn().map(lambda region: region.geometry))
def test_parts_cut_at_the_antimeridian_are_the_same_region(shape: BaseGeometry) -> None:
    region = Region(geometry=shape)
    cut = Region(geometry=region.outline(vertices=10**6))
    points = np.random.default_rng(3).uniform((-180, -90), (180, 90), (5000, 2))
    beyond = shapely.dwithin(cut.geometry.boundary, shapely.points(points), 1e-6)
    points = points[~beyond]
    assert cut.contains(*points.T).tolist() == region.contains(*points.T).tolist()
    assert cut.bounds == pytest.approx(region.bounds, abs=1e-9)


def test_the_antimeridian_is_no_boundary_where_the_region_lies_on_both_sides() -> None:
    y = [-17.0, -17.0, -15.5, -16.0]
    for fiji in (Region(geometry=_FIJI), Region(geometry=shapely.MultiPolygon(_FIJI.geoms[::-1]))):
        assert fiji.contains([180, -180, 180, 180], y).tolist() == [True, True, False, False]
        assert fiji.contains([179, -179, 181, 176.9, 540], [-17] * 5).tolist() == [
            True,
            True,
            True,
            False,
            True,
        ]
        assert fiji.bounds == (177, -20, 182, -15)
    one_side = Region.from_bbox(170, -20, 180, -10)
    assert not one_side.contains([180, -180], [-15, -15]).any()


@pytest.mark.parametrize("west", [-360, -180, -37.3, 0, 180])
def test_the_whole_earth_contains_every_place(west: float) -> None:
    world = Region.from_bbox(west, -90, west + 360, 90)
    x, y = _special()[:-5].T
    assert world.contains(x, y).all()
    assert world.contains([west, west + 360], [0, 0]).all()
    assert not world.contains(*_special()[-5:].T).any()
    assert world.bounds == (-180, -90, 180, 90)


def test_a_pole_is_inside_where_the_region_lies_all_round_it() -> None:
    parts = [shapely.box(-180, 60, -10, 90), shapely.box(-10, 70, 180, 90)]
    with pytest.warns(UserWarning, match="the region was mended"):
        cap = Region(geometry=shapely.MultiPolygon(parts))
    assert cap.contains([0, 180, -180, -10, 180], [90, 90, 75, 75, 65]).tolist() == [
        True,
        True,
        True,
        True,
        False,
    ]
    assert not Region.from_bbox(-180, 60, 179, 90).contains([0, 180], [90, 90]).any()
    hole = Region(geometry=_WORLD.difference(shapely.box(-180, 80, 180, 90)))
    assert hole.contains([0, 180, 0], [90, 0, -90]).tolist() == [False, True, True]


def test_fifty_thousand_corners_are_tested_as_geopandas_does() -> None:
    turn = 2 * np.pi * np.arange(50_000) / 50_000
    radius = 1 + 0.2 * np.sin(7 * turn) + 0.01 * np.sin(4001 * turn)
    star = shapely.Polygon(np.column_stack([178 + 20 * radius * np.cos(turn), 40 * radius * np.sin(turn)]))
    region = Region(geometry=star)
    random = np.random.default_rng(5)
    points = random.uniform((-180, -90), (180, 90), (60_000, 2))
    corners = shapely.get_coordinates(star)
    points = np.concatenate([points, corners, np.nextafter(corners, 0)])
    found = region.contains(*points.T)
    assert region._mask.built
    few = np.concatenate([np.arange(0, 60_000, 30), np.arange(60_000, len(points), 100)])
    assert (found[few] == _within(region, points[few])).all()
    assert not found[60_000:110_001].any()


@pytest.mark.parametrize("crs", ["OGC:CRS84", "epsg:4326", "WGS84", "+proj=longlat +datum=WGS84 +no_defs"])
def test_spellings_of_longitude_and_latitude_are_one(crs: str) -> None:
    assert Region(geometry=_FIJI, crs=crs) == Region(geometry=_FIJI)


@pytest.mark.parametrize("crs", ["EPSG:4258", "EPSG:4267"])
def test_other_longitudes_and_latitudes_go_round_too(crs: str) -> None:
    fiji = Region(geometry=shapely.box(177, -20, 182, -15), crs=crs)
    points = np.random.default_rng(6).uniform((-180, -25), (180, -10), (20_000, 2))
    points[::2, 0] = points[::2, 0] / 60 + np.where(points[::2, 0] > 0, 176, -176)
    found = fiji.contains(*points.T)
    assert found.any()
    assert (found == _within(fiji, points)).all()
    assert fiji.bounds == pytest.approx((177, -20, 182, -15), abs=0.01)
    assert fiji.bounds_in(crs) == (177, -20, 182, -15)
    world = Region(geometry=shapely.box(-180, -80, 180, 80), crs=crs)
    assert world.contains(points[:, 0], points[:, 1]).all()
    assert world.bounds[::2] == (-180, 180)


@given(polygons())
def test_a_region_contains_what_geopandas_finds_within(shape: BaseGeometry) -> None:
    points = near_the_edges(shape)
    within = gpd.GeoSeries.from_xy(*points.T).within(shape)
    assert Region(geometry=shape).contains(*points.T).tolist() == within.tolist()


@given(polygons())
def test_corners_and_the_boundary_are_outside(shape: BaseGeometry) -> None:
    corners = shapely.get_coordinates(shape)
    assert not Region(geometry=shape).contains(*corners.T).any()


def test_edges_of_a_box_are_outside_and_what_is_beside_them_inside() -> None:
    region = Region.from_bbox(-51, 69, -49, 72)
    assert not region.contains([-51, -49, -50, -50], [70, 70, 69, 72]).any()
    east, north = np.nextafter([-51.0, 69.0], 90)
    west, south = np.nextafter([-49.0, 72.0], -90)
    assert region.contains([east, west, -50, -50], [70, 70, north, south]).all()


def test_a_hole_is_outside() -> None:
    ring = shapely.Polygon(shapely.box(0, 0, 9, 9).exterior, [shapely.box(3, 3, 6, 6).exterior])
    assert Region(geometry=ring).contains([1, 4.5, 3], [1, 4.5, 4]).tolist() == [True, False, False]


@given(projected_regions())
def test_bounds_in_another_crs_hold_the_bulge_of_every_edge(region: Region) -> None:
    points = near_the_edges(region.geometry)
    x, y = transformer(region.crs, LONGITUDE_LATITUDE).transform(*points.T)
    inside = region.contains(x, y)
    left, bottom, right, top = region.bounds_in(LONGITUDE_LATITUDE)
    assert left <= x[inside].min() <= x[inside].max() <= right
    assert bottom <= y[inside].min() <= y[inside].max() <= top


@given(polygons())
def test_bounds_in_its_own_crs_are_those_of_the_corners(shape: BaseGeometry) -> None:
    region = Region(geometry=shape)
    assert region.bounds == region.bounds_in(LONGITUDE_LATITUDE)
    west, south, east, north = region.bounds
    assert (south, north) == shape.bounds[1::2]
    ends = shapely.bounds(shapely.get_parts(shape))[:, ::2]
    assert west in ends
    assert east in np.concatenate([ends, ends + 360])
    assert east - west <= shape.bounds[2] - shape.bounds[0]
    if shape.geom_type == "Polygon":
        assert region.bounds == shape.bounds


def test_a_crs_that_cannot_hold_the_region_is_refused() -> None:
    with pytest.raises(RecipeError, match="cannot be expressed in EPSG:6931: it leaves that CRS's domain"):
        Region.from_bbox(-10, -90, 10, 0).bounds_in("EPSG:6931")


@pytest.mark.parametrize(
    ("shape", "bounds"),
    [
        (_FIJI, (177, -20, 182, -15)),
        (shapely.box(190, 0, 200, 1), (-170, 0, -160, 1)),
        (shapely.box(-190, 0, -170, 1), (170, 0, 190, 1)),
        (shapely.box(0, 0, 360, 1), (-180, 0, 180, 1)),
        (shapely.MultiPolygon([shapely.box(-60, 0, -50, 1), shapely.box(120, 0, 130, 1)]), (-60, 0, 130, 1)),
        (shapely.MultiPolygon([shapely.box(-180, 0, -170, 1), shapely.box(20, 0, 30, 1)]), (20, 0, 190, 1)),
        (
            shapely.MultiPolygon(
                [shapely.box(-180, 65, -170, 70), shapely.box(20, 54, 22, 55), shapely.box(28, 45, 180, 80)]
            ),
            (20, 45, 190, 80),
        ),
    ],
)
def test_bounds_are_the_smallest_arc_over_the_antimeridian(
    shape: BaseGeometry, bounds: tuple[float, float, float, float]
) -> None:
    assert Region(geometry=shape).bounds == bounds


def test_a_region_across_the_outer_edge_of_a_plane_gets_its_area_of_use() -> None:
    box = Region.from_bbox(170, -20, -170, -10)
    left, bottom, right, top = box.bounds_in("EPSG:6933")
    assert (left, right) == pytest.approx((-17367530.45, 17367530.45), abs=1)
    low = transformer(LONGITUDE_LATITUDE, "EPSG:6933").transform([0, 0], [-20, -10])[1]
    assert (bottom, top) == pytest.approx(low, abs=10)
    with pytest.raises(RecipeError, match=r"crosses the outer edge of .*states no area of use: give a CRS"):
        box.bounds_in("+proj=cea")
    # the other CRS is cut elsewhere
    assert box.bounds_in("+proj=cea +lon_0=180")[2] == pytest.approx(1.11e6, rel=0.01)
    # its edges say nothing of where the plane ends: they are all in the middle of it
    left, _, right, _ = Region.from_bbox(0, -90, 360, 90).bounds_in("ESRI:54009")
    assert right - left > 3.6e7
    assert Region(geometry=shapely.box(-2e6, -2e6, 2e6, 2e6), crs="EPSG:3413").bounds_in("EPSG:6933")[
        3
    ] == pytest.approx(7342230, abs=1)


@pytest.mark.parametrize(("crs", "south", "north"), [("EPSG:3413", 60, 90), ("EPSG:3031", -90, -60)])
def test_bounds_of_a_polar_cap_are_tight_in_a_polar_crs(crs: str, south: float, north: float) -> None:
    edge = transformer(LONGITUDE_LATITUDE, crs).transform(
        np.linspace(-180, 180, 9999), np.full(9999, south + north + 90 * (1 if south < 0 else -1))
    )
    reach = float(np.hypot(*edge).max())
    for west in (-180, 0):
        box = np.array(Region.from_bbox(west, south, west + 360, north).bounds_in(crs))
        assert (np.abs(box) >= reach * (1 - 1e-12)).all()
        assert (np.abs(box) < reach * 1.01).all()


def test_points_without_coordinates_are_outside() -> None:
    region = Region.from_bbox(-180, -90, 180, 90)
    assert not region.contains([np.nan, 0, np.inf], [0, np.nan, 0]).any()


def test_no_points_are_no_answer() -> None:
    assert Region.from_bbox(0, 0, 1, 1).contains([], []).shape == (0,)


@given(polygons())
def test_a_pickled_region_is_the_same_region(shape: BaseGeometry) -> None:
    region = Region(geometry=shape)
    points = near_the_edges(shape)
    expected = region.contains(*points.T)
    region.contains(np.zeros(10**5), np.zeros(10**5))
    packed = pickle.dumps(region)
    assert len(packed) < 500 + len(shapely.to_wkb(shape))
    again = pickle.loads(packed)  # noqa: S301  its own bytes
    assert again == region
    assert hash(again) == hash(region)
    assert again.contains(*points.T).tolist() == expected.tolist()


def test_equal_content_has_an_equal_digest_and_another_has_not() -> None:
    one, same = Region.from_bbox(0, 0, 1, 1), Region(geometry=shapely.box(0, 0, 1, 1))
    assert one.digest == same.digest
    assert one.digest != Region.from_bbox(0, 0, 1, 2).digest
    metres = shapely.box(500_000, 7_000_000, 600_000, 7_100_000)
    assert Region(geometry=metres, crs="EPSG:32622") != Region(geometry=metres, crs="EPSG:32623")


def test_threads_may_ask_one_region_at_once() -> None:
    turn = 2 * np.pi * np.arange(20_000) / 20_000
    star = np.column_stack([(20 + np.sin(9 * turn)) * np.cos(turn), 20 * np.sin(turn)])
    points = np.random.default_rng(7).uniform(-30, 30, (16, 5000, 2))
    expected = shapely.contains_xy(shapely.Polygon(star), points[..., 0], points[..., 1])
    for _ in range(3):
        region = Region(geometry=shapely.Polygon(star))
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda some, region=region: region.contains(*some.T), points))
        assert (np.array(found) == expected).all()
        assert region._mask.built


def test_threads_may_ask_one_region_for_boxes_at_once() -> None:
    turn = 2 * np.pi * np.arange(20_000) / 20_000
    star = np.column_stack([(20 + np.sin(9 * turn)) * np.cos(turn), 20 * np.sin(turn)])
    corners = np.random.default_rng(9).uniform(-25, 25, (16, 500, 2))
    boxes = np.concatenate([corners, corners + 0.3], axis=2)
    expected = shapely.intersects(shapely.Polygon(star), shapely.box(*np.moveaxis(boxes, 2, 0)))
    assert expected.any()
    assert not expected.all()
    for _ in range(3):
        region = Region(geometry=shapely.Polygon(star))
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda some, region=region: region.touches(some), boxes))
        assert (np.array(found) == expected).all()


@given(regions_in_any_turn() | polar_regions() | projected_regions())
def test_the_outline_is_the_region_on_a_map_of_the_earth(region: Region) -> None:
    shape = region.outline(vertices=10**6)
    assert shape.is_valid
    assert _WORLD.covers(shape)
    points = np.random.default_rng(8).uniform((-180, -90), (180, 90), (3000, 2))
    west, south, east, north = region.bounds
    points = np.concatenate(
        [points, np.random.default_rng(8).uniform((west, south), (east, north), (500, 2))]
    )
    points[:, 0] = (points[:, 0] + 180) % 360 - 180
    # pieces of a hundredth are drawn straight on the map, and curves in truth; nothing is drawn at a pole
    near = shapely.dwithin(shape.boundary, shapely.points(points), 0.3) | (np.abs(points[:, 1]) > 80)
    assert (region.contains(*points.T) == shapely.contains_xy(shape, *points.T))[~near].all()


@given(projected_regions())
def test_the_outline_is_inside_the_bounds(region: Region) -> None:
    west, south, east, north = region.bounds
    left, bottom, right, top = region.outline().bounds
    assert west <= left < right <= east
    assert south <= bottom < top <= north


def test_the_outline_has_parts_on_both_sides_of_the_antimeridian() -> None:
    outline = Region.from_bbox(170, -20, -170, -10).outline()
    assert outline.equals(
        shapely.union_all([shapely.box(170, -20, 180, -10), shapely.box(-180, -20, -170, -10)])
    )
    around = Region(geometry=shapely.box(-1e6, -1e6, 1e6, 1e6), crs="EPSG:3031").outline()
    assert around.bounds[:3] == pytest.approx((-180, -90, 180), abs=1e-9)
    ring = shapely.Point(0, 0).buffer(2e6).difference(shapely.Point(0, 0).buffer(1e6))
    assert Region(geometry=ring, crs="EPSG:3413").outline().bounds[3] < 85


def test_the_outline_of_many_corners_is_made_simpler() -> None:
    region = Region(geometry=shapely.Point(0, 0).buffer(20, quad_segs=5000))
    assert region.vertices > 20_000
    assert 3 < shapely.get_num_coordinates(region.outline(vertices=500)) <= 500


@pytest.mark.parametrize(
    ("shape", "crs", "reason"),
    [
        (shapely.Polygon(), LONGITUDE_LATITUDE, "empty"),
        (shapely.LineString([(0, 0), (1, 1)]), LONGITUDE_LATITUDE, "made of polygons, got a LineString"),
        (shapely.Point(0, 0), LONGITUDE_LATITUDE, "made of polygons, got a Point"),
        (_TWICE, LONGITUDE_LATITUDE, "no valid polygon .Self-intersection.*more than one area.*make_valid"),
        (
            shapely.Polygon(shapely.box(0, 0, 1, 1).exterior, [shapely.box(0.5, 0.5, 2, 0.6).exterior]),
            LONGITUDE_LATITUDE,
            "more than one area",
        ),
        (shapely.Polygon([(0, 0), (1, 0), (2, 0)]), LONGITUDE_LATITUDE, "covers no area"),
        (shapely.Polygon([(0, 0), (1, 0), (1, np.inf)]), LONGITUDE_LATITUDE, "corners without coordinates"),
        (shapely.box(0, 0, 1, 1), "EPSG:1", "CRS 'EPSG:1' is unknown"),
        (shapely.box(170, 0, 541, 1), LONGITUDE_LATITUDE, "170 to 541 degrees east.*at most 360 degrees"),
        (shapely.box(-180, 0, 190, 1), LONGITUDE_LATITUDE, "at most 360 degrees within -360 to 540"),
        (shapely.box(0, 0, 1, 91), LONGITUDE_LATITUDE, "degrees north, expected"),
        (shapely.box(0, 0, 2e7, 2e7), "EPSG:6931", "leaves that CRS's domain"),
    ],
)
def test_what_is_no_region_is_refused(shape: BaseGeometry, crs: str, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        Region(geometry=shape, crs=crs)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((10, 0, 10, 1), r"\[10, 0, 10, 1\].*west < east, or west > east across the antimeridian"),
        ((0, 5, 1, 5), "south < north"),
        ((400, 0, 10, 1), "west < east"),
        ((170, 0, 541, 1), "at most 360"),
        ((np.nan, 0, 1, 1), "west < east"),
    ],
)
def test_a_box_that_is_none_is_refused(box: tuple[float, float, float, float], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        Region.from_bbox(*box)


def test_parts_on_both_sides_of_the_antimeridian_are_one_region() -> None:
    parts = [shapely.box(-2.0e7, 0, -1.99e7, 1e5), shapely.box(1.99e7, 0, 2.0e7, 1e5)]
    region = Region(geometry=shapely.MultiPolygon(parts), crs="EPSG:3857")
    assert region.contains([-179.5, 179.5, 0], [0.5, 0.5, 0.5]).tolist() == [True, True, False]


def test_a_frame_becomes_the_union_of_its_polygons_in_its_own_crs() -> None:
    boxes = [shapely.box(5e5, 7e6, 6e5, 7.1e6), shapely.box(5.5e5, 7e6, 6.5e5, 7.1e6)]
    region = Region.from_frame(gpd.GeoDataFrame(geometry=boxes, crs="EPSG:32622"))
    assert region.crs == "EPSG:32622"
    assert region.geometry.equals(shapely.box(5e5, 7e6, 6.5e5, 7.1e6))


def test_what_is_no_table_of_polygons_is_refused() -> None:
    with pytest.raises(RecipeError, match="no CRS: set one with set_crs"):
        Region.from_frame(gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)]))
    mixed = [shapely.box(0, 0, 1, 1), shapely.Point(0, 0), shapely.LineString([(0, 0), (1, 1)])]
    with pytest.raises(RecipeError, match="its table holds LineString and Point: leave them out"):
        Region.from_frame(gpd.GeoDataFrame(geometry=mixed, crs="EPSG:4326"))
    for nothing in ([], [None], [shapely.Polygon()]):
        with pytest.raises(RecipeError, match="holds no polygons"):
            Region.from_frame(gpd.GeoDataFrame(geometry=nothing, crs="EPSG:4326"))
    with pytest.raises(RecipeError, match="more than one area"):
        Region.from_frame(gpd.GeoSeries([_TWICE], crs="EPSG:4326"))


@pytest.mark.parametrize(
    ("shape", "same"),
    [
        (
            _BOWTIE,
            [shapely.Polygon([(0, 0), (0.5, 0.5), (0, 1)]), shapely.Polygon([(1, 0), (1, 1), (0.5, 0.5)])],
        ),
        (shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)]), [shapely.box(0, 0, 2, 1)]),
        (shapely.MultiPolygon([shapely.box(0, 0, 2, 1), shapely.box(1, 0, 3, 1)]), [shapely.box(0, 0, 3, 1)]),
        (
            shapely.Polygon(shapely.box(0, 0, 3, 3).exterior, [shapely.box(0, 1, 1, 2).exterior]),
            [shapely.box(0, 0, 3, 3).difference(shapely.box(0, 1, 1, 2))],
        ),
        (shapely.Polygon([(0, 0), (1, 0), (1, 5), (1, 0), (1, 1), (0, 1)]), [shapely.box(0, 0, 1, 1)]),
    ],
    ids=["bow-tie", "shared edge", "overlap", "hole along the shell", "spike"],
)
def test_what_can_mean_only_one_area_is_mended_with_a_warning(
    shape: BaseGeometry, same: list[BaseGeometry]
) -> None:
    with pytest.warns(UserWarning, match=r"the region was mended: [A-Z].*\[") as caught:
        region = Region(geometry=shape)
    assert caught[0].filename == __file__
    assert region.geometry.equals(shapely.union_all(same))
    assert region.geometry.is_valid
    with pytest.warns(UserWarning, match="mended"):
        assert Region.from_frame(gpd.GeoSeries([shape], crs="EPSG:4326")).geometry.equals(region.geometry)


def test_duplicate_corners_and_heights_are_nothing_to_mend() -> None:
    twice = [(0, 0, 7), (0, 0, 7), (1, 0, 7), (1, 1, 7), (1, 1, 7), (0, 1, 7)]
    region = Region(geometry=shapely.Polygon(twice))
    assert not region.geometry.has_z
    assert region.geometry.equals(shapely.box(0, 0, 1, 1))


def test_a_region_is_made_of_all_that_can_mean_one(tmp_path: Path) -> None:
    box = shapely.box(-51, 69, -49, 72)
    frame = gpd.GeoDataFrame(geometry=[box], crs="EPSG:4326")
    place = tmp_path / "area.geojson"
    frame.to_file(place)
    region = Region(geometry=box)
    assert Region.of(region) is region
    for area in ((-51, 69, -49, 72), [-51, 69, -49, 72], np.array([-51, 69, -49, 72])):
        assert Region.of(area) == region
    for other in (frame, frame.geometry, box, place, str(place)):
        assert Region.of(other).geometry.equals(box)
    for nothing in (7, None, (1, 2, 3), ("a", "b", "c", "d"), {"west": 0}):
        with pytest.raises(RecipeError, match=r"cannot be made of .*: give \[west, south, east, north\]"):
            Region.of(nothing)
    with pytest.raises(RecipeError, match="made of polygons, got a Point"):
        Region.of(shapely.Point(0, 0))


def test_a_region_comes_from_a_file_and_a_missing_file_is_named(tmp_path: Path) -> None:
    place = tmp_path / "area.geojson"
    gpd.GeoDataFrame(geometry=[shapely.box(-51, 69, -49, 72)], crs="EPSG:4326").to_file(place)
    assert Region.from_file(place).geometry.equals(shapely.box(-51, 69, -49, 72))
    with pytest.raises(RecipeError, match=r"no region could be read from .*nowhere\.geojson"):
        Region.from_file(tmp_path / "nowhere.geojson")


def test_the_repr_is_one_line_of_where_it_is() -> None:
    assert repr(Region.from_bbox(-51, 69, -49, 72)) == "<Region -51..-49°E 69..72°N, 5 vertices>"
