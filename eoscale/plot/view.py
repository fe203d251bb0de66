"""View: the part of a CRS's plane that a map shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import shapely
import xarray as xr
from numpy.typing import NDArray
from pyproj import CRS, Geod
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from eoscale.errors import RecipeError
from eoscale.model.region import LONGITUDE_LATITUDE, transformer
from eoscale.model.sphere import polygons_of
from eoscale.plot.mosaic import Mosaic, Window

Box: TypeAlias = tuple[float, float, float, float]
"""Left, bottom, right, top."""
_MARGIN = 0.04
_NARROWEST, _WIDEST = 0.45, 2.3
"""Width over height of a panel that still looks like a map."""
_PARTS = 400
"""Pieces that the region's longest side is cut into before it is bent."""


@dataclass(frozen=True, kw_only=True)
class Raster:
    """Where the cells of a grid lie."""

    crs: CRS
    resolution: float
    left: float
    top: float
    height: int
    width: int

    @classmethod
    def of(cls, values: xr.DataArray, mapping: xr.DataArray | None) -> Raster:
        """Return the raster of a variable whose last dimensions are rows and columns, north up.

        Raises
        ------
        RecipeError
            If the result has no grid mapping.
        """
        if mapping is None:
            raise RecipeError("the result has no grid mapping `spatial_ref`: is it a store of eoscale?")
        y, x = (values[dim].to_numpy() for dim in values.dims[-2:])
        # of the transform only the step: a user may have cut the grid
        resolution = float(str(mapping.attrs["GeoTransform"]).split()[1])
        left, top = float(x[0]) - resolution / 2, float(y[0]) + resolution / 2
        crs = CRS.from_wkt(mapping.attrs["crs_wkt"])
        return cls(crs=crs, resolution=resolution, left=left, top=top, height=y.size, width=x.size)

    @property
    def cell(self) -> str:
        """The side of a cell as a reader would say it."""
        unit = self.crs.axis_info[0].unit_name
        if self.crs.is_geographic:
            return f"{self.resolution:g}° cells"
        if unit == "metre" and self.resolution >= 1000:
            return f"{self.resolution / 1000:g} km cells"
        return f"{self.resolution:g} {'m' if unit == 'metre' else unit} cells"

    def box(self, window: Window | None = None) -> Box:
        """Return the edges of some of the cells; of all unless a window is given."""
        rows, columns = window or (slice(0, self.height), slice(0, self.width))
        step = self.resolution
        return (
            self.left + columns.start * step,
            self.top - rows.stop * step,
            self.left + columns.stop * step,
            self.top - rows.start * step,
        )

    def box_of(self, window: Window, mosaic: Mosaic) -> Box:
        """Return the edges of a mosaic of a window; blocks at the lower right may reach beyond it."""
        left, _, _, top = self.box(window)
        rows, columns = (size * mosaic.factor * self.resolution for size in mosaic.values.shape)
        return left, top - rows, left + columns, top

    def window(self, box: Box) -> Window:
        """Return the cells that a box touches; at least one."""
        left, bottom, right, top = box
        columns = _covering((left - self.left) / self.resolution, (right - self.left) / self.resolution)
        rows = _covering((self.top - top) / self.resolution, (self.top - bottom) / self.resolution)
        return _within(rows, self.height), _within(columns, self.width)


def _covering(start: float, stop: float) -> tuple[int, int]:
    return int(np.floor(start)), int(np.ceil(stop))


def _within(ends: tuple[int, int], size: int) -> slice:
    start = min(max(ends[0], 0), size - 1)
    return slice(start, max(min(ends[1], size), start + 1))


@dataclass(frozen=True, kw_only=True)
class View:
    """A box of a CRS's plane, with what is needed to draw it true to shape."""

    crs: CRS
    box: Box

    @classmethod
    def around(cls, crs: CRS, box: Box) -> View:
        """Return the view of a box with a margin, grown to a shape between a portrait and a panorama."""
        view = cls(crs=crs, box=box)
        left, bottom, right, top = box
        wide, tall = right - left, (top - bottom) * view.stretch
        margin = 2 * _MARGIN * max(wide, tall)
        wide, tall = wide + margin, tall + margin
        wide, tall = max(wide, tall * _NARROWEST), max(tall, wide / _WIDEST)
        x, y, across, along = (left + right) / 2, (bottom + top) / 2, wide / 2, tall / view.stretch / 2
        grown = (x - across, y - along, x + across, y + along)
        return cls(crs=crs, box=_on_earth(grown, box) if crs.is_geographic else grown)

    @cached_property
    def stretch(self) -> float:
        """Length on the page of one unit of y over one of x: 1, or true to shape for degrees."""
        if not self.crs.is_geographic:
            return 1.0
        middle = np.radians((self.box[1] + self.box[3]) / 2)
        return float(1 / max(np.cos(middle), 0.1))

    @property
    def aspect(self) -> float:
        """Width over height on the page."""
        left, bottom, right, top = self.box
        return (right - left) / ((top - bottom) * self.stretch)

    def project(self, longitude: object, latitude: object) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return x and y of points in degrees, NaN where the CRS has no place for them."""
        x, y = transformer(LONGITUDE_LATITUDE, self.crs.to_wkt()).transform(longitude, latitude)
        lost = ~(np.isfinite(x) & np.isfinite(y))
        return np.where(lost, np.nan, x), np.where(lost, np.nan, y)

    def unproject(self, x: object, y: object) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return longitudes and latitudes of points of the plane, NaN off the Earth."""
        longitude, latitude = transformer(self.crs.to_wkt(), LONGITUDE_LATITUDE).transform(x, y)
        lost = ~(np.isfinite(longitude) & np.isfinite(latitude))
        return np.where(lost, np.nan, longitude), np.where(lost, np.nan, latitude)

    def metres_across(self, height: float) -> float:
        """Return the length on the ground of a horizontal tenth of the view, at some height in it.

        Parameters
        ----------
        height : float
            0 at the lower edge, 1 at the upper.
        """
        left, bottom, right, top = self.box
        middle, y = (left + right) / 2, bottom + height * (top - bottom)
        half = (right - left) / 20
        longitude, latitude = self.unproject(np.array([middle - half, middle + half]), np.array([y, y]))
        if np.isnan(longitude).any():
            return float("nan")
        return float(Geod(ellps="WGS84").line_length(longitude, latitude))


def _on_earth(grown: Box, box: Box) -> Box:
    """Return a grown box of degrees without what the Earth has not; it may cross the antimeridian."""
    left, bottom, right, top = grown
    if box[2] <= 180:
        left, right = max(left, -180.0), min(right, 180.0)
    return left, max(bottom, -90.0), min(right, left + 360), min(top, 90.0)


def outline(geojson: str, raster: Raster) -> BaseGeometry:
    """Return a region given in degrees as polygons of a raster's plane, its edges followed as curves."""
    geometry, crs = shapely.from_geojson(geojson), raster.crs
    if crs.is_geographic and raster.box()[2] > 180:
        # its parts beyond the antimeridian lie a turn further on this raster
        window = shapely.box(raster.left, -90, raster.left + 360, 90)
        eastern = affinity.translate(geometry, 360)
        geometry = polygons_of(shapely.intersection(shapely.union(geometry, eastern), window))
    west, south, east, north = geometry.bounds
    bent = shapely.segmentize(geometry, max(east - west, north - south) / _PARTS)
    to_plane = transformer(LONGITUDE_LATITUDE, crs.to_wkt())
    return shapely.transform(bent, lambda points: np.column_stack(to_plane.transform(*points.T)))
