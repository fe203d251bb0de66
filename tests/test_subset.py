from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from eoscale.model.columns import Values
from eoscale.model.product import Condition, Preset
from eoscale.model.region import Region
from eoscale.model.where import Where
from eoscale.subset import decided, inside, normalised, passing
from tests.strategies import near_the_edges, polygons

_START, _STOP = np.datetime64("2024-04-01", "ns"), np.datetime64("2024-07-01", "ns")
_FILLS = [np.nan, np.inf, -np.inf, 3.4028235e38, 1.7976931348623157e308, -9999.0, 400.0]
_DEGREES = st.sampled_from(_FILLS) | st.floats(-200, 380)
_NANOSECONDS = st.sampled_from([int(_START.astype(int)), int(_STOP.astype(int))]).flatmap(
    lambda edge: st.integers(edge - 2, edge + 2)
)


@given(st.lists(st.tuples(_DEGREES, _DEGREES, st.none() | _NANOSECONDS), max_size=30), st.booleans())
def test_rows_inside_are_those_with_coordinates_in_the_box_and_the_period(
    rows: list[tuple[float, float, int | None]],
    timed: bool,  # noqa: FBT001  drawn
) -> None:
    columns = {
        "longitude": np.array([row[0] for row in rows], np.float64),
        "latitude": np.array([row[1] for row in rows], np.float64),
        "time": np.array(
            [np.datetime64("NaT") if row[2] is None else np.datetime64(row[2], "ns") for row in rows],
            "M8[ns]",
        ),
    }
    found = inside(columns, Region.from_bbox(-51, 60, 10, 80), (_START, _STOP) if timed else None)
    start, stop = int(_START.astype(int)), int(_STOP.astype(int))
    expected = [
        i
        for i, (x, y, time) in enumerate(rows)
        if -51 < x < 10 and 60 < y < 80 and (not timed or (time is not None and start <= time < stop))
    ]
    assert found.tolist() == expected
    assert found.dtype == np.int64


@given(polygons())
def test_rows_inside_a_polygon_are_those_that_it_contains(shape: BaseGeometry) -> None:
    region = Region(geometry=shape)
    longitude, latitude = near_the_edges(shape).T
    columns = {"longitude": longitude, "latitude": latitude}
    assert (
        inside(columns, region, None).tolist()
        == np.flatnonzero(region.contains(longitude, latitude)).tolist()
    )


@pytest.mark.parametrize("fill", _FILLS)
def test_a_row_whose_coordinate_is_missing_is_inside_nothing(fill: float) -> None:
    good, bad = np.zeros(1), np.array([fill])
    assert inside({"longitude": bad, "latitude": good}, None, None).size == 0
    assert inside({"longitude": good, "latitude": bad}, None, None).size == 0
    assert inside({"longitude": good, "latitude": good}, None, None).size == 1


def test_a_period_holds_its_start_and_not_its_stop() -> None:
    times = np.array([_START - 1, _START, _STOP - 1, _STOP, np.datetime64("NaT")], "M8[ns]")
    columns = {"longitude": np.zeros(5), "latitude": np.zeros(5), "time": times}
    assert inside(columns, None, (_START, _STOP)).tolist() == [1, 2]
    assert inside(columns, None, None).tolist() == [0, 1, 2, 3, 4]


def test_no_rows_are_none_inside() -> None:
    nothing = {"longitude": np.empty(0), "latitude": np.empty(0), "time": np.empty(0, "M8[ns]")}
    assert inside(nothing, Region.from_bbox(0, 0, 1, 1), (_START, _STOP)).shape == (0,)


@given(st.lists(st.floats(-180, 360)))
def test_longitudes_become_those_of_minus_180_to_180(degrees: list[float]) -> None:
    given_degrees = np.array(degrees, np.float64)
    found = normalised(given_degrees)
    assert (np.abs(found) <= 180).all()
    kept = given_degrees <= 180
    assert found[kept].tobytes() == given_degrees[kept].tobytes()
    assert (found[~kept] == given_degrees[~kept] - 360).all()


def test_a_region_finds_rows_of_0_to_360_degrees_once_they_are_normalised() -> None:
    columns = {"longitude": normalised(np.array([310.0, 50.0])), "latitude": np.array([70.0, 70.0])}
    assert inside(columns, Region.from_bbox(-51, 69, -49, 72), None).tolist() == [0]


def test_a_missing_longitude_stays_missing() -> None:
    assert np.isnan(normalised(np.array([np.nan]))).all()
    fill = normalised(np.array([3.4028235e38], np.float32))
    assert inside({"longitude": fill, "latitude": np.zeros(1)}, None, None).size == 0


_RULE = Preset(
    conditions=(
        Condition(variable="flag", comparison="==", value=0),
        Condition(variable="sigma", comparison="<", value=1.0),
    ),
    source="made up",
)
_ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.booleans(), st.floats(0, 2), st.booleans()), min_size=1, max_size=30
)


@given(_ROWS)
def test_rows_pass_that_meet_all_conditions_with_values_that_are_there(
    rows: list[tuple[int, bool, float, bool]],
) -> None:
    flag, no_flag, sigma, no_sigma = (np.array(column) for column in zip(*rows, strict=True))
    values = {"flag": Values(flag, no_flag), "sigma": Values(sigma, no_sigma)}
    expected = [f == 0 and not nf and s < 1 and not ns for f, nf, s, ns in rows]
    assert passing(_RULE, values, len(rows)).tolist() == expected


def test_a_missing_value_meets_no_condition_not_even_an_unequal_one() -> None:
    rule = Preset(conditions=(Condition(variable="flag", comparison="!=", value=1),), source="made up")
    flag = Values(np.array([0, 127, 1]), np.array([False, True, False]))
    assert passing(rule, {"flag": flag}, 3).tolist() == [True, False, False]


@pytest.mark.parametrize("rule", [None, Preset(conditions=(), source="made up")])
def test_a_rule_without_conditions_lets_all_rows_pass(rule: Preset | None) -> None:
    assert passing(rule, {}, 3).tolist() == [True, True, True]
    assert passing(rule, {}, 0).shape == (0,)


@given(_ROWS)
def test_a_row_holds_or_does_not_or_lacks_a_value_of_the_condition(
    rows: list[tuple[int, bool, float, bool]],
) -> None:
    flag, no_flag, sigma, no_sigma = (np.array(column) for column in zip(*rows, strict=True))
    values = {"flag": Values(flag, no_flag), "sigma": Values(sigma, no_sigma)}
    for text, met in {
        "flag == 0 or sigma < 1": (flag == 0) | (sigma < 1),
        "not (flag != 0 and sigma >= 1)": (flag == 0) | (sigma < 1),
    }.items():
        found = decided(Where(text=text), values, len(rows))
        assert found.undecided.tolist() == (no_flag | no_sigma).tolist()
        assert found.holds.tolist() == (met & ~no_flag & ~no_sigma).tolist()


def test_a_value_that_the_condition_does_not_ask_for_may_be_missing() -> None:
    values = {
        "flag": Values(np.zeros(2), np.array([False, True])),
        "sigma": Values(np.zeros(2), np.ones(2, bool)),
    }
    found = decided(Where(text="flag != 1"), values, 2)
    assert found.holds.tolist() == [True, False]
    assert found.undecided.tolist() == [False, True]


def test_without_a_condition_all_rows_hold() -> None:
    found = decided(None, {}, 2)
    assert found.holds.tolist() == [True, True]
    assert found.undecided.tolist() == [False, False]
