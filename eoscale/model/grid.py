"""Grid: square cells of a CRS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS

from eoscale.errors import RecipeError
from eoscale.model.axis import Located
from eoscale.model.columns import LATITUDE, LONGITUDE, Columns
from eoscale.model.digest import Digested
from eoscale.model.edges import area_of_use
from eoscale.model.region import Region
from eoscale.model.sphere import LONGITUDE_LATITUDE, is_geographic, known_crs, transformer, turned

_MOST_CELLS = 2**40


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid(Digested):
    """Square cells of a CRS, north up.

    The edges of a cell are whole multiples of the resolution, computed as integer times resolution, so
    that grids of one resolution always share their edges. A cell holds its west and south edges and not
    its east and north ones.

    In a geographic CRS longitudes go round: a grid from 170 to 190 holds -175, and the first column of a
    grid from -180 to 180 holds 180. The northernmost row of a grid that ends at the pole holds the pole.

    Parameters
    ----------
    crs : str
        Anything that pyproj reads.
    resolution : float
        Side of a cell in units of the CRS.
    west, south : int
        Edges of the grid in multiples of the resolution.
    width, height : int
        Number of cells.

    Raises
    ------
    RecipeError
        If the CRS is unknown, the resolution is not positive, the grid has no or too many cells, or has
        columns that lie a whole turn after its first.

    Examples
    --------
    >>> grid = Grid(crs="EPSG:3413", resolution=1000, west=-200, south=-2300, width=3, height=2)
    >>> grid.shape
    (2, 3)
    >>> grid.coordinates().x.values
    array([-199500., -198500., -197500.])
    """

    crs: str
    resolution: float
    west: int
    south: int
    width: int
    height: int

    def __post_init__(self) -> None:
        known_crs(self.crs)
        if not self.resolution > 0:
            raise RecipeError(f"the grid's resolution is {self.resolution}, expected a positive number")
        if min(self.width, self.height) < 1 or self.width * self.height >= _MOST_CELLS:
            raise RecipeError(f"a grid of {self.width} x {self.height} cells; expected 1 to 2**40 in all")
        if self.geographic and self.width > _columns_of_a_turn(self.resolution):
            raise RecipeError(
                f"a grid of {self.width} columns of {self.resolution:g} degrees goes round the Earth more "
                f"than once: expected at most {_columns_of_a_turn(self.resolution)}"
            )

    @classmethod
    def over(cls, region: Region | None, *, crs: str, resolution: float) -> Grid:
        """Return the smallest grid of a CRS and resolution that covers a region.

        Without a region it covers the CRS's area of use.

        Raises
        ------
        RecipeError
            If the CRS is unknown or has no area of use, or the region leaves it.
        """
        if not resolution > 0:
            raise RecipeError(f"the grid's resolution is {resolution}, expected a positive number")
        left, bottom, right, top = _used(crs) if region is None else region.bounds_in(crs)
        below = _multiples(np.array([left, bottom, right, top]), resolution)
        above = below + (below * resolution < [left, bottom, right, top])
        west, south, east, north = (int(k) for k in (*below[:2], *above[2:]))
        width, height = east - west, north - south
        if is_geographic(crs):
            width = min(width, _columns_of_a_turn(resolution))
        return cls(crs=crs, resolution=resolution, west=west, south=south, width=width, height=height)

    def __repr__(self) -> str:
        return f"<Grid {self.height} x {self.width} cells of {self.resolution:g}, {self.crs}>"

    @property
    def geographic(self) -> bool:
        """Whether the CRS is of longitudes and latitudes."""
        return is_geographic(self.crs)

    @property
    def dims(self) -> tuple[str, str]:
        """``y, x``, or ``latitude, longitude`` where the CRS is geographic."""
        return (LATITUDE, LONGITUDE) if self.geographic else ("y", "x")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (from the north) and columns (from the west)."""
        return self.height, self.width

    @cached_property
    def geobox(self) -> GeoBox:
        """The same grid as odc-geo and rioxarray know it."""
        left, top = self.west * self.resolution, (self.south + self.height) * self.resolution
        affine = Affine(self.resolution, 0.0, left, 0.0, -self.resolution, top)
        return GeoBox(self.shape, affine, self.crs)

    def locate(self, columns: Columns) -> Located:
        """Return the rows whose ``longitude`` and ``latitude`` lie on the grid, and their cells."""
        x, y = np.asarray(columns[LONGITUDE], np.float64), np.asarray(columns[LATITUDE], np.float64)
        if self.crs != LONGITUDE_LATITUDE:
            x, y = transformer(LONGITUDE_LATITUDE, self.crs).transform(x, y)
        if self.geographic:
            x = turned(x, self.west * self.resolution)
        with np.errstate(invalid="ignore"):  # what is not finite is nowhere
            column = _multiples(x, self.resolution) - self.west
            row = self.south + self.height - 1 - _multiples(y, self.resolution)
        if self.geographic:
            # nothing lies beyond a pole, and beyond a whole turn only what rounding put there
            row += (row == -1) & (y == 90)
            if self.width == _columns_of_a_turn(self.resolution):
                column = np.clip(column, 0, self.width - 1)
        on_grid = np.isfinite(x) & (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)
        rows = np.flatnonzero(on_grid)
        cells = row[rows].astype(np.int64) * self.width + column[rows].astype(np.int64)
        return Located(rows, cells)

    def coordinates(self) -> xr.Dataset:
        """Return cell centres and the grid mapping ``spatial_ref``, as CF and GDAL write them."""
        crs = CRS.from_user_input(self.crs)
        y_name, x_name = self.dims
        x = (self.west + np.arange(self.width) + 0.5) * self.resolution
        y = (self.south + np.arange(self.height)[::-1] + 0.5) * self.resolution
        attributes = {axis["axis"]: axis for axis in crs.cs_to_cf()}
        mapping = crs.to_cf()
        mapping["GeoTransform"] = " ".join(repr(float(v)) for v in self.geobox.affine.to_gdal())
        return xr.Dataset(
            coords={
                y_name: (y_name, y, attributes["Y"]),
                x_name: (x_name, x, attributes["X"]),
                "spatial_ref": ((), np.int64(crs.to_epsg() or 0), mapping),
            }
        )


def _multiples(values: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Return the whole k with ``k * step <= value < (k + 1) * step``, exact at the float64 edges."""
    k = np.floor(values / step)
    # the division rounds: next to an edge k may be one off from what integer times step says
    k -= k * step > values
    k += (k + 1) * step <= values
    return k


def _columns_of_a_turn(resolution: float) -> int:
    """Return how many columns it takes to go round the Earth; the last may reach beyond."""
    (below,) = _multiples(np.array([360.0]), resolution)
    return int(below + (below * resolution < 360))


def _used(crs: str) -> tuple[float, float, float, float]:
    box = area_of_use(known_crs(crs))
    if box is None:
        raise RecipeError(f"{crs} states no area of use: give a region for the grid to cover")
    return box
