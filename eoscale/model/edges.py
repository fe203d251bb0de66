"""Edges: straight in one CRS, curves in another, and where they lead there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from eoscale.errors import RecipeError
from eoscale.model.sphere import (
    LONGITUDE_LATITUDE,
    Box,
    Floats,
    cut_at_antimeridian,
    is_geographic,
    polygons_of,
    smallest_arc,
    transformer,
    unwrapped,
)

_PARTS_PER_SIDE = 100
"""Pieces that the longer side of a polygon's bounds is cut into before its edges are bent."""
_NOISE = 1e-9
"""Degrees, or of a size: what a transformation there and back may round."""
_FRACTION = 2.0**40
_POLES = (np.zeros(2), np.array([-90.0, 90.0]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Edges:
    """The edges of polygons cut into short pieces: they are straight in one CRS and curves in others."""

    geometry: BaseGeometry
    crs: str
    pieces: Floats
    """(n, 3, 2) x and y of start, middle and end of each piece."""
    rings: NDArray[np.intp]
    """Number of the first piece of each ring."""

    @classmethod
    def of(cls, geometry: BaseGeometry, crs: str) -> Edges:
        """Return the edges of polygons in a CRS; those of a hole around a pole are outer ones elsewhere."""
        rings = shapely.get_rings(shapely.get_parts(geometry))
        points, ring = shapely.get_coordinates(shapely.segmentize(rings, _step(geometry)), return_index=True)
        starts = np.flatnonzero(ring[:-1] == ring[1:])
        start, end = points[starts], points[starts + 1]
        pieces = np.stack([start, (start + end) / 2, end], axis=1)
        firsts = np.unique(ring[starts], return_index=True)[1]
        return cls(geometry=geometry, crs=crs, pieces=pieces, rings=firsts)

    def bounds_in(self, crs: str) -> Box:
        """Return a box of another CRS that holds the polygons, wider than them by what edges may bulge.

        Raises
        ------
        RecipeError
            If the edges leave the CRS's domain, or cross its outer edge and it states no area of use.
        """
        moved, poles = self._moved(self.pieces, crs), self._moved_poles(crs)
        if not (np.isfinite(moved).all() and np.isfinite(poles).all()):
            raise RecipeError(f"the region cannot be expressed in {crs}: it leaves that CRS's domain")
        if is_geographic(crs):
            return self._bounds_on_sphere(moved)
        return self._bounds_on_plane(moved, poles, crs)

    def _moved(self, points: Floats, crs: str) -> Floats:
        return np.stack(transformer(self.crs, crs).transform(points[..., 0], points[..., 1]), axis=-1)

    def _bounds_on_sphere(self, moved: Floats) -> Box:
        longitude, latitude = unwrapped(moved[..., 0]), moved[..., 1]
        ends = longitude[np.append(self.rings[1:], len(longitude)) - 1, 2]
        around = bool((np.abs(ends - longitude[self.rings, 0]) > 180).any())
        low, high = _spans(np.stack([longitude, latitude], axis=-1))
        south, north = low[:, 1].min() - _NOISE, high[:, 1].max() + _NOISE
        # beside a pole no number of points says how far round an edge goes, or how near it comes
        near = 90 - np.abs(latitude).max(axis=1) < _lengths(moved)
        southern, northern = (near & (latitude[:, 1] < 0)).any(), (near & (latitude[:, 1] > 0)).any()
        held = self._held_poles()
        south, north = (-90.0 if held[0] or southern else south), (90.0 if held[1] or northern else north)
        west, east = -180.0, 180.0
        if not (around or near.any() or any(held)):
            west, east = smallest_arc(
                np.minimum.reduceat(low[:, 0], self.rings) - _NOISE,
                np.maximum.reduceat(high[:, 0], self.rings) + _NOISE,
            )
        return west, max(float(south), -90.0), east, min(float(north), 90.0)

    def _held_poles(self) -> tuple[bool, bool]:
        x, y = transformer(LONGITUDE_LATITUDE, self.crs).transform(*_POLES)
        south, north = shapely.intersects_xy(self.geometry, x, y)
        return bool(south), bool(north)

    def _moved_poles(self, crs: str) -> Floats:
        """Return (n, 2) x and y in another CRS of the poles that lie in the polygons."""
        poles = np.column_stack(_POLES)[np.array(self._held_poles())]
        return np.column_stack(transformer(LONGITUDE_LATITUDE, crs).transform(*poles.T))

    def _bounds_on_plane(self, moved: Floats, poles: Floats, crs: str) -> Box:
        jumps = [self._jumps(axis, moved, crs) for axis in (0, 1)]
        cut = np.array([along.size > 0 for along in jumps])
        ends = [_ends(moved[..., axis], poles[:, axis], jumps[axis]) for axis in (0, 1)]
        low, high = np.array(ends).T
        margin = _NOISE * (high - low).max()
        low, high = low - margin, high + margin
        # the plane is cut inside the polygons if their inside lies beyond their edges
        inner = self._moved(_inner_points(self.geometry), crs)
        inner = inner[np.isfinite(inner).all(axis=1)]
        cut |= ((inner < low) | (inner > high)).any(axis=0)
        if cut.any():
            used = area_of_use(crs)
            if used is None:
                raise RecipeError(
                    f"the region crosses the outer edge of {crs}, which states no area of use: "
                    "give a CRS that holds the region in one piece"
                )
            low = np.where(cut, np.minimum(low, used[:2]), low)
            high = np.where(cut, np.maximum(high, used[2:]), high)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def _jumps(self, axis: int, moved: Floats, crs: str) -> Floats:
        """Return where edges jump, along an axis, from one side of the plane and to the other.

        Halving a piece shortens a curve, and not a jump.
        """
        halves = np.abs(np.diff(moved[..., axis], axis=1))
        uneven = np.abs(halves[:, 0] - halves[:, 1]) > halves.sum(axis=1) / 2
        start, _, end = np.moveaxis(self.pieces[uneven], 1, 0)
        first, _, last = np.moveaxis(moved[uneven][..., axis], 1, 0)
        for _ in range(40):
            middle = (start + end) / 2
            between = self._moved(middle, crs)[:, axis]
            left = np.abs(between - first) > np.abs(last - between)
            start, end = np.where(left[:, None], start, middle), np.where(left[:, None], middle, end)
            first, last = np.where(left, first, between), np.where(left, between, last)
        far = np.abs(last - first) > np.ptp(moved[..., axis]) / _PARTS_PER_SIDE
        return np.concatenate([first[far], last[far]])


def _step(geometry: BaseGeometry) -> float:
    left, bottom, right, top = geometry.bounds
    return float(max(right - left, top - bottom) / _PARTS_PER_SIDE)


def _ends(along: Floats, poles: Floats, jumps: Floats) -> tuple[float, float]:
    """Return the lowest and highest of pieces along an axis; half the length of a jump is no bulge."""
    low, high = (along, along) if jumps.size else _spans(along)
    found = [low.ravel(), high.ravel(), poles, jumps]
    return float(np.concatenate(found).min()), float(np.concatenate(found).max())


def _spans(pieces: Floats) -> tuple[Floats, Floats]:
    """Return the lowest and highest of (n, 3, ...) curves, by what each bulges from its chord."""
    bulge = np.abs(pieces[:, 1] - pieces[:, ::2].mean(axis=1))
    return pieces.min(axis=1) - bulge, pieces.max(axis=1) + bulge


def area_of_use(crs: str) -> Box | None:
    """Return the box of its own plane that a CRS is made for, None if it states none."""
    area = CRS.from_user_input(crs).area_of_use
    if area is None:
        return None
    degrees = (area.west, area.south, area.east, area.north)
    left, bottom, right, top = transformer(LONGITUDE_LATITUDE, crs).transform_bounds(
        *degrees, densify_pts=101
    )
    return left, bottom, right + 360 * (right <= left), top


def _lengths(pieces: Floats) -> Floats:
    """Return lengths of pieces in degrees of a great circle."""
    longitude, latitude = np.radians(pieces[..., 0]), np.radians(pieces[..., 1])
    across = np.cos(latitude)
    places = np.stack([across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)], axis=-1)
    return np.asarray(np.degrees(np.linalg.norm(np.diff(places, axis=1), axis=-1).sum(axis=1)), np.float64)


def _inner_points(geometry: BaseGeometry) -> Floats:
    left, bottom, right, top = geometry.bounds
    x, y = np.meshgrid(np.linspace(left, right, 42)[1:-1], np.linspace(bottom, top, 42)[1:-1])
    inside = shapely.contains_xy(geometry, x, y)
    return np.column_stack([x[inside], y[inside]])


def on_the_map(geometry: BaseGeometry, crs: str) -> BaseGeometry:
    """Return polygons of another CRS in longitudes of -180 to 180 and latitudes, edges cut and bent."""
    parts = []
    for part in shapely.get_parts(shapely.segmentize(geometry, _step(geometry))):
        shell, *holes = (_disc(ring, crs) for ring in shapely.get_rings(part))
        parts.append(shapely.difference(shell, shapely.union_all(holes)))
    return polygons_of(shapely.union_all(parts))


def _disc(ring: shapely.LinearRing, crs: str) -> BaseGeometry:
    """Return what a ring of another CRS encloses on the map of longitudes and latitudes."""
    to_degrees = transformer(crs, LONGITUDE_LATITUDE)
    longitude, latitude = to_degrees.transform(*shapely.get_coordinates(ring).T)
    # in binary fractions that a turn leaves exact: lines a turn apart then fall together
    longitude = unwrapped(np.round(longitude * _FRACTION) / _FRACTION)
    line = np.column_stack([longitude, latitude])
    if abs(longitude[-1] - longitude[0]) > 180:
        line = np.concatenate([line, [(longitude[-1], 90.0), (longitude[0], 90.0)]])
    disc = cut_at_antimeridian(polygons_of(shapely.make_valid(shapely.Polygon(line))))
    # a ring has two sides: which of them is the inside, a point of the inside says
    inner = shapely.point_on_surface(shapely.Polygon(ring))
    x, y = to_degrees.transform(inner.x, inner.y)
    if shapely.intersects_xy(disc, x, y):
        return disc
    return shapely.difference(shapely.box(-180, -90, 180, 90), disc)
