"""Columns: the rows of one granule, as arrays of equal length under their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Rows: TypeAlias = NDArray[np.int64]
"""Row numbers, ascending, without repetition."""
Columns: TypeAlias = Mapping[str, Array]
"""Name to array; all arrays have one length along their first dimension."""
LONGITUDE, LATITUDE, TIME = "longitude", "latitude", "time"
"""The columns that every rate with coordinates has: degrees east, degrees north, UTC datetime64[ns]."""
GRANULE, BEAM, GEOMETRY, BBOX = "granule", "beam", "geometry", "bbox"
"""What a table of rows has beside: id of the granule, name of the group, the point, and its box."""
RESERVED = frozenset({LONGITUDE, LATITUDE, TIME, GRANULE, BEAM, GEOMETRY, BBOX})
"""Names that no variable may have."""


class Values(NamedTuple):
    """One variable in some rows."""

    data: Array
    """(n,) scaled as their file says; where missing, whatever the file holds there."""
    missing: NDArray[np.bool_]
    """(n,) whether the row has no value."""

    def take(self, rows: NDArray[Any]) -> Values:
        """Return the values of some of the rows, given by numbers or by a mask."""
        return Values(self.data[rows], self.missing[rows])
