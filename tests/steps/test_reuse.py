from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.model.granule import Granule, GranuleList
from eoscale.model.job import Job
from eoscale.model.recipe import Recipe
from eoscale.model.region import Region
from eoscale.products import ATL06
from eoscale.steps.reuse import Reuse

MONTHS = [f"2024-{month:02}-01" for month in range(1, 13)]
BOX = (-51, 69, -49, 72)


def granule(day: np.datetime64, hours: int = 1) -> Granule:
    return Granule(
        id=f"ATL06_{day}",
        product="ATL06",
        urls={"file": f"/{day}.h5"},
        start=day.astype("M8[ns]"),
        end=(day + np.timedelta64(hours, "h")).astype("M8[ns]"),
    )


GRANULES = [granule(np.datetime64("2024-01-01") + np.timedelta64(days, "D")) for days in range(0, 365, 10)]


def job(start: str, stop: str, *, frequency: str = "1MS", resolution: float = 10_000, **words: object) -> Job:
    """Return a job on the granules of a period."""
    recipe = Recipe.model_validate(
        {
            "product": "ATL06",
            "variables": ["h_li"],
            "period": [start, stop],
            "region": BOX,
            "reduce": {
                "by": [{"grid": {"crs": "EPSG:3413", "resolution": resolution}}]
                + ([{"period": frequency}] if frequency else []),
                "statistics": ["count", "mean"],
            },
            "output": {"zarr": "out.zarr"},
            **words,
        }
    )
    some = GranuleList(granules=[one for one in GRANULES if str(one.start) < stop])
    return Job(recipe=recipe, product=ATL06, region=Region.from_bbox(*BOX), granules=some)


SPANS = st.tuples(st.integers(0, 10), st.integers(1, 11)).filter(lambda span: span[0] < span[1])


@given(SPANS, SPANS)
def test_a_granule_counts_where_both_periods_hold_all_of_it_and_its_cells_are_found_again(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    mine, its = (job(MONTHS[start], MONTHS[stop]) for start, stop in (one, other))
    found = Reuse.of(mine, its)
    first, last = max(one[0], other[0]), min(one[1], other[1])
    assert (found is None) == (first >= last)
    if found is None:
        return
    for each in mine.granules:
        inside = np.datetime64(MONTHS[first]) <= each.start and each.end < np.datetime64(MONTHS[last])  # type: ignore[operator]
        same = one == other
        known = any(each == then for then in its.granules)
        assert found.holds(each.id) == (known and (inside or same))
    # the cells of a month are later in the cube that begins earlier
    times = [each.cube.coordinates()["time"].to_numpy() for each in (mine, its)]
    for tile in range(its.cube.tiles):
        month, *cells = its.cube.block(tile)
        if times[1][month] in times[0]:
            its_month, *its_cells = mine.cube.block(tile + found.later)
            assert times[0][its_month] == times[1][month]
            assert its_cells == cells


@pytest.mark.parametrize(
    "words",
    [
        {"variables": ["h_li_sigma"]},
        {"quality": "best"},
        {"where": "h_li > 100"},
        {"resolution": 5_000},
        {"frequency": "2MS"},
        {"frequency": ""},
    ],
    ids=str,
)
def test_jobs_that_ask_something_else_have_nothing_in_common(words: dict[str, str]) -> None:
    start, stop = "2024-02-01", "2024-06-01"
    assert Reuse.of(job(start, stop), job(start, stop)) is not None
    assert Reuse.of(job(start, stop), job(start, stop, **words)) is None  # type: ignore[arg-type]


def test_a_title_and_a_failure_policy_ask_nothing_of_a_row() -> None:
    other = job("2024-02-01", "2024-06-01", title="Another", on_error="record", max_failed=3)
    assert Reuse.of(job("2024-02-01", "2024-06-01"), other) is not None


def test_spans_that_are_cut_otherwise_have_nothing_in_common() -> None:
    every = partial(job, frequency="10D")
    assert Reuse.of(every("2024-02-01", "2024-06-01"), every("2024-02-05", "2024-06-01")) is None
    longer = Reuse.of(every("2024-02-01", "2024-08-29"), every("2024-02-01", "2024-06-10"))
    assert longer is not None
    assert longer.later == 0


def test_without_an_axis_of_time_a_granule_counts_where_no_period_cuts_it() -> None:
    short, long = (job("2024-02-01", stop, frequency="") for stop in ("2024-04-01", "2024-09-01"))
    found = Reuse.of(long, short)
    assert found is not None
    assert found.later == 0
    held = [each.start for each in long.granules if found.holds(each.id)]
    assert held == [each.start for each in GRANULES if "2024-02-01" <= str(each.start) < "2024-04-01"]


def test_a_granule_that_changed_or_states_no_time_is_read_again() -> None:
    short, long = job("2024-02-01", "2024-04-01"), job("2024-02-01", "2024-05-01")
    (first, *others) = (each for each in long.granules if str(each.start) >= "2024-02-01")
    for other in (replace(first, size=first.size + 1), replace(first, start=None, end=None)):
        now = replace(long, granules=GranuleList(granules=[other, *others]))
        then = short
        if other.start is None:
            then = replace(short, granules=GranuleList(granules=[other, *short.granules.granules[5:]]))
        found = Reuse.of(now, then)
        assert found is not None
        assert not found.holds(other.id)
        assert found.holds(others[0].id) == (others[0] in then.granules)
