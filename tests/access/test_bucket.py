from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import obstore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.s3.models import s3_backends

from eoscale.access.bucket import BucketPath
from eoscale.errors import AccessError, ForbiddenError
from tests.write.forgetful import LOSSES, ForgetfulServer, Loss

PARTS = st.text(min_size=1).filter(lambda part: "/" not in part and part not in (".", ".."))
KEYS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
BUCKETS = st.sampled_from(["s3://bucket", "s3a://my.bucket-1", "gs://bucket", "memory://"])
each_loss = pytest.mark.parametrize("loss", LOSSES)


@pytest.fixture(scope="module")
def server() -> Iterator[ForgetfulServer]:
    with ForgetfulServer() as server:
        yield server


@pytest.fixture(params=["memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> BucketPath:
    """Return an empty folder of each kind of bucket."""
    if request.param == "memory":
        return BucketPath.of(f"memory://{tmp_path.name}")
    found: BucketPath = request.getfixturevalue("s3")
    return found


@pytest.fixture
def s3(
    server: ForgetfulServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hasty: None,  # noqa: ARG001  what it does is wanted
) -> BucketPath:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return BucketPath.of(f"s3://{server.bucket}/{tmp_path.name}")


# names


@given(BUCKETS, KEYS)
def test_a_path_is_the_one_that_its_text_names(bucket: str, key: str) -> None:
    path = BucketPath(bucket, key)
    assert BucketPath.of(str(path)) == BucketPath.of(f"{path}/") == path
    assert pickle.loads(pickle.dumps(path)) == path  # noqa: S301  just made
    assert len({path, BucketPath.of(str(path))}) == 1


@pytest.mark.parametrize("key", [".", "..", "a/../b", "a/./b", "../a", "a//b"])
def test_a_key_with_a_part_that_is_empty_or_of_dots_is_refused(key: str) -> None:
    with pytest.raises(AccessError, match=r"names no object: a part of its path is empty or dots"):
        BucketPath.of(f"s3://bucket/{key}")


@given(BUCKETS, KEYS, PARTS, PARTS)
def test_paths_are_taken_apart_and_put_together_like_those_of_a_disk(
    bucket: str, key: str, one: str, other: str
) -> None:
    path = BucketPath(bucket, key)
    assert path / one / other == path / f"{one}/{other}"
    assert (path / one).name == one
    assert (path / one).with_name(other) == path / other
    assert path / "" == path
    assert str(path / one) == f"{path}/{one}"


@given(BUCKETS, PARTS, PARTS)
def test_what_lies_right_in_a_bucket_has_a_name_too(bucket: str, one: str, other: str) -> None:
    assert BucketPath(bucket, one).name == one
    assert BucketPath(bucket, one).with_name(other) == BucketPath(bucket, other)


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "s3://bucket//key"])
def test_a_url_without_a_key_is_refused(url: str) -> None:
    with pytest.raises(AccessError, match="its key is empty"):
        BucketPath.of(url)


@pytest.mark.parametrize(
    "url", ["s3://", "s3:///key", "s3://bu cket/key", "s3://evil.org:80/key", "gs://-/x"]
)
def test_a_name_that_no_bucket_has_is_refused(url: str) -> None:
    with pytest.raises(ForbiddenError, match="a bucket's name has"):
        BucketPath.of(url)


# objects


def test_what_is_written_is_read_and_what_is_unlinked_is_gone(folder: BucketPath) -> None:
    one = folder / "one"
    assert (one.kept(), one.size(), one.exists()) == (None, None, False)
    for content in (b"first", b"the second", b""):
        one.write_bytes(content)
        kept = one.kept()
        assert kept is not None
        assert one.read_bytes() == kept.content == content
        assert (one.size(), one.exists()) == (len(content), True)
    one.unlink()
    one.unlink(missing_ok=True)
    assert not one.exists()
    with pytest.raises(FileNotFoundError, match=folder.name):
        one.read_bytes()


def test_only_the_first_creates_an_object(folder: BucketPath) -> None:
    one = folder / "one"
    assert one.create(b"first")
    assert not one.create(b"second")
    assert one.create(b"first"), "it is there as it was given"
    assert one.read_bytes() == b"first"
    one.unlink()
    assert one.create(b"third")


def test_only_the_version_that_was_read_is_updated(folder: BucketPath) -> None:
    one = folder / "one"
    one.write_bytes(b"first")
    first = one.kept()
    assert first is not None
    assert one.update(b"second", first.version)
    assert not one.update(b"too late", first.version)
    assert one.read_bytes() == b"second"
    one.unlink()
    assert not one.update(b"of nothing", first.version)
    assert not one.exists()


def test_a_part_of_an_object_is_read(folder: BucketPath) -> None:
    one = folder / "one"
    one.write_bytes(bytes(range(100)))
    assert one.read_part(7, 23) == bytes(range(7, 23))
    assert one.read_part(0, 100) == bytes(range(100))
    with pytest.raises(AccessError):
        one.read_part(90, 101)
    with pytest.raises(AccessError, match="not found"):
        (folder / "other").read_part(0, 1)


def test_what_lies_below_is_told_from_what_only_begins_alike(folder: BucketPath) -> None:
    for name in (
        "a.zarr",
        "a.zarr/c/0",
        "a.zarr/zarr.json",
        "a.zarr.claim",
        "a.zarr2/c",
        "a.z",
        "b/a.zarr/c",
    ):
        (folder / name).write_bytes(name.encode())
    assert (folder / "a.zarr").sizes() == {"c/0": 10, "zarr.json": 16}
    assert (folder / "a.zarr" / "c").sizes() == {"0": 10}
    assert (folder / "nothing").sizes() == {}
    (folder / "a.zarr").remove()
    assert sorted(folder.sizes()) == ["a.z", "a.zarr.claim", "a.zarr2/c", "b/a.zarr/c"]
    (folder / "nothing").remove()
    assert len(folder.sizes()) == 4


def test_objects_below_are_read_together_in_the_order_that_was_asked_for(folder: BucketPath) -> None:
    for name in ("x", "y/z", "empty"):
        (folder / name).write_bytes(name.encode() * (name != "empty"))
    assert folder.read_below(["y/z", "nothing", "x", "empty", "x"]) == [b"y/z", b"", b"x", b"", b"x"]
    assert folder.read_below([]) == []


@pytest.mark.parametrize("name", ["we ird", "a+b&c=d", "a,b;c", "ü", "a~'(b)!", "..hidden", "a.b.c"])
def test_an_object_may_have_any_ordinary_name(folder: BucketPath, name: str) -> None:
    one = folder / name / "x"
    assert one.create(b"content")
    assert not one.create(b"other")
    assert folder.sizes() == {f"{name}/x": 7}
    assert (folder / name).read_below(["x"]) == [b"content"]
    folder.remove()
    assert folder.sizes() == {}


def test_more_objects_than_one_answer_lists_are_found_and_removed(
    s3: BucketPath, server: ForgetfulServer
) -> None:
    (backend,) = (each for each in s3_backends["123456789012"].values() if server.bucket in each.buckets)
    expected = {f"{number // 100}/{number:04}": number % 3 for number in range(1100)}
    for name, size in expected.items():
        backend.put_object(server.bucket, f"{s3.key}/{name}", bytes(size))
    before = server.answered["GET", "200"]
    assert s3.sizes() == expected
    assert server.answered["GET", "200"] - before == 2
    (s3 / "0").remove()
    assert len(s3.sizes()) == 1000
    s3.remove()
    assert s3.sizes() == {}


def test_what_lies_below_is_a_store_of_others(s3: BucketPath) -> None:
    (s3 / "deep" / "zarr.json").write_bytes(b"{}")
    found = obstore.get((s3 / "deep").store(), "zarr.json")
    assert bytes(found.bytes()) == b"{}"


def test_a_bucket_that_does_not_exist_is_told_from_an_empty_one(s3: BucketPath) -> None:
    nowhere = BucketPath.of(f"s3://no-such/{s3.key}")
    assert s3.sizes() == {}
    asks: list[Callable[[], object]] = [
        nowhere.read_bytes,
        nowhere.sizes,
        lambda: nowhere.write_bytes(b""),
        lambda: nowhere.create(b""),
    ]
    for ask in asks:
        with pytest.raises(AccessError, match=r"s3://no-such cannot be .*(no such bucket|NoSuchBucket)"):
            ask()


# lost answers


@each_loss
def test_who_created_an_object_knows_it_though_the_answer_was_lost(
    s3: BucketPath, server: ForgetfulServer, loss: Loss
) -> None:
    one, refused = s3 / "one", server.answered["PUT", "412"]
    with server.losing(loss) as lost:
        assert one.create(b"mine")
    assert len(lost) == 1
    assert server.answered["PUT", "412"] == refused + 1, "the second try finds what the first has put"
    assert one.read_bytes() == b"mine"


@each_loss
def test_who_was_slower_knows_it_though_answers_were_lost(
    s3: BucketPath, server: ForgetfulServer, loss: Loss
) -> None:
    one = s3 / "one"
    one.write_bytes(b"theirs")
    with server.losing(loss, answers=3) as lost:
        assert not one.create(b"mine")
    assert len(lost) == 3
    assert one.read_bytes() == b"theirs"


@each_loss
def test_an_object_is_replaced_though_answers_were_lost(
    s3: BucketPath, server: ForgetfulServer, loss: Loss
) -> None:
    with server.losing(loss, answers=3) as lost:
        (s3 / "one").write_bytes(b"mine")
    assert len(lost) == 3
    assert (s3 / "one").read_bytes() == b"mine"


@each_loss
def test_a_service_that_never_answers_is_an_error(
    s3: BucketPath, server: ForgetfulServer, loss: Loss
) -> None:
    with server.losing(loss, answers=100) as lost, pytest.raises(AccessError, match="attempt 6"):
        (s3 / "one").create(b"mine")
    assert len(lost) == 6
