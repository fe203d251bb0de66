from __future__ import annotations

import hashlib
import os
import random
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.access import budgets, ranges
from eoscale.access.attempts import Patience
from eoscale.access.copies import copy, safe_name
from eoscale.errors import AccessError, CorruptGranuleError
from tests.servers.ranges import Fault, RangeServer
from tests.servers.redirects import ETAG, Answer, Asked, Host, part

pytestmark = pytest.mark.usefixtures("fresh")

CONTENT = random.Random(1).randbytes(1_000_000)  # noqa: S311  no secret
MD5 = f"MD5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RangeServer]:
    """Return a server of a file, which is asked for in ten pieces."""
    monkeypatch.setattr(ranges, "LIMIT", 100_000)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.h5").write_bytes(CONTENT)
    with RangeServer(tmp_path / "there") as running:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", running.host)
        yield running


def left(folder: Path) -> list[str]:
    """Return the names of all that is in a folder."""
    return sorted(path.name for path in folder.iterdir() if path.is_file())


@pytest.mark.parametrize(
    ("checksum", "verified"),
    [
        (MD5, True),
        (f"SHA-256:{hashlib.sha256(CONTENT).hexdigest().upper()}", True),
        (f"adler32:{zlib.adler32(CONTENT):08x}", True),
        (f"crc32:{zlib.crc32(CONTENT):08x}", True),
        ("", False),
        ("blake99:00", False),
        ("shake_128:00", False),
        ("md5:", False),
    ],
)
def test_a_copy_is_the_object_and_its_checksum_is_verified_where_there_is_one(
    server: RangeServer,
    tmp_path: Path,
    checksum: str,
    verified: bool,  # noqa: FBT001
) -> None:
    path = tmp_path / "a.h5"
    assert copy(server.url("a.h5"), path, size=len(CONTENT), checksum=checksum) is verified
    assert path.read_bytes() == CONTENT
    assert left(tmp_path) == ["a.h5"]


def test_what_is_there_is_not_copied_again(server: RangeServer, tmp_path: Path) -> None:
    copy(server.url("a.h5"), tmp_path / "a.h5", checksum=MD5)
    asked = len(server.gets)
    assert asked >= 10
    copy(server.url("a.h5"), tmp_path / "a.h5", checksum=MD5)
    assert len(server.gets) <= asked + 1


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], bytes(len(CONTENT))])
def test_what_is_there_and_is_not_the_object_is_replaced(
    server: RangeServer, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    copy(server.url("a.h5"), tmp_path / "a.h5", checksum=MD5)
    assert (tmp_path / "a.h5").read_bytes() == CONTENT


def test_a_copy_that_ended_early_goes_on(
    monkeypatch: pytest.MonkeyPatch, server: RangeServer, tmp_path: Path
) -> None:
    monkeypatch.setattr(budgets, "PATIENCE", Patience(attempts=2, pause_seconds=0.001))
    monkeypatch.setattr(ranges, "_PIECES", 1)
    server.plan = lambda _path, number: Fault.BUSY if number > 6 else None
    with pytest.raises(AccessError, match="503"):
        copy(server.url("a.h5"), tmp_path / "a.h5", checksum=MD5)
    (part_of,) = left(tmp_path)
    assert re.fullmatch(r"\.a\.h5\.[0-9a-f]{8}\.part", part_of)
    assert (tmp_path / part_of).stat().st_size == 700_000
    server.plan = lambda _path, _number: None
    before = len(server.gets)
    assert copy(server.url("a.h5"), tmp_path / "a.h5", checksum=MD5)
    assert 3 <= len(server.gets) - before <= 3 + 1
    assert left(tmp_path) == ["a.h5"]
    assert (tmp_path / "a.h5").read_bytes() == CONTENT


def test_of_another_version_nothing_is_used(server: RangeServer, tmp_path: Path) -> None:
    (tmp_path / ".a.h5.00000000.part").write_bytes(bytes(500_000))
    assert copy(server.url("a.h5"), tmp_path / "a.h5", checksum=MD5)
    assert left(tmp_path) == ["a.h5"]


def test_a_wrong_checksum_or_size_leaves_nothing(server: RangeServer, tmp_path: Path) -> None:
    with pytest.raises(CorruptGranuleError, match=r"its md5 is \w{32}, expected 00: fetch it anew"):
        copy(server.url("a.h5"), tmp_path / "a.h5", checksum="md5:00")
    with pytest.raises(CorruptGranuleError, match="it has 1000000 bytes, its catalogue says 7"):
        copy(server.url("a.h5"), tmp_path / "a.h5", size=7)
    assert left(tmp_path) == []


def whole_only(_asked: Asked) -> Answer:
    """Answer as a server that knows no ranges."""
    return Answer(200, [("ETag", ETAG)], CONTENT)


def from_the_beginning_only(asked: Asked) -> Answer:
    """Answer as a server that knows ranges of the beginning."""
    told = asked.headers.get("range", "")
    return part(CONTENT, asked) if not told or told.startswith("bytes=0-") else Answer(416)


@pytest.mark.parametrize("reply", [whole_only, from_the_beginning_only])
@pytest.mark.parametrize("size", [0, len(CONTENT)])
def test_what_is_given_as_a_whole_only_is_copied_as_a_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reply: object, size: int
) -> None:
    monkeypatch.setattr(ranges, "LIMIT", 100_000)
    with Host(reply) as host:  # type: ignore[arg-type]  # one of two
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", host.host)
        assert copy(f"{host.origin}/a.zip", tmp_path / "a.zip", size=size, checksum=MD5)
        assert any("range" not in asked.headers for asked in host.asked)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert left(tmp_path) == ["a.zip"]


def test_a_whole_that_is_cut_is_asked_for_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cuts = 2

    def cut(asked: Asked) -> Answer:
        nonlocal cuts
        if "range" not in asked.headers and cuts:
            cuts -= 1
            return Answer(
                200, [("Content-Length", str(len(CONTENT))), ("Connection", "close")], CONTENT[:500]
            )
        return whole_only(asked)

    with Host(cut) as host:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", host.host)
        assert copy(f"{host.origin}/a.zip", tmp_path / "a.zip", checksum=MD5)
    assert cuts == 0
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


@given(
    st.text(max_size=300) | st.text(".-a", min_size=195, max_size=300) | st.text("./\\:-~ \0aB", max_size=20)
)
def test_a_name_leads_nowhere_else(name: str) -> None:
    made = safe_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}", made)
    assert os.path.normpath(os.path.join("/folder", made)) == f"/folder/{made}"  # noqa: PTH118  text, no disk
    assert safe_name(made) == made
