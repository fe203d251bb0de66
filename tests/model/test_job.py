from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings

from eoscale.errors import CatalogError, RecipeError
from eoscale.model.granule import Granule, GranuleList
from eoscale.model.job import Job
from eoscale.model.product import Product
from eoscale.model.recipe import Recipe
from eoscale.model.region import Region
from eoscale.products import ATL06, ATL08
from tests.strategies import granule_lists

_REGION = Region.from_bbox(-51, 69, -49, 72)
_MONTHS: dict[str, Any] = {"by": [{"period": "1MS"}], "statistics": ["count", "mean"]}
_MAP: dict[str, Any] = {
    "by": [{"grid": {"crs": "EPSG:3413", "resolution": 10_000}}, {"period": "1MS"}],
    "statistics": ["count", "mean"],
}
_NOTHING = GranuleList(granules=[])


def _granule(name: str, **facts: Any) -> Granule:  # noqa: ANN401  any field
    return Granule(id=name, product="ATL06", urls={"file": f"/{name}.h5"}, **facts)


def _job(
    *,
    product: Product = ATL06,
    region: Region | None = _REGION,
    granules: GranuleList = _NOTHING,
    **words: object,
) -> Job:
    facts: dict[str, object] = {
        "product": product.name,
        "variables": ["h_li"],
        "period": ("2019-04-01", "2019-07-01"),
        "reduce": _MAP,
        "output": {"zarr": "out.zarr"},
        **words,
    }
    return Job(recipe=Recipe(**facts), product=product, region=region, granules=granules)


@settings(max_examples=6)
@given(granule_lists())
def test_json_gives_the_job_back(granules: GranuleList) -> None:
    job = _job(granules=granules, quality="best", title="Ice")
    again = Job.from_json(job.to_json())
    assert again == job
    assert again.granules.dropped == job.granules.dropped
    assert [granule.url for granule in again.granules] == [granule.url for granule in granules]
    assert again.cube == job.cube
    assert again.paths == job.paths
    assert again.to_json() == Job.from_json(again.to_json()).to_json()


def test_json_keeps_the_nanoseconds_that_a_period_axis_spans() -> None:
    timed = _granule(
        "a", start=np.datetime64("2019-04-01T00:00:00.000000001", "ns"), end=np.datetime64("2019-04-02", "ns")
    )
    job = _job(
        granules=GranuleList(granules=[timed]), period=None, reduce=_MONTHS | {"by": [{"period": "1D"}]}
    )
    again = Job.from_json(job.to_json())
    assert again == job
    assert again.span() == job.span()


def test_a_region_in_its_own_crs_and_no_region_survive_json() -> None:
    metres = Region(geometry=shapely.box(-2e5, -2.3e6, -1e5, -2.2e6), crs="EPSG:3413")
    for region in (metres, None):
        job = _job(region=region, reduce=_MONTHS)
        assert Job.from_json(job.to_json()).region == region


def test_a_job_of_another_format_is_refused() -> None:
    document = json.loads(_job().to_json()) | {"format": 99}
    with pytest.raises(RecipeError, match="this job is of format 99, expected 1: run it anew"):
        Job.from_json(json.dumps(document))


def test_a_pickled_job_is_the_same_job() -> None:
    job = _job(granules=GranuleList(granules=[_granule("a", size=7)]))
    assert pickle.loads(pickle.dumps(job)) == job  # noqa: S301  its own bytes


@pytest.mark.parametrize(
    "words",
    [{"output": {"zarr": "elsewhere.zarr"}}, {"batch_bytes": 1}],
)
def test_where_it_is_written_and_how_work_is_cut_do_not_make_another_job(words: dict[str, Any]) -> None:
    assert _job(**words) == _job()


def test_how_region_and_granules_were_given_does_not_make_another_job() -> None:
    job = _job()
    recipe = Recipe(**job.recipe.words() | {"granules": "*.h5", "region": "area.geojson"})
    assert Job(recipe=recipe, product=ATL06, region=_REGION, granules=_NOTHING) == job


def test_the_route_to_its_granules_does_not_make_another_job() -> None:
    far = Granule(id="a", product="ATL06", urls={"s3": "s3://bucket/a.h5"})
    assert _job(granules=GranuleList(granules=[far])) == _job(granules=GranuleList(granules=[_granule("a")]))


_LIST = GranuleList(granules=[_granule("a", size=5), _granule("b", size=5)])


@pytest.mark.parametrize(
    "words",
    [
        {"variables": ["h_li_sigma"]},
        {"variables": {"height": "h_li"}},
        {"reduce": {**_MAP, "statistics": ["count", "max"]}},
        {"reduce": {**_MAP, "by": [{"grid": {"crs": "EPSG:3413", "resolution": 5000}}]}},
        {"reduce": _MONTHS},
        {"region": Region.from_bbox(-51, 69, -49, 71.9)},
        {"region": None, "reduce": _MONTHS},
        {"period": ("2019-04-01", "2019-06-30")},
        {"quality": "best"},
        {"zarr_format": 2},
        {"product": ATL08, "variables": ["h_canopy"]},
        {"granules": GranuleList(granules=[_granule("a", size=5)])},
        {"granules": GranuleList(granules=[_granule("a", size=5), _granule("c", size=5)])},
        {"granules": GranuleList(granules=[_granule("a", size=5), _granule("b", size=6)])},
        {"granules": _LIST[:1]},
    ],
)
def test_whatever_decides_the_result_makes_another_job(words: dict[str, Any]) -> None:
    assert _job(**{"granules": _LIST, **words}) != _job(granules=_LIST)


def test_times_of_granules_that_decide_the_time_axis_make_another_job() -> None:
    def spanning(end: str) -> Job:
        granule = _granule("a", start=np.datetime64("2019-04-01", "ns"), end=np.datetime64(end, "ns"))
        return _job(granules=GranuleList(granules=[granule]), period=None, reduce=_MONTHS)

    assert spanning("2019-04-30").cube == spanning("2019-04-29").cube
    assert spanning("2019-04-30") == spanning("2019-04-29")
    assert spanning("2019-05-30") != spanning("2019-04-29")


def test_time_comes_first_and_the_grid_last_in_whatever_order_they_are_asked_for() -> None:
    job = _job()
    assert job.cube.dims == ("time", "y", "x")
    assert job.cube.shape[0] == 3
    assert _job(reduce={**_MAP, "by": _MAP["by"][::-1]}).cube == job.cube
    assert job.statistics == ("count", "mean")


def test_the_cube_covers_the_region() -> None:
    job = _job(reduce={"by": [{"grid": {"crs": "EPSG:4326", "resolution": 0.5}}], "statistics": ["mean"]})
    assert job.cube.dims == ("latitude", "longitude")
    assert job.cube.shape == (6, 4)


def test_everything_that_is_read_is_named_once_coordinates_first() -> None:
    job = _job(variables={"h": "h_li", "again": "h_li", "flag": "atl06_quality_summary"}, quality="best")
    ice = "land_ice_segments"
    assert job.columns == {"h": f"{ice}/h_li", "again": f"{ice}/h_li", "flag": f"{ice}/atl06_quality_summary"}
    assert job.paths == tuple(
        f"{ice}/{name}" for name in ("longitude", "latitude", "delta_time", "atl06_quality_summary", "h_li")
    )


def test_the_quality_preset_is_that_of_the_product() -> None:
    assert _job().preset is None
    assert _job(quality="best").preset == ATL06.quality["best"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"quality": "goood"}, "ATL06 has no quality preset 'goood'; it has best"),
        ({"variables": ["h_lli"]}, "ATL06 lists no variable 'h_lli'; did you mean h_li"),
        ({"variables": ["elsewhere/h"]}, "elsewhere/h is in no rate of ATL06"),
        (
            {"variables": ["h_li", "segment_quality/segment_id"]},
            "variables of one recipe share one rate; these are of reference point, segment",
        ),
        (
            {"product": ATL08, "variables": ["signal_photons/ph_h"]},
            "variables of the photon rate are not yet supported",
        ),
        ({"variables": {"time": "h_li"}}, "every table has a column time: give the variable another name"),
        ({"variables": ["latitude"]}, "every table has a column latitude"),
        ({"reduce": {**_MONTHS, "by": [{"period": "monthly"}]}}, "'monthly' is no pandas frequency"),
        (
            {"reduce": {**_MAP, "by": [{"grid": {"crs": "EPSG:1", "resolution": 1}}]}},
            "CRS 'EPSG:1' is unknown",
        ),
    ],
)
def test_a_job_that_cannot_be_done_is_refused_at_once(words: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        _job(**words)


def test_the_period_of_the_recipe_is_the_span() -> None:
    assert _job().span() == (np.datetime64("2019-04-01"), np.datetime64("2019-07-01"))


def test_without_a_period_the_axis_spans_what_the_granules_do() -> None:
    granules = GranuleList(
        granules=[
            _granule("a", start=np.datetime64("2019-04-30T10:00"), end=np.datetime64("2019-04-30T10:05")),
            _granule(
                "b", start=np.datetime64("2019-03-31T23:59", "ns"), end=np.datetime64("2019-04-01", "ns")
            ),
        ]
    )
    job = _job(granules=granules, period=None, reduce=_MONTHS)
    start, stop = job.span()
    assert start == np.datetime64("2019-03-31T23:59")
    assert stop > np.datetime64("2019-04-30T10:05")
    assert job.cube.shape == (2,)


def test_the_last_observation_of_a_granule_is_in_the_span() -> None:
    end = np.datetime64("2019-04-30T10:05:00", "ns")
    timed = _granule("a", start=np.datetime64("2019-04-30T10:00:00", "ns"), end=end)
    job = _job(
        granules=GranuleList(granules=[timed]), period=None, reduce=_MONTHS | {"by": [{"period": "5min"}]}
    )
    assert job.cube.axes[0].locate({"time": np.array([end])}).rows.size == 1


def test_a_granule_of_unknown_end_lasts_as_long_as_any_of_its_product() -> None:
    start = np.datetime64("2019-04-30T23:50:00", "ns")
    job = _job(granules=GranuleList(granules=[_granule("a", start=start)]), period=None, reduce=_MONTHS)
    assert job.span() == (start, start + np.timedelta64(int(ATL06.longest), "s"))
    assert job.cube.shape == (2,)


@pytest.mark.parametrize(
    "granules", [[], [_granule("a")], [_granule("a"), _granule("b", start=np.datetime64("2019-04-30", "ns"))]]
)
def test_a_time_axis_without_known_times_needs_a_period(granules: list[Granule]) -> None:
    with pytest.raises(CatalogError, match="a period axis needs `period`: not every granule states its time"):
        _job(granules=GranuleList(granules=granules), period=None, reduce=_MONTHS)


def test_without_a_time_axis_no_times_are_needed() -> None:
    job = _job(granules=_LIST, period=None, reduce={**_MAP, "by": _MAP["by"][:1]})
    assert job.cube.dims == ("y", "x")
    assert repr(job) == f"<Job {job.digest[:12]}: 2 granules of ATL06>"


_MINE = """
product:
  name: MINE
  title: A product of my own
  kind: track
  groups: [beam]
  rates: [{name: shot, group: data, longitude: data/x, latitude: lat, time: data/t}]
  variables: {lat: {path: data/y}, h: {path: data/h, units: m}, q: {path: data/q}}
  epoch: "2000-01-01T00:00:00"
  name_pattern: MINE_.*
  longest: 60
  fill: {attribute: false, float32: -9999}
  quality: {good: {conditions: [{variable: q, comparison: ">=", value: 1}], source: my thesis}}
variables: [h]
quality: good
period: [2019-04-01, 2019-07-01]
reduce: {by: [{period: 1MS}], statistics: [mean]}
output: {zarr: out.zarr}
"""


def test_a_product_described_in_the_recipe_works_like_a_registered_one() -> None:
    recipe = Recipe.from_yaml(_MINE)
    assert isinstance(recipe.product, Product)
    job = Job(recipe=recipe, product=recipe.product, region=None, granules=_NOTHING)
    assert job.paths == ("data/x", "data/y", "data/t", "data/q", "data/h")
    assert job.preset is not None
    assert job.preset.conditions[0].passes(np.array([0, 1])).tolist() == [False, True]
    assert Job.from_json(job.to_json()) == job
    assert Job.from_json(job.to_json()).product == job.product


def test_another_description_of_a_product_makes_another_job() -> None:
    jobs = []
    for text in (_MINE, _MINE.replace("-9999", "-999")):
        recipe = Recipe.from_yaml(text)
        assert isinstance(recipe.product, Product)
        jobs.append(Job(recipe=recipe, product=recipe.product, region=None, granules=_NOTHING))
    assert jobs[0] != jobs[1]
