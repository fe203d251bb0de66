"""Distances on the Earth from scratch: each point against each of a line, by pyproj's places in space."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

Floats: TypeAlias = NDArray[np.float64]

_SPACE = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)


def placed(points: Floats) -> Floats:
    """Return (n, 3) metres of (n, 2) degrees east and north."""
    longitude = (points[:, 0] + 180) % 360 - 180
    return np.column_stack(_SPACE.transform(longitude, points[:, 1], np.zeros(len(points))))


def metres_to_line(points: Floats, line: Floats) -> Floats:
    """Return (n,) metres from (n, 2) points to an (m, 2) line, straight between its points."""
    places, along = placed(points), placed(line)
    # parts that end and begin at one place, as at the antimeridian
    along = along[np.append(True, np.linalg.norm(np.diff(along, axis=0), axis=1) > 1e-3)]
    away = np.empty(len(places))
    for first in range(0, len(places), 100):
        away[first : first + 100] = _metres(places[first : first + 100], along)
    return away


def _metres(places: Floats, along: Floats) -> Floats:
    nearest = ((places[:, None] - along) ** 2).sum(axis=2).argmin(axis=1)
    beside = []
    for segment in (nearest - 1, nearest):
        start = segment.clip(0, len(along) - 2)
        step = along[start + 1] - along[start]
        share = ((places - along[start]) * step).sum(axis=1) / (step**2).sum(axis=1)
        foot = along[start] + share.clip(0, 1)[:, None] * step
        beside.append(np.linalg.norm(places - foot, axis=1))
    away: Floats = np.minimum(*beside)
    return away
