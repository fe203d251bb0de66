from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from eoscale.errors import RecipeError
from eoscale.model.sphere import (
    all_round,
    covers_parallel,
    cut_at_antimeridian,
    known_crs,
    smallest_arc,
    turned,
    unwrapped,
)

_ARCS = st.lists(st.tuples(st.floats(-360, 539), st.floats(1e-3, 360)), min_size=1, max_size=6)


@given(
    st.lists(st.floats(-720, 720) | st.sampled_from([-180.0, 180.0, 0.0, 360.0, 5e-324])),
    st.floats(-360, 180),
)
def test_longitudes_are_moved_by_whole_turns_and_only_where_they_must(x: list[float], west: float) -> None:
    longitude = np.array([*x, west, np.nextafter(west, -np.inf), np.nextafter(west, np.inf)])
    moved = turned(longitude, west)
    here = (longitude >= west) & (longitude < west + 360)
    assert (moved[here] == longitude[here]).all()
    assert (moved >= west).all()
    assert (moved <= west + 360).all()
    turns = (moved - longitude) / 360
    assert np.abs(turns - np.round(turns)).max() < 1e-12
    assert (np.round(turns)[~here] != 0).all()


def test_what_is_no_longitude_stays_none() -> None:
    assert np.isnan(turned(np.array([np.nan, np.inf, -np.inf]), 0.0)).all()
    assert turned(np.empty(0), 0.0).size == 0


@given(_ARCS)
def test_the_smallest_arc_holds_all_arcs_and_none_is_smaller(arcs: list[tuple[float, float]]) -> None:
    west = np.array([arc[0] for arc in arcs])
    east = west + np.array([arc[1] for arc in arcs])
    first, last = smallest_arc(west, east)
    assert -180 <= first < 180
    assert first < last
    assert last - first <= 360 + 1e-9
    # whatever begins with one of the arcs and holds all of them
    widths = []
    for start in west:
        offset = (west - start) % 360
        offset[offset > 360 - 1e-9] = 0
        widths.append(min(360.0, (offset + (east - west)).max()))
    assert last - first == pytest.approx(min(widths), abs=1e-8)
    offset = (west - first + 1e-9) % 360
    assert ((offset + (east - west) <= last - first + 1e-8) | (last - first >= 360 - 1e-8)).all()


@given(st.floats(-180, 179), st.lists(st.floats(-170, 170), min_size=1))
def test_an_unwrapped_line_has_no_jumps_and_the_same_places(start: float, steps: list[float]) -> None:
    line = start + np.concatenate([[0.0], np.cumsum(steps)])
    found = unwrapped((line + 180) % 360 - 180)
    assert found - found[0] == pytest.approx(line - line[0], abs=1e-9)


def test_whole_turns_are_whole_but_for_rounding() -> None:
    assert all_round(-37.3, -37.3 + 360)
    assert all_round(-180.1, 179.9)
    assert not all_round(-180, 179.999999)


def test_polygons_are_cut_at_the_antimeridian_and_left_alone_without_need() -> None:
    box = shapely.box(-10, 0, 10, 1)
    assert cut_at_antimeridian(box) is box
    assert cut_at_antimeridian(shapely.box(180, 0, 190, 1)).equals(shapely.box(-180, 0, -170, 1))
    both = cut_at_antimeridian(shapely.box(500, 0, 540, 1))
    assert both.equals(shapely.box(140, 0, 180, 1))
    assert cut_at_antimeridian(shapely.box(0, 0, 360, 1)).equals(shapely.box(-180, 0, 180, 1))


def test_a_parallel_is_covered_by_edges_from_end_to_end() -> None:
    cap = shapely.box(-180, 60, 180, 90)
    assert covers_parallel(cap, 90)
    assert not covers_parallel(cap, -90)
    assert not covers_parallel(cap.difference(shapely.box(0, 80, 1, 90)), 90)
    assert covers_parallel(shapely.segmentize(cap, 7.3), 90)


def test_a_crs_that_proj_does_not_know_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"the CRS 'EPSG:1' is unknown to PROJ: give e.g. EPSG:3413"):
        known_crs("EPSG:1")
