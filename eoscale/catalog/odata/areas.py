"""Areas: a region as a few polygons that hold all of it, and that the URL of a search has room for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from eoscale.model.edges import on_the_map
from eoscale.model.region import LONGITUDE_LATITUDE, Region
from eoscale.model.sphere import polygons_of

_WORLD = shapely.box(-180, -90, 180, 90)
_WIDER = [0.001 * 1.5**step for step in range(22)]
"""Degrees, up to 4, that an area may reach further than the region."""
_DIGITS = 4
"""Behind the point, of the corners of such an area."""
_BEND = 0.05
"""Degrees: more than edges that are straight in another CRS bulge here once they are cut."""
_PIECES = 2000
"""That the longer side of a region of another CRS is cut into."""
_POLAR = 89.0
"""Degrees, from where no number of pieces says how far round an edge goes."""


def covering(region: Region, fits: Callable[[Sequence[shapely.Polygon]], bool]) -> list[shapely.Polygon]:
    """Return polygons that hold a region: its own if they fit, else wider ones of fewer corners.

    Parameters
    ----------
    region : Region
    fits : callable
        Whether there is room for some polygons.

    Returns
    -------
    list of shapely Polygon
        Longitude and latitude, within -180 to 180: cut at the antimeridian, and along a pole that they hold.
        Those that do not fit are at most the one or two boxes of the region's bounds.

    Examples
    --------
    >>> across = Region.from_bbox(170, -20, -170, -10)
    >>> [polygon.bounds for polygon in covering(across, lambda _: True)]
    [(170.0, -20.0, 180.0, -10.0), (-180.0, -20.0, -170.0, -10.0)]
    >>> disc = Region(geometry=shapely.Point(0, 0).buffer(20, quad_segs=5000))
    >>> few = covering(disc, lambda polygons: shapely.get_num_coordinates(polygons).sum() < 50)
    >>> few[0].covers(disc.geometry), round(few[0].area / disc.geometry.area, 1)
    (True, 1.0)
    """
    own = region.crs == LONGITUDE_LATITUDE
    shape = region.outline(vertices=sys.maxsize) if own else _bent(region)
    for wider in chain([shape], _wider(shape)):
        if fits(_polygons(wider)) and wider.covers(shape):
            return _polygons(wider)
    return _polygons(Region.from_bbox(*region.bounds).outline())


def _polygons(shape: BaseGeometry) -> list[shapely.Polygon]:
    return list(shapely.get_parts(shape))


def _wider(shape: BaseGeometry) -> Iterator[BaseGeometry]:
    """Yield areas that reach further than one by more and more, in fewer corners each, shortly written."""
    for degrees in _WIDER:
        simple = shapely.simplify(shape, degrees)
        wide = _grown(simple, 1.1 * degrees + 0.1**_DIGITS)
        short = shapely.transform(wide, lambda points: np.round(points, _DIGITS))
        if short.is_valid:
            yield short


def _grown(shape: BaseGeometry, degrees: float) -> BaseGeometry:
    """Return an area that reaches further, and not off the Earth."""
    return polygons_of(shapely.intersection(shapely.buffer(shape, degrees, join_style="mitre"), _WORLD))


def _bent(region: Region) -> BaseGeometry:
    """Return a region of another CRS on the map, its edges followed closely, with what it has of a pole."""
    left, bottom, right, top = region.geometry.bounds
    cut = shapely.segmentize(region.geometry, max(right - left, top - bottom) / _PIECES)
    _, south, _, north = region.bounds
    caps = [shapely.box(-180, _POLAR, 180, 90)] if north > _POLAR else []
    caps += [shapely.box(-180, -90, 180, -_POLAR)] if south < -_POLAR else []
    return _grown(shapely.union_all([on_the_map(cut, region.crs), *caps]), _BEND)
