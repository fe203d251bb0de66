"""Columns: the rows of one granule, as arrays of equal length under their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Rows: TypeAlias = NDArray[np.int64]
"""Row numbers, ascending, without repetition."""
Columns: TypeAlias = Mapping[str, Array]
"""Name to array; all arrays have one length along their first dimension."""
LONGITUDE, LATITUDE, TIME = "longitude", "latitude", "time"
"""The columns that every rate with coordinates has: degrees east, degrees north, UTC datetime64[ns]."""
