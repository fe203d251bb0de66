"""Results as a run would publish them, made up from satellite tracks over a dome of ice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from numpy.typing import NDArray

from eoscale.model.axis import Axis
from eoscale.model.cube import Cube
from eoscale.model.grid import Grid
from eoscale.model.period import Period
from eoscale.model.region import Region

Floats: TypeAlias = NDArray[np.float64]
GREENLAND = shapely.from_wkt(
    "POLYGON ((-46 59.6, -41.5 61, -38 65.4, -25 68.5, -21 71, -18 77, -11 81.6, -30 83.7, -45 82.7,"
    " -62 81.2, -73 78.3, -66 75.8, -57 75, -55.5 71, -51 68.5, -54 66.5, -51 62.5, -46 59.6))"
)
_TURN, _DRIFT = np.radians(92.0), 94.2 / (360 * 4)
"""The inclination, and degrees that the Earth turns below the orbit for each degree along it (scaled)."""


def track(start: float) -> tuple[Floats, Floats]:
    """Return longitudes and latitudes of half an orbit that crosses the equator at a longitude."""
    along = np.radians(np.arange(0.0, 180.0, 0.004))
    latitude = np.degrees(np.arcsin(np.sin(_TURN) * np.sin(along)))
    longitude = np.degrees(np.arctan2(np.cos(_TURN) * np.sin(along), np.cos(along)))
    longitude = start + longitude - np.degrees(along) * _DRIFT
    return (longitude + 180) % 360 - 180, latitude


def dome(longitude: Floats, latitude: Floats) -> Floats:
    """Return the height of an ice sheet with two summits, in metres."""
    north = ((latitude - 74) / 10) ** 2 + ((longitude + 39) / 19) ** 2
    south = ((latitude - 64) / 5) ** 2 + ((longitude + 45) / 6) ** 2
    height = np.sqrt(np.clip(1 - north, 0, None)) * 3200 + np.sqrt(np.clip(1 - south, 0, None)) * 1100
    rock = 260 + 200 * np.sin(longitude / 2.1) * np.cos(latitude * 1.3) + 8 * (latitude - 60)
    return np.asarray(
        np.maximum(np.minimum(height, 3240), rock) + 20 * np.sin(longitude * 9) * np.cos(latitude * 30)
    )


def observe(
    cube: Cube, tracks: Sequence[tuple[np.datetime64, float]], region: shapely.Geometry
) -> xr.Dataset:
    """Return the statistics of all heights along tracks inside a region."""
    parts = []
    random = np.random.default_rng(7)
    for moment, start in tracks:
        longitude, latitude = track(start)
        inside = shapely.contains_xy(region, longitude, latitude)
        longitude, latitude = longitude[inside], latitude[inside]
        height = dome(longitude, latitude) + random.normal(0, 8, longitude.size)
        columns = {"longitude": longitude, "latitude": latitude, "time": np.full(longitude.size, moment)}
        located = cube.locate(columns)
        parts.append((located.bins, height[located.rows]))
    keys, heights = (np.concatenate(part) for part in zip(*parts, strict=True))
    size = int(np.prod(cube.shape))
    count = np.bincount(keys, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(keys, heights, size) / count
        variance = np.bincount(keys, (heights - mean[keys]) ** 2, size) / count
    low, high = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(low, keys, heights)
    np.maximum.at(high, keys, heights)
    statistics = {
        "count": count,
        "mean": mean,
        "std": np.sqrt(variance),
        "min": np.where(count, low, np.nan),
        "max": np.where(count, high, np.nan),
    }
    return package(cube, {name: values.reshape(cube.shape) for name, values in statistics.items()}, region)


def package(
    cube: Cube, statistics: dict[str, NDArray[np.generic]], region: shapely.Geometry | None
) -> xr.Dataset:
    """Return arrays with the coordinates and attributes of a published result."""
    variables = {
        f"h_li_{name}": (
            cube.dims,
            values,
            {
                "units": "1" if name == "count" else "m",
                "long_name": f"land ice height, {name}",
                "cell_methods": f"area: {name}",
                "grid_mapping": "spatial_ref",
            },
        )
        for name, values in statistics.items()
    }
    attributes = {
        "title": "Land-ice elevation of Greenland, spring 2024",
        "references": "Smith, B. et al. (2023). ATLAS/ICESat-2 L3A Land Ice Height, Version 6. "
        "Boulder, Colorado USA. NASA NSIDC DAAC. https://doi.org/10.5067/ATLAS/ATL06.006",
        "eoscale_product": "ATL06",
        "eoscale_granules": [f"ATL06_202404{n:02}_006_01.h5" for n in range(1, 31)],
    }
    if region is not None:
        attributes["eoscale_region"] = shapely.to_geojson(region)
    return xr.Dataset(variables, cube.coordinates().coords, attributes)


def ice_sheet(*, resolution: float, months: int | None = 3, tracks: int = 40) -> xr.Dataset:
    """Return a result over Greenland in polar stereographic cells, crossed by tracks in turn."""
    grid = Grid.over(Region(geometry=GREENLAND), crs="EPSG:3413", resolution=resolution)
    stop = np.datetime64("2024-04", "M") + np.timedelta64(months or 1, "M")
    period = Period.every("1MS", start="2024-04-01", stop=str(stop))
    axes: tuple[Axis, ...] = (grid,) if months is None else (period, grid)
    moments = np.linspace(0, 0.999, tracks) * (period.edges[-1] - period.edges[0]).astype(np.int64)
    passes = [
        (period.edges[0] + np.timedelta64(int(moment), "ns"), float(start))
        for moment, start in zip(
            moments, np.random.default_rng(3).uniform(-180, 180, tracks * 4)[::4], strict=True
        )
    ]
    return observe(whole(*axes), passes, GREENLAND)


def whole(*axes: Axis) -> Cube:
    """Return a cube of one tile, whose keys are flat indices."""
    shape = tuple(size for axis in axes for size in axis.shape)
    return Cube(axes=axes, tile_shape=shape)


def ledger_of(granules: int) -> pd.DataFrame:
    """Return a ledger that adds up, of granules that were used, empty, skipped and failed in turn."""
    number = np.arange(granules)
    status = np.array(["used", "used", "used", "empty", "skipped", "failed"])[number % 6]
    read = np.where(np.isin(status, ["used", "empty"]), 1000 + number, 0)
    binned = np.where(status == "used", 600 + number, 0)
    return pd.DataFrame(
        {
            "id": [f"ATL06_{n:05}_006_01.h5" for n in number],
            "status": status,
            "reason": np.select(
                [status == "failed", status == "skipped"], ["truncated file", "no crossing"], ""
            ),
            "absent": np.where(number % 5 == 0, "gt1l gt1r", ""),
            "read": read,
            "outside": read - binned - np.where(status == "used", 100, 0),
            "quality": np.where(status == "used", 60, 0),
            "undecided": 0,
            "where": 0,
            "off_axis": 0,
            "missing_h_li": np.where(status == "used", 40, 0),
            "binned_h_li": binned,
            "requests": 12.0,
            "bytes": 2.5e6,
            "seconds": 0.75,
        }
    )


@pytest.fixture(name="ice_sheet", scope="session")
def _ice_sheet() -> Callable[..., xr.Dataset]:
    return ice_sheet


@pytest.fixture(scope="session")
def three_months() -> xr.Dataset:
    return ice_sheet(resolution=50_000)


@pytest.fixture(scope="session")
def one_year() -> xr.Dataset:
    """A result on time alone, with a month that has no data."""
    period = Period.every("1MS", start="2023-04-01", stop="2024-04-01")
    mean = 1800 + 60 * np.sin(np.arange(12) / 2)
    mean[7] = np.nan
    count = np.where(np.isnan(mean), 0, 1000)
    statistics = {"count": count, "mean": mean, "min": mean - 90.0, "max": mean + 120.0}
    return package(whole(period), statistics, None)


@pytest.fixture(name="ledger_of")
def _ledger_of() -> Callable[[int], pd.DataFrame]:
    return ledger_of
