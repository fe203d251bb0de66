"""Sphere: CRSs, and longitudes that go round."""

from __future__ import annotations

from functools import lru_cache, reduce
from typing import TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from eoscale.errors import RecipeError

LONGITUDE_LATITUDE = "EPSG:4326"
Box: TypeAlias = tuple[float, float, float, float]
"""West, south, east, north, or left, bottom, right, top."""
Floats: TypeAlias = NDArray[np.float64]
ROUNDING = 1e-12
"""Degrees: some units in the last place of 540."""


@lru_cache(maxsize=64)
def known_crs(crs: str) -> str:
    """Return a CRS as it was given, or ``EPSG:4326`` if it is one of its spellings in any order of axes.

    Raises
    ------
    RecipeError
        If PROJ does not know it.

    Examples
    --------
    >>> known_crs("OGC:CRS84"), known_crs("EPSG:3413")
    ('EPSG:4326', 'EPSG:3413')
    """
    try:
        known = CRS.from_user_input(crs)
    except CRSError as error:
        raise RecipeError(f"the CRS {crs!r} is unknown to PROJ: give e.g. EPSG:3413") from error
    return LONGITUDE_LATITUDE if known.equals(CRS(LONGITUDE_LATITUDE), ignore_axis_order=True) else crs


@lru_cache(maxsize=64)
def is_geographic(crs: str) -> bool:
    """Return whether a CRS is of longitudes and latitudes."""
    return bool(CRS.from_user_input(crs).is_geographic)


@lru_cache(maxsize=64)
def transformer(source: str, target: str) -> Transformer:
    """Return the transformer between two CRSs, x before y on both sides; built once a process."""
    return Transformer.from_crs(source, target, always_xy=True)


def turned(longitude: Floats, west: float) -> Floats:
    """Return longitudes moved by whole turns into [west, west + 360); those already there bit for bit.

    Examples
    --------
    >>> turned(np.array([170.0, 181.0, -175.0, np.nan]), 170.0)
    array([170., 181., 185.,  nan])
    """
    if not longitude.size or (longitude.min() >= west and longitude.max() < west + 360):
        return longitude  # the usual case, and the fast one; NaN is in no order
    away = np.flatnonzero(~((longitude >= west) & (longitude < west + 360)))
    moved = longitude.copy()
    x = longitude[away]
    with np.errstate(invalid="ignore"):
        turns = np.ceil((west - x) / 360)
        # rounding would leave what lies a hair off either end, or put it before the west end
        turns = np.where(x < west, np.maximum(turns, 1), np.minimum(turns, -1))
        moved[away] = np.maximum(x + 360 * turns, west)
    return moved


def placed(longitude: NDArray[np.floating], latitude: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which rows have coordinates: fill values are finite, and no place.

    Examples
    --------
    >>> placed(np.array([-180.0, 360.0, np.nan, 0.0]), np.array([90.0, 0.0, 0.0, 3.4e38]))
    array([ True, True, False, False])
    """
    known: NDArray[np.bool_] = (np.abs(latitude) <= 90) & (longitude >= -180) & (longitude <= 360)
    return known


def overlapping(boxes: Floats, bounds: Box) -> NDArray[np.bool_]:
    """Return which (n, 4) boxes share points with another one in some turn, their edges included.

    What turning rounds may part boxes that share an edge only: to be sure, give them wider by a hair.

    Examples
    --------
    >>> overlapping(np.array([[-190.0, 0, -185, 1], [-170, 0, -160, 1]]), (170, -20, 189, 20))
    array([ True, False])
    """
    west, south, east, north = boxes.T
    first = west + 360 * np.ceil((bounds[0] - west) / 360)
    beside = (first <= bounds[2]) | (first + (east - west) >= bounds[0] + 360)
    overlap: NDArray[np.bool_] = beside & (south <= bounds[3]) & (north >= bounds[1])
    return overlap


def all_round(west: float, east: float) -> bool:
    """Return whether two longitudes are a whole turn apart, but for rounding."""
    return abs(east - west - 360) <= ROUNDING


def smallest_arc(west: Floats, east: Floats) -> tuple[float, float]:
    """Return west (-180 to 180) and east (above west, perhaps above 180) of all arcs together.

    They leave out the widest gap between the arcs, and of equal gaps the one over the antimeridian.

    Examples
    --------
    >>> smallest_arc(np.array([177.0, -180.0]), np.array([180.0, -178.0]))
    (177.0, 182.0)
    >>> smallest_arc(np.array([-10.0, 60.0]), np.array([0.0, 70.0]))
    (-10.0, 70.0)
    """
    turns = 360 * np.ceil((-180 - west) / 360)
    west, east = west + turns, east + turns
    order = np.argsort(west)
    west = west[order]
    # what reaches over the antimeridian covers the first degrees too
    reached = np.maximum.accumulate(np.maximum(east[order], east.max() - 360))
    gaps = np.append(west[1:], west[0] + 360) - reached
    last = len(gaps) - 1
    widest = last - int(gaps[::-1].argmax())
    if gaps[widest] <= ROUNDING:
        return -180.0, 180.0
    if widest == last:
        return float(west[0]), float(reached[-1])
    return float(west[widest + 1]), float(max(reached[widest] + 360, east.max()))


def own_bounds(geometry: BaseGeometry) -> Box:
    """Return the bounds of polygons of longitudes and latitudes: the smallest arc that holds all parts."""
    west, south, east, north = shapely.bounds(shapely.get_parts(geometry)).T
    first, last = smallest_arc(west, east)
    return first, float(south.min()), last, float(north.max())


def unwrapped(longitude: Floats) -> Floats:
    """Return longitudes along lines without jumps: each within half a turn of the one before it.

    Examples
    --------
    >>> unwrapped(np.array([179.0, -179.0, -170.0, 175.0]))
    array([179., 181., 190., 175.])
    """
    line = longitude.ravel()
    turns = np.cumsum(np.round(np.diff(line) / 360))
    return np.concatenate([line[:1], line[1:] - 360 * turns]).reshape(longitude.shape)


def cut_at_antimeridian(geometry: BaseGeometry) -> BaseGeometry:
    """Return polygons of any longitudes within -180 to 180, in parts on both sides (RFC 7946)."""
    west, _, east, _ = geometry.bounds
    if west >= -180 and east <= 180:
        return geometry
    parts = []
    for turn in range(int(np.floor((west + 180) / 360)), int(np.ceil((east - 180) / 360)) + 1):
        window = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        inside = polygons_of(shapely.intersection(geometry, window))
        parts.append(affinity.translate(inside, -360 * turn))
    # parts lie apart, but for a line drawn twice, a turn apart, that is no edge: it is left out with this
    return polygons_of(reduce(shapely.symmetric_difference, parts))


def welded(geometry: BaseGeometry) -> BaseGeometry:
    """Return polygons that go all round with a turn of themselves on both sides: without their seam."""
    west, _, east, _ = geometry.bounds

    def eastward(points: Floats) -> Floats:
        x, y = points.T
        return np.column_stack([np.where(x == west, east, x + 360), y])

    def westward(points: Floats) -> Floats:
        x, y = points.T
        return np.column_stack([np.where(x == east, west, x - 360), y])

    copies = [shapely.transform(geometry, eastward), shapely.transform(geometry, westward)]
    return shapely.union_all([geometry, *copies])


def covers_parallel(geometry: BaseGeometry, latitude: float) -> bool:
    """Return whether edges of polygons run along a whole parallel, from end to end of their bounds."""
    points, ring = shapely.get_coordinates(shapely.get_rings(shapely.get_parts(geometry)), return_index=True)
    on = points[:, 1] == latitude
    along = np.flatnonzero(on[:-1] & on[1:] & (ring[:-1] == ring[1:]))
    if not along.size:
        return False
    edges = np.sort(np.column_stack([points[along, 0], points[along + 1, 0]]), axis=1)
    low, high = edges[np.argsort(edges[:, 0])].T
    west, _, east, _ = geometry.bounds
    return bool(low[0] == west and high[-1] == east and (low[1:] == high[:-1]).all())


def polygons_of(geometry: BaseGeometry) -> BaseGeometry:
    """Return the polygons of a geometry as one, without its lines and points."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    flat = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
    return flat[0] if len(flat) == 1 else shapely.MultiPolygon(list(flat))
