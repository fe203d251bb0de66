from __future__ import annotations

import os
import pickle
import random
import traceback
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import s3fs
from fsspec.asyn import sync
from hypothesis import given, settings
from hypothesis import strategies as st

from eoscale.access import objects
from eoscale.errors import AccessError, ChangedError, CredentialsError, ForbiddenError, ThrottledError
from eoscale.hdf5.index import index
from eoscale.hdf5.read import read as read_rows
from tests.access import pieces
from tests.hdf5.files import granule
from tests.servers.buckets import BucketServer
from tests.servers.ranges import Fault, RangeServer
from tests.servers.redirects import Answer, Host

CONTENT = random.Random(8).randbytes(100_000)  # noqa: S311  no secret
OFFSETS, SIZES = np.array([10, 60_000]), np.array([700, 300])
EXPECTED = [CONTENT[10:710], CONTENT[60_000:60_300]]
ODD = [
    "a b",
    "a+b",
    "a%20b",
    "a%b",
    "a#b",
    "a?b",
    "ü",
    "a&b=c",
    "a:b",
    "[a]*",
    "~a",
    "a\\b",
    "a'b",
    '^`{}|<>"',
    "a;b",
    "..a",
]


@pytest.fixture(scope="module")
def service() -> Iterator[BucketServer]:
    with BucketServer() as service:
        yield service


@pytest.fixture(scope="module")
def aws(service: BucketServer) -> Iterator[s3fs.S3FileSystem]:
    """Return what others write and read the bucket with."""
    keys = {"key": "key", "secret": "s3cr3t"}
    files = s3fs.S3FileSystem(endpoint_url=service.address, skip_instance_cache=True, **keys)
    files.connect()
    yield files
    sync(files.loop, files.s3.__aexit__, None, None, None)


@pytest.fixture(autouse=True)
def _no_keys(hasty: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001  what it does is wanted
    """Have each test begin without the keys and the stores of others."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    objects._bucket.cache_clear()


@pytest.fixture
def bucket(service: BucketServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a bucket that the environment has keys for."""
    for name, value in service.environment().items():
        monkeypatch.setenv(name, value)
    return service.bucket


def read(url: str, etag: str) -> list[bytes]:
    found, _ = pieces.read(url, etag, OFFSETS, SIZES)
    return [bytes(body) for body in found]


def test_an_object_of_a_bucket_has_a_size_a_version_and_exactly_its_bytes(
    service: BucketServer, aws: s3fs.S3FileSystem, bucket: str
) -> None:
    url = f"s3://{bucket}/ATLAS/ATL06/a.h5"
    aws.pipe_file(url, CONTENT)
    service.answered.clear()
    head = pieces.head(url)
    assert (head.size, head.etag) == (len(CONTENT), aws.info(url)["ETag"])
    assert read(url, head.etag) == read(f"s3a{url[2:]}", head.etag) == EXPECTED
    assert service.answered["GET", "206"] == 1 + 4


@given(st.lists(st.tuples(st.integers(0, 99_999), st.integers(1, 30_000)), max_size=6))
@settings(max_examples=20)
def test_any_ranges_of_an_object_are_its_bytes(
    service: BucketServer, aws: s3fs.S3FileSystem, pairs: list[tuple[int, int]]
) -> None:
    url = f"s3://{service.bucket}/any.h5"
    offsets = np.array([start for start, _ in pairs], np.int64)
    sizes = np.array([min(size, len(CONTENT) - start) for start, size in pairs], np.int64)
    aws.pipe_file(url, CONTENT)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in service.environment().items():
            environment.setenv(name, value)
        found, _ = pieces.read(url, pieces.head(url).etag, offsets, sizes)
    expected = [CONTENT[start : start + size] for start, size in zip(offsets, sizes, strict=True)]
    assert [bytes(body) for body in found] == expected


def test_an_object_that_was_replaced_is_refused_by_the_service(
    service: BucketServer, aws: s3fs.S3FileSystem, bucket: str
) -> None:
    url = f"s3://{bucket}/replaced.h5"
    aws.pipe_file(url, CONTENT)
    head = pieces.head(url)
    assert read(url, head.etag) == EXPECTED
    aws.pipe_file(url, CONTENT[::-1])
    service.answered.clear()
    with pytest.raises(ChangedError, match=f"{url} cannot be read: 412 .* it changed since it was indexed"):
        pieces.read(url, head.etag, np.array([3]), np.array([5]))
    assert set(service.answered) == {("GET", "412")}


def test_a_range_behind_the_end_is_an_error(aws: s3fs.S3FileSystem, bucket: str) -> None:
    url = f"s3://{bucket}/short.h5"
    aws.pipe_file(url, CONTENT)
    etag = pieces.head(url).etag
    for start in (len(CONTENT) - 5, len(CONTENT), 2 * len(CONTENT)):
        with pytest.raises(AccessError, match=f"{url} "):
            pieces.read(url, etag, np.array([start]), np.array([10]))


def test_an_object_without_bytes_has_the_size_zero(aws: s3fs.S3FileSystem, bucket: str) -> None:
    aws.pipe_file(f"s3://{bucket}/empty.h5", b"")
    assert pieces.head(f"s3://{bucket}/empty.h5").size == 0


@pytest.mark.parametrize("key", ODD)
def test_a_key_is_what_s3fs_takes_it_for(aws: s3fs.S3FileSystem, key: str, bucket: str) -> None:
    url, content = f"s3://{bucket}/{key}", random.Random(key).randbytes(1000)  # noqa: S311  no secret
    aws.pipe_file(url, content)
    aws.pipe_file(f"s3://{bucket}/a", b"another")
    assert aws.cat_file(url) == content
    found, _ = pieces.read(url, pieces.head(url).etag, np.array([3]), np.array([500]))
    assert bytes(found[0]) == content[3:503]


@pytest.mark.parametrize("key", ["", "/", "/a", "a/", "a//b", "a/../a", "./a"])
def test_a_key_that_obstore_cannot_say_is_an_error_and_no_other_object(
    service: BucketServer, aws: s3fs.S3FileSystem, key: str, bucket: str
) -> None:
    for name in ("a", "a/b"):
        aws.pipe_file(f"s3://{bucket}/{name}", CONTENT)
    service.answered.clear()
    with pytest.raises(AccessError, match="cannot be read"):
        pieces.head(f"s3://{bucket}/{key}")
    assert not service.answered


def test_what_is_not_there_is_an_access_error(service: BucketServer, bucket: str) -> None:
    service.answered.clear()
    for url, reason in (
        (f"s3://{bucket}/none.h5", "not found"),
        ("s3://no-such-bucket/a.h5", "there is no such bucket"),
    ):
        with pytest.raises(AccessError, match=f"{url} cannot be read: {reason}"):
            pieces.head(url)
    with pytest.raises(AccessError, match="there is no such bucket"):
        pieces.read("s3://no-such-bucket/a.h5", '"1"', np.array([3]), np.array([5]))
    assert set(service.answered) == {("GET", "404")}


@pytest.mark.parametrize(
    "url",
    [
        "s3://a:b@c/x",
        "s3://me:s3cr3t@127.0.0.1:9/x",
        "s3://bad host/x",
        "s3://",
        "s3:///x",
        "s3://[::1]/x",
        "s3://127.0.0.1:9/x",
        "s3://../x",
        "s3://%2e%2e/x",
        "s3://bucket?x=/y",
        "s3://bucket#x/y",
        "s3://büc/x",
        "gs://a:b@c/x",
        "gs://evil.example:443/x",
        "az://a%2fb/x",
        "abfss://a:b@evil.example/x",
    ],
)
def test_what_is_no_name_of_a_bucket_is_refused_before_anything_is_asked(
    service: BucketServer, bucket: str, url: str
) -> None:
    assert bucket
    service.answered.clear()
    for verb in (pieces.head, lambda url: read(url, "")):
        with pytest.raises(ForbiddenError, match="a bucket's name has") as raised:
            verb(url)
        assert "s3cr3t" not in "".join(traceback.format_exception(raised.value))
    assert not service.answered
    assert objects._bucket.cache_info().currsize == 0


@pytest.mark.parametrize("url", ["abfss://container@evil.example/x", "az://container/x"])
def test_a_store_that_cannot_be_built_is_an_access_error(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    with pytest.raises(AccessError, match=r"cannot be read: .*(match any known pattern|Account must be)"):
        pieces.head(url)


def test_the_service_of_eoscale_comes_before_that_of_all_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: BucketServer, bucket: str
) -> None:
    (tmp_path / bucket).mkdir()
    (tmp_path / bucket / "here.h5").write_bytes(CONTENT)
    url = f"s3://{bucket}/here.h5"
    service.answered.clear()
    with pytest.raises(AccessError, match="not found"):
        pieces.head(url)
    assert service.answered
    service.answered.clear()
    with RangeServer(tmp_path) as server:
        monkeypatch.setenv("EOSCALE_S3_ENDPOINT", f"http://{server.host}")
        assert read(url, pieces.head(url).etag) == EXPECTED
        assert {(path, stop - start) for path, start, stop in server.asked} == {
            (f"/{url[5:]}", size) for size in SIZES
        }
    assert not service.answered


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    """Return a server that is taken for S3, and misbehaves when told to."""
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "a.h5").write_bytes(CONTENT)
    with RangeServer(tmp_path) as server:
        monkeypatch.setenv("EOSCALE_S3_ENDPOINT", f"http://{server.host}")
        yield server


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (Fault.SHORT, AccessError, "asked for"),
        (Fault.SHIFTED, AccessError, "Requested"),
        (Fault.RETAGGED, ChangedError, "changed while it was read"),
        (Fault.WHOLE, AccessError, "[Rr]ange"),
        (Fault.UNAUTHORIZED, CredentialsError, "401 Unauthorized; log in"),
        (Fault.FORBIDDEN, ForbiddenError, "403 Forbidden; ask for the right"),
        (Fault.CUT, AccessError, "attempt 6"),
        (Fault.SLOW_DOWN, ThrottledError, r"503 Service Unavailable \(SlowDown\) \(attempt 6"),
    ],
)
def test_a_bad_answer_of_a_bucket_is_an_error_and_never_data(
    server: RangeServer, monkeypatch: pytest.MonkeyPatch, fault: Fault, error: type[AccessError], message: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    head = pieces.head("s3://bucket/a.h5")
    assert read("s3://bucket/a.h5", head.etag) == EXPECTED
    server.faults["/bucket/a.h5"] = fault
    with pytest.raises(error, match=message) as raised:
        read("s3://bucket/a.h5", head.etag)
    assert type(raised.value) is error
    assert "s3://bucket/a.h5" in str(raised.value)
    assert server.misbehaved[fault] > 0


def test_without_keys_one_is_told_to_log_in(server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # the machine may have a role, so it is asked for a container's, which no machine has at this place
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/no-such-role")
    with pytest.raises(CredentialsError, match=r"s3://bucket/a\.h5 cannot be read: .*log in"):
        pieces.head("s3://bucket/a.h5")
    assert (server.heads, server.asked) == (0, [])


def test_a_public_bucket_is_read_without_keys_when_one_says_so(
    server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    assert read("s3://bucket/a.h5", pieces.head("s3://bucket/a.h5").etag) == EXPECTED
    assert len(server.asked) == 2


def test_errors_of_a_service_tell_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    page = b"<Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>k3y</AWSAccessKeyId></Error>"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k3y")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    with Host(lambda _: Answer(403, [("Content-Type", "application/xml")], page)) as host:
        monkeypatch.setenv("EOSCALE_S3_ENDPOINT", host.origin)
        with pytest.raises(ForbiddenError, match="InvalidAccessKeyId") as raised:
            read("s3://bucket/a.h5", '"1"')
    assert "k3y" in host.asked[0].headers["authorization"]
    told = "".join(traceback.format_exception(raised.value))
    assert all(secret not in told for secret in ("k3y", "s3cr3t"))


def test_a_store_is_built_from_its_name_once_a_process(bucket: str) -> None:
    store, key = objects.locate(f"s3://{bucket}/a.h5")
    other, _ = objects.locate(f"s3://{bucket}/deep/b.h5")
    assert store is other
    assert key == "a.h5"


def test_nothing_that_travels_holds_a_store_or_a_key(
    tmp_path: Path, aws: s3fs.S3FileSystem, bucket: str
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["h"] = np.arange(1000)
    aws.put_file(str(tmp_path / "a.h5"), f"s3://{bucket}/granule.h5")
    packed = pickle.dumps(index(granule(f"s3://{bucket}/granule.h5"), ["h"]))
    assert b"obstore" not in packed
    assert b"s3cr3t" not in packed
    found = read_rows(pickle.loads(packed), {"h": None}).columns["h"]  # noqa: S301  just made
    assert np.array_equal(found, np.arange(1000))
