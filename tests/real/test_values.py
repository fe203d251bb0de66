"""Every value of every dataset of real files, by each way to them, against h5py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from eoscale.access import stores
from eoscale.access.endpoints import ALLOW_HOSTS
from eoscale.access.loop import run
from eoscale.errors import NotHDF5Error
from eoscale.hdf5.index import index
from eoscale.hdf5.read import read
from tests.hdf5.files import granule, same
from tests.hdf5.parity import Expected, Parity
from tests.real.files import FILES, FOLDER, ICESAT2, NETCDF3, REAL
from tests.servers.buckets import BucketServer
from tests.servers.storage import Storage

pytestmark = REAL


class Way(NamedTuple):
    """A way to the files."""

    place: Callable[[str], str]
    """From a name, below the folder, to where that is read."""
    allowed: str = ""
    """The host that may be asked."""
    asked: Callable[[], object] = lambda: None
    """What the service was asked for until now."""
    gets: Callable[[], float] = lambda: np.inf
    """That it was asked for until now; a disk is asked for none."""


@contextmanager
def by_path() -> Iterator[Way]:
    yield Way(lambda name: str(FOLDER / name))


@contextmanager
def over_http() -> Iterator[Way]:
    with Storage(FOLDER) as storage:
        yield Way(storage.url, storage.host, storage.counts, lambda: storage.counts().gets)


@contextmanager
def from_a_bucket() -> Iterator[Way]:
    with BucketServer() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        for path in [*FILES, *NETCDF3]:
            assert run(stores.write(f"s3://{server.bucket}", named(path), path.read_bytes()))
        yield Way(
            lambda name: f"s3://{server.bucket}/{name}",
            asked=server.answered.copy,
            gets=lambda: server.answered["GET", "206"],
        )


@pytest.fixture(scope="module", params=[by_path, over_http, from_a_bucket], ids=lambda way: way.__name__)
def opened(request: pytest.FixtureRequest) -> Iterator[Way]:
    with request.param() as way:
        yield way


@pytest.fixture
def way(opened: Way, monkeypatch: pytest.MonkeyPatch) -> Way:
    monkeypatch.setenv(ALLOW_HOSTS, opened.allowed)
    return opened


def named(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


@pytest.fixture(scope="module")
def expected() -> Mapping[Path, Expected]:
    """Return what h5py reads, once for all ways."""
    return {path: Expected.of(path) for path in FILES}


FILTERS = {1, 2, 3, 32_008, 32_015}
"""Deflate, shuffle, fletcher32, bitshuffle, Zstandard: all that the files are packed by."""


def test_the_files_are_there() -> None:
    assert (len(FILES), len(ICESAT2), len(NETCDF3)) == (28, 9, 1)


def test_every_dataset_is_what_h5py_reads_or_refused_unread(
    way: Way, expected: Mapping[Path, Expected], capsys: pytest.CaptureFixture[str]
) -> None:
    found = Parity(way.asked)
    for path in FILES:
        found.compare(path.name, way.place(named(path)), expected[path])
    assert found.different == {}
    assert found.equal > 10_000
    assert found.refused > 0
    assert found.filters.keys() == FILTERS
    assert way.gets() > len(FILES)
    with capsys.disabled():
        print(f"\n{found}; {way.asked()}")  # noqa: T201


@pytest.mark.parametrize("path", ICESAT2, ids=lambda path: path.stem)
def test_every_third_row_is_what_h5py_reads(path: Path, expected: Mapping[Path, Expected]) -> None:
    values = {name: every for name, every in expected[path].values.items() if every.shape}
    found = index(granule(path), values)
    columns = read(found, {name: np.arange(0, len(every), 3) for name, every in values.items()}).columns
    assert len(values) > 100
    assert [name for name, every in values.items() if not same(columns[name], every[::3])] == []


@pytest.mark.parametrize("path", NETCDF3, ids=lambda path: path.stem)
def test_a_netcdf_3_file_is_refused_by_name(way: Way, path: Path) -> None:
    with pytest.raises(NotHDF5Error, match=rf"{path.name}: a netCDF-3 file"):
        index(granule(way.place(named(path))), ["lat"])
