from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from eoscale.model.curve import SPANS, Curve
from eoscale.model.region import Region
from tests.strategies import Floats, near_the_edges, polygons

WHOLE = Curve.over(None)
PACIFIC = Curve.over(Region.from_bbox(170, -20, -170, 0))
GREENLAND = Curve.over(Region.from_bbox(-73, 59, -11, 84))
CURVES = st.sampled_from([WHOLE, PACIFIC, GREENLAND])
STEPS = 2**16


def places(curve: Curve, x: NDArray[np.int64], y: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return longitudes (-180 to 180) and latitudes in the middle of squares of the curve's finest grid."""
    longitude = curve.west + (x + 0.5) * (curve.east - curve.west) / (STEPS - 1)
    latitude = curve.south + (y + 0.5) * (curve.north - curve.south) / (STEPS - 1)
    return np.where(longitude > 180, longitude - 360, longitude), latitude


def squares(level: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the middle of each of 2**level by 2**level squares of the area, in steps."""
    side = STEPS >> level
    x, y = np.meshgrid(np.arange(0, STEPS, side), np.arange(0, STEPS, side))
    return x.ravel() + side // 2, y.ravel() + side // 2


@pytest.mark.parametrize("level", [1, 3, 6])
@pytest.mark.parametrize("curve", [WHOLE, PACIFIC, GREENLAND], ids=["earth", "antimeridian", "greenland"])
def test_along_the_curve_every_square_follows_one_that_it_touches(curve: Curve, level: int) -> None:
    x, y = squares(level)
    order = np.argsort(curve.distance(*places(curve, x, y)))
    steps = np.abs(np.diff(x[order])) + np.abs(np.diff(y[order]))
    assert (steps == STEPS >> level).all()


@pytest.mark.parametrize("curve", [WHOLE, PACIFIC, GREENLAND], ids=["earth", "antimeridian", "greenland"])
def test_a_span_is_one_square_and_spans_follow_one_another(curve: Curve) -> None:
    x, y = squares(6)
    assert x.size == SPANS
    spans = Curve.span(curve.distance(*places(curve, x, y)))
    assert sorted(spans.tolist()) == list(range(SPANS))
    corner = STEPS // 64 // 2 - 1
    for across, up in ((-corner, -corner), (corner - 1, corner - 1), (-corner, corner - 1)):
        assert (Curve.span(curve.distance(*places(curve, x + across, y + up))) == spans).all()


@given(CURVES, hnp.arrays(np.uint32, st.integers(0, 20)))
def test_spans_are_in_the_order_of_the_curve(curve: Curve, distances: NDArray[np.uint32]) -> None:
    spans = curve.span(np.sort(distances))
    assert spans.dtype == np.int64
    assert (np.diff(spans) >= 0).all()
    assert ((spans >= 0) & (spans < SPANS)).all()
    bounds = np.array([0, 2**32 - 1], np.uint32)
    assert curve.span(bounds).tolist() == [0, SPANS - 1]


@given(CURVES, st.integers(0, STEPS - 2), st.integers(0, STEPS - 2))
def test_a_place_lies_where_it_lies_whatever_lies_beside_it(curve: Curve, x: int, y: int) -> None:
    longitude, latitude = places(curve, np.array([x, 0, STEPS - 2]), np.array([y, 0, STEPS - 2]))
    alone = curve.distance(longitude[:1], latitude[:1])
    assert alone.dtype == np.uint32
    assert curve.distance(longitude, latitude)[0] == alone[0]
    for turn in (-360.0, 360.0):  # to the last bit, where adding a turn and taking it away loses none
        if np.float64(longitude[0] + turn) - turn == longitude[0]:
            assert curve.distance(longitude[:1] + turn, latitude[:1]) == alone


def walked(x: int, y: int) -> int:
    """Return the distance of a square along the curve as textbooks tell it: a quarter turn at each level."""
    distance, side = 0, STEPS // 2
    while side:
        right, up = int(bool(x & side)), int(bool(y & side))
        distance += side * side * ((3 * right) ^ up)
        if not up:
            x, y = (y, x) if not right else (STEPS - 1 - y, STEPS - 1 - x)
        side //= 2
    return distance


@given(polygons())
def test_the_rows_of_a_region_lie_where_a_hilbert_curve_through_its_bounds_has_them(
    shape: BaseGeometry,
) -> None:
    region = Region(geometry=shape)
    curve = Curve.over(region)
    west, south, east, north = region.bounds
    assert (curve.west, curve.south, curve.east, curve.north) == region.bounds
    points = near_the_edges(shape)
    longitude, latitude = points[region.contains(*points.T)].T
    x = (longitude + 360 * (longitude < west) - west) * ((STEPS - 1) / (east - west))
    y = (latitude - south) * ((STEPS - 1) / (north - south))
    squares = zip(x.astype(int).tolist(), y.astype(int).tolist(), strict=True)
    assert curve.distance(longitude, latitude).tolist() == [walked(*square) for square in squares]


def test_the_antimeridian_is_in_the_middle_of_a_region_that_crosses_it() -> None:
    longitude = np.array([170.0, 179.999, -179.999, -170.000001])
    latitude = np.array([-19.9, -10.1, -10.1, -19.9])
    first, before, behind, last = PACIFIC.distance(longitude, latitude).tolist()
    assert first < before < behind < last
    assert Curve.span(np.array([first, last], np.uint32)).tolist() == [0, SPANS - 1]
    assert PACIFIC.distance(np.array([180.0]), np.array([-5.0])) == PACIFIC.distance(
        np.array([-180.0]), np.array([-5.0])
    )


def test_over_the_whole_earth_the_poles_and_the_antimeridian_have_a_place_too() -> None:
    longitude, latitude = (axis.ravel() for axis in np.meshgrid([-180.0, 0.0, 180.0], [-90.0, 0.0, 90.0]))
    distances = WHOLE.distance(longitude, latitude).reshape(3, 3)
    assert (distances[:, 0] == distances[:, 2]).all(), "180 east is 180 west"
    assert np.unique(distances[:, :2]).size == 6
    assert (WHOLE.west, WHOLE.south, WHOLE.east, WHOLE.north) == (-180, -90, 180, 90)
    assert Curve.over(Region.from_bbox(-180, -90, 180, 90)) == WHOLE


def test_no_rows_have_no_distances() -> None:
    assert WHOLE.distance(np.empty(0), np.empty(0)).shape == (0,)
    assert Curve.span(np.empty(0, np.uint32)).shape == (0,)


def test_curves_of_one_area_are_the_same_in_every_process() -> None:
    again = Curve.over(Region.from_bbox(170, -20, -170, 0))
    assert pickle.loads(pickle.dumps(again)) == again == PACIFIC  # noqa: S301  its own
    assert again.digest != GREENLAND.digest
