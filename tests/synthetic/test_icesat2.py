from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

from eoscale.model.region import Region
from eoscale.synthetic.icesat2 import write_granule
from eoscale.synthetic.passes import plan

FLOAT_MAX = np.finfo("f4").max
DEFLATE, SHUFFLE = 1, 2


def _datasets(parent: h5py.Group) -> dict[str, h5py.Dataset]:
    found: dict[str, h5py.Dataset] = {}

    def keep(path: str, item: Any) -> None:  # noqa: ANN401  group or dataset
        if isinstance(item, h5py.Dataset):
            found[path] = item

    parent.visititems(keep)
    return found


def _filters(dataset: h5py.Dataset) -> tuple[int, ...]:
    properties = dataset.id.get_create_plist()
    return tuple(properties.get_filter(step)[0] for step in range(properties.get_nfilters()))


def _form(dataset: h5py.Dataset) -> tuple[str, int, tuple[int, ...]]:
    return str(dataset.dtype), dataset.ndim, _filters(dataset)


@pytest.fixture(params=["atl06", "atl08"])
def granule(request: pytest.FixtureRequest) -> Iterator[h5py.File]:
    with h5py.File(request.getfixturevalue(request.param)[0]) as file:
        yield file


def test_the_superblock_is_the_oldest(atl06: tuple[Path, ...], atl08: tuple[Path, ...]) -> None:
    for path in (*atl06, *atl08):
        head = path.read_bytes()[:9]
        assert head == b"\x89HDF\r\n\x1a\n\x00"


def test_rows_grow_in_chunks_of_ten_thousand_and_integers_are_shuffled(granule: h5py.File) -> None:
    for beam in (name for name in granule if name.startswith("gt")):
        for path, dataset in _datasets(granule[beam]).items():
            if dataset.maxshape[0] is not None:
                assert path.rpartition("/")[2] in ("bin_top_h", "ds_segment_id")
                continue
            assert dataset.chunks == (10_000, *dataset.shape[1:]), path
            assert _filters(dataset) == ((DEFLATE,) if dataset.dtype.kind == "f" else (SHUFFLE, DEFLATE))
            assert dataset.id.get_create_plist().get_filter_by_id(DEFLATE)[1] == (6,)


def test_the_fill_value_and_its_attribute_agree(granule: h5py.File) -> None:
    for path, dataset in _datasets(granule["gt1l"]).items():
        stated = dataset.attrs.get("_FillValue")
        assert dataset.fillvalue == (0 if stated is None else stated), path
        if stated is not None:
            assert stated.dtype == dataset.dtype


def test_every_column_has_its_times_as_a_scale_and_says_what_it_is(granule: h5py.File) -> None:
    for path, dataset in _datasets(granule["gt1l"]).items():
        assert {"units", "long_name"} <= set(dataset.attrs), path
        if dataset.maxshape[0] is None:
            assert {"description", "source", "contentType", "coordinates"} <= set(dataset.attrs), path
            scales = [dimension[0].name.rpartition("/")[2] for dimension in dataset.dims if len(dimension)]
            if not path.endswith("/delta_time"):
                assert scales[0] == "delta_time", path
                assert len(scales) == dataset.ndim


def test_integers_of_atl06_and_atl08_have_the_fills_of_the_mission(
    atl06: tuple[Path, ...], atl08: tuple[Path, ...]
) -> None:
    with h5py.File(atl06[0]) as file:
        ice = file["gt1l/land_ice_segments"]
        assert ice["fit_statistics/n_fit_photons"].fillvalue == 2_147_483_647
        assert ice["geophysical/bsnow_conf"].fillvalue == 127
        assert ice["ground_track/x_atc"].fillvalue == np.finfo("f8").max
        assert "_FillValue" not in ice["latitude"].attrs
    with h5py.File(atl08[0]) as file:
        land = file["gt1l/land_segments"]
        assert land["segment_landcover"].fillvalue == 255
        assert land["latitude"].dtype == np.float32
        assert land["canopy/canopy_h_metrics"].chunks == (10_000, 18)


def test_all_scalars_that_a_reader_may_ask_for_are_there(granule: h5py.File) -> None:
    ancillary = granule["ancillary_data"]
    assert ancillary["atlas_sdp_gps_epoch"][:] == [1_198_800_018]
    assert ancillary["atlas_sdp_gps_epoch"].id.get_create_plist().get_layout() == h5py.h5d.COMPACT
    assert ancillary["control"].id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS
    assert ancillary["data_start_utc"][0].endswith(b"Z")
    assert granule["orbit_info/sc_orient"].shape == (1,)
    assert granule["orbit_info/bounding_polygon_lat1"].shape == (23,)
    assert granule["quality_assessment/qa_granule_pass_fail"][0] == 0
    assert granule["METADATA/DatasetIdentification"].attrs["VersionID"] == b"006"
    assert b"SYNTHETIC" in granule.attrs["description"]
    assert granule.attrs["short_name"].decode() == Path(granule.filename).name[:5]


def test_strong_beams_follow_the_orientation(atl06: tuple[Path, ...]) -> None:
    for path in atl06:
        with h5py.File(path) as file:
            side = {0: "l", 1: "r"}[int(file["orbit_info/sc_orient"][0])]
            for beam in (name for name in file if name.startswith("gt")):
                strong = file[beam].attrs["atlas_beam_type"] == b"strong"
                assert strong == (beam[-1] == side)
                assert strong == (int(file[beam].attrs["atlas_spot_number"]) % 2 == 1)


def test_a_granule_may_lack_a_pair_of_beams(tmp_path: Path) -> None:
    period = (np.datetime64("2024-04-01"), np.datetime64("2024-07-01"))
    passes = plan(30, seed=0, region=Region.from_bbox(-55, 62, -25, 82), period=period)
    lacking = next(one for one in passes if len(one.beams) == 4)
    with h5py.File(write_granule("ATL06", lacking, tmp_path)) as file:
        assert {name for name in file if name.startswith("gt")} == set(lacking.beams)


def test_no_half_written_file_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError

    period = (np.datetime64("2024-04-01"), np.datetime64("2024-07-01"))
    one = plan(1, seed=0, region=Region.from_bbox(-55, 62, -25, 82), period=period)[0]
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match=r"^$"):
        write_granule("ATL06", one, tmp_path)
    assert not list(tmp_path.iterdir())


def test_xarray_opens_a_beam_with_the_names_of_its_dimensions(
    atl06: tuple[Path, ...], atl08: tuple[Path, ...]
) -> None:
    with xr.open_dataset(atl06[0], group="gt1l/land_ice_segments", engine="h5netcdf") as ice:
        assert dict(ice.sizes) == {"delta_time": ice.h_li.size}
        assert ice.delta_time.dtype.kind == "M"
        assert 0.05 < float(ice.h_li.isnull().mean()) < 0.35
    with xr.open_dataset(atl06[0], group="gt1l/residual_histogram", engine="h5netcdf") as residuals:
        assert residuals["count"].dims == ("delta_time", "bin_top_h")
    with xr.open_dataset(atl08[0], group="gt1l/land_segments/canopy", engine="h5netcdf") as canopy:
        assert canopy.canopy_h_metrics.dims == ("delta_time", "ds_metrics")


def _real(name: str) -> Path:
    folder = os.environ.get("EOSCALE_REAL_DATA")
    if not folder:
        pytest.skip("EOSCALE_REAL_DATA does not name a folder of real granules")
    return Path(folder) / "icesat2" / name


@pytest.mark.real
def test_every_dataset_of_a_real_atl06_beam_has_its_like(atl06: tuple[Path, ...]) -> None:
    for real in sorted(_real("atl06_greenland_v002").glob("*.h5")):
        with h5py.File(real) as theirs, h5py.File(atl06[0]) as ours:
            made = _datasets(ours["gt1l"])
            for beam in (name for name in theirs if name.startswith("gt")):
                for path, dataset in _datasets(theirs[beam]).items():
                    assert _form(made[path]) == _form(dataset), path
                    assert made[path].fillvalue == dataset.fillvalue, path


@pytest.mark.real
def test_the_datasets_of_a_real_atl08_beam_are_those_of_a_synthetic_one(atl08: tuple[Path, ...]) -> None:
    with h5py.File(_real("ICESat2VegR_atl08_clip.h5")) as theirs, h5py.File(atl08[0]) as ours:
        # that clip was deflated twice by who made it
        real = {path: _form(dataset)[:2] for path, dataset in _datasets(theirs["gt1r"]).items()}
        assert {path: _form(dataset)[:2] for path, dataset in _datasets(ours["gt1r"]).items()} == real
