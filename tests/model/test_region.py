from __future__ import annotations

import pickle
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from shapely.geometry.base import BaseGeometry

from eoscale.errors import RecipeError
from eoscale.model.region import LONGITUDE_LATITUDE, Region, transformer
from tests.strategies import near_the_edges, polygons, projected_regions

_BOWTIE = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])


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


@given(polygons())
def test_what_a_region_contains_is_inside_its_bounds(shape: BaseGeometry) -> None:
    _assert_bounded(Region(geometry=shape), near_the_edges(shape))


@given(projected_regions())
def test_what_a_projected_region_contains_is_inside_its_bounds(region: Region) -> None:
    points = near_the_edges(region.geometry)
    x, y = transformer(region.crs, LONGITUDE_LATITUDE).transform(*points.T)
    _assert_bounded(region, np.column_stack([x, y]))


def _assert_bounded(region: Region, points: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    inside = points[region.contains(*points.T)]
    west, south, east, north = region.bounds
    assert inside.size
    assert (inside >= (west, south)).all()
    assert (inside <= (east, north)).all()


@given(projected_regions())
def test_a_projected_region_contains_what_lies_within_it_in_its_own_crs(region: Region) -> None:
    points = near_the_edges(region.geometry)
    longitude, latitude = transformer(region.crs, LONGITUDE_LATITUDE).transform(*points.T)
    x, y = transformer(LONGITUDE_LATITUDE, region.crs).transform(longitude, latitude)
    within = gpd.GeoSeries.from_xy(x, y).within(region.geometry)
    assert region.contains(longitude, latitude).tolist() == within.tolist()


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
    assert (
        Region(geometry=shape).bounds == Region(geometry=shape).bounds_in(LONGITUDE_LATITUDE) == shape.bounds
    )


def test_a_crs_that_cannot_hold_the_region_is_refused() -> None:
    with pytest.raises(RecipeError, match="cannot be expressed in EPSG:6931: it leaves that CRS's domain"):
        Region.from_bbox(-10, -90, 10, 0).bounds_in("EPSG:6931")


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
    again = pickle.loads(pickle.dumps(region))  # noqa: S301  its own bytes
    assert again == region
    assert hash(again) == hash(region)
    assert again.contains(*points.T).tolist() == expected.tolist()


def test_equal_content_has_an_equal_digest_and_another_has_not() -> None:
    one, same = Region.from_bbox(0, 0, 1, 1), Region(geometry=shapely.box(0, 0, 1, 1))
    assert one.digest == same.digest
    assert one.digest != Region.from_bbox(0, 0, 1, 2).digest
    metres = shapely.box(500_000, 7_000_000, 600_000, 7_100_000)
    assert Region(geometry=metres, crs="EPSG:32622") != Region(geometry=metres, crs="EPSG:32623")


@given(projected_regions())
def test_the_outline_is_in_longitude_and_latitude(region: Region) -> None:
    west, south, east, north = region.bounds
    left, bottom, right, top = region.outline().bounds
    assert west <= left < right <= east
    assert south <= bottom < top <= north


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
        (_BOWTIE, LONGITUDE_LATITUDE, "no valid polygon .Self-intersection.*make_valid"),
        (shapely.box(0, 0, 1, 1), "EPSG:1", "CRS 'EPSG:1' is unknown"),
        (shapely.box(170, 0, 190, 1), LONGITUDE_LATITUDE, "not yet supported: split"),
        (shapely.box(0, 0, 1, 91), LONGITUDE_LATITUDE, "degrees north, expected"),
        (shapely.box(-1e5, -1e5, 1e5, 1e5), "EPSG:3413", "holds a pole.*not yet supported"),
        (shapely.box(1.9e6, 2.1e6, 2.1e6, 2.3e6), "EPSG:32661", "pole.*not yet supported"),
        (shapely.box(-1.6e6, 1.4e6, -1.4e6, 1.6e6), "EPSG:3413", "antimeridian.*not yet supported"),
    ],
)
def test_what_is_no_region_is_refused(shape: BaseGeometry, crs: str, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        Region(geometry=shape, crs=crs)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((10, 0, -10, 1), r"\[10, 0, -10, 1\].*west < east.*not yet supported"),
        ((0, 5, 1, 5), "south < north"),
        ((170, 0, 190, 1), "not yet supported"),
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


def test_a_frame_without_crs_or_with_a_bowtie_is_refused() -> None:
    with pytest.raises(RecipeError, match="no CRS: set one with set_crs"):
        Region.from_frame(gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)]))
    with pytest.raises(RecipeError, match="1 polygons of the region are invalid, first: Self-intersection"):
        Region.from_frame(gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1), _BOWTIE], crs="EPSG:4326"))


def test_a_region_comes_from_a_file_and_a_missing_file_is_named(tmp_path: Path) -> None:
    place = tmp_path / "area.geojson"
    gpd.GeoDataFrame(geometry=[shapely.box(-51, 69, -49, 72)], crs="EPSG:4326").to_file(place)
    assert Region.from_file(place).geometry.equals(shapely.box(-51, 69, -49, 72))
    with pytest.raises(RecipeError, match=r"no region could be read from .*nowhere\.geojson"):
        Region.from_file(tmp_path / "nowhere.geojson")


def test_the_repr_is_one_line_of_where_it_is() -> None:
    assert repr(Region.from_bbox(-51, 69, -49, 72)) == "<Region -51..-49°E 69..72°N, 5 vertices>"
