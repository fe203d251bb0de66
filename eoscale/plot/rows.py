"""Rows on a map: a table of observations as means in the cells of a grid."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import shapely
import xarray as xr

from eoscale.errors import IncompleteRunError, RecipeError
from eoscale.model.columns import LATITUDE, LONGITUDE, RESERVED, Columns
from eoscale.model.cube import Cube
from eoscale.model.grid import Grid
from eoscale.model.region import Region
from eoscale.model.sphere import LONGITUDE_LATITUDE, transformer, turned
from eoscale.plot.view import Box
from eoscale.reduce.moments import Moments
from eoscale.steps.statistics import Summary
from eoscale.write.provenance import FACTS
from eoscale.write.published import batches, form, names

MOST_CELLS = 250
"""Along the longer side of a map."""
_BELTS = {"EPSG:3413": (55.0, np.inf), "EPSG:3031": (-np.inf, -55.0), LONGITUDE_LATITUDE: (-np.inf, np.inf)}
"""CRSs, the one to prefer first, and the latitudes between which all rows have to lie."""
_FINEST = 10.0, 0.0001
"""Sides of the smallest cell, in metres and in degrees."""


def gridded(output: Path, *, variable: str | None = None) -> xr.Dataset:
    r"""Return counts and means of one variable of a table in cells, as a run would publish them.

    The table is read twice, some rows at a time: first for where they lie, then for the means.

    Parameters
    ----------
    output : Path
        GeoParquet, CSV or JSON, as runs write them.
    variable : str, optional
        The first unless given.

    Returns
    -------
    xarray.Dataset
        ``<variable>_count`` and ``<variable>_mean`` on square cells, at most 250 along a side: polar
        stereographic north of 55 degrees north or south of 55 degrees south, else longitude and latitude.

    Raises
    ------
    RecipeError
        If the table has no such variable, or is none of observations; names the nearest.
    IncompleteRunError
        If there is no table, or no row in it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     table = Path(folder, "heights.csv")
    ...     _ = table.write_text("longitude,latitude,h_li\n-50,70,100\n-50,70,102\n")
    ...     float(gridded(table).h_li_mean.max())
    101.0
    """
    box = extent(batches(output, []))
    if box is None:
        raise IncompleteRunError(f"{output} holds no row to draw")
    name = _chosen(names(output), variable)
    grid = _grid(*box)
    moments = Moments()
    merged = moments.chunk(np.empty(0, np.int64), np.empty(0))
    for columns in batches(output, [name]):
        located = grid.locate(columns)
        values = columns[name][located.rows]
        known = np.isfinite(values)
        merged = moments.merge([merged, moments.chunk(located.bins[known], values[known])])
    cube = Cube(axes=(grid,), tile_shape=grid.shape)
    summary = Summary(cube=cube, variables=(name,), statistics=("count", "mean"))
    facts, described = _said(output, name)
    arrays, blocks = summary.arrays({name: described}), summary.blocks(0, {name: merged})
    variables = {key: (cube.dims, block, arrays[key].attributes) for key, block in blocks.items()}
    return xr.Dataset(variables, cube.coordinates().coords, facts)


def _chosen(columns: Sequence[str], variable: str | None) -> str:
    known = [name for name in columns if name not in RESERVED]
    if not known:
        raise RecipeError("nothing to draw: the table has no column but coordinates")
    if variable is None:
        return known[0]
    if variable not in known:
        near = get_close_matches(variable, known, n=3, cutoff=0.4) or known[:5]
        raise RecipeError(f"the table has no variable {variable!r}: did you mean {', '.join(near)}?")
    return variable


def extent(places: Iterable[Columns]) -> tuple[str, Box] | None:
    """Return the CRS that suits all places, and their bounds in it; None where there is no place.

    Degrees are within -180 to 180, or 0 to 360 where that box is less than half as wide.
    """
    lows = {crs: np.full(3, np.inf) for crs in _BELTS}
    highs = {crs: np.full(3, -np.inf) for crs in _BELTS}
    for columns in places:
        longitude, latitude = columns[LONGITUDE], columns[LATITUDE]
        for crs in list(lows):
            south, north = _BELTS[crs]
            if not ((latitude > south) & (latitude < north)).all():
                del lows[crs]
                continue
            x, y = transformer(LONGITUDE_LATITUDE, crs).transform(longitude, latitude)
            points = np.stack([x, y, turned(x, 0.0) if crs == LONGITUDE_LATITUDE else x])
            lows[crs] = np.minimum(lows[crs], points.min(axis=1, initial=np.inf))
            highs[crs] = np.maximum(highs[crs], points.max(axis=1, initial=-np.inf))
    crs, low = next(iter(lows.items()))
    high = highs[crs]
    if low[0] > high[0]:
        return None
    across = 2 if 2 * (high[2] - low[2]) < high[0] - low[0] else 0
    return crs, (low[across], low[1], high[across], high[1])


def _grid(crs: str, box: Box) -> Grid:
    """Return the grid over a box with both its edges, of a side of 1, 2 or 5 times a power of ten."""
    left, bottom, right, top = box
    degrees = crs == LONGITUDE_LATITUDE
    finest = _FINEST[degrees]
    # cells are half-open: what lies on the last edge has to lie before it
    right, top = (max(np.nextafter(b, np.inf), a + finest) for a, b in ((left, right), (bottom, top)))
    if degrees:
        right, top = min(right, left + 360), min(top, 90.0)
    region = Region(geometry=shapely.box(left, bottom, right, top), crs=crs)
    least = max(right - left, top - bottom) / MOST_CELLS
    sides = (float(f"{digit}e{power}") for power in count(-4) for digit in (1, 2, 5))
    grids = (Grid.over(region, crs=crs, resolution=side) for side in sides if side >= max(least, finest))
    return next(grid for grid in grids if max(grid.shape) <= MOST_CELLS)


def _said(output: Path, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what a file says of itself and of a variable; only Parquet has a place for it."""
    if form(output) != "parquet":
        return {}, {"long_name": name}
    schema = pq.read_schema(output)
    facts = json.loads((schema.metadata or {}).get(FACTS, b"{}"))
    words = {key.decode(): text.decode() for key, text in (schema.field(name).metadata or {}).items()}
    return facts, {"long_name": name, **words}
