from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from distributed import Client

import eoscale
from eoscale.errors import BudgetError, GranuleError, RecipeError
from eoscale.model.granule import GranuleList
from eoscale.model.grid import Grid
from eoscale.model.period import Period
from eoscale.model.recipe import Recipe
from eoscale.model.region import Region
from eoscale.run.progress import Silent
from eoscale.steps import batches

BOX = (-55.0, 62.0, -25.0, 82.0)
GRID = {"grid": {"crs": "EPSG:3413", "resolution": 50_000}}
MONTHS = {"period": "1MS"}
STATISTICS = ["count", "sum", "mean", "std", "var", "min", "max"]
OPENING: dict[str, Any] = {
    "variables": {"h_li": "h_li", "flag": "atl06_quality_summary"},
    "region": BOX,
    "period": ("2024-04-01", "2024-06-15"),
    "where": "h_li_sigma < 5",
}


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = batches.cut
    monkeypatch.setattr(batches, "cut", lambda job, **_: cut(job, granules_per_batch=2))


def aggregated(ice: GranuleList, **words: Any) -> xr.Dataset:  # noqa: ANN401  whatever aggregate takes
    said = {**OPENING, "by": [GRID, MONTHS], "statistics": STATISTICS, **words}
    return eoscale.aggregate(ice, **said)


def same_bits(found: xr.Dataset, expected: xr.Dataset) -> None:
    assert set(found.data_vars) == set(expected.data_vars)
    for name, array in expected.data_vars.items():
        assert found[name].dims == array.dims
        assert found[name].dtype == array.dtype
        assert found[name].to_numpy().tobytes() == array.to_numpy().tobytes(), name
        assert found[name].attrs == array.attrs, name
    xr.testing.assert_equal(found.coords.to_dataset(), expected.coords.to_dataset())


def test_the_result_is_that_of_a_run_to_the_last_bit(
    ice: GranuleList, scheduler: str, tmp_path: Path
) -> None:
    recipe = Recipe(
        product="ATL06",
        **OPENING,
        reduce={"by": [GRID, MONTHS], "statistics": STATISTICS},
        output={"zarr": str(tmp_path / "out.zarr")},
    )
    published = eoscale.run(recipe, granules=ice, cluster=scheduler, watcher=Silent()).open()
    assert int(published["h_li_count"].sum()) > 1000
    found = aggregated(ice)
    assert all(isinstance(array.data, da.Array) for array in found.data_vars.values())
    same_bits(found.compute(scheduler="threads"), published)
    with Client(scheduler):
        same_bits(found.compute(), published)


def test_a_frame_that_was_filtered_is_aggregated_as_it_is(ice: GranuleList) -> None:
    frame = eoscale.open(ice, **OPENING)
    high = frame[frame.h_li > 1000]
    found = eoscale.aggregate(high, by=[GRID], statistics=["count", "min"]).compute(scheduler="threads")
    said = f"({OPENING['where']}) and h_li > 1000"
    expected = aggregated(ice, where=said, by=[GRID], statistics=["count", "min"]).compute(
        scheduler="threads"
    )
    xr.testing.assert_identical(found, expected)
    assert found.h_li_min.min() > 1000


def test_a_frame_that_was_amended_gives_statistics_of_what_is_new(ice: GranuleList) -> None:
    frame = eoscale.open(ice, **OPENING)
    amended = frame.assign(feet=frame.h_li / 0.3048)[["granule", "time", "longitude", "latitude", "feet"]]
    found = eoscale.aggregate(amended, by=[GRID], statistics=["max"])
    assert list(found.data_vars) == ["feet_max"]
    metres = aggregated(ice, by=[GRID], statistics=["max"]).h_li_max.max().compute(scheduler="threads")
    feet = found.feet_max.max().compute(scheduler="threads")
    assert float(feet) == pytest.approx(float(metres) / 0.3048, rel=1e-6)


def test_a_frame_that_was_cut_otherwise_gives_the_same_counts(ice: GranuleList) -> None:
    frame = eoscale.open(ice, **OPENING)
    columns = ["granule", "time", "longitude", "latitude", "h_li"]
    expected = eoscale.aggregate(frame[columns], by=[GRID, MONTHS], statistics=["count", "max"])
    for other in (
        frame[columns].repartition(npartitions=1),
        frame[columns].shuffle("latitude", npartitions=3),
    ):
        found = eoscale.aggregate(other, by=[GRID, MONTHS], statistics=["count", "max"])
        xr.testing.assert_equal(found.compute(scheduler="threads"), expected.compute(scheduler="threads"))
    assert int(expected.h_li_count.sum().compute(scheduler="threads")) > 1000


def test_axes_and_the_words_for_them_are_the_same(ice: GranuleList) -> None:
    grid = Grid.over(Region.from_bbox(*BOX), crs="EPSG:3413", resolution=50_000)
    months = Period.every("1MS", start="2024-04-01", stop="2024-06-15")
    found = aggregated(ice, by=[grid, months], statistics=["mean"])
    xr.testing.assert_identical(
        found.compute(scheduler="threads"), aggregated(ice, statistics=["mean"]).compute(scheduler="threads")
    )


def test_idioms_of_xarray_work(ice: GranuleList, tmp_path: Path) -> None:
    mpl.use("Agg")
    cube = aggregated(ice, statistics=["count", "mean"])
    with dask.config.set(scheduler="threads"):
        april = cube.h_li_mean.sel(time="2024-04-01")
        assert np.isfinite(april).any()
        assert april.plot() is not None
        cube.to_zarr(tmp_path / "cube.zarr", consolidated=False)
        again = xr.open_zarr(tmp_path / "cube.zarr", consolidated=False)
        xr.testing.assert_equal(again.h_li_mean.compute(), cube.h_li_mean.compute())
        rows = int(cube.h_li_count.sum())
    assert rows > 1000
    assert cube.h_li_mean.attrs["cell_methods"] == "time: y: x: mean"
    assert int(cube.spatial_ref) == 3413


def test_edges_go_only_where_a_granule_may_have_rows(ice: GranuleList) -> None:
    cube = aggregated(ice, statistics=["mean"], by=[GRID, {"period": "1D"}])
    tasks = dict(cube.h_li_mean.__dask_graph__())
    folds = [task for key, task in tasks.items() if str(key[0]).startswith("fold-")]
    assert 0 < len(folds) < cube.sizes["time"]  # three partitions each would be 225
    assert cube.sizes["time"] == 75
    whole = aggregated(ice, statistics=["mean"], by=[GRID])
    assert int(cube.h_li_mean.notnull().any(["time"]).sum().compute(scheduler="threads")) == int(
        whole.h_li_mean.notnull().sum().compute(scheduler="threads")
    )


def test_some_partitions_alone_are_aggregated_alone(ice: GranuleList) -> None:
    frame = eoscale.open(ice, **OPENING)
    parts = [
        eoscale.aggregate(part, by=[GRID, MONTHS], statistics=["count"]).h_li_count.compute(
            scheduler="threads"
        )
        for part in frame.partitions
    ]
    whole = aggregated(ice, statistics=["count"]).h_li_count.compute(scheduler="threads")
    assert len(parts) == 3
    xr.testing.assert_equal(sum(parts[1:], parts[0]), whole)


def test_a_graph_that_would_be_too_large_names_the_run(ice: GranuleList) -> None:
    with pytest.raises(BudgetError, match=r"more than 200,000 edges: .* use eoscale\.run"):
        aggregated(ice, by=[{"grid": {"crs": "EPSG:3413", "resolution": 5}}], statistics=["mean"])


def test_what_is_wrong_is_said_before_anything_is_computed(ice: GranuleList) -> None:
    frame = eoscale.open(ice, **OPENING)
    with pytest.raises(RecipeError, match="say it when the granules are opened"):
        eoscale.aggregate(frame, by=[GRID], statistics=["mean"], region=BOX)
    with pytest.raises(RecipeError, match="has no column time, longitude"):
        eoscale.aggregate(frame[["granule", "latitude", "h_li"]], by=[GRID], statistics=["mean"])
    with pytest.raises(RecipeError, match="no variable to aggregate"):
        eoscale.aggregate(frame[["granule", "time", "latitude", "longitude"]], by=[GRID], statistics=["mean"])
    with pytest.raises(
        RecipeError, match="`statistics` holds meen, which is no statistic; did you mean mean"
    ):
        aggregated(ice, statistics=["meen"])
    with pytest.raises(RecipeError, match="`by` is empty"):
        aggregated(ice, by=[])
    with pytest.raises(RecipeError, match=r"`reduce\.by\.0\.grd` is no word"):
        aggregated(ice, by=[{"grd": 1}])


_PEAK = """
import resource, sys
import dask
import eoscale
from eoscale.model.granule import Granule, GranuleList
url, number = sys.argv[1], int(sys.argv[2])
granules = GranuleList(granules=[
    Granule(id=f"ATL06_{n:06}", product="ATL06", urls={"file": url}) for n in range(number)
])
cube = eoscale.aggregate(
    granules, variables=["h_li"], by=[{"grid": {"crs": "EPSG:3413", "resolution": 2000}}],
    region=(-55, 62, -25, 82), statistics=["count", "mean", "std"],
)
with dask.config.set(scheduler="threads", num_workers=2):
    count = int(cube.compute().h_li_count.sum())
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_peak_memory_does_not_grow_with_the_number_of_granules(ice: GranuleList, tmp_path: Path) -> None:
    def peak(number: int) -> tuple[int, int]:
        done = subprocess.run(  # noqa: S603  our own program
            [sys.executable, "-c", _PEAK, ice[0].url, str(number)],
            check=True,
            capture_output=True,
            text=True,
            env={"XDG_CACHE_HOME": str(tmp_path), "PATH": "", "MALLOC_ARENA_MAX": "2"},
        )
        count, kilobytes = map(int, done.stdout.split())
        return count, kilobytes

    (few, low), (many, high) = peak(32), peak(320)
    assert many == 10 * few > 0
    assert high < 1.1 * low


def test_rows_at_another_time_than_their_granule_states_are_not_lost_in_silence(ice: GranuleList) -> None:
    wrong = replace(ice[0], start=np.datetime64("2024-06-10", "ns"), end=np.datetime64("2024-06-11", "ns"))
    listed = GranuleList(granules=[wrong, *ice.granules[1:]])
    cube = aggregated(listed, by=[GRID, {"period": "1D"}], statistics=["count"])
    with pytest.raises(
        GranuleError, match=rf"{wrong.id}: \d+ rows lie outside the time that the granule states"
    ):
        cube.h_li_count.sum().compute(scheduler="threads")


def test_times_that_were_changed_are_those_that_count(ice: GranuleList) -> None:
    frame = eoscale.open(ice, **OPENING)
    later = frame.assign(time=frame.time + np.timedelta64(365, "D"))
    year = Period.every("1MS", start="2025-04-01", stop="2025-07-01")
    found = eoscale.aggregate(later, by=[GRID, year], statistics=["count"]).h_li_count.sum()
    expected = eoscale.aggregate(frame, by=[GRID], statistics=["count"]).h_li_count.sum()
    assert int(found.compute(scheduler="threads")) == int(expected.compute(scheduler="threads")) > 1000


def test_granules_of_unknown_time_may_touch_every_period(ice: GranuleList) -> None:
    untimed = GranuleList(granules=[replace(granule, start=None, end=None) for granule in ice])
    found = aggregated(untimed, statistics=["count"]).h_li_count
    xr.testing.assert_equal(
        found.compute(scheduler="threads"),
        aggregated(ice, statistics=["count"]).h_li_count.compute(scheduler="threads"),
    )


@pytest.mark.parametrize("dtype", ["Float32", "float64[pyarrow]", "Int32", "int16[pyarrow]", "float32"])
def test_numbers_of_every_type_of_pandas_are_aggregated(ice: GranuleList, dtype: str) -> None:
    frame = eoscale.open(ice, **OPENING)
    whole = frame.h_li.fillna(-1).astype("int32") if "int" in dtype.lower() else frame.h_li
    typed = frame.assign(other=whole.astype(dtype))[["granule", "time", "longitude", "latitude", "other"]]
    found = eoscale.aggregate(typed, by=[GRID], statistics=["count", "max"]).compute(scheduler="threads")
    plain = frame.assign(other=whole.astype("float64"))[["granule", "time", "longitude", "latitude", "other"]]
    expected = eoscale.aggregate(plain, by=[GRID], statistics=["count", "max"]).compute(scheduler="threads")
    xr.testing.assert_equal(found, expected)
    assert int(found.other_count.sum()) > 1000
