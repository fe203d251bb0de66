from __future__ import annotations

from pathlib import Path

import pytest

from eoscale.access import disks, loop, ranges
from eoscale.access.disks import Read
from eoscale.errors import AccessError, ChangedError, CorruptGranuleError

CONTENT = bytes(range(256)) * 4


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.h5"
    path.write_bytes(CONTENT)
    return path


def etag(path: Path) -> str:
    return loop.run(ranges.head(str(path))).etag


def test_ranges_of_a_file_are_read_in_place(path: Path) -> None:
    found: list[bytes] = []

    def work(read: Read) -> None:
        found.extend(bytes(read(offset, 10)) for offset in (0, 100, len(CONTENT) - 10))

    loop.run(disks.reading(str(path), etag(path), path, work))
    assert found == [CONTENT[:10], CONTENT[100:110], CONTENT[-10:]]


def test_a_file_that_is_replaced_while_it_is_read_has_changed(path: Path, tmp_path: Path) -> None:
    def work(read: Read) -> None:
        read(0, 10)
        (tmp_path / "b.h5").write_bytes(CONTENT)
        (tmp_path / "b.h5").replace(path)

    with pytest.raises(ChangedError, match="changed while it was read"):
        loop.run(disks.reading(str(path), etag(path), path, work))


def test_a_file_that_has_become_shorter_has_changed(path: Path) -> None:
    version = etag(path)
    path.write_bytes(CONTENT[:100])
    with pytest.raises(ChangedError, match="ends 5 bytes too early"):
        loop.run(disks.reading(str(path), version, path, lambda read: read(95, 10)))


def test_a_file_that_is_gone_is_named(path: Path) -> None:
    version = etag(path)
    path.unlink()
    with pytest.raises(AccessError, match=r"a\.h5 cannot be read: No such file"):
        loop.run(disks.reading(str(path), version, path, lambda read: read(0, 1)))


def test_what_the_reader_says_of_the_content_is_raised_as_it_is(path: Path) -> None:
    def work(_read: Read) -> None:
        raise CorruptGranuleError("worn out")

    with pytest.raises(CorruptGranuleError, match="worn out"):
        loop.run(disks.reading(str(path), etag(path), path, work))
