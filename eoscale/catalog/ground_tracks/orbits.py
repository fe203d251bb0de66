"""Orbits: the reference ground tracks of ICESat-2, computed, and the 14 regions that granules are cut at.

1387 revolutions repeat exactly while the Earth turns 91 times below the orbit's plane, so each track is the
one before it moved west by 91/1387 of a turn. The orbit is a fixed ellipse whose perigee stays at its
northernmost point (a frozen orbit), in a plane that keeps its inclination; a track is where the ellipsoid's
normal through the satellite meets the ground. Computed so, track 1 is within 0.1 km of the published one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import ceil, pi, radians
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from eoscale.errors import CatalogError, RecipeError
from eoscale.model.sphere import Floats, unwrapped

TRACKS = 1387
"""Revolutions of a repeat, and so reference ground tracks (RGT), counted from 1."""
TURN = 360 * 91 / TRACKS
"""Degrees of longitude from one track to the next, westward."""
STEP = 5_000.0
"""Metres that two points of a track may be apart at most."""
MARGIN = 0.3
"""Degrees of latitude, 33 km: how far a granule may reach beyond its region. Real ones do by 0.06."""

# Fitted by least squares to the track 1 that NASA publishes (KML of cycle 33)
_FIRST_NODE = -0.12845
"""Degrees east: where track 1 crosses the equator northward."""
_INCLINATION = radians(92.0059)
_ECCENTRICITY = 0.0013757
_SEMI_MAJOR_AXIS = 6_855_918.0
"""Metres: by Kepler's third law, with the Earth's flattening (J2), for 1387 revolutions in a repeat."""

_PERIGEE = pi / 2
"""Radians after the ascending node."""
_POINTS = 8_200
"""Of a track: steps of less than 5 km."""
_COARSE = radians(0.2)
"""Steps of a footprint: 22 km."""
_PICTURED = 0.01
"""Degrees by which the line of a footprint may be off: it has few points, for lists hold many lines."""

Direction = Literal["A", "D"]
"""Ascending, which is northward, or descending, as CMR says it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GranuleRegion:
    """One of the 14 parts of a revolution that granules are cut at.

    Examples
    --------
    >>> GRANULE_REGIONS[3]
    GranuleRegion(number=4, start_latitude=80.0, start_direction='A', end_latitude=80.0, end_direction='D')
    >>> GRANULE_REGIONS[3].holds(np.array([79.8, 87.0, 79.0]), np.array([True, False, True]))
    array([ True,  True, False])
    """

    number: int
    """1 to 14, in the order of flight, as in the names of granules."""
    start_latitude: float
    """Degrees north."""
    start_direction: Direction
    end_latitude: float
    """Degrees north."""
    end_direction: Direction

    def holds(self, latitude: Floats, northward: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which points of a revolution granules of this region may hold.

        The region is taken wider than it is, by :data:`MARGIN`, but not over the ascending node: beyond it
        are points of another revolution.

        Parameters
        ----------
        latitude : (n,) float64
            Degrees north.
        northward : (n,) bool
            Whether the satellite moves north there.
        """
        low, high = sorted((self.start_latitude, self.end_latitude))
        south = low if self.number == 1 else low - MARGIN
        north = high if self.number == len(GRANULE_REGIONS) else high + MARGIN
        if self.start_direction != self.end_direction:
            return latitude >= south if self.start_direction == "A" else latitude <= north
        flown: NDArray[np.bool_] = northward == (self.start_direction == "A")
        flown &= (latitude >= south) & (latitude <= north)
        return flown


def _granule_regions() -> Iterator[GranuleRegion]:
    ends: list[tuple[float, Direction]] = [
        *((parallel, "A") for parallel in (0.0, 27.0, 59.5, 80.0)),
        *((parallel, "D") for parallel in (80.0, 59.5, 27.0, 0.0, -27.0, -50.0, -79.0)),
        *((parallel, "A") for parallel in (-79.0, -50.0, -27.0, 0.0)),
    ]
    for number, (start, end) in enumerate(pairwise(ends), start=1):
        yield GranuleRegion(
            number=number,
            start_latitude=start[0],
            start_direction=start[1],
            end_latitude=end[0],
            end_direction=end[1],
        )


GRANULE_REGIONS = tuple(_granule_regions())
"""The 14 regions in the order of flight, from the ascending node to the next one."""


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Track:
    """One reference ground track, in the order of flight."""

    rgt: int
    """1 to 1387."""
    lines: tuple[Floats, ...]
    """Each (n, 2): degrees east, without jumps and so of any turn, and north; at most 5 km apart."""


def node(rgt: int) -> float:
    """Return the longitude at which a track crosses the equator northward, -180 to 180 degrees east.

    Raises
    ------
    RecipeError
        If there is no such track.

    Examples
    --------
    >>> round(node(277), 2)
    -39.06
    """
    if not 1 <= rgt <= TRACKS:
        raise RecipeError(f"there is no reference ground track {rgt}: they are counted from 1 to {TRACKS}")
    # whole numbers as long as can be: 1386 times what TURN rounds is a metre
    return (_FIRST_NODE - 360 * (91 * (rgt - 1) % TRACKS) / TRACKS + 180) % 360 - 180


def track(rgt: int) -> Track:
    """Return a computed reference ground track, from its equator crossing to the next one.

    Raises
    ------
    RecipeError
        If there is no such track.

    Examples
    --------
    >>> (line,) = track(1).lines
    >>> line[[0, -1], 0].round(2).tolist()
    [-0.13, -383.75]
    """
    return Track(rgt=rgt, lines=(_shape() + np.array([node(rgt), 0.0]),))


def footprint(
    ascending_crossing: float,
    start_latitude: float,
    start_direction: Direction,
    end_latitude: float,
    end_direction: Direction,
) -> BaseGeometry:
    """Return the line that a granule of ICESat-2 follows, as CMR tells of it.

    Parameters
    ----------
    ascending_crossing : float
        Degrees east: where the granule's revolution began, northward over the equator.
    start_latitude, end_latitude : float
        Degrees north.
    start_direction, end_direction : {"A", "D"}
        Ascending or descending. From a place to the same place is a whole revolution.

    Returns
    -------
    shapely LineString or MultiLineString
        Longitudes -180 to 180, in parts where it crosses the antimeridian; in the order of flight.

    Raises
    ------
    CatalogError
        If the track does not get to a latitude, or a number or a direction is none.

    Examples
    --------
    >>> line = footprint(-40.358, 59.5, "A", 80, "A")
    >>> [round(bound, 1) for bound in line.bounds]
    [-57.0, 59.5, -47.6, 80.0]
    """
    if not np.isfinite(ascending_crossing):
        raise CatalogError(f"an orbit crosses the equator at {ascending_crossing}: expected degrees east")
    line = _drawn(start_latitude, start_direction, end_latitude, end_direction)
    return _cut(line + np.array([ascending_crossing, 0.0]))


@lru_cache(maxsize=64)
def _drawn(
    start_latitude: float, start_direction: Direction, end_latitude: float, end_direction: Direction
) -> Floats:
    """Return (n, 2) longitudes from the ascending crossing on, and latitudes, of a part of a revolution.

    All granules of one region have one shape, and a picture needs no more than each kilometre of it.
    """
    line = shapely.LineString(_between(start_latitude, start_direction, end_latitude, end_direction))
    return shapely.get_coordinates(shapely.simplify(line, _PICTURED))


def _between(
    start_latitude: float, start_direction: Direction, end_latitude: float, end_direction: Direction
) -> Floats:
    """Return what :func:`_drawn` does, with a point each 22 km."""
    start, end = _argument(start_latitude, start_direction), _argument(end_latitude, end_direction)
    end += 2 * pi if end <= start else 0
    return _flown(np.linspace(start, end, ceil((end - start) / _COARSE) + 1))


def ground_track(rgt: int, region: int | None = None) -> BaseGeometry:
    """Return a reference ground track, or its part of one region, with a point each 22 km.

    Parameters
    ----------
    rgt : int
        1 to 1387.
    region : int, optional
        1 to 14.

    Raises
    ------
    RecipeError
        If there is no such track or region.

    Examples
    --------
    >>> [round(bound, 1) for bound in ground_track(841, 3).bounds]
    [-57.0, 59.5, -47.6, 80.0]
    """
    if region is None:
        return _cut(_between(0.0, "A", 0.0, "A") + np.array([node(rgt), 0.0]))
    if not 1 <= region <= len(GRANULE_REGIONS):
        raise RecipeError(f"there is no region {region} of a track: they are counted from 1 to 14")
    part = GRANULE_REGIONS[region - 1]
    line = _between(part.start_latitude, part.start_direction, part.end_latitude, part.end_direction)
    return _cut(line + np.array([node(rgt), 0.0]))


@lru_cache(maxsize=1)
def _shape() -> Floats:
    """Return (n, 2) points of a track whose node lies on longitude zero."""
    return _flown(np.linspace(0, 2 * pi, _POINTS))


def _flown(argument: Floats) -> Floats:
    """Return (n, 2) points below arguments of latitude, radians flown since a node on longitude zero."""
    anomaly = argument - _PERIGEE
    share = (_mean(anomaly) - _mean(np.array(-_PERIGEE))) / (2 * pi)
    radius = _SEMI_MAJOR_AXIS * (1 - _ECCENTRICITY**2) / (1 + _ECCENTRICITY * np.cos(anomaly))
    x, y = np.cos(argument), np.sin(argument) * np.cos(_INCLINATION)
    # the Earth turns below the plane by as much in all revolutions: evenly in time, not in angle
    angle = np.radians(-TURN * share)
    longitude, latitude, _ = Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True).transform(
        radius * (x * np.cos(angle) - y * np.sin(angle)),
        radius * (x * np.sin(angle) + y * np.cos(angle)),
        radius * np.sin(argument) * np.sin(_INCLINATION),
    )
    return np.column_stack([unwrapped(np.asarray(longitude)), latitude])


def _mean(anomaly: Floats) -> Floats:
    """Return the mean anomaly, which grows evenly in time, of a true one; both in radians."""
    squeezed = np.sqrt((1 - _ECCENTRICITY) / (1 + _ECCENTRICITY))
    eccentric = 2 * np.arctan(squeezed * np.tan(anomaly / 2))
    mean = eccentric - _ECCENTRICITY * np.sin(eccentric)
    return np.asarray(mean + 2 * pi * np.round((anomaly - mean) / (2 * pi)))


def _argument(latitude: float, direction: str) -> float:
    """Return the radians flown since the ascending node at a latitude, 0 to 2 pi."""
    if direction not in ("A", "D"):
        raise CatalogError(f"an orbit's direction is {direction!r:.20}: expected 'A' or 'D'")
    flown, northing = np.linspace(0, 2 * pi, _POINTS), _shape()[:, 1]
    north, south = int(northing.argmax()), int(northing.argmin())
    if not northing[south] <= latitude <= northing[north]:
        raise CatalogError(
            f"an orbit of ICESat-2 begins or ends at {latitude} degrees north: expected -88 to 88"
        )
    if direction == "D":
        return float(np.interp(-latitude, -northing[north : south + 1], flown[north : south + 1]))
    if latitude >= 0:
        return float(np.interp(latitude, northing[: north + 1], flown[: north + 1]))
    return float(np.interp(latitude, northing[south:], flown[south:]))


def _cut(line: Floats) -> BaseGeometry:
    """Return points of any turn as lines within -180 to 180, in the order of flight, which is westward."""
    whole = shapely.LineString(line)
    west, _, east, _ = whole.bounds
    if west >= -180 and east <= 180:
        return whole
    parts = []
    for turn in range(ceil((east - 180) / 360), ceil((west - 180) / 360) - 1, -1):
        window = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        inside = affinity.translate(shapely.intersection(whole, window), -360 * turn)
        parts += [part for part in shapely.get_parts(inside) if part.length > 0]
    return parts[0] if len(parts) == 1 else shapely.MultiLineString(parts)
