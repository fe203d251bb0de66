"""Every number and text of real ICESat-2 granules, against h5py."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest

from eoscale.errors import NotHDF5Error
from eoscale.hdf5.index import index
from eoscale.hdf5.read import read
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.columns import Array
from eoscale.model.granule import Granule

BEAMS = ("gt1l", "gt1r", "gt2l", "gt2r", "gt3l", "gt3r")
FOLDER = Path(os.environ.get("EOSCALE_REAL_DATA", "EOSCALE_REAL_DATA"))
GRANULES = sorted([*FOLDER.glob("icesat2/atl06_*/*.h5"), *FOLDER.glob("icesat2/*atl08*.h5")])
NETCDF3 = sorted(FOLDER.glob("other/l2ss_ascat*.nc"))

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        "EOSCALE_REAL_DATA" not in os.environ, reason="EOSCALE_REAL_DATA names no folder of real granules"
    ),
]


def granule(path: Path) -> Granule:
    return Granule(id=path.stem, product="ATL06", urls={"file": str(path)})


@cache
def opened(path: Path) -> tuple[dict[str, Array], ChunkIndex]:
    """Return all datasets of a file as h5py reads them, and their index."""
    found: dict[str, Array] = {}

    def take(name: str, node: h5py.Group | h5py.Dataset) -> None:
        if isinstance(node, h5py.Dataset):
            found[name] = np.asarray(node[()])

    with h5py.File(path) as file:
        file.visititems(take)
    return found, index(granule(path), found)


def test_the_granules_are_there() -> None:
    assert len(GRANULES) == 9
    full = [path for path in GRANULES if len(opened(path)[0]) > 400]
    assert len(full) >= 7
    assert len(NETCDF3) == 1


@pytest.mark.parametrize("path", GRANULES, ids=lambda path: path.stem)
def test_every_dataset_is_what_h5py_reads(path: Path) -> None:
    expected, found = opened(path)
    assert not found.absent
    assert set(found.datasets) == set(expected)
    columns = read(found, dict.fromkeys(expected)).columns
    different = [
        name
        for name, values in expected.items()
        if (columns[name].dtype, columns[name].shape) != (values.dtype, values.shape)
        or columns[name].tobytes() != values.tobytes()
    ]
    assert different == []
    beams = sum(f"{beam}/land_ice_segments/h_li" in expected for beam in BEAMS)
    assert len(expected) > (400 if beams == len(BEAMS) else 300 if "ATL06" in path.stem else 100)


@pytest.mark.parametrize("path", GRANULES, ids=lambda path: path.stem)
def test_every_third_row_is_what_h5py_reads(path: Path) -> None:
    everything, found = opened(path)
    expected = {name: values for name, values in everything.items() if values.ndim}
    wanted = {name: np.arange(0, len(values), 3) for name, values in expected.items()}
    columns = read(found, wanted).columns
    different = [name for name in expected if columns[name].tobytes() != expected[name][::3].tobytes()]
    assert different == []


@pytest.mark.parametrize("path", NETCDF3, ids=lambda path: path.stem)
def test_a_netcdf_3_file_is_refused_by_name(path: Path) -> None:
    with pytest.raises(NotHDF5Error, match=f"{path.stem} at .*: a netCDF-3 file"):
        index(granule(path), ["lat"])
