"""Region: an area of interest, and the one place that knows what 'inside' means."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from shapely.geometry.base import BaseGeometry
from shapely.validation import explain_validity

from eoscale.errors import RecipeError
from eoscale.model.digest import Digested

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

LONGITUDE_LATITUDE = "EPSG:4326"
_PARTS_PER_EDGE = 100
"""Points put on each edge before it is bent into another CRS."""


@lru_cache(maxsize=64)
def transformer(source: str, target: str) -> Transformer:
    """Return the transformer between two CRSs, x before y on both sides; built once a process."""
    return Transformer.from_crs(source, target, always_xy=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Region(Digested):
    """An area of interest on the Earth: polygons, with holes and in many parts.

    Edges are straight in the polygon's own CRS. The boundary is outside, as in geopandas ``within``.

    Parameters
    ----------
    geometry : shapely Polygon or MultiPolygon
        Valid, not empty, x before y.
    crs : str
        Anything that pyproj reads; longitude and latitude by default.

    Raises
    ------
    RecipeError
        If the geometry is no polygon, is empty or invalid, lies outside -180..180 and -90..90 where the
        CRS is geographic, or the CRS is unknown.

    Examples
    --------
    >>> region = Region.from_bbox(-51, 69, -49, 72)
    >>> region.contains([-50.0, -51.0], [70.0, 70.0])
    array([ True, False])
    """

    geometry: BaseGeometry
    crs: str = LONGITUDE_LATITUDE

    def __post_init__(self) -> None:
        if self.geometry.geom_type not in ("Polygon", "MultiPolygon"):
            raise RecipeError(f"a region is made of polygons, got a {self.geometry.geom_type}")
        if self.geometry.is_empty:
            raise RecipeError("the region is empty: give a polygon that covers something")
        if not self.geometry.is_valid:
            reason = explain_validity(self.geometry)
            raise RecipeError(f"the region is no valid polygon ({reason}): mend it, e.g. by make_valid")
        try:
            geographic = CRS.from_user_input(self.crs).is_geographic
        except CRSError as error:
            raise RecipeError(f"the region's CRS {self.crs!r} is unknown to PROJ") from error
        west, south, east, north = self.geometry.bounds
        if geographic and not (west >= -180 and south >= -90 and east <= 180 and north <= 90):
            raise RecipeError(
                f"the region reaches from {west:g} to {east:g} degrees east and {south:g} to {north:g} "
                "degrees north, expected -180 to 180 and -90 to 90; regions across the antimeridian "
                "are not yet supported: split the polygon at 180 degrees"
            )
        if not geographic:
            self._refuse_poles_and_antimeridian()

    @classmethod
    def from_bbox(cls, west: float, south: float, east: float, north: float) -> Region:
        """Return the region between two meridians and two parallels, in degrees.

        Raises
        ------
        RecipeError
            If it is empty, or crosses the antimeridian (not yet supported).
        """
        if not (west < east and south < north):
            raise RecipeError(
                f"[west, south, east, north] is [{west:g}, {south:g}, {east:g}, {north:g}]: expected "
                "west < east and south < north; a box across the antimeridian is not yet supported"
            )
        return cls(geometry=shapely.box(west, south, east, north))

    @classmethod
    def from_frame(cls, frame: gpd.GeoDataFrame | gpd.GeoSeries) -> Region:
        """Return the union of all polygons of a GeoDataFrame, in its own CRS.

        Raises
        ------
        RecipeError
            If the frame has no CRS or no valid polygon.
        """
        if frame.crs is None:
            raise RecipeError("the region's table has no CRS: set one with set_crs")
        invalid = frame.geometry[~frame.geometry.is_valid]
        if len(invalid):
            reason = explain_validity(invalid.iloc[0])
            raise RecipeError(f"{len(invalid)} polygons of the region are invalid, first: {reason}")
        return cls(geometry=frame.geometry.union_all(), crs=frame.crs.to_string())

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
        return cls.from_frame(frame)

    def __repr__(self) -> str:
        west, south, east, north = self.bounds
        return f"<Region {west:.4g}..{east:.4g}°E {south:.4g}..{north:.4g}°N, {self.vertices} vertices>"

    def content(self) -> object:
        """Return geometry and CRS."""
        return (self.geometry, self.crs)

    @property
    def vertices(self) -> int:
        """Number of vertices of all rings."""
        return int(shapely.get_num_coordinates(self.geometry))

    def outline(self, *, vertices: int = 2000) -> BaseGeometry:
        """Return the region in longitude and latitude for pictures, simplified to about some vertices."""
        shape = self.geometry
        if self.crs != LONGITUDE_LATITUDE:
            left, bottom, right, top = shape.bounds
            bent = shapely.segmentize(shape, max(right - left, top - bottom) / _PARTS_PER_EDGE)
            move = transformer(self.crs, LONGITUDE_LATITUDE).transform
            shape = shapely.transform(bent, lambda xy: np.column_stack(move(xy[:, 0], xy[:, 1])))
        tolerance = 1e-4
        while shapely.get_num_coordinates(shape) > vertices and tolerance < 1:
            shape = shapely.simplify(shape, tolerance)
            tolerance *= 2
        return shape

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north in degrees; every row that the region contains is inside.

        In a CRS other than longitude and latitude the edges are curves there. They are followed point
        by point, and the box is widened by what they may bulge between two points.
        """
        if self.crs == LONGITUDE_LATITUDE:
            west, south, east, north = self.geometry.bounds
            return west, south, east, north
        return _widened(self.bounds_in(LONGITUDE_LATITUDE), limits=(-180.0, -90.0, 180.0, 90.0))

    def bounds_in(self, crs: str) -> tuple[float, float, float, float]:
        """Return left, bottom, right and top of the region in another CRS, edges followed as curves.

        The box is wider than the points on the edges, by as much as an edge may bulge between two of
        them: a row inside the region is inside the box.
        """
        pieces = self._pieces_in(crs)
        ends, middles = pieces[:, ::2], pieces[:, 1]
        bulge = np.abs(middles - ends.mean(axis=1)).max(axis=0)
        left, bottom = pieces.min(axis=(0, 1)) - bulge
        right, top = pieces.max(axis=(0, 1)) + bulge
        return float(left), float(bottom), float(right), float(top)

    def _pieces_in(self, crs: str) -> NDArray[np.float64]:
        """Return (n, 3, 2) x and y of start, middle and end of each short piece of the outline."""
        left, bottom, right, top = self.geometry.bounds
        step = max(right - left, top - bottom) / _PARTS_PER_EDGE
        rings = shapely.segmentize(shapely.get_rings(shapely.get_parts(self.geometry)), step)
        points, ring = shapely.get_coordinates(rings, return_index=True)
        starts = np.flatnonzero(ring[:-1] == ring[1:])
        start, end = points[starts], points[starts + 1]
        pieces = np.stack([start, (start + end) / 2, end], axis=1)
        x, y = transformer(self.crs, crs).transform(pieces[..., 0], pieces[..., 1])
        moved = np.stack([x, y], axis=-1)
        if not np.isfinite(moved).all():
            raise RecipeError(f"the region cannot be expressed in {crs}: it leaves that CRS's domain")
        return moved

    def _refuse_poles_and_antimeridian(self) -> None:
        poles = np.array([-90.0, 90.0])
        x, y = transformer(LONGITUDE_LATITUDE, self.crs).transform(np.zeros(2), poles)
        longitude = self._pieces_in(LONGITUDE_LATITUDE)[..., 0]
        around = shapely.intersects_xy(self.geometry, x, y).any()
        if around or (np.abs(np.diff(longitude, axis=1)) > 180).any():
            raise RecipeError(
                f"the region in {self.crs} holds a pole or crosses the antimeridian: such regions "
                "are not yet supported; give its parts east and west of 180 degrees"
            )

    def contains(self, longitude: object, latitude: object) -> NDArray[np.bool_]:
        """Return which points are inside; the boundary is outside.

        Parameters
        ----------
        longitude, latitude : (n,) array-like of float
            Degrees east (-180 to 180) and north. A point without coordinates (NaN) is outside.

        Returns
        -------
        (n,) bool
        """
        x = np.asarray(longitude, dtype=np.float64)
        y = np.asarray(latitude, dtype=np.float64)
        west, south, east, north = self.bounds
        inside = (x >= west) & (x <= east) & (y >= south) & (y <= north)
        near = np.flatnonzero(inside)
        if near.size:
            x, y = x[near], y[near]
            if self.crs != LONGITUDE_LATITUDE:
                x, y = transformer(LONGITUDE_LATITUDE, self.crs).transform(x, y)
            shapely.prepare(self.geometry)
            inside[near] = shapely.contains_xy(self.geometry, x, y)
        return inside


def _widened(
    box: tuple[float, float, float, float], *, limits: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """Return the box grown by a thousandth of its larger side, within limits.

    An edge cut into 100 parts deviates from its chords by at most 1/(8 * 100**2) of its own bulge.
    """
    margin = 1e-3 * max(box[2] - box[0], box[3] - box[1])
    return (
        max(box[0] - margin, limits[0]),
        max(box[1] - margin, limits[1]),
        min(box[2] + margin, limits[2]),
        min(box[3] + margin, limits[3]),
    )
