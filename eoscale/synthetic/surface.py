"""The synthetic Earth: heights of ice, land and trees as functions of longitude and latitude.

Made to be worth a map: an ice sheet with two summits, steep margins and fjords where Greenland lies,
rolling hills everywhere else, and forests in patches. Nothing here is a measurement.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

_EARTH_RADIUS_KM = 6371.0
_WAVES = 20


def land_ice_height(longitude: Values, latitude: Values, years: float) -> Values:
    """Return surface heights of ice sheet and land.

    Parameters
    ----------
    longitude, latitude : (n,) float64
        Degrees east and north.
    years : float
        Since 2018; the ice thins slowly, by more than a metre a year near its margins.

    Returns
    -------
    (n,) float64
        Metres.
    """
    ice = ice_thickness(longitude, latitude)
    thinning = 1.4 * years * np.exp(-ice / 900.0) * np.minimum(ice / 50.0, 1.0)
    undulation = 3.0 * _waves(longitude, latitude, longest=60.0, shortest=12.0)
    bare = np.exp(-ice / 300.0)
    return ice + hills(longitude, latitude) * bare + undulation * (1.0 - bare) - thinning


def ice_thickness(longitude: Values, latitude: Values) -> Values:
    """Return metres of ice above the ground, 0 where there is none; (n,) float64.

    Two elliptic domes with the profile of a plastic glacier (Vialov: ``(1 - r**(4/3))**(3/8)``), joined
    smoothly into a saddle, on a polar stereographic plane (true at 70 N, 45 W upright).

    Examples
    --------
    >>> ice_thickness(np.array([-38.5, 10.0]), np.array([72.6, 50.0])).round(-2)
    array([3200.,    0.])
    """
    x, y = _stereographic(longitude, latitude)
    north = _dome(x - 160.0, y + 1870.0, (530.0, 1000.0), 3230.0)
    south = _dome(x - 10.0, y + 2780.0, (330.0, 580.0), 2750.0)
    return np.asarray((north**5 + south**5) ** 0.2)


def hills(longitude: Values, latitude: Values) -> Values:
    """Return heights of land without ice, 0 to about 2000 m; (n,) float64."""
    broad = _waves(longitude, latitude, longest=4000.0, shortest=600.0)
    local = _waves(longitude, latitude, longest=400.0, shortest=30.0)
    return 600.0 * (0.6 + 0.5 * broad) ** 2 * (1.0 + 0.3 * local)


def canopy_height(longitude: Values, latitude: Values) -> Values:
    """Return heights of trees above ground, 0 where there are none; (n,) float64, metres.

    Tall in the tropics, sparse under the subtropical highs, ever lower towards the poles.
    """
    tropics = 32.0 * np.exp(-((latitude / 14.0) ** 2))
    temperate = 24.0 * np.exp(-(((np.abs(latitude) - 48.0) / 16.0) ** 2))
    patches = _waves(longitude, latitude, longest=900.0, shortest=25.0)
    cover = np.clip(0.55 + 0.6 * patches, 0.0, 1.0) * (ice_thickness(longitude, latitude) == 0.0)
    tall = (tropics + temperate) * cover
    return np.where(tall < 0.5, 0.0, tall)


def _dome(x: Values, y: Values, axes: tuple[float, float], height: float) -> Values:
    """Return the ice of one dome around the origin; kilometres in, metres out."""
    direction = np.arctan2(y / axes[1], x / axes[0])
    # fjords cut the margin and leave the interior smooth: their depth grows with the square of r
    r = np.hypot(x / axes[0], y / axes[1])
    fjords = 0.035 * np.sin(7 * direction + 0.6) + 0.03 * np.sin(23 * direction) * np.sin(5 * direction)
    r = r * (1.0 + fjords * np.minimum(r, 1.0) ** 2)
    return np.asarray(height * np.maximum(1.0 - r ** (4 / 3), 0.0) ** (3 / 8))


def _stereographic(longitude: Values, latitude: Values) -> tuple[Values, Values]:
    """Return kilometres from the north pole on the plane that maps of Greenland use, as on a sphere."""
    colatitude = np.radians(90.0 - np.maximum(latitude, -80.0))
    distance = (1.0 + np.sin(np.radians(70.0))) * _EARTH_RADIUS_KM * np.tan(colatitude / 2)
    turn = np.radians(longitude + 45.0)
    return distance * np.sin(turn), -distance * np.cos(turn)


def _waves(longitude: Values, latitude: Values, *, longest: float, shortest: float) -> Values:
    """Return a smooth field of mean 0 and standard deviation about 0.5, without seam or pole.

    It is a sum of plane waves in space, read where they cut the sphere.

    Parameters
    ----------
    longitude, latitude : (n,) float64
        Degrees.
    longest, shortest : float
        Wavelengths in kilometres; the shorter ones are lower.
    """
    x, y = np.radians(longitude), np.radians(latitude)
    position = np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], axis=-1)
    vectors, phases, heights = _spectrum(longest, shortest)
    return np.asarray(np.sin(position @ vectors + phases) @ heights)


@cache
def _spectrum(longest: float, shortest: float) -> tuple[Values, Values, Values]:
    """Return wave vectors (3, waves), phases and heights (waves,) between two wavelengths."""
    generator = np.random.default_rng(int(longest + shortest))
    lengths = np.geomspace(longest, shortest, _WAVES)
    directions = generator.uniform(-1.0, 1.0, (3, _WAVES))
    directions /= np.linalg.norm(directions, axis=0)
    heights = lengths**0.6
    heights *= 0.5 * np.sqrt(2.0) / np.linalg.norm(heights)
    return directions * (2 * np.pi * _EARTH_RADIUS_KM / lengths), generator.uniform(0, 7, _WAVES), heights
