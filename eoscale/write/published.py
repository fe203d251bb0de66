"""What was published, opened again: a store as a dataset, a table as a frame or some rows at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import xarray as xr

from eoscale.errors import IncompleteRunError, RecipeError
from eoscale.model.columns import BEAM, GRANULE, LATITUDE, LONGITUDE, RESERVED, TIME, Columns
from eoscale.write import publish
from eoscale.write.places import Place, near
from eoscale.write.repository import is_repository, open_repository
from eoscale.write.zarr import open_store

ROWS_AT_ONCE = 65_536
BYTES_AT_ONCE = 2**20
"""Of a table that is read piece by piece; its bytes count where it is CSV, else its rows."""


def form(output: Path) -> Literal["zarr", "parquet", "csv", "json"]:
    """Return the form of an output, told by its first bytes: its name may have any ending.

    What is no file is a Zarr store, if anything.

    Examples
    --------
    >>> form(Path("nowhere"))
    'zarr'
    """
    if not output.is_file():
        return "zarr"
    with output.open("rb") as source:
        first = source.read(4)
    return "parquet" if first == b"PAR1" else "json" if first.startswith(b"[") else "csv"


def open_published(output: Place) -> xr.Dataset | pd.DataFrame:
    """Return a published output: a store as a dataset, read lazily, and a table as a whole.

    GeoParquet gives a GeoDataFrame. Times of a table are UTC without a zone, as datetime64[ns].

    Raises
    ------
    IncompleteRunError
        If nothing has been published there.
    """
    if not publish.is_file(output):
        return open_cube(output)
    with near(output) as file:
        return _frame(file)


def open_cube(output: Place) -> xr.Dataset:
    """Return a published Zarr store, or what main of an Icechunk repository holds now, read lazily.

    Raises
    ------
    IncompleteRunError
        If nothing has been published there.
    """
    return open_repository(output) if is_repository(output) else open_store(output)


def _frame(output: Path) -> pd.DataFrame:
    kind = form(output)
    if kind == "parquet":
        points: pd.DataFrame = gpd.read_parquet(output)
        return points
    frame = _from_csv(output) if kind == "csv" else _from_json(output)
    # what has no value at all has no type in a text
    empty = [name for name in frame.columns if name not in RESERVED and frame[name].isna().all()]
    return _timed(frame.astype(dict.fromkeys(empty, "float64")))


def names(output: Path) -> list[str]:
    """Return the names of a table's columns; of a JSON array without rows none.

    Raises
    ------
    RecipeError
        If the file is no table.
    """
    with _table(output):
        match form(output):
            case "parquet":
                return list(pq.read_schema(output).names)
            case "json":
                return list(next(_objects(output), {}))
            case _:
                with pa.csv.open_csv(output) as table:
                    return list(table.schema.names)


def batches(output: Path, variables: Sequence[str]) -> Iterator[Columns]:
    """Yield the rows of a table that have a place, some at a time: no more are ever held.

    Parameters
    ----------
    output : Path
        A table of observations.
    variables : sequence of str
        What to read beside ``longitude`` and ``latitude``; NaN where there is no value.

    Raises
    ------
    RecipeError
        If the file is no table with these columns.
    IncompleteRunError
        If there is no file.
    """
    kind = form(output)
    if kind == "zarr":
        raise IncompleteRunError(f"there is no table {output}: run its recipe")
    read = {"parquet": _parquet_batches, "csv": _csv_batches, "json": _json_batches}[kind]
    with _table(output):
        for batch in read(output, [LONGITUDE, LATITUDE, *variables]):
            found = {name: np.asarray(values, np.float64) for name, values in batch.items()}
            placed = np.isfinite(found[LONGITUDE]) & np.isfinite(found[LATITUDE])
            yield {name: values[placed] for name, values in found.items()}


def _parquet_batches(output: Path, columns: list[str]) -> Iterator[Columns]:
    with pq.ParquetFile(output) as file:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns):
            yield {name: batch[name].to_numpy(zero_copy_only=False) for name in columns}


def _csv_batches(output: Path, columns: list[str]) -> Iterator[Columns]:
    numbers = pa.csv.ConvertOptions(
        include_columns=columns, column_types=dict.fromkeys(columns, pa.float64())
    )
    blocks = pa.csv.ReadOptions(block_size=BYTES_AT_ONCE)
    with pa.csv.open_csv(output, read_options=blocks, convert_options=numbers) as batches:
        for batch in batches:
            yield {name: batch[name].to_numpy(zero_copy_only=False) for name in columns}


def _json_batches(output: Path, columns: list[str]) -> Iterator[Columns]:
    objects = _objects(output)
    while rows := list(islice(objects, ROWS_AT_ONCE)):
        yield {name: np.array([row[name] for row in rows], np.float64) for name in columns}


def _objects(output: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a JSON array with an object a line."""
    with output.open(encoding="utf-8") as source:
        for line in source:
            if text := line.strip("[], \n"):
                yield json.loads(text)


@contextmanager
def _table(output: Path) -> Iterator[None]:
    """Say in one sentence that a file cannot be read as a table of observations."""
    try:
        yield
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise RecipeError(f"{output} cannot be read as a table of observations: {error}") from error


def _from_csv(output: Path) -> pd.DataFrame:
    # pandas' own reader may round the last bit of a number
    words = pa.csv.ConvertOptions(column_types=dict.fromkeys((GRANULE, BEAM), pa.string()))
    frame: pd.DataFrame = pa.csv.read_csv(output, convert_options=words).to_pandas()
    return frame


def _from_json(output: Path) -> pd.DataFrame:
    # and may take a variable such as delta_time for dates
    return pd.DataFrame(json.loads(output.read_text(encoding="utf-8")))


def _timed(frame: pd.DataFrame) -> pd.DataFrame:
    if TIME not in frame:
        return frame  # JSON without rows has no names either
    times = pd.to_datetime(frame[TIME], format="ISO8601", utc=True)
    return frame.assign(**{TIME: times.dt.tz_localize(None).dt.as_unit("ns")})
