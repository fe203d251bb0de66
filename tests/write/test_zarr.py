from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import numpy as np
import pytest
import xarray as xr
import zarr
from odc.geo.xr import xr_coords  # noqa: F401  registers the accessor .odc
from pyproj import CRS
from zarr.storage import ObjectStore

from eoscale.access.bucket import BucketPath
from eoscale.errors import IncompleteRunError
from eoscale.model.axis import Axis
from eoscale.model.columns import Array
from eoscale.model.cube import Cube, Tile
from eoscale.model.grid import Grid
from eoscale.model.period import Period
from eoscale.write import places
from eoscale.write import publish as publishing
from eoscale.write.claims import claimed
from eoscale.write.places import Place
from eoscale.write.provenance import DIGEST
from eoscale.write.zarr import ArraySpec, ZarrSink, open_store
from tests.suites.sinks import BucketLaws, Case, DiskLaws, contents, turned

POLAR = Grid(crs="EPSG:3413", resolution=1000, west=-200, south=-2300, width=7, height=5)
GLOBAL = Grid(crs="EPSG:4326", resolution=0.1, west=-510, south=690, width=6, height=4)
MONTHS = Period.every("1MS", start="2024-04-01", stop="2024-07-01")
CUBES = {
    "time y x": Cube(axes=(MONTHS, POLAR), tile_shape=(1, 3, 4)),
    "y x": Cube(axes=(POLAR,), tile_shape=(4, 4)),
    "time latitude longitude": Cube(axes=(MONTHS, GLOBAL), tile_shape=(2, 4, 3)),
    "time": Cube(axes=(MONTHS,), tile_shape=(2,)),
}
DIGEST_OF_JOB = "0123456789abcdef" * 4
Format = Literal[2, 3]
PROCESSES = multiprocessing.get_context("forkserver")


def specs(cube: Cube) -> dict[str, ArraySpec]:
    mapping = {"grid_mapping": "spatial_ref"} if len(cube.shape) > 1 else {}
    return {
        "h_li_count": ArraySpec(dtype="int64", fill=0, attributes={"units": "1", **mapping}),
        "h_li_mean": ArraySpec(dtype="float64", fill=np.nan, attributes={"units": "m", **mapping}),
        "h_li_max": ArraySpec(dtype="float64", fill=np.nan, attributes={"units": "m", **mapping}),
    }


def whole(cube: Cube) -> dict[str, Array]:
    """Return every variable of a cube; the second tile is empty."""
    random = np.random.default_rng(11)
    count = random.integers(0, 3, cube.shape)
    count[cube.block(1)] = 0
    values = np.where(count > 0, random.normal(1000, 300, cube.shape), np.nan)
    return {"h_li_count": count, "h_li_mean": values, "h_li_max": values + 1}


def sink(cube: Cube, zarr_format: Format, folder: Place, stage: str = "") -> ZarrSink:
    places.make(folder)
    return ZarrSink(
        output=folder / "out.zarr",
        digest=DIGEST_OF_JOB,
        cube=cube,
        variables=specs(cube),
        attributes={"title": "a test", DIGEST: DIGEST_OF_JOB, "eoscale_granules": ["a", "b"]},
        zarr_format=zarr_format,
        stage=stage,
    )


def blocks(cube: Cube) -> dict[Tile, dict[str, Array]]:
    arrays = whole(cube)
    return {
        tile: {name: values[cube.block(tile)] for name, values in arrays.items()}
        for tile in range(cube.tiles)
    }


def publish(cube: Cube, zarr_format: Format, folder: Place) -> Place:
    made = sink(cube, zarr_format, folder)
    with claimed(made.output, made.digest):
        made.prepare()
        fill(made)
        made.publish()
    return made.output


def fill(made: ZarrSink) -> None:
    for tile, block in blocks(made.cube).items():
        made.write(tile, block)


@dataclass(frozen=True)
class Written:
    cube: Cube
    output: Path

    @property
    def grid(self) -> Grid:
        return next(axis for axis in self.cube.axes if isinstance(axis, Grid))


@pytest.fixture(scope="module", params=CUBES)
def cube(request: pytest.FixtureRequest) -> Cube:
    return CUBES[request.param]


@pytest.fixture(scope="module", params=[3, 2], ids=["v3", "v2"])
def zarr_format(request: pytest.FixtureRequest) -> Format:
    return 3 if request.param == 3 else 2


@pytest.fixture(scope="module")
def written(cube: Cube, zarr_format: Format, tmp_path_factory: pytest.TempPathFactory) -> Written:
    output = publish(cube, zarr_format, tmp_path_factory.mktemp("store"))
    assert isinstance(output, Path)
    return Written(cube, output)


def readable(at: Place) -> Path | ObjectStore[Any]:
    """Return what readers of Zarr take."""
    return ObjectStore(at.store(), read_only=True) if isinstance(at, BucketPath) else at


def consolidated(at: Place) -> None:
    xr.open_zarr(readable(at), consolidated=True).close()


def unconsolidated(at: Place) -> None:
    xr.open_zarr(readable(at), consolidated=False).close()


def group(at: Place) -> None:
    zarr.open_group(readable(at), mode="r")


def case_of(cube: Cube, zarr_format: Format) -> Case:
    def check(output: Place) -> None:
        for flag in (True, False):
            with xr.open_zarr(readable(output), consolidated=flag, chunks=None) as opened:
                for name, values in whole(cube).items():
                    assert opened[name].dims == cube.dims
                    assert opened[name].dtype == values.dtype
                    assert opened[name].values.tobytes() == values.tobytes()

    return Case(
        make=partial(sink, cube, zarr_format),
        output="out.zarr",
        job=DIGEST_OF_JOB,
        blocks=blocks(cube),
        readers=[consolidated, unconsolidated, group],
        check=check,
    )


class TestZarrSink(DiskLaws):
    @pytest.fixture
    def case(self, cube: Cube, zarr_format: Format) -> Case:
        return case_of(cube, zarr_format)


class TestZarrSinkInABucket(BucketLaws):
    @pytest.fixture
    def case(self, zarr_format: Format) -> Case:
        return case_of(CUBES["y x"], zarr_format)


def test_one_tile_is_one_chunk_and_an_empty_one_is_written_too(written: Written) -> None:
    opened = zarr.open_group(written.output, mode="r")
    for name in specs(written.cube):
        array = opened[name]
        assert isinstance(array, zarr.Array)
        assert array.chunks == written.cube.tile_shape
        assert array.nchunks_initialized == array.nchunks == written.cube.tiles


def test_the_metadata_of_all_arrays_are_consolidated(written: Written, zarr_format: Format) -> None:
    opened = zarr.open_consolidated(str(written.output), zarr_format=zarr_format)
    assert set(specs(written.cube)) < set(opened.array_keys())
    assert set(written.cube.coordinates().variables) < set(opened.array_keys())


def test_attributes_and_coordinates_are_those_of_the_job_and_its_axes(written: Written) -> None:
    with open_store(written.output) as opened:
        assert opened.attrs["title"] == "a test"
        assert opened.attrs[DIGEST] == DIGEST_OF_JOB
        assert opened.attrs["eoscale_granules"] == ["a", "b"]
        expected = written.cube.coordinates()
        assert (
            dict(opened.sizes).items()
            >= dict(zip(written.cube.dims, written.cube.shape, strict=True)).items()
        )
        for name in written.cube.dims:
            np.testing.assert_array_equal(opened[name], expected[name])
        for name, spec in specs(written.cube).items():
            assert opened[name].attrs["units"] == spec.attributes["units"]


def test_counts_stay_integers_and_other_statistics_floats(written: Written) -> None:
    for decode in (True, False):
        with xr.open_zarr(written.output, mask_and_scale=decode, chunks=None) as opened:
            assert opened["h_li_count"].dtype == np.dtype("int64")
            assert opened["h_li_mean"].dtype == np.dtype("float64")
            assert (np.isnan(opened["h_li_mean"]) == (opened["h_li_count"] == 0)).all()


@pytest.mark.parametrize("cube", [name for name in CUBES if name != "y x"], indirect=True)
def test_times_and_their_bounds_are_decoded(written: Written) -> None:
    with xr.open_zarr(written.output, decode_coords="all", chunks=None) as opened:
        assert opened["time"].encoding["bounds"] == "time_bounds"
        np.testing.assert_array_equal(opened["time"], MONTHS.edges[:-1])
        np.testing.assert_array_equal(opened["time_bounds"][:, 0], MONTHS.edges[:-1])
        np.testing.assert_array_equal(opened["time_bounds"][:, 1], MONTHS.edges[1:])
        assert np.issubdtype(opened["time_bounds"].dtype, np.datetime64)


@pytest.mark.parametrize("cube", [name for name in CUBES if name != "time"], indirect=True)
def test_the_crs_and_the_grid_are_read_by_others(written: Written) -> None:
    with xr.open_zarr(written.output, decode_coords="all", chunks=None) as opened:
        for name in specs(written.cube):
            assert opened[name].encoding["grid_mapping"] == "spatial_ref"
        assert CRS.from_cf(opened["spatial_ref"].attrs) == CRS(written.grid.crs)
        assert opened["spatial_ref"].item() == CRS(written.grid.crs).to_epsg()
        assert opened.odc.geobox == written.grid.geobox
        assert opened["h_li_mean"].odc.geobox == written.grid.geobox
        transform = [float(number) for number in opened["spatial_ref"].attrs["GeoTransform"].split()]
        assert transform == list(written.grid.geobox.affine.to_gdal())


def die_writing(folder: Path) -> None:
    """Be killed when a chunk is written and has not got its name."""

    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    made = sink(CUBES["y x"], 3, folder)
    with mock.patch.object(Path, "replace", killed):
        made.write(0, blocks(made.cube)[0])


def test_what_a_task_leaves_that_is_killed_lies_outside_of_what_is_published(tmp_path: Path) -> None:
    cube = CUBES["y x"]
    undisturbed = contents(publish(cube, 3, tmp_path / "undisturbed"))
    made = sink(cube, 3, tmp_path / "killed")
    made.prepare()
    (hidden,) = publishing.siblings(made.output)
    before = contents(hidden)
    process = PROCESSES.Process(target=die_writing, args=(tmp_path / "killed",))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert contents(hidden) == before
    _, left = publishing.siblings(made.output)
    assert left.name.startswith(f"{hidden.name}.")
    fill(made)
    made.publish()
    assert contents(made.output) == undisturbed
    assert publishing.leftovers(made.output) == [left]


def test_a_task_that_comes_after_publication_writes_nothing(tmp_path: Path) -> None:
    cube = CUBES["y x"]
    made = sink(cube, 3, tmp_path)
    publish(cube, 3, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(FileNotFoundError):
        made.write(0, turned(blocks(cube)[0]))
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarr"]


def test_attempts_of_different_stages_are_kept_apart_on_a_disk(tmp_path: Path) -> None:
    cube = CUBES["y x"]
    first, second = (sink(cube, 3, tmp_path, stage=number * 64) for number in "12")
    for made in (first, second):
        made.prepare()
    fill(first)
    assert second.missing() == tuple(range(cube.tiles))
    second.write(0, blocks(cube)[0])
    assert first.missing() == ()
    first.publish()
    assert second.missing() == tuple(range(1, cube.tiles))


def test_only_what_was_published_is_opened(folder: Place) -> None:
    made = sink(CUBES["y x"], 3, folder)
    for _ in range(2):
        with pytest.raises(IncompleteRunError, match="has not been published: run its recipe"):
            open_store(made.output)
        made.prepare()
    fill(made)
    made.publish()
    with open_store(made.output) as opened:
        assert opened["h_li_count"].values.tolist() == whole(made.cube)["h_li_count"].tolist()


def test_an_axis_of_any_length_is_cut_into_tiles_that_cover_it(tmp_path: Path) -> None:
    axes: tuple[Axis, ...] = (POLAR,)
    for number, shape in enumerate([(), (1, 3), (5, 1)]):
        cube = Cube(axes=axes, tile_shape=shape)
        arrays = whole(Cube(axes=axes, tile_shape=(3, 3)))
        made = sink(cube, 3, tmp_path / str(number))
        made.prepare()
        for tile in range(cube.tiles):
            made.write(tile, {name: values[cube.block(tile)] for name, values in arrays.items()})
        made.publish()
        with open_store(made.output) as opened:
            assert opened["h_li_count"].values.tolist() == arrays["h_li_count"].tolist()


@pytest.mark.parametrize("cube", ["time", "time y x"], indirect=True)
def test_a_store_in_a_bucket_has_the_very_objects_of_one_on_a_disk(
    cube: Cube, zarr_format: Format, bucket: BucketPath, written: Written
) -> None:
    output = publish(cube, zarr_format, bucket)
    assert contents(output) == contents(written.output)
    assert contents(bucket).keys() == {f"out.zarr/{name}" for name in contents(written.output)}
