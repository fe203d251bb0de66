"""Today's usual way, as tutorials have it: a file object of fsspec, h5py, geopandas and pandas.

Of local files it gives the answers that every other way is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import fsspec
import geopandas as gpd
import h5py
import numpy as np
import pandas as pd
import xarray as xr

from tests.benchmarks.storage.questions import (
    BEAMS,
    BOX,
    COLUMNS,
    LAND,
    MISSING,
    PER_DEGREE,
    STATISTICS,
    polygon,
)

_WEST, _SOUTH, _EAST, _NORTH = BOX


def rows(source: str, **caching: object) -> pd.DataFrame:
    """Return the rows of one file inside the polygon."""
    tables = [pd.DataFrame(columns=[*COLUMNS], dtype=float)]
    with fsspec.open(source, **caching) as opened, h5py.File(opened) as file:
        for beam in BEAMS:
            land = file[beam][LAND]
            places = gpd.points_from_xy(land["longitude"][:], land["latitude"][:])
            inside = gpd.GeoSeries(places).within(polygon()).to_numpy()
            if inside.any():
                tables.append(pd.DataFrame({name: land[path][:][inside] for name, path in COLUMNS.items()}))
    return pd.concat(tables[1:] or tables)


def sums(source: str, **caching: object) -> pd.DataFrame:
    """Return what one file adds to each cell."""
    tables = []
    with fsspec.open(source, **caching) as opened, h5py.File(opened) as file:
        for beam in BEAMS:
            land = file[beam][LAND]
            row, column = (
                np.floor((land[path][:].astype(float) - edge) * PER_DEGREE).astype(int)
                for path, edge in (("latitude", _SOUTH), ("longitude", _WEST))
            )
            height = land[COLUMNS["h_canopy"]][:].astype(float)
            tables.append(pd.DataFrame({"row": row, "column": column, "height": height}))
    table = pd.concat(tables).query(f"height < {MISSING}")
    table["square"] = table["height"] ** 2
    return table.groupby(["row", "column"]).agg(
        count=("height", "count"),
        sum=("height", "sum"),
        squares=("square", "sum"),
        min=("height", "min"),
        max=("height", "max"),
    )


def merged(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the statistics of cells, given what files add to them."""
    together = pd.concat(parts).groupby(level=[0, 1])
    total = together.agg({"count": "sum", "sum": "sum", "squares": "sum", "min": "min", "max": "max"})
    total["mean"] = total["sum"] / total["count"]
    total["std"] = np.sqrt(np.maximum(total["squares"] / total["count"] - total["mean"] ** 2, 0))
    return total[[*STATISTICS]]


def write(cells: pd.DataFrame, store: Path) -> Path:
    """Write cells as a Zarr store and return where it is."""
    row, column = (cells.index.get_level_values(name).to_numpy() for name in ("row", "column"))
    coords = {
        name: (np.arange((high - low) * PER_DEGREE) + 0.5) / PER_DEGREE + low
        for name, low, high in (("latitude", _SOUTH, _NORTH), ("longitude", _WEST, _EAST))
    }
    cube = xr.Dataset(coords=coords)
    for name in STATISTICS:
        values = np.full([len(each) for each in coords.values()], 0.0 if name == "count" else np.nan)
        values[row, column] = cells[name]
        cube[f"h_canopy_{name}"] = [*coords], values
    cube.to_zarr(store)
    return store
