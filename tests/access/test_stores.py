from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from eoscale.access import endpoints, stores
from eoscale.access.loop import run
from eoscale.errors import AccessError
from tests.servers.buckets import BucketServer

KEY = "ab/abc-granule.h5.parquet"


@pytest.fixture(scope="module")
def server() -> Iterator[BucketServer]:
    with BucketServer() as server:
        yield server


@pytest.fixture(params=["folder", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return an empty store of each kind."""
    if request.param == "folder":
        return str(tmp_path / "deep" / "er")
    if request.param == "memory":
        return f"memory:///{tmp_path.name}"
    server: BucketServer = request.getfixturevalue("server")
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{server.bucket}/{tmp_path.name}"


def content(root: str, key: str = KEY) -> bytes | None:
    kept = run(stores.read(root, key))
    return None if kept is None else kept.content


def test_what_is_written_is_read_and_what_is_deleted_is_gone(root: str) -> None:
    assert content(root) is None
    assert run(stores.write(root, KEY, b"first"))
    assert (content(root), content(root, "ab/other")) == (b"first", None)
    run(stores.delete(root, KEY))
    run(stores.delete(root, KEY))
    assert content(root) is None


def test_only_the_version_that_was_read_is_replaced_where_the_store_can_tell(
    root: str, request: pytest.FixtureRequest
) -> None:
    folder = "folder" in request.node.name
    assert run(stores.write(root, KEY, b"first"))
    assert run(stores.write(root, KEY, b"not the first")) is folder
    first = run(stores.read(root, KEY))
    assert first is not None
    assert run(stores.write(root, KEY, b"second", first.version))
    assert run(stores.write(root, KEY, b"too late", first.version)) is folder
    assert content(root) == (b"too late" if folder else b"second")
    run(stores.delete(root, KEY))
    assert run(stores.write(root, KEY, b"of nothing", first.version)) is folder


@pytest.mark.parametrize("name", ["plain", "we ird#%20ü?", "a+b&c=d", "..hidden", "link/../there"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    folder = tmp_path / name
    assert run(stores.write(str(folder), KEY, b"x"))
    assert (folder.resolve() / KEY).read_bytes() == b"x"
    assert content(folder.resolve().as_uri()) == b"x"


def test_a_relative_folder_is_below_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(stores.write("indexes", KEY, b"x"))
    assert (tmp_path / "indexes" / KEY).read_bytes() == b"x"


def test_a_folder_holds_nothing_but_what_was_written(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: run(stores.write(str(tmp_path), KEY, bytes(99 * n))), range(100)))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [Path(KEY).name]


def test_an_object_that_is_too_long_is_read_as_empty_and_can_be_replaced(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "LARGEST", 10)
    run(stores.write(root, KEY, bytes(11)))
    kept = run(stores.read(root, KEY))
    assert kept is not None
    assert kept.content == b""
    assert run(stores.write(root, KEY, bytes(10), kept.version))
    assert content(root) == bytes(10)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("/dev/null/x", "Not a directory"),
        ("nope://me:s3cr3t@bucket/x?key=s3cr3t", "Unable to recognise URL"),
        ("s3://", "Unable to recognise URL"),
        ("http://[::1", "Invalid IPv6"),
        ("http://me:s3cr3t@127.0.0.1:9/x", "error sending request"),
    ],
)
def test_a_store_that_cannot_be_used_is_an_error_without_secrets(place: str, reason: str) -> None:
    verbs: list[Callable[[], Coroutine[Any, Any, object]]] = [
        lambda: stores.read(place, KEY),
        lambda: stores.write(place, KEY, b"x"),
        lambda: stores.delete(place, KEY),
    ]
    for verb in verbs:
        with pytest.raises(AccessError, match=reason) as raised:
            run(verb())
        assert "cannot be" in str(raised.value)
        assert "s3cr3t" not in "".join(traceback.format_exception(raised.value))


def test_a_bucket_that_does_not_exist_is_told_from_an_empty_one(
    server: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(AccessError, match="s3://no-such/x cannot be read: there is no such bucket"):
        run(stores.read("s3://no-such/x", KEY))
    with pytest.raises(AccessError, match="s3://no-such/x cannot be written"):
        run(stores.write("s3://no-such/x", KEY, b"x"))


def test_the_service_of_eoscale_comes_before_that_of_all_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in endpoints.S3_ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    assert endpoints.s3_endpoint() == ""
    for name in reversed(endpoints.S3_ENDPOINTS):
        monkeypatch.setenv(name, f"https://{name.lower()}")
        assert endpoints.s3_endpoint() == f"https://{name.lower()}"


def test_indexes_are_kept_in_the_users_cache_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for told in ("", None):
        monkeypatch.delenv(endpoints.INDEX_STORE, raising=False)
        if told is not None:
            monkeypatch.setenv(endpoints.INDEX_STORE, told)
        assert endpoints.index_store() == os.path.join(tmp_path, "eoscale", "indexes")  # noqa: PTH118  as text
    monkeypatch.setenv(endpoints.INDEX_STORE, "s3://bucket/x")
    assert endpoints.index_store() == "s3://bucket/x"
