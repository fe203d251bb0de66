"""Every value of every dataset of real files in a bucket, against h5py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eoscale.access import stores
from eoscale.access.loop import run
from eoscale.errors import NotHDF5Error
from eoscale.hdf5.index import index
from tests.hdf5.files import granule
from tests.real.files import FILES, FOLDER, NETCDF3, REAL, parity
from tests.servers.buckets import BucketServer

pytestmark = REAL


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with BucketServer() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        for path in [*FILES, *NETCDF3]:
            assert run(stores.write(f"s3://{server.bucket}", key(path), path.read_bytes()))
        yield server


def key(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


def url(server: BucketServer, path: Path) -> str:
    return f"s3://{server.bucket}/{key(path)}"


def test_from_a_bucket_every_dataset_is_what_h5py_reads_or_refused_unread(
    server: BucketServer, capsys: pytest.CaptureFixture[str]
) -> None:
    found = parity(lambda path: url(server, path), server.answered.copy)
    assert server.answered["GET", "206"] > len(FILES)
    with capsys.disabled():
        print(f"\nFrom a bucket: {found}; {dict(server.answered)}")  # noqa: T201


@pytest.mark.parametrize("path", NETCDF3, ids=lambda path: path.stem)
def test_a_netcdf_3_file_is_refused_by_name(server: BucketServer, path: Path) -> None:
    with pytest.raises(NotHDF5Error, match=rf"{path.name}: a netCDF-3 file"):
        index(granule(url(server, path)), ["lat"])
