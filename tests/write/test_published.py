from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr

from eoscale.access.bucket import BucketPath
from eoscale.errors import IncompleteRunError, RecipeError
from eoscale.model.cube import Cube
from eoscale.model.grid import Grid
from eoscale.write import published
from eoscale.write.places import Place
from eoscale.write.published import batches, form, names, open_published
from eoscale.write.table import TableSink
from eoscale.write.zarr import ArraySpec, ZarrSink

Kind = Literal["parquet", "csv", "json"]
DIGEST = "0123456789abcdef" * 4
MOMENTS = np.array(["2019-04-16T09:39:11.123456789", "2019-04-16T09:39:12"], "datetime64[ns]")
ROWS = pa.table(
    {
        "granule": pa.array(["007", "007"]).dictionary_encode(),
        "beam": pa.array(["gt1l", "gt2r"]).dictionary_encode(),
        "time": MOMENTS,
        "longitude": [-50.123456789012345, 0.1 + 0.2],
        "latitude": [70.0, 71.0],
        "delta_time": [1.5, None],
        "cycle": pa.array([3, None], pa.int16()),
        "absent": pa.array([None, None], pa.float32()),
    }
)
P = TypeVar("P", bound=Path | BucketPath)
each_kind = pytest.mark.parametrize("kind", ["parquet", "csv", "json"])


def publish(rows: pa.Table, kind: Kind, output: P) -> P:
    sink = TableSink(output=output, digest=DIGEST, kind=kind, parts=((0, 0),), attributes={})
    sink.prepare()
    sink.write((0, 0), rows)
    sink.publish()
    return output


def store(output: P) -> P:
    cube = Cube(axes=(Grid(crs="EPSG:3413", resolution=1000, west=0, south=-2000, width=2, height=2),))
    variables = {"h_count": ArraySpec(dtype="int64", fill=0, attributes={})}
    sink = ZarrSink(output=output, digest=DIGEST, cube=cube, variables=variables, attributes={})
    sink.prepare()
    sink.write(0, {"h_count": np.ones((2, 2), np.int64)})
    sink.publish()
    return output


@each_kind
def test_a_table_is_opened_with_its_values_to_the_bit(kind: Kind, folder: Place) -> None:
    frame = open_published(publish(ROWS, kind, folder / f"rows.{kind}"))
    assert isinstance(frame, pd.DataFrame)
    assert [name for name in frame.columns if name != "geometry"] == ROWS.column_names
    assert frame["granule"].tolist() == ["007", "007"]
    assert frame["beam"].tolist() == ["gt1l", "gt2r"]
    for name in ("longitude", "latitude", "delta_time", "cycle", "absent"):
        expected = ROWS[name].to_numpy().astype(np.float64)
        np.testing.assert_array_equal(frame[name].to_numpy(np.float64, na_value=np.nan), expected)


@each_kind
def test_times_of_a_table_are_utc_without_a_zone(kind: Kind, tmp_path: Path) -> None:
    frame = open_published(publish(ROWS, kind, tmp_path / f"rows.{kind}"))
    assert isinstance(frame, pd.DataFrame)
    assert frame["time"].dtype == np.dtype("datetime64[ns]")
    np.testing.assert_array_equal(frame["time"].to_numpy(), MOMENTS)


def test_geoparquet_is_opened_with_points_and_their_crs(tmp_path: Path) -> None:
    frame = open_published(publish(ROWS, "parquet", tmp_path / "rows.parquet"))
    assert isinstance(frame, gpd.GeoDataFrame)
    assert frame.crs == "EPSG:4326"
    np.testing.assert_array_equal(frame.geometry.x, frame["longitude"])


def test_a_store_is_opened_as_a_dataset(folder: Place) -> None:
    dataset = open_published(store(folder / "out.zarr"))
    assert isinstance(dataset, xr.Dataset)
    assert int(dataset["h_count"].sum()) == 4


@each_kind
def test_a_table_without_rows_is_opened(kind: Kind, folder: Place) -> None:
    frame = open_published(publish(ROWS.slice(0, 0), kind, folder / f"rows.{kind}"))
    assert isinstance(frame, pd.DataFrame)
    assert frame.empty


@pytest.mark.parametrize("name", ["out.zarr", "out.parquet", "out.csv", "out.json"])
def test_what_has_not_been_published_is_not_opened(name: str, folder: Place) -> None:
    with pytest.raises(IncompleteRunError, match="has not been published"):
        open_published(folder / name)


@pytest.mark.parametrize("name", ["out.zarr", "out.parquet", "out.csv", "out.json"])
def test_of_what_has_not_been_published_no_rows_are_read(name: str, tmp_path: Path) -> None:
    with pytest.raises(IncompleteRunError, match="there is no table"):
        next(batches(tmp_path / name, []))


@each_kind
def test_the_form_is_told_by_the_content_and_not_by_the_name(kind: Kind, tmp_path: Path) -> None:
    assert form(publish(ROWS, kind, tmp_path / "rows.txt")) == kind
    assert form(store(tmp_path / "rows.csv")) == "zarr"


@each_kind
def test_rows_are_read_some_at_a_time(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "ROWS_AT_ONCE", 100)
    monkeypatch.setattr(published, "BYTES_AT_ONCE", 100 * 4 * 18)
    values = np.random.default_rng(5).normal(size=1050)
    rows = pa.table({"longitude": values, "latitude": values + 1, "other": values, "h": values + 2})
    output = publish(rows, kind, tmp_path / "rows")
    assert [name for name in names(output) if name not in ("geometry", "bbox")] == rows.column_names
    read = list(batches(output, ["h"]))
    assert len(read) > 8
    assert max(columns["h"].size for columns in read) < 120
    assert all(list(columns) == ["longitude", "latitude", "h"] for columns in read)
    np.testing.assert_array_equal(np.concatenate([columns["h"] for columns in read]), values + 2)


@each_kind
def test_rows_without_a_place_are_left_out(kind: Kind, tmp_path: Path) -> None:
    longitude = [0.0, np.nan, 2.0, 3.0]
    rows = pa.table({"longitude": longitude, "latitude": [0.0, 1.0, np.inf, 3.0], "h": [0, 1, 2, None]})
    (read,) = batches(publish(rows, kind, tmp_path / "rows"), ["h"])
    np.testing.assert_array_equal(read["h"], [0, np.nan])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\xff",
        b"a,b\n1,2\n",
        b"[1, 2]",
        b'[{"longitude": 1,\n"latitude"',
        b"PAR1",
        b"PAR1PAR1",
    ],
    ids=["nothing", "a picture", "other columns", "numbers", "cut JSON", "cut Parquet", "empty Parquet"],
)
def test_what_is_no_table_of_observations_is_refused(content: bytes, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_bytes(content)
    with pytest.raises(RecipeError, match="foreign cannot be read as a table of observations"):
        next(batches(foreign, []))


def test_a_column_of_words_is_no_variable(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.csv"
    foreign.write_text("longitude,latitude,name\n1,2,three\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="cannot be read as a table"):
        next(batches(foreign, ["name"]))
