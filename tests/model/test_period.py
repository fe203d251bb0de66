from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.errors import RecipeError
from eoscale.model.period import Period
from tests.strategies import periods

_MOMENTS = st.datetimes(pd.Timestamp("2018-10-14"), pd.Timestamp("2026-01-01")).map(np.datetime64)
_CALENDAR = st.sampled_from(["1MS", "2MS", "QS", "1YS", "ME", "W"])
_TICKS = st.sampled_from(["10D", "1D", "6h", "90min"])


@given(periods(), st.lists(st.integers(-(10**16), 10**18 + 10**17)))
def test_a_span_holds_its_start_and_not_its_stop(period: Period, moments: list[int]) -> None:
    edges = period.edges.astype(np.int64).tolist()
    beside = [edge + step for edge in edges for step in (-1, 0, 1)]
    times = np.array([*moments, *beside], np.int64)
    expected = [
        (row, span)
        for row, time in enumerate(times.tolist())
        for span, (start, stop) in enumerate(pairwise(edges))
        if start <= time < stop
    ]
    found = period.locate({"time": times.astype("M8[ns]")})
    assert list(zip(found.rows.tolist(), found.bins.tolist(), strict=True)) == expected
    assert found.weights is None


@given(periods())
def test_a_row_without_time_is_off_the_axis(period: Period) -> None:
    times = np.array(["NaT", period.edges[0], "NaT"], "M8[ns]")
    assert period.locate({"time": times}).rows.tolist() == [1]


@given(_MOMENTS, st.integers(1, 800), _CALENDAR)
def test_calendar_spans_cover_the_period_and_begin_at_the_calendars_own_start(
    start: np.datetime64, days: int, frequency: str
) -> None:
    stop = start + np.timedelta64(days, "D")
    edges = Period.every(frequency, start=start, stop=stop).edges
    assert edges[0] <= start < edges[1]
    assert edges[-2] < stop <= edges[-1]
    offset = pd.tseries.frequencies.to_offset(frequency)
    assert offset is not None
    assert all(offset.is_on_offset(pd.Timestamp(edge)) for edge in edges)
    assert all(pd.Timestamp(edge) == pd.Timestamp(edge).normalize() for edge in edges)


@given(_MOMENTS, st.integers(1, 10**9), _TICKS)
def test_spans_of_fixed_length_begin_at_the_start_and_cover_the_period(
    start: np.datetime64, milliseconds: int, frequency: str
) -> None:
    stop = start + np.timedelta64(milliseconds, "ms")
    edges = Period.every(frequency, start=start, stop=stop).edges
    assert edges[0] == start
    assert edges[-2] < stop <= edges[-1]
    assert (np.diff(edges) == pd.Timedelta(frequency).to_timedelta64()).all()


def test_a_period_that_starts_within_a_month_begins_with_that_month() -> None:
    months = Period.every("1MS", start="2024-04-15T12:30", stop="2024-06-01")
    assert months.edges.astype("M8[D]").astype(str).tolist() == ["2024-04-01", "2024-05-01", "2024-06-01"]


def test_months_are_as_long_as_the_calendar_says() -> None:
    february = Period.every("1MS", start="2024-02-01", stop="2024-03-01")
    assert february.shape == (1,)
    assert np.diff(february.edges) == np.timedelta64(29, "D")


@given(periods())
def test_coordinates_are_the_starts_with_both_ends_as_bounds(period: Period) -> None:
    coordinates = period.coordinates()
    assert period.dims == ("time",)
    assert coordinates["time"].to_numpy().tolist() == period.edges[:-1].tolist()
    assert coordinates["time"].attrs["bounds"] == "time_bounds"
    assert coordinates["time_bounds"].shape == (*period.shape, 2)
    assert coordinates["time_bounds"].to_numpy()[1:, 0].tolist() == period.edges[1:-1].tolist()
    assert coordinates["time_bounds"].to_numpy()[-1, 1] == period.edges[-1]


@given(periods())
def test_equality_is_that_of_the_edges(period: Period) -> None:
    assert period == Period(edges=period.edges.copy())
    assert period != Period(edges=period.edges + 1)


def test_edges_cannot_be_changed() -> None:
    period = Period.every("1D", start="2024-01-01", stop="2024-01-03")
    with pytest.raises(ValueError, match="read-only"):
        period.edges[0] = np.datetime64("2023-01-01")


@pytest.mark.parametrize(
    "edges",
    [["2024-01-01"], [], ["2024-01-02", "2024-01-01"], ["2024-01-01", "2024-01-01"], ["2024-01-01", "NaT"]],
)
def test_edges_that_do_not_ascend_are_refused(edges: list[str]) -> None:
    with pytest.raises(RecipeError, match="at least two ascending edges"):
        Period(edges=np.array(edges, "M8[ns]"))


@pytest.mark.parametrize(
    ("frequency", "start", "stop", "reason"),
    [
        ("1MS", "2024-04-01", "2024-04-01", "expected a start before the stop"),
        ("1MS", "2024-04-02", "2024-04-01", "expected a start before the stop"),
        ("1MS", "NaT", "2024-04-01", "expected a start before the stop"),
        ("monthly", "2024-04-01", "2024-05-01", "'monthly' is no pandas frequency: try 1MS"),
        ("-1D", "2024-04-01", "2024-05-01", "no or too many spans"),
        ("0D", "2024-04-01", "2024-05-01", "no or too many spans"),
        ("1YS", "2024-04-01", "9999-12-31", "no or too many spans"),
    ],
)
def test_what_is_no_period_is_refused(frequency: str, start: str, stop: str, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        Period.every(frequency, start=start, stop=stop)


def test_the_repr_is_one_line() -> None:
    months = Period.every("1MS", start="2024-04-01", stop="2024-06-01")
    assert repr(months) == "<Period 2 spans, 2024-04-01T00:00:00 to 2024-06-01T00:00:00>"
