"""Every value of every dataset of real files on a disk, against h5py."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from eoscale.errors import NotHDF5Error
from eoscale.hdf5.index import index
from eoscale.hdf5.read import read
from tests.hdf5.files import granule, same
from tests.hdf5.format.oracle import Links
from tests.hdf5.parity import values
from tests.real.files import FILES, ICESAT2, NETCDF3, REAL, parity

pytestmark = REAL


def test_the_files_are_there() -> None:
    assert (len(FILES), len(ICESAT2), len(NETCDF3)) == (28, 9, 1)


def test_from_a_disk_every_dataset_is_what_h5py_reads(capsys: pytest.CaptureFixture[str]) -> None:
    found = parity(lambda path: path)
    with capsys.disabled():
        print(f"\nFrom a disk: {found}")  # noqa: T201


@pytest.mark.parametrize("path", ICESAT2, ids=lambda path: path.stem)
def test_every_third_row_is_what_h5py_reads(path: Path) -> None:
    with h5py.File(path) as file:
        expected = {name: values(node) for name, node in Links(file).datasets.items() if node.shape}
    found = index(granule(path), expected)
    columns = read(found, {name: np.arange(0, len(every), 3) for name, every in expected.items()}).columns
    assert len(expected) > 100
    assert [name for name, every in expected.items() if not same(columns[name], every[::3])] == []


@pytest.mark.parametrize("path", NETCDF3, ids=lambda path: path.stem)
def test_a_netcdf_3_file_is_refused_by_name(path: Path) -> None:
    with pytest.raises(NotHDF5Error, match=rf"{path.name}: a netCDF-3 file"):
        index(granule(path), ["lat"])
