"""RoundMask: which points and boxes of longitude and latitude a polygon holds; longitudes go round."""

from __future__ import annotations

from functools import cached_property
from threading import Lock

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from eoscale.model.mask import Mask
from eoscale.model.sphere import Floats, all_round, covers_parallel, turned, welded


class RoundMask(Mask):
    """A mask of longitudes and latitudes, which are points of the same place in any turn.

    Where the polygon lies all around them, the seam of its longitudes and the poles are no boundary.

    Parameters
    ----------
    geometry : shapely Polygon or MultiPolygon
        Valid and not empty; at most 360 degrees wide.

    Examples
    --------
    >>> fiji = RoundMask(shapely.box(177, -20, 182, -15))
    >>> fiji.contains(np.array([-179.0, 181.0, 183.0]), np.full(3, -16.0))
    array([ True, True, False])
    >>> fiji.touches(np.array([[-178.5, -16, -170, -15.5], [-177, -16, -170, -15.5]]))
    array([ True, False])
    """

    def __init__(self, geometry: BaseGeometry) -> None:
        super().__init__(geometry)
        self._west, _, self._east, _ = geometry.bounds
        self._closed = all_round(self._west, self._east)
        # where the turn of longitudes begins in which points are tested: opposite the polygon
        self._frame = self._west if self._closed else (self._west + self._east) / 2 - 180
        self._poles = [pole for pole in (-90.0, 90.0) if self._closed and covers_parallel(geometry, pole)]
        self._asking = Lock()

    def contains(self, x: Floats, y: Floats) -> NDArray[np.bool_]:
        """Return which (n,) longitudes and latitudes are strictly inside; NaN is outside."""
        x = turned(x, self._frame)
        inside = super().contains(x, y)
        if self._closed:
            seam = np.flatnonzero((x <= self._west) | (x >= self._east))
            inside[seam] = self._welded.contains(x[seam], y[seam])
            for pole in self._poles:
                inside[y == pole] = True
        return inside

    def touches(self, boxes: Floats) -> NDArray[np.bool_]:
        """Return which (n, 4) boxes meet the polygon in some turn, the boundaries of both included.

        What turning rounds may part those that share a boundary only: to be sure, give them wider by a hair.
        A point on the seam or at a pole that is inside lies on the boundary that the polygon has there.
        """
        west, south, east, north = boxes.T
        touched = np.zeros(len(boxes), np.bool_)
        first = west + 360 * np.ceil((self._west - west) / 360)
        for start in (first, first - 360):
            end = start + (east - west)
            tried = np.flatnonzero((start <= self._east) & (end >= self._west) & ~touched)
            if tried.size:
                shapes = shapely.box(start[tried], south[tried], end[tried], north[tried])
                with self._asking:
                    touched[tried] = shapely.intersects(self._apart, shapes)
        return touched

    @cached_property
    def _welded(self) -> Mask:
        return Mask(welded(self.geometry))

    @cached_property
    def _apart(self) -> BaseGeometry:
        """A copy for boxes, one thread at a time: GEOS makes more indexes for them, again under no lock."""
        copy = shapely.from_wkb(shapely.to_wkb(self.geometry))
        shapely.prepare(copy)
        return copy
