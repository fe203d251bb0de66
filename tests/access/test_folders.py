from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.access import folders, stores
from eoscale.access.attempts import Patience
from eoscale.access.loop import run
from eoscale.errors import AccessError, ForbiddenError, ThrottledError
from tests.servers.buckets import BucketServer

KEYS = ("b.h5", "a/b.h5", "a/bc.h5", "a/c/d.h5", "a/c/é.h5", "ab/b.h5", "a b/[c].h5", "a/50%#1?.h5", "A/B.H5")
SIGNS = (
    "a",
    "b",
    "*",
    "**",
    "?",
    "?b",
    "a*",
    "[ab]*",
    "[!a]*",
    "b.h5",
    "*.h5",
    "*.H5",
    "c",
    "50%#1?.h5",
    "é*",
)


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with BucketServer() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def twins(server: BucketServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a folder on a disk and one in a bucket that hold the same."""
    disk, bucket = tmp_path_factory.mktemp("twin"), f"s3://{server.bucket}/twin"
    for number, key in enumerate(KEYS):
        for root in (str(disk), bucket):
            assert run(stores.write(root, key, bytes(number)))
    return disk, bucket


def below(root: str, glob: str) -> dict[str, int]:
    """Return path and size of what a glob finds in a folder of a bucket."""
    return {url.removeprefix(f"{root}/"): size for url, size in run(folders.matching(f"{root}/{glob}"))}


@given(st.lists(st.sampled_from(SIGNS), min_size=1, max_size=4).map("/".join))
def test_a_glob_finds_in_a_bucket_what_it_finds_on_a_disk(twins: tuple[Path, str], glob: str) -> None:
    disk, bucket = twins
    files = [Path(path) for path in fsspec.filesystem("file").glob(f"{disk}/{glob}")]
    expected = {path.relative_to(disk).as_posix(): path.stat().st_size for path in files if path.is_file()}
    assert below(bucket, glob) == expected


def test_what_is_found_comes_by_url(twins: tuple[Path, str]) -> None:
    _, bucket = twins
    found = run(folders.matching(f"{bucket}/**"))
    assert found == sorted((f"{bucket}/{key}", number) for number, key in enumerate(KEYS))


def test_a_folder_is_listed_page_by_page_and_no_other_one_is(
    server: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"s3://{server.bucket}/pages"
    names = [f"{number:02}.h5" for number in range(20)]
    for folder in ("2019", "20191", "2020/06"):
        for name in names:
            assert run(stores.write(root, f"{folder}/{name}", b""))
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    before = server.answered["GET", "200"]
    assert list(below(root, "2019/*.h5")) == [f"2019/{name}" for name in names]
    assert server.answered["GET", "200"] - before == 7
    assert list(below(root, "2019/*5.h5")) == ["2019/05.h5", "2019/15.h5"]
    assert len(below(root, "20*/**")) == 60


def test_a_bucket_that_does_not_exist_and_one_that_cannot_are_errors(server: BucketServer) -> None:
    assert run(folders.matching(f"s3://{server.bucket}/nothing/*.h5")) == []
    with pytest.raises(AccessError, match=r"s3://no-such/\*\.h5 cannot be listed"):
        run(folders.matching("s3://no-such/*.h5"))
    for bucket in ("me:s3cr3t@bucket", "bucket:80", "..", "a%2fb"):
        with pytest.raises(ForbiddenError, match="a bucket's name has letters") as raised:
            run(folders.matching(f"s3://{bucket}/*.h5"))
        assert "s3cr3t" not in str(raised.value)


class Busy:
    """An S3 service in front of another one that asks for fewer requests some times."""

    def __init__(self, application: Callable[..., Iterable[bytes]], times: int) -> None:
        self.application, self.times, self.refused = application, times, 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self.refused == self.times:
            return self.application(environ, start_response)
        self.refused += 1
        start_response("503 Slow Down", [("Content-Type", "application/xml")])
        return [b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"]


@pytest.fixture
def busy(server: BucketServer, monkeypatch: pytest.MonkeyPatch) -> Busy:
    """Return what stands in front of the service from now on."""
    running = server._server._server
    assert running is not None
    busy = Busy(running.app, 0)
    monkeypatch.setattr(running, "app", busy)
    return busy


@pytest.mark.parametrize("times", [1, 3])
def test_a_busy_service_is_asked_again(busy: Busy, twins: tuple[Path, str], times: int) -> None:
    busy.times = times
    assert below(twins[1], "*.h5") == {"b.h5": 0}
    assert busy.refused == times


def test_a_service_that_stays_busy_is_an_error_after_some_attempts(
    busy: Busy, twins: tuple[Path, str]
) -> None:
    busy.times = 99
    with pytest.raises(ThrottledError, match="cannot be listed"):
        below(twins[1], "*.h5")
    assert busy.refused == Patience().attempts
