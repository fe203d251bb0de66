"""What is asked of the granules.

W1: latitude, longitude, time and two heights of all beams inside a polygon, as one table.
W2: count, mean, least, greatest and standard deviation of the canopy heights of all rows, in cells of a tenth
of a degree, as a Zarr store.
"""

from __future__ import annotations

import numpy as np
import shapely

LONGITUDE, LATITUDE, HALF = 12.0, 44.5, 1.5
"""Degrees: the middle of the polygon, and half its width and height."""
_VERTICES = 48

BEAMS = ("gt1l", "gt1r", "gt2l", "gt2r", "gt3l", "gt3r")
LAND = "land_segments"
"""The group of a beam that has what is asked for."""
COLUMNS = {
    "lat": "latitude",
    "lon": "longitude",
    "time": "delta_time",
    "h_canopy": "canopy/h_canopy",
    "h_te": "terrain/h_te_best_fit",
}
"""Of the table: paths below :data:`LAND`."""
MISSING = 3e38
"""Heights above this are none."""

BOX = (-10, 20, 35, 65)
"""West, south, east, north of the cells: wider than the tracks. Degrees."""
PER_DEGREE = 10
STATISTICS = ("count", "mean", "min", "max", "std")


def polygon() -> shapely.Polygon:
    """Return an area with a rough border, 3 degrees wide and high, which half of the tracks cross."""
    turn = 2 * np.pi * np.arange(_VERTICES) / _VERTICES
    cosine, sine = np.cos(turn), np.sin(turn)
    reach = HALF / np.maximum(np.abs(cosine), np.abs(sine))
    reach[1::2] *= np.random.default_rng(48).uniform(0.85, 1.0, _VERTICES // 2)
    return shapely.Polygon(np.column_stack([LONGITUDE + reach * cosine, LATITUDE + reach * sine]))
