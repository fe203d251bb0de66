"""Values of every type, layout and chunk table that libhdf5 writes, against h5py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.hdf5.files import noise
from tests.hdf5.layouts import KINDS, NETCDF, write, write_netcdf
from tests.hdf5.parity import Parity

NONSENSE = ("masked_", "chunk_of_")
"""Names of datasets whose stored bytes are no values of them: they show where chunks lie."""
WITHOUT = {
    "type_STD_B8BE": "h5py has no conversion for it",
    "scale_offset_float": "h5py cannot read back what libhdf5 wrote of NaN",
    "fill_never": "libhdf5 leaves open what is read where nothing was written",
    "type_text_long": "h5py drops what lies behind the end of a text, we keep it",
    **dict.fromkeys(("lzf", "szip", "nbit", "unknown_filter"), "the filter is not read"),
}
"""Datasets that are not compared, and why."""


@pytest.mark.parametrize(
    "name", ["earliest_v108", "v112_v114", "v200_v200", "earliest_grids", "v200_grids", "earliest_sizes_4_4"]
)
def test_every_dataset_of_a_kind_of_file_is_what_h5py_reads(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    makers = {each: make for each, make in kind.makers.items() if not each.startswith(NONSENSE)}
    path = write(tmp_path / "a.h5", kind._replace(makers=makers))
    found = Parity()
    found.add(path, path, without=WITHOUT)
    assert found.different == {}
    assert found.equal > 20


@pytest.mark.parametrize("name", NETCDF)
def test_every_variable_of_netcdf_is_what_h5py_reads(name: str, tmp_path: Path) -> None:
    path = write_netcdf(tmp_path / "a.nc", NETCDF[name])
    found = Parity()
    found.add(path, path)
    assert found.different == {}
    assert found.equal > 100


def test_elements_that_are_arrays_are_what_h5py_reads(tmp_path: Path) -> None:
    element = np.dtype(("<i2", (2, 3)))
    layouts: dict[str, dict[str, Any]] = {
        "contiguous": {},
        "chunked": {"chunks": (3, 2)},
        "packed": {"chunks": (3, 2), "compression": 1, "shuffle": True},
        "unwritten": {"chunks": (3, 2)},
    }
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, options in layouts.items():
            dataset = file.create_dataset(name, (4, 5), element, **options)
            if name != "unwritten":
                dataset[...] = noise("<i2", 4, 5, 2, 3)
        file.create_dataset("scalar", (), element)[()] = noise("<i2", 2, 3)
        structures = np.zeros(4, [("a", element), ("b", "<f4")])
        structures["a"] = noise("<i2", 4, 2, 3)
        file.create_dataset("in a structure", data=structures, chunks=(3,))
    found = Parity()
    found.add(tmp_path / "a.h5", tmp_path / "a.h5")
    assert (found.different, found.equal) == ({}, 6)


def test_one_other_bit_is_a_difference(tmp_path: Path) -> None:
    numbers = np.array([1, 0x7FC00001, 0], "<u4").view("<f4")
    texts = np.array(["ice", "é", ""], object)
    structures = np.zeros(3, [("a", "<f4"), ("b", "S3")])
    others = numbers.view("<u4") ^ np.array([0, 2, 0], "<u4")
    for name, change in (("a.h5", False), ("b.h5", True)):
        structures["b"][2] = b"ice" if change else b""
        with h5py.File(tmp_path / name, "w") as file:
            file["equal"] = np.arange(9)
            file["numbers"] = others.view("<f4") if change else numbers
            file["signs"] = np.array([-0.0 if change else 0.0])
            file["structures"] = structures
            file["texts"] = texts[::-1] if change else texts
            file["types"] = np.arange(9, dtype="<i4" if change else "<u4")
    found = Parity()
    found.add(tmp_path / "a.h5", tmp_path / "b.h5")
    assert found.different == {"a.h5": ["numbers", "signs", "structures", "texts", "types"]}
    assert found.equal == 1
