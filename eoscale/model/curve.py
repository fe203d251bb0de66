"""Curve: an order of places in which neighbours on the Earth are near each other in a file."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from eoscale.model.columns import Array
from eoscale.model.digest import Digested
from eoscale.model.region import Region
from eoscale.model.sphere import turned

_LEVEL = 16
"""Of the curve: 65,536 steps along each side of the area."""
SPANS = 4096
"""Stretches of equal length into which a curve is cut; each covers one of 64 by 64 cells of the area."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve(Digested):
    """A Hilbert curve through an area of longitudes and latitudes.

    Parameters
    ----------
    west, south, east, north : float
        Degrees; east above 180 where the area crosses the antimeridian.

    Examples
    --------
    >>> curve = Curve(west=170, south=-20, east=190, north=0)
    >>> curve.distance(np.array([170.0, -170.0]), np.array([-20.0, -20.0]))
    array([         0, 4294967295], dtype=uint32)
    >>> Curve.span(np.array([0, 4294967295], np.uint32))
    array([   0, 4095])
    """

    west: float
    south: float
    east: float
    north: float

    @classmethod
    def over(cls, region: Region | None) -> Curve:
        """Return the curve through the bounds of a region, or through the whole Earth."""
        west, south, east, north = (-180.0, -90.0, 180.0, 90.0) if region is None else region.bounds
        return cls(west=west, south=south, east=east, north=north)

    def distance(self, longitude: Array, latitude: Array) -> NDArray[np.uint32]:
        """Return how far along the curve each of (n,) points lies, 0 to 2**32 - 1."""
        bounds = (self.west, self.south, self.east, self.north)
        points = gpd.GeoSeries.from_xy(turned(longitude, self.west), latitude)
        return np.asarray(points.hilbert_distance(total_bounds=bounds, level=_LEVEL), np.uint32)

    @staticmethod
    def span(distance: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Return in which of the :data:`SPANS` stretches each distance lies."""
        return (distance // np.uint32(2**32 // SPANS)).astype(np.int64)
