"""The real files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("EOSCALE_REAL_DATA", "EOSCALE_REAL_DATA"))
_ALL = sorted(path for path in FOLDER.rglob("*") if path.suffix in (".h5", ".hdf5", ".nc", ".nc4"))
NETCDF3 = [path for path in _ALL if path.read_bytes()[:3] == b"CDF"]
FILES = [path for path in _ALL if path not in NETCDF3]
ICESAT2 = [path for path in FILES if "atl06" in path.parent.name or "atl08" in path.name]

REAL = [
    pytest.mark.real,
    pytest.mark.skipif(
        "EOSCALE_REAL_DATA" not in os.environ, reason="EOSCALE_REAL_DATA names no folder of real granules"
    ),
]
