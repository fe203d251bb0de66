"""The chunk tables of every dataset of real files, against what libhdf5 says."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import pytest

from eoscale.hdf5.format import Contents, Unfamiliar, datasets
from eoscale.hdf5.format.driver import over
from tests.hdf5.format.oracle import Links

FOLDER = Path(os.environ.get("EOSCALE_REAL_DATA", "EOSCALE_REAL_DATA"))
FILES = [
    path
    for path in sorted(FOLDER.rglob("*"))
    if path.suffix in (".h5", ".hdf5", ".nc", ".nc4") and path.read_bytes()[:3] != b"CDF"
]
UNFAMILIAR: frozenset[tuple[str, str]] = frozenset()
"""File and path of what is left to libhdf5, all of it made to be difficult."""

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        "EOSCALE_REAL_DATA" not in os.environ, reason="EOSCALE_REAL_DATA names no folder of real granules"
    ),
]


def test_the_files_are_there() -> None:
    folders = [path.relative_to(FOLDER).parts[0] for path in FILES]
    counts = {name: folders.count(name) for name in folders}
    assert counts == {"gedi": 3, "hdf5_edge": 10, "icesat2": 11, "other": 4}
    assert {name for name, _ in UNFAMILIAR} <= {path.name for path in FOLDER.glob("hdf5_edge/*")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_dataset_lies_where_libhdf5_says(path: Path) -> None:
    content = path.read_bytes()
    with h5py.File(path) as file:
        links = Links(file)
        unfamiliar = {name for file_name, name in UNFAMILIAR if file_name == path.name}
        familiar = links.datasets.keys() - unfamiliar
        found = told(content, familiar | links.absent)
        assert found.datasets.keys() == familiar
        assert found.absent == links.absent
        assert links.differences(found.datasets, content) == {}


def test_what_is_left_to_libhdf5_is_called_unfamiliar() -> None:
    for name, path in UNFAMILIAR:
        with pytest.raises(Unfamiliar):
            told((FOLDER / "hdf5_edge" / name).read_bytes(), {path})


def told(content: bytes, paths: set[str]) -> Contents:
    return over(content, datasets(len(content), sorted(paths)))
