"""Ground tracks: where the beams of a polar laser altimeter meet the Earth.

A circular orbit of 92 degrees inclination above a sphere that turns. Positions along the orbit are told
by the argument of latitude: the angle flown since the ascending node, 0 to 2 pi.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import asin, pi, radians, sin

import numpy as np
from numpy.typing import NDArray

EARTH_RADIUS = 6_371_000.0
"""Metres."""
PERIOD = 91 * 86_400 / 1387
"""Seconds of one revolution: 1387 of them repeat every 91 days."""
INCLINATION = radians(92.0)
NORTHERNMOST = 88.0
"""Degrees; no track goes nearer to a pole."""
_SIDEREAL_DAY = 86_164.1

ACROSS = {"gt1l": -3345.0, "gt1r": -3255.0, "gt2l": -45.0, "gt2r": 45.0, "gt3l": 3255.0, "gt3r": 3345.0}
"""Metres to the right of the flight direction: pairs 3.3 km apart, 90 m inside a pair."""

BEAMS = tuple(ACROSS)
"""From left to right."""

_PARALLELS = (27.0, 59.5, 80.0, 80.0, 59.5, 27.0, 0.0, -27.0, -50.0, -79.0, -79.0, -50.0, -27.0)
"""Degrees north at which the 14 regions of a revolution end, but for the last, which ends at the node."""
_DESCENDING = range(3, 10)
"""Which of these parallels are crossed southward."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """Points along one beam, in the order of flight, all arrays (n,) float64."""

    longitude: NDArray[np.float64]
    """Degrees east, -180 to 180."""
    latitude: NDArray[np.float64]
    """Degrees north."""
    elapsed: NDArray[np.float64]
    """Seconds since the ascending node."""
    along: NDArray[np.float64]
    """Metres along the reference track since the ascending node."""
    azimuth: NDArray[np.float64]
    """Direction of flight over ground, degrees clockwise from north."""
    across: float
    """Metres to the right of the reference track."""


def argument_of_latitude(latitude: float, *, ascending: bool) -> float:
    """Return where the orbit passes a parallel, northward or southward, in radians from 0 to 2 pi.

    Examples
    --------
    >>> round(argument_of_latitude(0.0, ascending=False), 4)
    3.1416
    """
    northward = asin(sin(radians(latitude)) / sin(INCLINATION))
    return (northward if ascending else pi - northward) % (2 * pi)


def region_of(argument: float) -> tuple[int, float, float]:
    """Return the number (1 to 14) of the region that holds an argument of latitude, its first and last.

    Granules are cut at these regions, by latitude and direction of flight.

    Examples
    --------
    >>> region_of(argument_of_latitude(70.0, ascending=True))[0]
    3
    >>> region_of(argument_of_latitude(70.0, ascending=False))[0]
    5
    """
    ends = [
        argument_of_latitude(parallel, ascending=number not in _DESCENDING)
        for number, parallel in enumerate(_PARALLELS)
    ]
    bounds = [0.0, *ends, 2 * pi]
    number = int(np.searchsorted(bounds, argument, side="right").clip(1, 14))
    return number, bounds[number - 1], bounds[number]


def node_through(longitude: float, argument: float) -> float:
    """Return the longitude of the ascending node of a revolution that passes a longitude.

    Parameters
    ----------
    longitude : float
        Degrees east, to be passed at the argument of latitude.
    argument : float
        Radians.
    """
    x, y, _ = _reference(np.array([argument]))
    return float(_wrapped(longitude - np.degrees(np.arctan2(y, x)))[0])


def fly(node: float, arguments: NDArray[np.float64], across: float) -> Track:
    """Return the track of one beam.

    Parameters
    ----------
    node : float
        Longitude of the ascending node, degrees east.
    arguments : (n,) float64
        Arguments of latitude, ascending, radians.
    across : float
        Metres to the right of the flight direction.
    """
    position = _reference(arguments)
    step = 1e-5
    flight = _reference(arguments + step) - _reference(arguments - step)
    flight /= np.linalg.norm(flight, axis=0)
    right = np.cross(flight, position, axis=0)
    angle = across / EARTH_RADIUS
    x, y, z = position * np.cos(angle) + right * np.sin(angle)
    horizontal = np.hypot(position[0], position[1])
    east = (position[0] * flight[1] - position[1] * flight[0]) / horizontal
    return Track(
        longitude=_wrapped(np.degrees(np.arctan2(y, x)) + node),
        latitude=np.degrees(np.arctan2(z, np.hypot(x, y))),
        elapsed=arguments / (2 * pi) * PERIOD,
        along=arguments * EARTH_RADIUS,
        azimuth=np.degrees(np.arctan2(east, flight[2] / horizontal)),
        across=across,
    )


def _reference(argument: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (3, n) unit vectors below the satellite; the node lies at longitude 0 when it is passed."""
    turned = -argument * (PERIOD / _SIDEREAL_DAY)
    x = np.cos(argument)
    y = np.cos(INCLINATION) * np.sin(argument)
    return np.stack(
        [
            x * np.cos(turned) - y * np.sin(turned),
            x * np.sin(turned) + y * np.cos(turned),
            np.sin(INCLINATION) * np.sin(argument),
        ]
    )


def _wrapped(longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    return (longitude + 180.0) % 360.0 - 180.0
