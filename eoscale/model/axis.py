"""Axis: something to group rows by."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from eoscale.model.columns import Columns, Rows


class Located(NamedTuple):
    """Rows that lie on an axis, and where."""

    rows: Rows
    """(n,) ascending; a row is repeated where several bins hold it."""
    bins: NDArray[np.int64]
    """(n,) flat bin number in C order of the axis's shape."""
    weights: NDArray[np.float64] | None = None
    """(n,) share of the row that falls in the bin; None means all of it."""


class Axis(Protocol):
    """Something to group rows by: a grid, periods, and later bins and zones.

    A row lies in at most one bin of a grid or of periods, whose bins are half-open.
    """

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions that the axis gives to a cube."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of bins along each of them."""
        ...

    def locate(self, columns: Columns) -> Located:
        """Return the rows of (n,) columns that lie on the axis, and their bins."""
        ...

    def coordinates(self) -> xr.Dataset:
        """Return the coordinate variables with their CF attributes."""
        ...
