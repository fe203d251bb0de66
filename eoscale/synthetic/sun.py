"""Where the sun stands: good to about a degree, enough to tell day from night."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def position(
    longitude: NDArray[np.float64], latitude: NDArray[np.float64], seconds: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return azimuth (clockwise from north) and elevation of the sun, (n,) float64, degrees.

    Parameters
    ----------
    longitude, latitude : (n,) float64
        Degrees east and north.
    seconds : (n,) float64
        Since 2018-01-01 UTC.

    Examples
    --------
    >>> noon = np.array([79 * 86400.0 + 12 * 3600])  # the equinox of 2018
    >>> position(np.zeros(1), np.zeros(1), noon)[1].round() > 86
    array([ True])
    """
    days = seconds / 86_400
    # the sun is farthest south eleven days before the year begins
    declination = np.radians(-23.44) * np.cos(2 * np.pi * (days + 10.5) / 365.24)
    hour = 2 * np.pi * (days + longitude / 360.0 - 0.5)
    north = np.radians(latitude)
    up = np.sin(north) * np.sin(declination) + np.cos(north) * np.cos(declination) * np.cos(hour)
    eastward = -np.cos(declination) * np.sin(hour)
    northward = np.cos(north) * np.sin(declination) - np.sin(north) * np.cos(declination) * np.cos(hour)
    return np.degrees(np.arctan2(eastward, northward)), np.degrees(np.arcsin(up))
