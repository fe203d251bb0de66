"""Footprints: polygons as catalogues draw them, and whether they tell that a granule lies elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from eoscale.model.region import Region
from eoscale.model.sphere import cut_at_antimeridian, polygons_of, unwrapped

SIMPLIFIED = 5.0
"""Kilometres by which a footprint may be drawn too small: few of them follow every pixel."""
_STEP = np.radians(1.0)
"""Of a great circle that is taken for straight in between."""
_KILOMETRES = 111.2
"""Of a degree of latitude."""
_POLAR = 85.0
"""Degrees, from where a degree of longitude is no distance to count by."""


def polygon(
    boundary: Iterable[tuple[float, float]], holes: Iterable[Iterable[tuple[float, float]]] = ()
) -> BaseGeometry | None:
    """Return a polygon whose edges are great circles, in longitude and latitude within -180 to 180.

    Parameters
    ----------
    boundary : iterable of (longitude, latitude)
        Degrees, closed or not, either way round: what it holds is the smaller part of the Earth. It may
        cross the antimeridian and go round a pole.
    holes : iterable of such

    Returns
    -------
    shapely Polygon or MultiPolygon, or None
        None of a boundary that holds nothing.

    Examples
    --------
    >>> across = polygon([(170, -10), (-170, -10), (-170, 10), (170, 10)])
    >>> across.geom_type, [round(number) for number in across.bounds]
    ('MultiPolygon', [-180, -10, 180, 10])
    >>> round_the_pole = polygon([(0, 80), (90, 80), (180, 80), (-90, 80)])
    >>> bool(shapely.contains_xy(round_the_pole, 45, 89.9))
    True
    """
    outer, *inner = (_held(_on_sphere(ring)) for ring in (boundary, *holes))
    shape = shapely.difference(outer, shapely.union_all(inner)) if inner else outer
    return polygons_of(shape) if shape.area else None


def _held(vectors: NDArray[np.float64]) -> BaseGeometry:
    """Return what a closed ring of (n, 3) unit vectors holds; nothing, if it is a great circle."""
    line = _degrees(vectors)
    if abs(line[-1, 0] - line[0, 0]) > 180:
        height = vectors[:-1].mean(axis=0)[2]
        if abs(height) < 1e-6:
            return shapely.Polygon()
        pole = np.copysign(90.0, height)
        line = np.concatenate([line, [(line[-1, 0], pole), (line[0, 0], pole)]])
    shape = polygons_of(shapely.make_valid(shapely.Polygon(line)))
    return shape if shape.is_empty else cut_at_antimeridian(shape)


def box(west: float, south: float, east: float, north: float) -> BaseGeometry:
    """Return the polygon between two meridians and two parallels; across the antimeridian if west > east.

    Examples
    --------
    >>> box(170, -10, -170, 10).geom_type
    'MultiPolygon'
    """
    return cut_at_antimeridian(shapely.box(west, south, east + 360 if west > east else east, north))


class Elsewhere:
    """Tells of footprints whether they are polygons of which none comes near a region.

    Lines are where an orbit model has the satellite: they tell nothing of where data are.

    Examples
    --------
    >>> elsewhere = Elsewhere(Region.from_bbox(0, 0, 10, 10))
    >>> elsewhere(shapely.box(9, 9, 12, 12)), elsewhere(shapely.box(11, 0, 12, 1))
    (False, True)
    >>> elsewhere(shapely.LineString([(11, 0), (12, 1)])), elsewhere(None)
    (False, False)
    """

    def __init__(self, region: Region) -> None:
        self._outline = region.outline(vertices=50_000)
        shapely.prepare(self._outline)

    def __call__(self, footprint: BaseGeometry | None) -> bool:
        """Return whether a footprint tells so."""
        if footprint is None or footprint.geom_type not in ("Polygon", "MultiPolygon"):
            return False
        return not shapely.intersects(self._outline, _widened(footprint))


def _widened(footprint: BaseGeometry) -> BaseGeometry:
    """Return a footprint with all that is as near to it as it may be drawn wrong, also beyond 180 degrees."""
    _, south, _, north = footprint.bounds
    margin = SIMPLIFIED / _KILOMETRES
    top = max(abs(south), abs(north)) + margin
    if top > _POLAR:
        return shapely.box(-180, south - margin, 180, north + margin)
    wide = shapely.buffer(footprint, margin / np.cos(np.radians(top)), quad_segs=2)
    west, _, east, _ = wide.bounds
    turns = [360.0] if west < -180 else []
    turns += [-360.0] if east > 180 else []
    return shapely.union_all([wide, *(affinity.translate(wide, turn) for turn in turns)])


def _on_sphere(ring: Iterable[tuple[float, float]]) -> NDArray[np.float64]:
    """Return (n, 3) unit vectors along the great circles of a closed ring, some for each edge."""
    longitude, latitude = np.radians(np.array(list(ring), np.float64)).T
    flat = np.cos(latitude)
    corners = np.column_stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)])
    ends = np.roll(corners, -1, axis=0)
    if (np.einsum("ij,ij->i", corners, ends) > np.cos(_STEP)).all():
        return np.concatenate([corners, corners[:1]])
    pieces = [_arc(start, end) for start, end in zip(corners, ends, strict=True)]
    return np.concatenate([*pieces, corners[:1]])


def _arc(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, 3) points from a start on to before an end."""
    angle = np.arccos(np.clip(start @ end, -1, 1))
    number = max(1, int(np.ceil(angle / _STEP)))
    share = np.arange(number)[:, np.newaxis] / number
    if number == 1:
        return start[np.newaxis]
    line = start * np.sin((1 - share) * angle) + end * np.sin(share * angle)
    return np.asarray(line / np.linalg.norm(line, axis=1, keepdims=True))


def _degrees(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, 2) longitudes, without jumps, and latitudes of (n, 3) unit vectors."""
    x, y, z = vectors.T
    longitude, latitude = np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
    return np.column_stack([unwrapped(longitude), latitude])
