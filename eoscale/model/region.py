"""Region: an area of interest, and the one place that knows what 'inside' means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from threading import Lock
from typing import TypeVar

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from eoscale.errors import RecipeError
from eoscale.model.digest import Digested
from eoscale.model.edges import Edges, on_the_map
from eoscale.model.mask import Mask
from eoscale.model.mending import joined, mended
from eoscale.model.round_mask import RoundMask
from eoscale.model.sphere import (
    LONGITUDE_LATITUDE,
    ROUNDING,
    Box,
    Floats,
    cut_at_antimeridian,
    is_geographic,
    known_crs,
    overlapping,
    own_bounds,
    transformer,
    turned,
)

__all__ = ["LONGITUDE_LATITUDE", "Region", "transformer"]

_BLOCK = 2**15
"""Points that are tested at once: what is computed on the way stays in a core's cache."""
_HAIR = np.array([-1e-9, -1e-9, 1e-9, 1e-9])
"""Degrees that boxes are widened by: far more than what moving them by turns rounds."""
_MAKING = Lock()
_M = TypeVar("_M", bound=Mask)


@dataclass(frozen=True, kw_only=True, eq=False)
class Region(Digested):
    """An area of interest on the Earth: polygons, with holes and in many parts.

    Edges are straight in the polygon's own CRS, an edge of more than 180 degrees too. The boundary is
    outside, as in geopandas ``within``; the antimeridian and the poles are no boundary where the region
    lies all around them. Rings that cross themselves are mended, with a warning, where only one area
    can be meant.

    Parameters
    ----------
    geometry : shapely Polygon or MultiPolygon
        x before y. Longitudes may lie in -360 to 540, at most 360 degrees apart: 170 to 190 crosses the
        antimeridian, as do parts that end at 180 and begin at -180 (RFC 7946).
    crs : str
        Anything that pyproj reads; longitude and latitude by default. What of a polygon lies beyond the
        CRS's own domain holds no points.

    Raises
    ------
    RecipeError
        If the geometry is no polygon, is empty, ambiguous or off the Earth, or the CRS is unknown.

    Examples
    --------
    >>> region = Region.from_bbox(-51, 69, -49, 72)
    >>> region.contains([-50.0, -51.0], [70.0, 70.0])
    array([ True, False])
    >>> Region.from_bbox(170, -20, -170, -10).contains([175.0, 180.0, -180.0, 0.0], [-15, -15, -15, -15])
    array([ True, True, True, False])
    """

    geometry: BaseGeometry
    crs: str = LONGITUDE_LATITUDE

    def __post_init__(self) -> None:
        object.__setattr__(self, "geometry", mended(self.geometry))
        object.__setattr__(self, "crs", known_crs(self.crs))
        west, south, east, north = self.geometry.bounds
        once = west >= -360 and east <= 540 and east - west <= 360 + ROUNDING
        if is_geographic(self.crs) and not (once and south >= -90 and north <= 90):
            raise RecipeError(
                f"the region reaches from {west:g} to {east:g} degrees east and {south:g} to {north:g} "
                "degrees north, expected -90 to 90 north and, east, at most 360 degrees within -360 to 540"
            )
        # a region that leaves its CRS's domain says so now and not on a worker
        _ = self.bounds

    @classmethod
    def of(cls, area: object) -> Region:
        """Return the region that is meant by a box, a table, a polygon or a file.

        Parameters
        ----------
        area : Region, (west, south, east, north), GeoDataFrame, GeoSeries, shapely polygon, or path
            A box and a polygon are of longitudes and latitudes.

        Raises
        ------
        RecipeError
            If it is none of these, or no region.

        Examples
        --------
        >>> Region.of((170, -20, -170, -10))
        <Region 170..190°E -20..-10°N, 5 vertices>
        """
        match area:
            case Region():
                return area
            case gpd.GeoDataFrame() | gpd.GeoSeries():
                return cls.from_frame(area)
            case BaseGeometry():
                return cls(geometry=area)
            case str() | PathLike():
                return cls.from_file(area)
        box = _four_numbers(area)
        if box is not None:
            return cls.from_bbox(*box)
        raise RecipeError(
            f"a region cannot be made of {area!r:.80}: give [west, south, east, north] in degrees, a file "
            "of polygons, a GeoDataFrame or a shapely polygon"
        )

    @classmethod
    def from_bbox(cls, west: float, south: float, east: float, north: float) -> Region:
        """Return the region between two meridians and two parallels, in degrees.

        A box whose west is above its east crosses the antimeridian.

        Raises
        ------
        RecipeError
            If it is empty or off the Earth.
        """
        eastern = east + 360 if west > east else east
        if not (west < eastern and south < north):
            raise RecipeError(
                f"[west, south, east, north] is [{west:g}, {south:g}, {east:g}, {north:g}]: expected "
                "west < east, or west > east across the antimeridian, and south < north"
            )
        return cls(geometry=shapely.box(west, south, eastern, north))

    @classmethod
    def from_frame(cls, frame: gpd.GeoDataFrame | gpd.GeoSeries) -> Region:
        """Return the union of all polygons of a GeoDataFrame, in its own CRS.

        Raises
        ------
        RecipeError
            If the frame has no CRS, no polygon, or something else than polygons.
        """
        if frame.crs is None:
            raise RecipeError("the region's table has no CRS: set one with set_crs")
        return cls(geometry=joined(frame.geometry.dropna().tolist()), crs=frame.crs.to_string())

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> Region:
        """Return the union of all polygons of a file that geopandas reads (GeoJSON, GeoPackage, …).

        Raises
        ------
        RecipeError
            If the file cannot be read as polygons.
        """
        try:
            frame = gpd.read_file(path)
        except Exception as error:  # pyogrio raises whatever GDAL reports
            raise RecipeError(f"no region could be read from {path}: {error}") from error
        if not isinstance(frame, gpd.GeoDataFrame):
            raise RecipeError(f"no region could be read from {path}: it is a table without polygons")
        return cls.from_frame(frame)

    def __repr__(self) -> str:
        west, south, east, north = self.bounds
        return f"<Region {west:.4g}..{east:.4g}°E {south:.4g}..{north:.4g}°N, {self.vertices} vertices>"

    def __getstate__(self) -> Mapping[str, object]:
        """Return the fields only: what was computed from them is larger, and holds locks."""
        return {"geometry": self.geometry, "crs": self.crs}

    def content(self) -> object:
        """Return geometry and CRS."""
        return (self.geometry, self.crs)

    @property
    def vertices(self) -> int:
        """Number of vertices of all rings."""
        return int(shapely.get_num_coordinates(self.geometry))

    def outline(self, *, vertices: int = 2000) -> BaseGeometry:
        """Return the region in longitude and latitude for pictures, simplified to about some vertices.

        Longitudes are within -180 to 180: parts end at the antimeridian (RFC 7946), and what holds a pole
        goes along it.
        """
        if self.crs == LONGITUDE_LATITUDE:
            shape = cut_at_antimeridian(self.geometry)
        else:
            shape = on_the_map(self.geometry, self.crs)
        tolerance = 1e-4
        while shapely.get_num_coordinates(shape) > vertices and tolerance < 1:
            shape = shapely.simplify(shape, tolerance)
            tolerance *= 2
        return shape

    @cached_property
    def bounds(self) -> Box:
        """West, south, east and north in degrees; every row that the region contains is inside.

        West is of -180 to 180, and east above it: above 180 where the region crosses the antimeridian.
        A region all round the Earth, or that holds a pole, reaches from -180 to 180. In a CRS other than
        longitude and latitude the edges are curves here: they are followed piece by piece, and the box is
        widened by what they may bulge between two points.
        """
        if self.crs == LONGITUDE_LATITUDE:
            return own_bounds(self.geometry)
        return Edges.of(self.geometry, self.crs).bounds_in(LONGITUDE_LATITUDE)

    def bounds_in(self, crs: str) -> Box:
        """Return left, bottom, right and top of the region in another CRS, edges followed as curves.

        Every row inside the region is inside the box. In a geographic CRS it is as :attr:`bounds`. Along
        an axis where the region crosses the outer edge of the CRS's plane, it is the CRS's area of use.

        Raises
        ------
        RecipeError
            If the CRS is unknown, or cannot hold the region.
        """
        target = known_crs(crs)
        if target == LONGITUDE_LATITUDE:
            return self.bounds
        if target == self.crs:
            return own_bounds(self.geometry) if is_geographic(target) else self.geometry.bounds
        return Edges.of(self.geometry, self.crs).bounds_in(target)

    def contains(self, longitude: object, latitude: object) -> NDArray[np.bool_]:
        """Return which points are inside; the boundary is outside.

        Parameters
        ----------
        longitude, latitude : (n,) array-like of float
            Degrees east, of any turn (-180 to 180, 0 to 360), and north. A point without coordinates
            (NaN) is outside.

        Returns
        -------
        (n,) bool
        """
        x = np.asarray(longitude, dtype=np.float64)
        y = np.asarray(latitude, dtype=np.float64)
        inside = np.zeros(x.shape, np.bool_)
        for first in range(0, x.size, _BLOCK):
            block = slice(first, first + _BLOCK)
            self._contains(x[block], y[block], inside[block])
        return inside

    def touches(self, boxes: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return which boxes may hold points inside: False only for those that hold none.

        In longitude and latitude a box is compared with the polygon itself, and one that it meets by less
        than a millimetre may count either way; in another CRS it is compared with the :attr:`bounds`.

        Parameters
        ----------
        boxes : (n, 4) float
            West, south, east and north in degrees, all four included; west of any turn, and east not below
            it. A box of NaN holds nothing.

        Returns
        -------
        (n,) bool

        Examples
        --------
        >>> triangle = Region.of(shapely.Polygon([(170, 0), (190, 0), (190, 20)]))
        >>> triangle.touches(np.array([[171, 5, 172, 6], [-178, 5, -177, 6], [179, -5, 182, 9]]))
        array([False, True, True])
        """
        wide = np.asarray(boxes, np.float64) + _HAIR
        touched = overlapping(wide, self.bounds)
        near = np.flatnonzero(touched)
        if self.crs == LONGITUDE_LATITUDE and near.size:
            touched[near] = self._once(RoundMask).touches(wide[near])
        return touched

    def _contains(self, x: Floats, y: Floats, inside: NDArray[np.bool_]) -> None:
        """Set which points are inside."""
        if self.crs == LONGITUDE_LATITUDE:
            inside[:] = self._mask.contains(x, y)
            return
        west, south, east, north = self.bounds
        moved = turned(x, west)
        near = np.flatnonzero((moved >= west) & (moved <= east) & (y >= south) & (y <= north))
        if near.size:
            own = transformer(LONGITUDE_LATITUDE, self.crs).transform(x[near], y[near])
            inside[near] = self._mask.contains(*own)

    @property
    def _mask(self) -> Mask:
        return self._once(RoundMask) if is_geographic(self.crs) else self._once(Mask)

    def _once(self, kind: type[_M]) -> _M:
        """Return the mask, made by the first thread that asks; a cached_property has no lock from 3.12 on."""
        with _MAKING:
            masks: dict[str, _M] = self.__dict__
            if kind.__name__ not in masks:
                masks[kind.__name__] = kind(self.geometry)
            return masks[kind.__name__]


def _four_numbers(area: object) -> tuple[float, float, float, float] | None:
    try:
        west, south, east, north = (float(number) for number in area)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return None
    return west, south, east, north
