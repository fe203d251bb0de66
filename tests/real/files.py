"""The real files, and the demand that every dataset of them reads as h5py reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hdf5.parity import Parity

FOLDER = Path(os.environ.get("EOSCALE_REAL_DATA", "EOSCALE_REAL_DATA"))
_ALL = sorted(path for path in FOLDER.rglob("*") if path.suffix in (".h5", ".hdf5", ".nc", ".nc4"))
NETCDF3 = [path for path in _ALL if path.read_bytes()[:3] == b"CDF"]
FILES = [path for path in _ALL if path not in NETCDF3]
ICESAT2 = [path for path in FILES if "atl06" in path.parent.name or "atl08" in path.name]
FILTERS = {1, 2, 3, 32_008, 32_015}
"""Deflate, shuffle, fletcher32, bitshuffle, Zstandard: all that the files are packed by."""

REAL = [
    pytest.mark.real,
    pytest.mark.skipif(
        "EOSCALE_REAL_DATA" not in os.environ, reason="EOSCALE_REAL_DATA names no folder of real granules"
    ),
]


def parity(place: Callable[[Path], Path | str], asked: Callable[[], object] = lambda: None) -> Parity:
    """Return what came of comparing all datasets of all files, each read at a path or URL.

    Parameters
    ----------
    place : callable
        From a file to where it is read.
    asked : callable
        What the service there was asked for until now.
    """
    found = Parity(asked)
    for path in FILES:
        found.add(path, place(path))
    assert found.different == {}
    assert found.equal > 10_000
    assert found.refused > 0
    assert found.filters.keys() == FILTERS
    return found
