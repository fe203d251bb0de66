from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from eoscale.catalog.footprints import SIMPLIFIED, Elsewhere, box, polygon
from eoscale.model.region import Region


def _circle(longitude: float, latitude: float, radius: float, number: int = 24) -> list[tuple[float, float]]:
    """Return points on a small circle, degrees around a place."""
    pole, turn, high = np.radians(90 - latitude), np.radians(longitude), np.radians(radius)
    around = np.linspace(0, 2 * np.pi, number, endpoint=False)
    x, y, z = np.sin(high) * np.cos(around), np.sin(high) * np.sin(around), np.full(number, np.cos(high))
    x, z = x * np.cos(pole) + z * np.sin(pole), z * np.cos(pole) - x * np.sin(pole)
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    return list(zip(np.degrees(np.arctan2(y, x)).tolist(), np.degrees(np.arcsin(z)).tolist(), strict=True))


PLACES = st.tuples(st.floats(-180, 180), st.floats(-90, 90), st.floats(0.5, 25))


def _angle(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the degrees of a great circle between two places."""
    a, b = np.radians([one, other])
    half = np.sin((a[1] - b[1]) / 2) ** 2 + np.cos(a[1]) * np.cos(b[1]) * np.sin((a[0] - b[0]) / 2) ** 2
    return float(np.degrees(2 * np.arcsin(np.sqrt(min(half, 1.0)))))


@given(PLACES, st.tuples(st.floats(-180, 180), st.floats(-89.9, 89.9)), st.booleans())
def test_a_footprint_holds_what_lies_within_it_on_the_sphere_wherever_it_is(
    place: tuple[float, float, float],
    point: tuple[float, float],
    backwards: bool,  # noqa: FBT001
) -> None:
    longitude, latitude, radius = place
    ring = _circle(longitude, latitude, radius, 72)
    shape = polygon(ring[::-1] if backwards else ring)
    assert shape is not None
    west, south, east, north = shape.bounds
    assert -180 <= west <= east <= 180
    assert -90 <= south <= north <= 90
    away = _angle((longitude, latitude), point)
    # between its corners a ring is inside of the circle
    if away < radius * 0.98 or away > radius * 1.001 + 1e-6:
        assert bool(shapely.intersects_xy(shape, *point)) == (away < radius)


def test_a_hole_is_no_part_of_a_footprint() -> None:
    shape = polygon(_circle(10, 10, 5), [_circle(10, 10, 2)])
    assert not shapely.intersects_xy(shape, 10, 10)
    assert shapely.intersects_xy(shape, 13.5, 10)


def test_a_boundary_that_holds_nothing_is_no_footprint() -> None:
    assert polygon([(0, 0), (1, 1), (0, 0)]) is None
    assert polygon([(0, 0), (90, 0), (180, 0), (-90, 0)]) is None


@given(PLACES, PLACES)
def test_what_meets_the_region_is_never_said_to_be_elsewhere(
    one: tuple[float, float, float], other: tuple[float, float, float]
) -> None:
    area, ring = polygon(_circle(*one)), polygon(_circle(*other))
    assert area is not None
    elsewhere = Elsewhere(Region.of(area))
    away = _angle(one[:2], other[:2])
    if away < max(one[2], other[2]):
        assert not elsewhere(ring)
    elif away > one[2] + other[2] + SIMPLIFIED / 111 + 0.5 and abs(other[1]) + other[2] < 84:
        assert elsewhere(ring)


@pytest.mark.parametrize(
    ("footprint", "elsewhere"),
    [
        (box(178, -19, 179, -18), False),
        (box(-179.5, -19, -179, -18), False),
        (box(-177.0, -19, -176.9, -18), True),
        (box(179.9, -21, -179.9, -20.02), False),
        (box(179.9, -21, -179.9, -20.1), True),
        (shapely.LineString([(0, 0), (1, 1)]), False),
        (shapely.Point(0, 0), False),
        (None, False),
    ],
)
def test_near_the_antimeridian_a_footprint_may_be_on_either_side(
    footprint: BaseGeometry | None,
    elsewhere: bool,  # noqa: FBT001
) -> None:
    assert Elsewhere(Region.from_bbox(177, -20, -178, -16))(footprint) == elsewhere
