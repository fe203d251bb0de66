"""The lazy face on eight real ATL06 granules of West Greenland, against h5py and geopandas alone."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import h5py
import numpy as np
import pandas as pd
import pytest
import shapely

import eoscale
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.hdf5.index import index
from eoscale.model.granule import GranuleList
from eoscale.model.recipe import Recipe
from eoscale.products import ATL06
from eoscale.run.progress import Silent
from tests.tracing import tracing

pytestmark = pytest.mark.real

RECIPE = Path(__file__).parents[2] / "recipes" / "greenland-land-ice.yaml"
BEAMS = ("gt1l", "gt1r", "gt2l", "gt2r", "gt3l", "gt3r")
SEGMENTS = "land_ice_segments"
AREA = shapely.Polygon(
    [(-50.9, 69.95), (-49.3, 69.92), (-49.1, 70.8), (-49.6, 72.0), (-50.6, 71.7)],
    [[(-50.2, 70.2), (-49.6, 70.3), (-49.7, 71.0), (-50.1, 70.9)]],
)


@pytest.fixture(scope="module", name="granules")
def _granules(real_data: Path) -> GranuleList:
    places = real_data / "icesat2" / "atl06_greenland_v002" / "*.h5"
    return Listing([str(places)]).search(Query(product=ATL06))


@pytest.fixture(scope="module", name="everything")
def _everything(granules: GranuleList) -> gpd.GeoDataFrame:
    """Return all rows of all beams of all granules, read by h5py."""
    frames = []
    for granule in granules:
        with h5py.File(granule.url) as file:
            for beam in (beam for beam in BEAMS if f"{beam}/{SEGMENTS}/h_li" in file):
                segments = file[f"{beam}/{SEGMENTS}"]
                names = ("longitude", "latitude", "h_li", "segment_id", "atl06_quality_summary")
                columns = {name: segments[name][:] for name in names}
                frames.append(pd.DataFrame({"granule": granule.id, "beam": beam, **columns}))
    rows = pd.concat(frames, ignore_index=True)
    geometry = gpd.points_from_xy(rows.longitude, rows.latitude, crs="EPSG:4326")
    return gpd.GeoDataFrame(rows, geometry=geometry)


def test_the_rows_of_a_polygon_with_a_hole_are_those_that_geopandas_finds(
    granules: GranuleList, everything: gpd.GeoDataFrame
) -> None:
    lazily = eoscale.open(granules, variables=["h_li", "segment_id", "atl06_quality_summary"], region=AREA)
    found = lazily.compute(scheduler="threads")
    expected = everything[everything.within(AREA)]
    in_hole = everything.within(shapely.Polygon(AREA.interiors[0]))
    assert in_hole.any()
    assert sorted(expected.beam.unique()) == list(BEAMS)
    assert 0 < len(expected) < len(everything) - in_hole.sum()
    for name in ("granule", "beam", "longitude", "latitude", "segment_id", "atl06_quality_summary"):
        assert found[name].tolist() == expected[name].tolist(), name
    heights = np.where(expected.h_li > 3e38, np.float32(np.nan), expected.h_li)
    np.testing.assert_array_equal(found.h_li.to_numpy(), heights)
    assert found.geometry.tolist() == expected.geometry.tolist()


def test_a_condition_keeps_what_numpy_keeps(granules: GranuleList, everything: gpd.GeoDataFrame) -> None:
    where = "h_li > 1500 or segment_id % 2 == 0"
    lazily = eoscale.open(granules, variables=["h_li"], region=AREA, quality="best", where=where)
    found = lazily.compute(scheduler="threads")
    rows = everything[everything.within(AREA) & (everything.atl06_quality_summary == 0)]
    rows = rows[((rows.h_li > 1500) & (rows.h_li < 3e38)) | ((rows.segment_id % 2 == 0) & (rows.h_li < 3e38))]
    assert found.h_li.tolist() == rows.h_li.tolist()
    assert len(found) > 0


def test_the_mean_of_a_beam_reads_each_chunk_once(
    granules: GranuleList, everything: gpd.GeoDataFrame
) -> None:
    g = eoscale.open(granules, variables=["h_li", "segment_id"], region=AREA)
    with tracing() as trace:
        mean = g[g.beam == "gt1l"].h_li.mean().compute(scheduler="threads")
    rows = everything[everything.within(AREA) & (everything.beam == "gt1l") & (everything.h_li < 3e38)]
    assert mean == pytest.approx(rows.h_li.astype(np.float64).mean(), rel=1e-6)
    read = 0
    for granule in granules:
        names = ("longitude", "latitude", "delta_time", "h_li", "segment_id")
        chunks = index(granule, [f"{beam}/{SEGMENTS}/{name}" for beam in BEAMS for name in names])
        for path, times in trace.chunks(chunks).items():
            assert max(times) <= 1
            assert not (path.endswith("segment_id") and any(times))
            read += sum(times)
    assert read == trace.asked.total() > 100


def test_the_aggregate_is_that_of_a_run_to_the_last_bit(
    granules: GranuleList, scheduler: str, tmp_path: Path
) -> None:
    recipe = Recipe.from_file(RECIPE)
    assert recipe.reduce is not None
    run = eoscale.run(
        recipe, granules=granules, cluster=scheduler, output=tmp_path / "out.zarr", watcher=Silent()
    )
    published = run.open()
    cube = eoscale.aggregate(
        granules,
        variables=list(recipe.columns),
        region=recipe.region,
        by=[axis.model_dump(exclude_none=True) for axis in recipe.reduce.by],
        statistics=recipe.reduce.statistics,
    ).compute(scheduler="threads")
    assert int(published["h_li_count"].sum()) == 29_226
    assert set(cube.data_vars) == set(published.data_vars)
    for name, array in published.data_vars.items():
        assert cube[name].dims == array.dims
        assert cube[name].to_numpy().tobytes() == array.to_numpy().tobytes(), name
