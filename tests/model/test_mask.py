from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from eoscale.model import mask
from eoscale.model.mask import _EDGE, _INSIDE, _OUTSIDE, _PAYS_FROM, Mask, Raster
from tests.strategies import Floats, near_the_edges, polygons, stars


def _used(shape: BaseGeometry, points: Floats) -> Mask:
    """Return a mask whose raster answers for the points, some of them in cells on an edge."""
    made = Mask(shape)
    made.contains(np.zeros(_PAYS_FROM), np.zeros(_PAYS_FROM))
    assert made.built == (made._box is None)
    raster = Raster.of(shape)
    states = raster.look_up(*points.T)
    assert (states == _EDGE).any()
    return made


def _borders(shape: BaseGeometry) -> Floats:
    """Return corners of cells and the floats beside them, inside and outside the bounds."""
    raster = Raster.of(shape)
    cells = np.arange(-2, len(raster.states) + 3)
    x, y = (
        cells / per_unit + corner for per_unit, corner in zip(raster.per_unit, raster.corner, strict=True)
    )
    random = np.random.default_rng(len(cells))
    corners = np.column_stack([random.choice(x, 3000), random.choice(y, 3000)])
    return np.concatenate([corners, np.nextafter(corners, np.inf), np.nextafter(corners, -np.inf)])


@given(polygons() | stars(x=4e6, y=-3e6, reach=10.0) | stars(x=1e-3, y=7e6, reach=1e-6))
def test_a_mask_answers_as_shapely_does_at_every_point(shape: BaseGeometry) -> None:
    random = np.random.default_rng(0)
    left, bottom, right, top = shape.bounds
    near = near_the_edges(shape)
    anywhere = random.uniform((2 * left - right, bottom), (2 * right - left, top), (5000, 2))
    nowhere = np.array([(np.nan, bottom), (left, np.nan), (np.inf, top), (-np.inf, top), (left, np.inf)])
    points = np.concatenate([near, anywhere, _borders(shape), shapely.get_coordinates(shape), nowhere])
    expected = shapely.contains_xy(shape, *points.T)
    assert _used(shape, points).contains(*points.T).tolist() == expected.tolist()


@given(polygons(), st.integers(0, 2**32))
def test_cells_off_the_edges_are_wholly_inside_or_outside(shape: BaseGeometry, seed: int) -> None:
    raster = Raster.of(shape)
    row, column = np.random.default_rng(seed).integers(0, len(raster.states), (2, 300))
    x = raster.corner[0] + np.array([column, column + 1]) / raster.per_unit[0]
    y = raster.corner[1] + np.array([row, row + 1]) / raster.per_unit[1]
    cells = shapely.box(x[0], y[0], x[1], y[1])
    states = raster.states[row, column]
    assert shapely.contains_properly(shape, cells[states == _INSIDE]).all()
    assert shapely.disjoint(shape, cells[states == _OUTSIDE]).all()


def _fractal(vertices: int) -> shapely.Polygon:
    turn = 2 * np.pi * np.arange(vertices) / vertices
    random = np.random.default_rng(3)
    radius = 1 + 0.2 * np.sin(5 * turn) + 0.02 * np.cumsum(random.choice([-1, 1], vertices)) / vertices**0.5
    return shapely.Polygon(np.column_stack([20 * radius * np.cos(turn), 10 * radius * np.sin(turn)]))


@pytest.mark.parametrize(
    "shape",
    [
        _fractal(50_000),
        _fractal(1000).difference(shapely.box(-3, -3, 3, 3)),
        shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(1, 1, 2, 2)]),
        shapely.box(-180, -90, 180, 90),
        shapely.Polygon([(0, 0), (1, 1e-9), (2, 0), (1, 2e-9)]),
        shapely.Polygon([(0, 0), (1e7, 1e7), (1e7, 1e7 + 1e-3)]),
    ],
    ids=["50,000 vertices", "hole", "touching parts", "world", "sliver", "diagonal sliver"],
)
def test_a_mask_answers_as_shapely_does_for_hard_shapes(shape: BaseGeometry) -> None:
    random = np.random.default_rng(1)
    left, bottom, right, top = shape.bounds
    anywhere = random.uniform((2 * left - right, bottom), (2 * right - left, top), (100_000, 2))
    points = np.concatenate([anywhere, near_the_edges(shape), shapely.get_coordinates(shape)])
    expected = shapely.contains_xy(shape, *points.T)
    assert (_used(shape, points).contains(*points.T) == expected).all()


def test_very_many_long_edges_get_coarser_cells_and_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask, "_MOST_CROSSINGS", 2**14)
    teeth = np.arange(400)
    comb = np.column_stack([teeth, np.where(teeth % 2, 100.0, 1.0)])
    shape = shapely.Polygon(np.concatenate([comb, [(399.0, 0.0), (0.0, 0.0)]]))
    assert len(Raster.of(shape).states) == 32 + 1  # the last is off the raster
    points = np.random.default_rng(2).uniform((0, 0), (399, 100), (50_000, 2))
    assert (_used(shape, points).contains(*points.T) == shapely.contains_xy(shape, *points.T)).all()


def test_few_points_build_no_raster_and_many_calls_do() -> None:
    made = Mask(shapely.Polygon([(0, 0), (2, 0), (0, 2)]))
    some = np.full(_PAYS_FROM // 4, 0.5)
    for _ in range(3):
        assert made.contains(some, some).all()
    assert not made.built
    assert made.contains(some, some).all()
    assert made.built


def test_a_box_needs_no_raster_however_many_corners_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Raster, "of", None)
    plain = shapely.box(-1, 0, 1, 2)
    many = shapely.segmentize(plain, 0.1)
    for shape in (plain, many, shapely.MultiPolygon([plain])):
        made = Mask(shape)
        steps = np.repeat(np.linspace(-2, 3, 501), 501), np.tile(np.linspace(-2, 3, 501), 501)
        for x, y in (steps, np.nextafter(steps, np.inf), np.nextafter(steps, -np.inf)):
            assert (made.contains(x, y) == shapely.contains_xy(shape, x, y)).all()
        assert not made.contains(np.full(2, np.nan), np.array([1.0, np.nan])).any()


def _counting(calls: list[int], made: Callable[[BaseGeometry], Raster]) -> Callable[[BaseGeometry], Raster]:
    def counted(shape: BaseGeometry) -> Raster:
        calls.append(1)
        return made(shape)

    return counted


def test_threads_share_one_raster_and_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(Raster, "of", _counting(calls, Raster.of))
    shape = _fractal(20_000)
    made = Mask(shape)
    points = np.random.default_rng(4).uniform((-25, -13), (25, 13), (16, 8000, 2))
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda some: made.contains(*some.T), points))
    assert len(calls) == 1
    assert (np.array(found) == shapely.contains_xy(shape, points[..., 0], points[..., 1])).all()
