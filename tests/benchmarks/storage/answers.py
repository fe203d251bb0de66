"""Answers: what a way must come to, from the files on the disk by h5py, and whether it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from tests.benchmarks.storage import tutorial
from tests.benchmarks.storage.questions import BOX, COLUMNS, MISSING, PER_DEGREE, STATISTICS

_NANOSECONDS = 100
"""By which times may differ: a float64 does not tell them finer."""
_CLOSE = 1e-6
"""Relative difference of sums in another order."""
_EPOCH = np.datetime64("2018-01-01", "ns")


def expected(workload: str, copies: Sequence[Path]) -> pd.DataFrame:
    """Return the answer to a question, read from local files one after the other."""
    return _READ[workload](copies)


def demand(workload: str, found: pd.DataFrame, right: pd.DataFrame) -> None:
    """Demand that a table is the right answer to a question."""
    _COMPARE[workload](found, right)


def of_eoscale(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of an opened frame in the names and units of the file."""
    seconds = (frame["time"].to_numpy("M8[ns]") - _EPOCH) / np.timedelta64(1, "s")
    named = frame.rename(columns={"latitude": "lat", "longitude": "lon"})
    return pd.DataFrame(named.assign(time=seconds)[[*COLUMNS]])


def of_store(store: Path) -> pd.DataFrame:
    """Return the cells of a Zarr store that hold a value, by their row northward and column eastward."""
    with xr.open_zarr(store) as cube:
        table = cube[[f"h_canopy_{name}" for name in STATISTICS]].to_dataframe().reset_index()
    held = table[table["h_canopy_count"] > 0]
    number = {
        name: np.floor(PER_DEGREE * (held[centre] - edge)).astype(int)
        for name, centre, edge in (("row", "latitude", BOX[1]), ("column", "longitude", BOX[0]))
    }
    values = {name: held[f"h_canopy_{name}"] for name in STATISTICS}
    return pd.DataFrame({**number, **values}).sort_values([*number])


def _rows(copies: Sequence[Path]) -> pd.DataFrame:
    return pd.concat([tutorial.rows(str(copy)) for copy in copies])


def _cells(copies: Sequence[Path]) -> pd.DataFrame:
    return tutorial.merged([tutorial.sums(str(copy)) for copy in copies]).reset_index()


def _same_rows(found: pd.DataFrame, right: pd.DataFrame) -> None:
    """Demand the same values in any order of the rows."""
    assert len(found) == len(right) > 0, f"{len(found)} rows, expected {len(right)}"
    one, other = _sorted(found), _sorted(right)
    for name in ("lat", "lon", "h_canopy", "h_te"):
        assert np.array_equal(one[name], other[name], equal_nan=True), f"{name} differs"
    apart = np.abs(one["time"] - other["time"]).max()
    assert apart <= 1e-9 * _NANOSECONDS, f"times differ by {apart} s"


def _sorted(table: pd.DataFrame) -> Mapping[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    columns = {str(name): table[name].to_numpy(np.float64) for name in table.columns}
    order = np.lexsort((columns["time"], columns["lat"], columns["lon"]))
    return {name: np.where(values > MISSING, np.nan, values)[order] for name, values in columns.items()}


def _same_cells(found: pd.DataFrame, right: pd.DataFrame) -> None:
    """Demand the same cells: counts and extrema to the bit, sums to rounding."""
    assert len(found) == len(right) > 0, f"{len(found)} cells, expected {len(right)}"
    for name in ("row", "column", *STATISTICS):
        tolerance = _CLOSE if name in ("mean", "std") else 0
        one, other = (table[name].to_numpy(np.float64) for table in (found, right))
        assert np.allclose(one, other, rtol=tolerance, atol=tolerance), f"{name} differs"


_READ: Mapping[str, Callable[[Sequence[Path]], pd.DataFrame]] = {"W1": _rows, "W2": _cells}
_COMPARE: Mapping[str, Callable[[pd.DataFrame, pd.DataFrame], None]] = {"W1": _same_rows, "W2": _same_cells}
