"""Geocentric: the Earth's surface in three dimensions, where neither poles nor antimeridian are special."""

from __future__ import annotations

import numpy as np

from eoscale.model.sphere import Floats

EQUATOR = 6_378_137.0
"""Metres: the equatorial radius of WGS 84."""
_FLATTENING = 1 / 298.257223563
_SQUEEZED = (1 - _FLATTENING) ** 2


def in_space(points: Floats) -> Floats:
    """Return where points of the WGS 84 ellipsoid are in space.

    Parameters
    ----------
    points : (..., 2) float64
        Degrees east, of any turn, and north.

    Returns
    -------
    (..., 3) float64
        Metres from the Earth's centre towards 0 and 90 degrees east and the north pole.

    Examples
    --------
    >>> in_space(np.array([[540.0, 0.0], [0.0, 90.0]])).round() + 0.0
    array([[-6378137.,        0.,        0.],
           [       0.,        0.,  6356752.]])
    """
    longitude, latitude = np.radians(points[..., 0]), np.radians(points[..., 1])
    upward = EQUATOR / np.sqrt(np.cos(latitude) ** 2 + _SQUEEZED * np.sin(latitude) ** 2)
    level = upward * np.cos(latitude)
    height = _SQUEEZED * upward * np.sin(latitude)
    return np.stack([level * np.cos(longitude), level * np.sin(longitude), height], axis=-1)


def on_ground(places: Floats) -> Floats:
    """Return the longitudes and latitudes of places on, or a little below, the WGS 84 ellipsoid.

    Parameters
    ----------
    places : (..., 3) float64
        Metres, as of :func:`in_space`. What lies below goes up along the line from the Earth's centre.

    Returns
    -------
    (..., 2) float64
        Degrees east, -180 to 180, and north.

    Examples
    --------
    >>> on_ground(in_space(np.array([[190.0, -45.0]]))).round(9)
    array([[-170.,  -45.]])
    """
    x, y, z = np.moveaxis(places, -1, 0)
    latitude = np.arctan2(z, _SQUEEZED * np.hypot(x, y))
    return np.stack([np.degrees(np.arctan2(y, x)), np.degrees(latitude)], axis=-1)
