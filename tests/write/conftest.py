"""What tests of writing share: places on a disk and in a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eoscale.access import budgets
from eoscale.access.attempts import Patience
from eoscale.access.bucket import BucketPath
from eoscale.write.places import Place
from tests.write.forgetful import ForgetfulServer


@pytest.fixture(scope="session")
def server() -> Iterator[ForgetfulServer]:
    with ForgetfulServer() as server:
        yield server


@pytest.fixture
def bucket(server: ForgetfulServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BucketPath:
    """Return an empty folder of a bucket."""
    monkeypatch.setattr(budgets, "PATIENCE", Patience(pause_seconds=0.001))
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return BucketPath.of(f"s3://{server.bucket}/{tmp_path.name}")


@pytest.fixture(params=["disk", "bucket"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return an empty folder on a disk, and one of a bucket."""
    if request.param == "disk":
        return tmp_path
    found: BucketPath = request.getfixturevalue("bucket")
    return found
