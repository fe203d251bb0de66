"""GeoJSON of catalogues as geometries, whether or not it is cut at the antimeridian as RFC 7946 wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from eoscale.catalog import footprints
from eoscale.model.sphere import unwrapped


def footprint(item: Mapping[str, Any]) -> BaseGeometry | None:
    """Return where an item lies, by its geometry or else its box, within -180 to 180 degrees.

    Examples
    --------
    >>> line = {"type": "LineString", "coordinates": [[179, 0], [-179, 10]]}
    >>> footprint({"geometry": line}).wkt
    'MULTILINESTRING ((179 0, 180 5), (-180 5, -179 10))'
    """
    try:
        with np.errstate(invalid="ignore"):
            shape = _shape(item)
        return None if shape is None else _on_one_map(shape)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, shapely.errors.ShapelyError):
        return None  # it is for maps: no reason to lose a granule


def _shape(item: Mapping[str, Any]) -> BaseGeometry | None:
    """Return what an item says, in two dimensions; None if that is no place."""
    said = item.get("geometry")
    shape = shapely.force_2d(shapely.geometry.shape(said)) if said else None
    if shape is None and item.get("bbox"):
        shape = _box(item["bbox"])
    good = shape is not None and not shape.is_empty and np.isfinite(shapely.get_coordinates(shape)).all()
    return shape if good else None


def _box(bbox: Sequence[float]) -> BaseGeometry:
    """Return the box of four numbers, or of six with heights; beyond 180 if it crosses the antimeridian."""
    half = len(bbox) // 2
    west, south, east, north = float(bbox[0]), float(bbox[1]), float(bbox[half]), float(bbox[half + 1])
    return shapely.box(west, south, east + 360 if west > east else east, north)


def _on_one_map(shape: BaseGeometry) -> BaseGeometry | None:
    """Return a geometry with the parts of it cut that cross the antimeridian."""
    parts = shapely.get_parts(shape)
    whole = [part if _stays(part) else _cut(part) for part in parts]
    kept = [part for part in whole if part is not None]
    if not kept:
        return None
    return shape if all(map(_stays, parts)) else shapely.union_all(kept)


def _stays(part: BaseGeometry) -> bool:
    """Return whether no edge of a part jumps across the map or leaves it."""
    lines = shapely.get_rings(part) if part.geom_type == "Polygon" else np.array([part])
    longitudes = [shapely.get_coordinates(line)[:, 0] for line in lines]
    return all((np.abs(x) <= 180).all() and (np.abs(np.diff(x)) <= 180).all() for x in longitudes)


def _cut(part: BaseGeometry) -> BaseGeometry | None:
    if part.geom_type == "Polygon":
        outer, *holes = (shapely.get_coordinates(ring) for ring in shapely.get_rings(part))
        return footprints.polygon(outer[:-1], [hole[:-1] for hole in holes])
    longitude, latitude = shapely.get_coordinates(part).T
    line = shapely.LineString(np.column_stack([unwrapped(longitude), latitude]))
    windows = {turn: shapely.box(turn - 180, -90, turn + 180, 90) for turn in (-360, 0, 360)}
    return shapely.union_all(
        [affinity.translate(line.intersection(window), -turn) for turn, window in windows.items()]
    )
