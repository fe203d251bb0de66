"""Every value of every dataset of real files behind a web server, against h5py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eoscale.access.endpoints import ALLOW_HOSTS
from eoscale.errors import NotHDF5Error
from eoscale.hdf5.index import index
from tests.hdf5.files import granule
from tests.real.files import FILES, FOLDER, NETCDF3, REAL, parity
from tests.servers.storage import Storage

pytestmark = REAL


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    with Storage(FOLDER) as storage:
        monkeypatch.setenv(ALLOW_HOSTS, storage.host)
        yield storage


def url(storage: Storage, path: Path) -> str:
    return storage.url(path.relative_to(FOLDER).as_posix())


def test_over_http_every_dataset_is_what_h5py_reads_or_refused_unread(
    storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    found = parity(lambda path: url(storage, path), storage.counts)
    assert storage.counts().gets > len(FILES)
    with capsys.disabled():
        print(f"\nOver http: {found}; {storage.counts()}")  # noqa: T201


@pytest.mark.parametrize("path", NETCDF3, ids=lambda path: path.stem)
def test_a_netcdf_3_file_is_refused_by_name(storage: Storage, path: Path) -> None:
    with pytest.raises(NotHDF5Error, match=rf"{path.name}: a netCDF-3 file"):
        index(granule(url(storage, path)), ["lat"])
