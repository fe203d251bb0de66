from __future__ import annotations

import pickle
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import dask
import dask_geopandas
import geopandas as gpd
import h5py
import numpy as np
import pandas as pd
import pytest
import shapely
from dask.base import compute
from distributed import Client
from geopandas.testing import assert_geodataframe_equal

import eoscale
from eoscale import synthetic
from eoscale.access import ranges
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.errors import CatalogError, CorruptGranuleError, GranuleError, RecipeError, RunError
from eoscale.hdf5.index import index
from eoscale.model.granule import Granule, GranuleList
from eoscale.model.region import Region
from eoscale.products import ATL06, ATL08
from eoscale.steps import batches
from eoscale.steps.listed import Granules
from eoscale.write import places
from eoscale.write.places import place
from tests.servers.buckets import BucketServer
from tests.tracing import tracing

BOX = (-55.0, 62.0, -25.0, 82.0)
SEGMENTS = "land_ice_segments"
COORDINATES = ("longitude", "latitude", "delta_time")
COLUMNS = ["granule", "beam", "time", "longitude", "latitude", "h_li", "quality", "geometry"]


@pytest.fixture(autouse=True)
def _two_granules_a_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = batches.cut
    monkeypatch.setattr(batches, "cut", lambda job: cut(job, granules_per_batch=2))


def opened(ice: GranuleList, **words: Any) -> dask_geopandas.GeoDataFrame:  # noqa: ANN401  whatever open takes
    variables = {"h_li": "h_li", "quality": "atl06_quality_summary"}
    return eoscale.open(ice, **{"variables": variables, "region": BOX, **words})


def by_h5py(ice: GranuleList) -> pd.DataFrame:
    """Return all rows of all granules, read by h5py alone."""
    frames = []
    for granule in ice:
        with h5py.File(granule.url) as file:
            for beam in (group for group in ATL06.groups if group in file):
                segments = file[f"{beam}/{SEGMENTS}"]
                heights = segments["h_li"][:]
                columns = {
                    "granule": granule.id,
                    "beam": beam,
                    "seconds": segments["delta_time"][:],
                    "longitude": segments["longitude"][:],
                    "latitude": segments["latitude"][:],
                    "h_li": np.where(heights > 1e38, np.float32(np.nan), heights),
                    "quality": segments["atl06_quality_summary"][:],
                }
                frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def test_rows_are_those_that_geopandas_finds_within_in_the_order_of_the_files(ice: GranuleList) -> None:
    found = opened(ice).compute(scheduler="threads")
    rows = by_h5py(ice)
    points = gpd.GeoSeries.from_xy(rows.longitude, rows.latitude, crs="EPSG:4326")
    expected = rows[points.within(shapely.box(*BOX))]
    assert 0 < len(expected) < len(rows)
    assert found.columns.tolist() == COLUMNS
    for name in ("granule", "beam", "longitude", "latitude", "quality"):
        assert found[name].tolist() == expected[name].tolist(), name
    np.testing.assert_array_equal(found.h_li.to_numpy(), expected.h_li.to_numpy())
    assert found.h_li.isna().any()
    seconds = (found.time - pd.Timestamp(ATL06.epoch)) / pd.Timedelta("1s")
    np.testing.assert_allclose(seconds, expected.seconds, atol=1e-6)
    assert found.geometry.x.tolist() == expected.longitude.tolist()
    assert found.crs == "EPSG:4326"


def test_types_are_those_that_were_promised(ice: GranuleList) -> None:
    lazily = opened(ice)
    found = lazily.compute(scheduler="threads")
    assert isinstance(lazily, dask_geopandas.GeoDataFrame)
    assert lazily.dtypes.astype(str).tolist() == found.dtypes.astype(str).tolist()
    assert str(found.quality.dtype) == "Int8"
    assert str(found.h_li.dtype) == "float32"
    for part in lazily.partitions:
        pd.testing.assert_series_equal(part.compute(scheduler="sync").dtypes, lazily.dtypes)


def test_a_missing_integer_is_no_number(ice: GranuleList, tmp_path: Path) -> None:
    copy = tmp_path / Path(ice[0].url).name
    copy.write_bytes(Path(ice[0].url).read_bytes())
    with h5py.File(copy, "r+") as file:
        beam = next(group for group in ATL06.groups if group in file)
        flags = file[f"{beam}/{SEGMENTS}/atl06_quality_summary"]
        flags.attrs["_FillValue"] = np.int8(127)
        flags[:10] = 127
    everywhere = eoscale.open(copy, variables=["atl06_quality_summary"]).compute(scheduler="sync")
    assert everywhere.atl06_quality_summary.isna().sum() == 10
    assert str(everywhere.atl06_quality_summary.dtype) == "Int8"


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_every_scheduler_gives_the_same_rows(ice: GranuleList, scheduler: str) -> None:
    expected = opened(ice, quality="best").compute(scheduler="synchronous")
    # forked processes would inherit threads, and warn of it
    with dask.config.set({"multiprocessing.context": "spawn"}):
        found = opened(ice, quality="best").compute(scheduler=scheduler)
    assert_geodataframe_equal(found, expected)


def test_a_cluster_gives_the_same_rows_and_raises_the_same_errors(
    ice: GranuleList, scheduler: str, tmp_path: Path
) -> None:
    expected = opened(ice, where="h_li > 500").compute(scheduler="synchronous")
    cut = tmp_path / Path(ice[5].url).name
    cut.write_bytes(Path(ice[5].url).read_bytes()[:100_000])
    damaged = GranuleList(granules=[*ice.granules[:5], _at(ice[5], cut)])
    with Client(scheduler):
        found = opened(ice, where="h_li > 500").compute()
        with pytest.raises(CorruptGranuleError, match=f"{ice[5].id}.*truncated"):
            opened(damaged).h_li.mean().compute()
    assert_geodataframe_equal(found, expected)


def _at(granule: Granule, path: Path) -> Granule:
    return Granule(id=granule.id, product=granule.product, version=granule.version, urls={"file": str(path)})


def test_a_filter_and_what_it_filters_read_each_chunk_once(ice: GranuleList) -> None:
    lazily = opened(ice)
    with tracing() as trace:
        mean = lazily[lazily.beam == "gt1l"].h_li.mean().compute(scheduler="threads")
    assert np.isfinite(mean)
    names = (*COORDINATES, "h_li")
    for granule in ice:
        chunks = index(granule, [f"{beam}/{SEGMENTS}/{name}" for beam in ATL06.groups for name in names])
        for path, times in trace.chunks(chunks).items():
            assert times
            wanted = {0, 1} if path.endswith("h_li") else {1}  # rows outside need no height
            assert set(times) <= wanted, path
    assert set(trace.asked.values()) == {1}


def test_what_is_computed_together_is_read_together(ice: GranuleList) -> None:
    lazily = opened(ice)
    with tracing() as trace:
        compute(lazily[lazily.h_li > 500].quality.count(), lazily.longitude.max(), scheduler="threads")
    assert set(trace.asked.values()) == {1}


def test_a_cluster_reads_each_chunk_once_too(ice: GranuleList, scheduler: str) -> None:
    lazily = opened(ice)
    with Client(scheduler) as client:
        client.run(_count)
        try:
            lazily[lazily.beam == "gt1l"].h_li.mean().compute()
        finally:
            counts = client.run(_counted)
    asked: Counter[tuple[str, int, int]] = sum(counts.values(), Counter())
    assert all(counts.values())  # both workers read
    assert set(asked.values()) == {1}


def _count() -> None:
    tracer = tracing()
    ranges.tracer, ranges.trace = tracer, tracer.__enter__()  # type: ignore[attr-defined]


def _counted() -> Counter[tuple[str, int, int]]:
    ranges.tracer.__exit__(None, None, None)  # type: ignore[attr-defined]
    asked: Counter[tuple[str, int, int]] = ranges.trace.asked  # type: ignore[attr-defined]
    return asked


def test_who_computes_again_reads_again(ice: GranuleList) -> None:
    lazily = opened(ice).h_li.sum()
    with tracing() as trace:
        lazily.compute(scheduler="synchronous")
        once = trace.asked.total()
        lazily.compute(scheduler="synchronous")
    assert trace.asked.total() == 2 * once > 0


def test_only_the_columns_that_are_asked_for_are_read(ice: GranuleList) -> None:
    paths = [
        f"{beam}/{SEGMENTS}/{name}" for beam in ATL06.groups for name in ("h_li", "atl06_quality_summary")
    ]
    with tracing() as trace:
        little = opened(ice)[["quality"]].compute(scheduler="synchronous")
    assert type(little) is pd.DataFrame
    for granule in ice:
        times = trace.chunks(index(granule, paths))
        assert not any(sum(n) for path, n in times.items() if path.endswith("h_li"))
        assert any(sum(n) for path, n in times.items() if path.endswith("summary"))


def test_geometry_is_built_only_where_it_is_asked_for(
    ice: GranuleList, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    from_xy = gpd.GeoSeries.from_xy

    def counted(*places: object, **words: object) -> gpd.GeoSeries:
        built.append(places)
        return from_xy(*places, **words)

    monkeypatch.setattr(gpd.GeoSeries, "from_xy", counted)
    opened(ice)[["h_li", "time"]].compute(scheduler="synchronous")
    assert not built
    opened(ice)[["h_li", "geometry"]].compute(scheduler="synchronous")
    assert len(built) == 3


def test_idioms_of_geopandas_and_dask_work(ice: GranuleList, tmp_path: Path) -> None:
    lazily = opened(ice)
    whole = lazily.compute(scheduler="threads")
    west, south, east, north = whole.total_bounds
    x, y = (west + east) / 2, (south + north) / 2
    with dask.config.set(scheduler="threads"):
        assert_geodataframe_equal(lazily.cx[west:x, y:north].compute(), whole.cx[west:x, y:north])
        assert len(lazily.cx[0:10, 0:10].compute()) == 0
        areas = gpd.GeoDataFrame(
            {"name": ["a", "b"]},
            geometry=[shapely.box(west, south, x, y), shapely.box(x, y, east, north)],
            crs="EPSG:4326",
        )
        joined, expected = lazily.sjoin(areas).compute(), whole.sjoin(areas)
        assert sorted(joined.name) == sorted(expected.name)
        assert len(joined) > 0
        means = lazily.groupby("beam").h_li.mean().compute()
        pd.testing.assert_series_equal(
            means.dropna(), whole.groupby("beam", observed=True).h_li.mean(), rtol=1e-5, check_dtype=False
        )
        with warnings.catch_warnings():
            # dask-geopandas 0.5 sets an index in place, which pandas 3 deprecates
            warnings.filterwarnings("ignore", message="The inplace keyword")
            lazily.to_parquet(tmp_path / "rows")
        again = gpd.read_parquet(tmp_path / "rows")
        assert again.h_li.sum() == whole.h_li.sum()
        assert lazily.assign(twice=lazily.h_li * 2).twice.sum().compute() == pytest.approx(
            2 * float(whole.h_li.sum()), rel=1e-5
        )
        assert len(lazily.head(3)) == 3
        assert len(lazily) == len(whole)


def test_spatial_partitions_hold_every_row_also_across_the_antimeridian(ice: GranuleList) -> None:
    region = Region.from_bbox(170, -60, -30, 85)
    lazily = opened(ice, region=region)
    assert lazily.spatial_partitions is not None
    assert lazily.spatial_partitions.total_bounds.tolist() == [-180, -60, 180, 85]
    found = lazily.compute(scheduler="threads")
    assert len(found) > 0
    assert found.covered_by(lazily.spatial_partitions.iloc[0]).all()
    assert opened(ice, region=None).spatial_partitions is None


@pytest.mark.parametrize("form", ["glob", "paths", "list file"])
def test_granules_may_be_given_as_paths(ice: GranuleList, form: str, tmp_path: Path) -> None:
    paths = [Path(granule.url) for granule in ice]
    urls = tmp_path / "urls.txt"
    urls.write_text("\n".join(map(str, paths)))
    forms: dict[str, Granules] = {"glob": paths[0].parent / "*.h5", "paths": paths, "list file": urls}
    given = forms[form]
    one = eoscale.open(given, variables=["h_li"], region=BOX).h_li.sum().compute(scheduler="threads")
    assert one == opened(ice).h_li.sum().compute(scheduler="threads")


def test_a_region_may_be_given_in_any_form(ice: GranuleList, tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame(geometry=[shapely.box(*BOX)], crs="EPSG:4326")
    frame.to_file(tmp_path / "area.geojson")
    forms = [BOX, shapely.box(*BOX), frame, tmp_path / "area.geojson", Region.from_bbox(*BOX)]
    rows = {len(opened(ice, region=form).h_li.compute(scheduler="threads")) for form in forms}
    assert len(rows) == 1


def test_the_first_granule_with_beams_tells_the_types(ice: GranuleList, tmp_path: Path) -> None:
    hollow = tmp_path / "hollow.h5"
    with h5py.File(hollow, "w"):
        pass
    first = Granule(id="A", product="ATL06", urls={"file": str(hollow)})
    with_hollow = GranuleList(granules=[first, *ice.granules])
    assert opened(with_hollow).h_li.sum().compute(scheduler="threads") == pytest.approx(
        float(opened(ice).h_li.sum().compute(scheduler="threads")), rel=1e-6
    )
    with pytest.raises(CatalogError, match="none of the 1 granules holds any beam"):
        opened(GranuleList(granules=[first]))


def test_what_is_wrong_is_said_when_granules_are_opened(ice: GranuleList, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no variable 'h_lii'; did you mean h_li"):
        eoscale.open(ice, variables=["h_lii"])
    with pytest.raises(GranuleError, match="no group holds land_ice_segments/h_lii; did you mean h_li"):
        eoscale.open(ice, variables=["land_ice_segments/h_lii"])
    with pytest.raises(RecipeError, match="calls a function"):
        opened(ice, where="open('x') < 1")
    with pytest.raises(RecipeError, match="no quality preset 'good'; it has best"):
        opened(ice, quality="good")
    with pytest.raises(CatalogError, match="the granule list is empty"):
        opened(GranuleList(granules=[]))
    with pytest.raises(CatalogError, match="there is no file"):
        eoscale.open(tmp_path / "*.h5", variables=["h_li"])
    with pytest.raises(RecipeError, match="every table has a column geometry"):
        eoscale.open(ice, variables={"geometry": "h_li"})
    (forest,) = synthetic.make(ATL08, 1, folder=tmp_path)
    with pytest.raises(CatalogError, match="there are granules of ATL06, ATL08: say which by `product`"):
        eoscale.open([forest, ice[0].url], variables=["h_li"])
    assert len(eoscale.open([forest, ice[0].url], variables=["h_li"], product="ATL06").partitions[0]) > 0


def test_a_granule_of_another_type_is_refused_rather_than_rounded(ice: GranuleList, tmp_path: Path) -> None:
    copy = tmp_path / Path(ice[1].url).name
    copy.write_bytes(Path(ice[1].url).read_bytes())
    with h5py.File(copy, "r+") as file:
        for beam in (group for group in ATL06.groups if group in file):
            heights = file[f"{beam}/{SEGMENTS}/h_li"][:].astype(np.float64)
            del file[f"{beam}/{SEGMENTS}/h_li"]
            file[f"{beam}/{SEGMENTS}/h_li"] = heights
    mixed = GranuleList(granules=[ice[0], _at(ice[1], copy)])
    with pytest.raises(GranuleError, match="h_li is float64 here and float32 in the first granule"):
        opened(mixed, region=None).h_li.sum().compute(scheduler="synchronous")


def test_workers_that_cannot_see_the_job_say_what_to_do(
    ice: GranuleList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EOSCALE_WORK", str(tmp_path / "here"))
    lazily = opened(ice, where="h_li > 1")
    for path in sorted((tmp_path / "here").rglob("*.json")):
        path.unlink()
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as elsewhere,
        pytest.raises(RunError, match="set EOSCALE_WORK to a folder that client and workers share"),
    ):
        lazily.h_li.sum().compute(scheduler=elsewhere)


def test_graphs_find_their_job_in_a_bucket_too(ice: GranuleList, monkeypatch: pytest.MonkeyPatch) -> None:
    here = opened(ice, where="h_li > 2").h_li.sum().compute(scheduler="synchronous")
    with BucketServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("EOSCALE_WORK", f"s3://{server.bucket}/work")
        lazily = opened(ice, where="h_li > 2")
        assert any(name.endswith("job.json") for name in places.sizes(place(f"s3://{server.bucket}/work")))
        assert lazily.h_li.sum().compute(scheduler="synchronous") == here


@pytest.fixture(name="many")
def _many(ice: GranuleList) -> GranuleList:
    url, start = ice[0].url, np.datetime64("2024-04-01", "ns")
    return GranuleList(
        granules=[
            Granule(id=f"ATL06_{n:06}", product="ATL06", version="006", urls={"file": url}, start=start)
            for n in range(25_000)
        ]
    )


def graph_of(collection: Any) -> dict[Any, Any]:  # noqa: ANN401  any Dask collection
    return dict(collection.__dask_graph__())


def test_graphs_of_12500_partitions_weigh_less_than_5_megabytes(many: GranuleList) -> None:
    lazily = opened(many)
    assert lazily.npartitions == 12_500
    mean = lazily[lazily.beam == "gt1l"].h_li.mean()
    grid = [{"grid": {"crs": "EPSG:3413", "resolution": 10_000}}]
    cube = eoscale.aggregate(lazily[lazily.quality == 0], by=grid, statistics=["mean"])
    sizes = {
        "frame": len(pickle.dumps(lazily)) - len(pickle.dumps(lazily.spatial_partitions)),
        "its graph": len(pickle.dumps(graph_of(lazily.optimize()))),
        "a mean, as a scheduler gets it": len(pickle.dumps(mean.optimize().expr)),
        "a cube": len(pickle.dumps(graph_of(cube))),
    }
    assert max(sizes.values()) < 5_000_000, sizes


def test_of_two_versions_among_files_the_newest_counts_as_in_a_run_and_a_list_is_taken_as_it_is(
    ice: GranuleList, tmp_path: Path
) -> None:
    for granule in ice:
        for revision in ("01", "02"):
            name = f"{granule.id[:-2]}{revision}.h5"
            (tmp_path / name).hardlink_to(granule.url)
    files = eoscale.open(f"{tmp_path}/*.h5", variables=["h_li"], region=BOX)
    named = set(files.granule.compute(scheduler="threads"))
    assert named
    assert all(name.endswith("_02") for name in named)
    both = Listing([f"{tmp_path}/*.h5"]).search(Query(product=ATL06))
    assert len(both) == 2 * len(ice)
    rows = len(eoscale.open(both, variables=["h_li"], region=BOX))
    assert rows == 2 * len(files)
