"""Columns: what the datasets of a beam are, as tables; and their values, packed as a producer would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = Mapping[str, NDArray[Any]]
"""Path to (n, ...) values before packing; NaN where they are missing."""
Packed: TypeAlias = Mapping[str, NDArray[Any]]
"""Path to (n, ...) values as they are stored."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One dataset along the rows of a table."""

    path: str
    """Below the table's group."""
    dtype: str
    units: str
    fill: float | None = None
    """What marks a missing value, and is the HDF5 fill value; None for a dataset without any."""
    low: float = nan
    high: float = nan
    """Between these the values wander where nothing computes them; NaN leaves all of them missing."""
    fitted: bool = False
    """Missing wherever no surface could be fitted."""
    scale: str = ""
    """Name of the scale of the second dimension; empty for a dataset of one dimension."""
    flags: tuple[int, ...] = ()
    meanings: str = ""
    """Of the flags, separated by blanks."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Datasets of one length; the column ``delta_time`` is the scale of their rows."""

    group: str
    """Below the beam."""
    columns: tuple[Column, ...]
    coordinates: tuple[str, ...] = ("delta_time", "latitude", "longitude")
    """Columns that say when and where the rows are."""
    scales: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Scales of second dimensions that lie in the group itself."""


def measure(path: str, units: str = "1", low: float = nan, high: float = nan, *, scale: str = "") -> Column:
    """Return a float32 column whose missing values are the largest float32."""
    return Column(path=path, dtype="f4", units=units, fill=largest("f4"), low=low, high=high, scale=scale)


def fitted(path: str, units: str = "1", low: float = nan, high: float = nan) -> Column:
    """Return a float32 column that is missing wherever no surface could be fitted."""
    return Column(path=path, dtype="f4", units=units, fill=largest("f4"), low=low, high=high, fitted=True)


def exact(path: str, dtype: str, units: str, low: float = 0, high: float = 0, *, scale: str = "") -> Column:
    """Return a column that always has a value and knows no fill: coordinates, times, counts."""
    return Column(path=path, dtype=dtype, units=units, low=low, high=high, scale=scale)


def flag(
    path: str,
    meanings: str = "",
    *,
    first: int = 0,
    fill: int | None = None,
    dtype: str = "i1",
    scale: str = "",
) -> Column:
    """Return a column of flags, numbered from the first; the first is what they are unless computed."""
    flags = tuple(range(first, first + len(meanings.split())))
    usual = flags[0] if flags else first
    return Column(
        path=path,
        dtype=dtype,
        units="1",
        fill=fill,
        low=usual,
        high=usual,
        scale=scale,
        flags=flags,
        meanings=meanings,
    )


def largest(dtype: str) -> float:
    """Return the largest value of a type: how the mission marks missing values.

    Examples
    --------
    >>> largest("i1"), largest("f4")
    (127, 3.4028234663852886e+38)
    """
    if np.dtype(dtype).kind == "f":
        return float(np.finfo(dtype).max)
    return int(np.iinfo(dtype).max)


def complete(
    table: Table, values: Values, generator: np.random.Generator, valid: NDArray[np.bool_] | None = None
) -> Packed:
    """Return the packed values of all columns of a table.

    Parameters
    ----------
    table : Table
    values : mapping of path to (n, ...) array
        What has been computed; the rest wanders between the column's low and high.
    generator : numpy.random.Generator
    valid : (n,) bool, optional
        Rows with a fitted surface; all of them unless given.
    """
    rows = len(values["delta_time"])
    packed = {}
    for column in table.columns:
        phase = generator.uniform(0.0, 2 * np.pi)
        given = values.get(column.path)
        unpacked = np.asarray(_wandering(column, rows, phase) if given is None else given, np.float64)
        if column.fitted and valid is not None:
            unpacked = np.where(valid, unpacked, nan)
        packed[column.path] = pack(column, unpacked)
    return packed


def pack(column: Column, values: NDArray[np.float64]) -> NDArray[Any]:
    """Return values in the column's type, NaN as its fill.

    Floats are rounded to binary steps far below their meaning (1 mm, 1e-6 degrees, 1 us): machines differ
    in the last bit of a sine, and files made from one seed should not. It also helps them to be small.

    Examples
    --------
    >>> pack(measure("h", "meters"), np.array([1.00001, np.nan]))
    array([1.0000000e+00, 3.4028235e+38], dtype=float32)
    """
    missing = np.isnan(values)
    fill = 0 if column.fill is None else column.fill
    if np.dtype(column.dtype).kind == "f":
        fine = column.units.startswith(("degrees_", "seconds"))
        step = 2.0**-20 if fine else 2.0**-10
        values = np.rint(values / step) * step
    else:
        values = np.rint(values)
    packed = np.where(missing, 0.0, values).astype(column.dtype)
    packed[missing] = fill
    return packed


def _wandering(column: Column, rows: int, phase: float) -> NDArray[np.float64]:
    """Return (rows,) values that rise and fall once between the column's low and high."""
    wave = np.rint(16.0 + 16.0 * np.sin(phase + np.linspace(0.0, 2 * np.pi, rows))) / 32.0
    return np.asarray(column.low + (column.high - column.low) * wave)
