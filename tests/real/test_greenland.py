"""Eight real ATL06 granules of West Greenland, against h5py, numpy and pyproj alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pyproj
import pytest
import xarray as xr
from odc.geo.xr import xr_coords  # noqa: F401  registers the accessor .odc

from eoscale.model.recipe import Recipe
from eoscale.run import run
from eoscale.run.ledger import Ledger, beside
from eoscale.run.progress import Silent

pytestmark = pytest.mark.real

RECIPE = Path(__file__).parents[2] / "recipes" / "greenland-land-ice.yaml"
BEAMS = ("gt1l", "gt1r", "gt2l", "gt2r", "gt3l", "gt3r")
STATISTICS = ("count", "mean", "std", "min", "max")
Cell = tuple[str, int, int]
"""Month, and the cell's south-west corner in kilometres of EPSG:3413."""


@dataclass(frozen=True)
class Finished:
    dataset: xr.Dataset
    ledger: Ledger
    stdout: str


def granules(real_data: Path) -> str:
    return str(real_data / "icesat2" / "atl06_greenland_v002" / "*.h5")


@pytest.fixture(scope="module")
def all_rows(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Return the result of the recipe, run as a user does."""
    output = tmp_path_factory.mktemp("all") / "out.zarr"
    command = [sys.executable, "-m", "eoscale", "run", str(RECIPE), "--granules", granules(real_data)]
    done = subprocess.run(  # noqa: S603  our own command line
        [*command, "--output", str(output)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    dataset = xr.open_zarr(output, consolidated=True, chunks=None)
    return Finished(dataset.load(), Ledger.load(beside(output)), done.stdout)


@pytest.fixture(scope="module")
def best_rows(real_data: Path, scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Return the result of the recipe with the preset ``best``."""
    recipe = Recipe.from_file(RECIPE, {"quality": "best"})
    output = tmp_path_factory.mktemp("best") / "out.zarr"
    result = run(recipe, granules=granules(real_data), output=output, cluster=scheduler, watcher=Silent())
    return Finished(result.open().load(), result.ledger, "")


def expected(real_data: Path, *, best: bool) -> dict[Cell, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Return the heights of each cell, from scratch."""
    project = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3413", always_xy=True).transform
    cells: dict[Cell, list[float]] = defaultdict(list)
    for path in sorted((real_data / "icesat2" / "atl06_greenland_v002").glob("*.h5")):
        with h5py.File(path, "r") as file:
            for group in (file[f"{beam}/land_ice_segments"] for beam in BEAMS if beam in file):
                longitude, latitude = group["longitude"][:], group["latitude"][:]
                height = group["h_li"][:].astype(float)
                good = height < 3e38
                good &= (longitude > -51) & (longitude < -49) & (latitude > 69.9) & (latitude < 72.1)
                if best:
                    good &= group["atl06_quality_summary"][:] == 0
                x, y = project(longitude[good], latitude[good])
                seconds = group["delta_time"][:][good]
                months = (np.datetime64("2018-01-01", "ms") + (seconds * 1e3).astype("m8[ms]")).astype(
                    "M8[M]"
                )
                for month, i, j, h in zip(
                    months, np.floor(x / 1000), np.floor(y / 1000), height[good], strict=True
                ):
                    cells[str(month), int(i), int(j)].append(h)
    return {cell: np.array(values) for cell, values in cells.items()}


def filled(dataset: xr.Dataset) -> Iterator[tuple[Cell, dict[str, float]]]:
    """Yield the cells of a result that hold something."""
    for t, row, column in np.argwhere(dataset.h_li_count.values > 0):
        month = str(dataset.time.values[t].astype("M8[M]"))
        i, j = (int(np.floor(float(dataset[dim][at]) / 1000)) for dim, at in (("x", column), ("y", row)))
        yield (month, i, j), {s: float(dataset[f"h_li_{s}"][t, row, column]) for s in STATISTICS}


@pytest.mark.parametrize("best", [False, True])
def test_every_cell_equals_h5py_numpy_and_pyproj(
    real_data: Path, all_rows: Finished, best_rows: Finished, *, best: bool
) -> None:
    truth = expected(real_data, best=best)
    found = dict(filled((best_rows if best else all_rows).dataset))
    assert found.keys() == truth.keys()
    assert len(found) > 100
    for cell, heights in truth.items():
        cell_found = found[cell]
        assert cell_found["count"] == heights.size
        assert cell_found["min"] == heights.min()
        assert cell_found["max"] == heights.max()
        assert cell_found["mean"] == pytest.approx(heights.mean(), rel=1e-9, abs=0)
        # cells of one value have a standard deviation of exactly zero
        assert cell_found["std"] == pytest.approx(heights.std(), rel=1e-9, abs=1e-9 * abs(heights.mean()))


def test_a_cell_without_data_is_nan_and_counts_zero(all_rows: Finished) -> None:
    empty = all_rows.dataset.h_li_count == 0
    for statistic in STATISTICS[1:]:
        assert bool(all_rows.dataset[f"h_li_{statistic}"].isnull().equals(empty))


def test_the_ledger_finds_all_granules_used_and_two_beams_absent(all_rows: Finished) -> None:
    ledger = all_rows.ledger
    assert ledger.sentence() == "8 found: 8 used, 0 empty, 0 skipped, 0 failed"
    lacking = ledger.frame[ledger.frame["absent"] != ""]
    assert lacking["absent"].tolist() == ["gt1l gt1r"]
    assert lacking["id"].tolist() == ["ATL06_20190613193602_11690305_002_01"]
    assert int(all_rows.dataset.h_li_count.sum()) == ledger.binned("h_li")


def test_the_best_rows_leave_one_granule_empty(best_rows: Finished) -> None:
    assert best_rows.ledger.sentence() == "8 found: 7 used, 1 empty, 0 skipped, 0 failed"


def test_the_ledger_is_printed_at_the_end(all_rows: Finished) -> None:
    assert "8" in all_rows.stdout
    assert "gt1l gt1r" in all_rows.stdout


def test_the_result_is_georeferenced(all_rows: Finished) -> None:
    geobox = all_rows.dataset.odc.geobox
    assert geobox.crs.to_epsg() == 3413
    assert geobox.resolution.xy == (1000, -1000)
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3413", always_xy=True).transform(-50, 71)
    assert geobox.extent.boundingbox.left < x < geobox.extent.boundingbox.right
    assert geobox.extent.boundingbox.bottom < y < geobox.extent.boundingbox.top


def test_the_store_says_what_it_is_made_of(all_rows: Finished) -> None:
    attributes = all_rows.dataset.attrs
    assert len(attributes["eoscale_granules"]) == 8
    assert "version 002" in attributes["source"]
    assert "10.5067/ATLAS/ATL06" in attributes["references"]
    assert json.loads(attributes["eoscale_recipe"])["variables"] == ["h_li"]
    assert all_rows.dataset.h_li_mean.attrs["units"] == "meters"
    assert all_rows.dataset.h_li_mean.attrs["cell_methods"] == "time: y: x: mean"
    assert all_rows.dataset.h_li_mean.attrs["grid_mapping"] == "spatial_ref"
