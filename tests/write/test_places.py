from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.access.bucket import BucketPath
from eoscale.errors import RecipeError
from eoscale.write import places
from eoscale.write.places import Place, place
from tests.suites.sinks import full_disk
from tests.write.forgetful import LOSSES, ForgetfulServer, Loss

NAMES = st.text(min_size=1).filter(lambda name: "/" not in name and name not in (".", ".."))

# texts


@given(st.sampled_from(["s3", "s3a", "gs"]), NAMES, NAMES)
def test_a_url_of_a_bucket_is_a_place_in_it(scheme: str, folder: str, name: str) -> None:
    url = f"{scheme}://bucket/{folder}/{name}"
    found = place(url)
    assert isinstance(found, BucketPath)
    assert str(found) == url
    assert found.name == name
    assert place(f"{url}/") == place(found) == found


@pytest.mark.parametrize("name", ["out.zarr", "we ird#%20ü?", "a+b&c=d", "a:b", "..hidden"])
def test_a_path_of_a_disk_is_a_place_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found = tmp_path / name
    assert place(name) == place(found) == place(str(found)) == place(found.as_uri()) == found
    assert isinstance(place(name), Path)


def test_the_text_of_a_place_names_it(folder: Place) -> None:
    assert place(str(folder / "out.zarr")) == folder / "out.zarr"


@pytest.mark.parametrize("url", ["https://me:s3cr3t@host/out.zarr?key=s3cr3t", "ftp://host/x", "nope://x/y"])
def test_other_urls_cannot_be_written_and_their_secrets_are_not_told(url: str) -> None:
    with pytest.raises(
        RecipeError, match="cannot be written: give a path, or a URL of s3, gs or az"
    ) as raised:
        place(url)
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "s3://b~d/x", "s3://me:s3cr3t@bucket/"])
def test_a_url_that_names_no_object_of_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(RecipeError, match=r"is no place in a bucket: give e\.g\.") as raised:
        place(url)
    assert "s3cr3t" not in str(raised.value)


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"^a URL cannot be written"):
        place("http://[::1")


# objects


def test_what_is_put_is_there_whatever_was_there_before(folder: Place) -> None:
    for content in (b"first", b"the second", b""):
        places.put(folder / "a.txt", content)
        assert (folder / "a.txt").read_bytes() == content
        assert places.sizes(folder) == {"a.txt": len(content)}


def test_only_the_first_creates_an_object(folder: Place) -> None:
    assert places.create(folder / "a.txt", b"first")
    assert not places.create(folder / "a.txt", b"second")
    assert (folder / "a.txt").read_bytes() == b"first"
    assert places.sizes(folder) == {"a.txt": 5}


def test_of_many_that_create_an_object_at_once_one_does(folder: Place) -> None:
    start = Barrier(8)

    def create(number: int) -> bool:
        start.wait()
        return places.create(folder / "a.txt", str(number).encode())

    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(create, range(8)))
    assert sorted(created) == [False] * 7 + [True]
    assert (folder / "a.txt").read_bytes() == str(created.index(True)).encode()
    assert places.sizes(folder) == {"a.txt": 1}


@pytest.mark.parametrize("loss", LOSSES)
def test_who_created_an_object_knows_it_though_the_answer_was_lost(
    bucket: BucketPath, server: ForgetfulServer, loss: Loss
) -> None:
    with server.losing(loss, answers=2) as lost:
        assert places.create(bucket / "a.txt", b"first")
    assert len(lost) == 2
    assert not places.create(bucket / "a.txt", b"second")


def test_what_does_not_fit_on_the_disk_leaves_what_was_there(tmp_path: Path) -> None:
    places.put(tmp_path / "a.txt", b"first")
    with full_disk(3):
        for act in (places.put, places.create):
            with pytest.raises(OSError, match="File too large"):
                act(tmp_path / "a.txt", b"the second")
    assert (tmp_path / "a.txt").read_bytes() == b"first"


def test_nothing_is_put_into_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        places.put(tmp_path / "gone" / "a.txt", b"late")
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_an_object_is_read(folder: Place) -> None:
    places.put(folder / "a.bin", bytes(range(100)))
    assert places.part(folder / "a.bin", 7, 23) == bytes(range(7, 23))
    with pytest.raises(OSError, match=r"not found|No such file"):
        places.part(folder / "b.bin", 0, 1)


def test_an_object_is_given_as_a_file_that_keeps_its_name(folder: Place) -> None:
    places.put(folder / "rows.csv", b"a,b\n")
    with places.near(folder / "rows.csv") as file:
        assert isinstance(file, Path)
        assert (file.name, file.read_bytes()) == ("rows.csv", b"a,b\n")
    assert file.exists() == isinstance(folder, Path)
    assert (folder / "rows.csv").read_bytes() == b"a,b\n"


# folders


@pytest.fixture
def full(folder: Place) -> Place:
    """Return a folder of some objects."""
    for name in ("a", "b/c", "b/d/e", "b.work/f", ".hidden/g"):
        places.make(folder / name.rpartition("/")[0] if "/" in name else folder)
        places.put(folder / name, name.encode())
    return folder


def test_objects_below_a_folder_are_told_by_their_path_from_there(full: Place) -> None:
    assert places.sizes(full) == {"a": 1, "b/c": 3, "b/d/e": 5, "b.work/f": 8, ".hidden/g": 9}
    assert places.sizes(full / "b") == {"c": 3, "d/e": 5}
    assert places.sizes(full / "nothing") == {}


def test_folders_right_in_a_folder_are_told(full: Place) -> None:
    assert places.folders(full) == {"b", "b.work", ".hidden"}
    assert places.folders(full / "b") == {"d"}
    assert places.folders(full / "nothing") == set()


@pytest.mark.parametrize("names", [[], ["b/c"], ["nothing"], ["b/d/e", "nothing", "a"]])
def test_some_objects_are_looked_at_as_far_as_they_are_there(full: Place, names: list[str]) -> None:
    there = [name for name in names if name != "nothing"]
    assert places.lengths(full, names) == {name: len(name) for name in there}
    assert places.contents(full, names) == {name: name.encode() for name in there}


def test_an_object_or_a_folder_is_removed_and_nothing_else(full: Place) -> None:
    for at in (full / "b", full / "a", full / "nothing"):
        places.remove(at)
        places.remove(at)
    assert places.sizes(full) == {"b.work/f": 8, ".hidden/g": 9}
    assert places.folders(full) == {"b.work", ".hidden"}
