"""Rows inside a region and a period that pass the quality rule and the condition (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eoscale.model.columns import LATITUDE, LONGITUDE, TIME, Array, Columns, Rows, Values
from eoscale.model.product import Preset
from eoscale.model.region import Region
from eoscale.model.sphere import placed
from eoscale.model.where import Where
from eoscale.model.zone_map import Span


def inside(columns: Columns, region: Region | None, period: Span | None) -> Rows:
    """Return the rows inside a region and a half-open period.

    Parameters
    ----------
    columns : mapping
        ``longitude`` and ``latitude``, (n,) float in degrees; ``time``, (n,) datetime64[ns]. Rows without
        coordinates are nowhere, hence never inside.
    region : Region or None
        None for everywhere.
    period : (start, stop) or None
        UTC; None for always.

    Returns
    -------
    (m,) int64, ascending

    Examples
    --------
    >>> columns = {"longitude": np.array([0.0, 9.0, np.nan]), "latitude": np.zeros(3),
    ...            "time": np.full(3, np.datetime64("2024-04-01", "ns"))}
    >>> inside(columns, Region.from_bbox(-1, -1, 1, 1), None)
    array([0])
    """
    longitude, latitude = columns[LONGITUDE], columns[LATITUDE]
    chosen = placed(longitude, latitude)
    if period is not None:
        start, stop = period
        chosen &= (columns[TIME] >= start) & (columns[TIME] < stop)
    rows = np.flatnonzero(chosen)
    if region is not None and rows.size:
        rows = rows[region.contains(longitude[rows], latitude[rows])]
    return rows


def normalised(longitude: Array) -> NDArray[np.float64]:
    """Return (n,) longitudes of -180 to 360 as -180 to 180, the others bit for bit as they were.

    Examples
    --------
    >>> normalised(np.array([-180.0, 180.0, 181.0, 359.5]))
    array([-180. ,  180. , -179. ,   -0.5])
    """
    degrees = np.asarray(longitude, np.float64)
    if not degrees.size or degrees.max() <= 180:
        return degrees  # the usual case, and the fast one; NaN is in no order
    return np.where(degrees > 180, degrees - 360, degrees)


def passing(preset: Preset | None, values: Mapping[str, Values], size: int) -> NDArray[np.bool_]:
    """Return which of the rows meet all conditions of a preset; a missing value meets none.

    Parameters
    ----------
    preset : Preset or None
        None lets all rows pass.
    values : mapping of str to Values
        Each variable of the preset, (size,).
    size : int
        Number of rows.
    """
    good = np.ones(size, np.bool_)
    for condition in preset.conditions if preset else ():
        column = values[condition.variable]
        good &= condition.passes(column.data) & ~column.missing
    return good


class Decided(NamedTuple):
    """What a condition says of some rows: a row holds, does not, or is undecided."""

    holds: NDArray[np.bool_]
    """(n,) whether the condition is met; never where it is undecided."""
    undecided: NDArray[np.bool_]
    """(n,) whether a variable of the condition is missing."""


def decided(where: Where | None, values: Mapping[str, Values], size: int) -> Decided:
    """Return what a condition says of the rows.

    Parameters
    ----------
    where : Where or None
        None holds for all rows.
    values : mapping of str to Values
        Each variable of the condition, (size,).
    size : int
        Number of rows.

    Examples
    --------
    >>> sigma = Values(np.array([0.5, 9.0, 3e38]), np.array([False, False, True]))
    >>> decided(Where(text="sigma < 1"), {"sigma": sigma}, 3)
    Decided(holds=array([ True, False, False]), undecided=array([False, False,  True]))
    """
    if where is None:
        return Decided(np.ones(size, np.bool_), np.zeros(size, np.bool_))
    undecided = np.logical_or.reduce([values[name].missing for name in where.names])
    holds = where.holds({name: values[name].data for name in where.names})
    return Decided(holds & ~undecided, undecided)
