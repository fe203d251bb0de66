from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
import shapely
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pyproj import CRS

from eoscale.errors import IncompleteRunError, RecipeError
from eoscale.model.grid import Grid
from eoscale.model.sphere import transformer
from eoscale.plot import maps
from eoscale.plot.rows import MOST_CELLS, _grid, gridded
from eoscale.write import published
from eoscale.write.table import TableSink

Kind = Literal["parquet", "csv", "json"]
Bounds = tuple[float, float, float, float]
ICE: Bounds = (-51.0, 69.0, -49.0, 72.0)
each_kind = pytest.mark.parametrize("kind", ["parquet", "csv", "json"])


def observations(bounds: Bounds, number: int = 5000, *, missing: float = 0.1) -> pa.Table:
    """Return rows anywhere in a box of degrees, some without a value."""
    random = np.random.default_rng(2)
    west, south, east, north = bounds
    h_li = random.normal(1000, 300, number)
    flagged = random.integers(0, 2, number).astype(np.int8)
    columns = {
        "granule": np.full(number, "ATL06_20190416093911_02770303_002_01"),
        "beam": np.full(number, "gt1l"),
        "time": np.full(number, np.datetime64("2019-04-16T09:39:11", "ns")),
        "longitude": random.uniform(west, east, number),
        "latitude": random.uniform(south, north, number),
        "h_li": pa.array(h_li, mask=random.random(number) < missing),
        "flagged": flagged,
    }
    fields = pa.table(columns).schema
    at = fields.get_field_index("h_li")
    described = fields.field(at).with_metadata({"units": "m", "long_name": "land ice height"})
    return pa.table(columns, schema=fields.set(at, described))


def publish(rows: pa.Table, output: Path, kind: Kind = "parquet", **attributes: object) -> Path:
    half = rows.num_rows // 2
    sink = TableSink(output=output, digest="0" * 64, kind=kind, parts=((0, 0), (1, 1)), attributes=attributes)
    sink.prepare()
    sink.write((0, 0), rows.slice(0, half))
    sink.write((1, 1), rows.slice(half))
    sink.publish()
    return output


def cell_means(rows: pa.Table, dataset: xr.Dataset) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return counts and means as numpy's histograms give them."""
    mapping = dataset["spatial_ref"].attrs
    crs = CRS.from_wkt(mapping["crs_wkt"])
    longitude, latitude, values = (rows[name].to_numpy() for name in ("longitude", "latitude", "h_li"))
    known = np.isfinite(values)
    x, y = transformer("EPSG:4326", crs.to_string()).transform(longitude[known], latitude[known])
    left, side, _, top, _, _ = (float(number) for number in mapping["GeoTransform"].split())
    height, width = dataset["h_li_mean"].shape
    edges = (top - side * np.arange(height, -1, -1), left + side * np.arange(width + 1))
    count, *_ = np.histogram2d(y, x, bins=edges)
    total, *_ = np.histogram2d(y, x, bins=edges, weights=values[known])
    with np.errstate(invalid="ignore"):
        return count[::-1], (total / count)[::-1]


@pytest.mark.parametrize(
    ("bounds", "crs"),
    [
        (ICE, "EPSG:3413"),
        ((-180.0, 55.001, 180.0, 88.0), "EPSG:3413"),
        ((100.0, -75.0, 130.0, -66.0), "EPSG:3031"),
        ((-51.0, 54.0, -49.0, 72.0), "EPSG:4326"),
        ((6.0, 45.0, 8.0, 46.0), "EPSG:4326"),
        ((-180.0, -90.0, 180.0, 90.0), "EPSG:4326"),
    ],
)
def test_counts_and_means_are_those_of_numpy(bounds: Bounds, crs: str, tmp_path: Path) -> None:
    rows = observations(bounds)
    dataset = gridded(publish(rows, tmp_path / "rows.parquet"))
    assert CRS.from_wkt(dataset["spatial_ref"].attrs["crs_wkt"]) == CRS(crs)
    count, mean = cell_means(rows, dataset)
    np.testing.assert_array_equal(dataset["h_li_count"], count)
    np.testing.assert_allclose(dataset["h_li_mean"], mean, rtol=1e-12)
    assert int(dataset["h_li_count"].sum()) == rows.num_rows - rows["h_li"].null_count


def test_a_table_across_the_antimeridian_is_not_drawn_as_the_whole_earth(tmp_path: Path) -> None:
    rows = observations((176.0, -20.0, 184.0, -12.0))
    at = rows.schema.get_field_index("longitude")
    east = rows["longitude"].to_numpy()
    within = pa.array(np.where(east > 180, east - 360, east))
    dataset = gridded(publish(rows.set_column(at, "longitude", within), tmp_path / "rows.parquet"))
    count, mean = cell_means(rows, dataset)
    np.testing.assert_array_equal(dataset["h_li_count"], count)
    np.testing.assert_allclose(dataset["h_li_mean"], mean, rtol=1e-12)
    assert dataset["longitude"].min() > 176
    assert dataset["longitude"].max() < 184
    maps.save(dataset, tmp_path / "rows.png")


@pytest.mark.parametrize("variable", [None, "flagged"])
def test_parquet_csv_and_json_give_the_same_map(variable: str | None, tmp_path: Path) -> None:
    rows = observations(ICE)
    kinds: tuple[Kind, ...] = ("parquet", "csv", "json")
    first, *others = (gridded(publish(rows, tmp_path / kind, kind), variable=variable) for kind in kinds)
    assert set(first.data_vars) == {f"{variable or 'h_li'}_{statistic}" for statistic in ("count", "mean")}
    for other in others:
        assert other.equals(first)


@each_kind
def test_a_map_does_not_depend_on_how_many_rows_are_read_at_once(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = publish(observations(ICE, 2000), tmp_path / "rows", kind)
    at_once = gridded(output)
    monkeypatch.setattr(published, "ROWS_AT_ONCE", 170)
    monkeypatch.setattr(published, "BYTES_AT_ONCE", 20_000)
    piecewise = gridded(output)
    assert piecewise["h_li_count"].equals(at_once["h_li_count"])
    np.testing.assert_allclose(piecewise["h_li_mean"], at_once["h_li_mean"], rtol=1e-14)


def test_a_map_is_described_as_by_a_run(tmp_path: Path) -> None:
    dataset = gridded(publish(observations(ICE), tmp_path / "rows.parquet", title="Ice of Jakobshavn"))
    assert dataset.attrs["title"] == "Ice of Jakobshavn"
    assert dataset["h_li_mean"].attrs == {
        "long_name": "mean of land ice height",
        "units": "m",
        "cell_methods": "y: x: mean",
        "grid_mapping": "spatial_ref",
    }
    assert dataset["h_li_count"].attrs["units"] == "1"
    assert dataset["h_li_count"].attrs["grid_mapping"] == "spatial_ref"


coordinate = st.floats(-4e6, 4e6)
extent = st.one_of(st.just(0.0), st.floats(1e-3, 8e6))


@given(coordinate, coordinate, extent, extent)
def test_a_grid_of_metres_holds_its_box(left: float, bottom: float, wide: float, tall: float) -> None:
    box = left, bottom, min(left + wide, 4e6), min(bottom + tall, 4e6)
    grid = _grid("EPSG:3413", box)
    assert round_and_coarse(grid, box, finest=10.0)
    west, south, east, north = grid.geobox.boundingbox
    assert west <= left
    assert south <= bottom
    assert east > box[2]
    assert north > box[3]


@given(st.floats(-180, 180), st.floats(-90, 89), st.floats(0, 360), st.floats(0, 180))
def test_a_grid_of_degrees_holds_its_box(west: float, south: float, wide: float, tall: float) -> None:
    box = west, south, min(west + wide, 180.0), min(south + tall, 90.0)
    grid = _grid("EPSG:4326", box)
    assert round_and_coarse(grid, box, finest=0.0001)
    longitude, latitude = np.meshgrid(box[::2], box[1::2])
    located = grid.locate({"longitude": longitude.ravel(), "latitude": latitude.ravel()})
    assert located.rows.size == 4


def round_and_coarse(grid: Grid, box: Bounds, *, finest: float) -> bool:
    """Return whether the cells are 1, 2 or 5 times a power of ten, few, and no coarser than for that."""
    cells = max(box[2] - box[0], box[3] - box[1]) / grid.resolution
    assert max(grid.shape) <= MOST_CELLS
    assert f"{grid.resolution:e}"[:8] in ("1.000000", "2.000000", "5.000000")
    return grid.resolution == finest or cells > MOST_CELLS / 2.5 - 2


def test_one_row_is_drawn(tmp_path: Path) -> None:
    dataset = gridded(publish(observations(ICE, 1, missing=0), tmp_path / "rows.parquet"))
    assert int(dataset["h_li_count"].sum()) == 1
    assert max(dataset["h_li_count"].shape) <= 2
    assert maps.save(dataset, tmp_path / "rows.png").read_bytes().startswith(b"\x89PNG")


def test_a_variable_without_values_is_a_map_without_data(tmp_path: Path) -> None:
    dataset = gridded(publish(observations(ICE, 50, missing=2), tmp_path / "rows.parquet"))
    assert int(dataset["h_li_count"].sum()) == 0
    assert bool(dataset["h_li_mean"].isnull().all())
    maps.draw(dataset)


@each_kind
def test_a_table_without_rows_cannot_be_drawn(kind: Kind, tmp_path: Path) -> None:
    output = publish(observations(ICE, 4).slice(0, 0), tmp_path / "rows", kind)
    with pytest.raises(IncompleteRunError, match="holds no row to draw"):
        gridded(output)


def test_an_unknown_variable_names_the_nearest(tmp_path: Path) -> None:
    output = publish(observations(ICE, 9), tmp_path / "rows.parquet")
    with pytest.raises(RecipeError, match="no variable 'h_il': did you mean h_li"):
        gridded(output, variable="h_il")
    with pytest.raises(RecipeError, match="no variable 'beam': did you mean h_li, flagged"):
        gridded(output, variable="beam")


def test_a_table_of_coordinates_alone_is_refused(tmp_path: Path) -> None:
    rows = observations(ICE, 9).select(["time", "longitude", "latitude"])
    with pytest.raises(RecipeError, match="no column but coordinates"):
        gridded(publish(rows, tmp_path / "rows.parquet"))


def test_the_picture_of_a_table_shows_the_colours_of_its_values(tmp_path: Path) -> None:
    region = shapely.to_geojson(shapely.box(*ICE))
    output = publish(observations(ICE), tmp_path / "rows.parquet", eoscale_region=region)
    picture = maps.save(gridded(output), tmp_path / "rows.png")
    empty = maps.save(gridded(output).where(False), tmp_path / "empty.png")  # noqa: FBT003  xarray's own
    with Image.open(picture) as drawn, Image.open(empty) as ground:
        assert drawn.format == "PNG"
        colours = [len(image.convert("RGB").getcolors(2**24) or []) for image in (drawn, ground)]
    assert colours[0] > colours[1] + 100
