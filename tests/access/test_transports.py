from __future__ import annotations

import os
import random
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from eoscale.errors import AccessError, ChangedError, CredentialsError, ForbiddenError, RecipeError
from tests.access import pieces
from tests.servers.ranges import Fault, RangeServer, seeded

CONTENT = bytes(range(256)) * 400
OFFSETS, SIZES = np.array([10, 60_000]), np.array([700, 300])
"""Two requests: they are too far apart to be joined."""
EXPECTED = [CONTENT[10:710], CONTENT[60_000:60_300]]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    (tmp_path / "a.h5").write_bytes(CONTENT)
    with RangeServer(tmp_path) as server:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        yield server


def read(url: str, etag: str) -> list[bytes]:
    found, _ = pieces.read(url, etag, OFFSETS, SIZES)
    return [bytes(piece) for piece in found]


def test_a_local_path_may_go_up_and_through_links(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "a.h5").write_bytes(CONTENT)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    for url in (f"{tmp_path}/deep/er/../a.h5", f"{tmp_path}/link/../a.h5", f"file://{tmp_path}/link/../a.h5"):
        assert read(url, pieces.head(url).etag) == EXPECTED


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (Fault.SHORT, AccessError, "asked for"),
        (Fault.SHIFTED, AccessError, "Requested"),
        (Fault.RETAGGED, ChangedError, "changed while it was read"),
        (Fault.CUT, AccessError, "cannot be read"),
        (Fault.WHOLE, AccessError, "Range request not supported"),
        (Fault.UNAUTHORIZED, CredentialsError, "log in"),
        (Fault.FORBIDDEN, ForbiddenError, "ask for the right"),
        (Fault.MISSING, AccessError, "not found"),
        (Fault.BUSY, AccessError, "after 3 retries"),
    ],
)
def test_a_bad_answer_is_an_error_and_never_data(
    server: RangeServer, fault: Fault, error: type[AccessError], message: str
) -> None:
    url = server.url("a.h5")
    head = pieces.head(url)
    assert read(url, head.etag) == EXPECTED
    server.faults["/a.h5"] = fault
    with pytest.raises(error, match=message) as raised:
        read(url, head.etag)
    assert type(raised.value) is error
    assert url in str(raised.value)
    assert server.misbehaved[fault] > 0
    del server.faults["/a.h5"]
    assert read(url, head.etag) == EXPECTED


def test_every_fault_of_the_server_is_tried() -> None:
    (marker,) = test_a_bad_answer_is_an_error_and_never_data.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marker.args[1]} == set(Fault)


def test_a_flaky_server_gives_exact_bytes_or_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.h5").write_bytes(CONTENT)
    given_up = exact = 0
    quick = tuple(fault for fault in Fault if fault not in (Fault.CUT, Fault.BUSY))
    with RangeServer(tmp_path, plan=seeded(5, 0.1, quick)) as server:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        url = server.url("a.h5")
        etag = pieces.head(url).etag
        for _ in range(60):
            try:
                found, _ = pieces.read(url, etag, np.arange(0, 100_000, 20_000), np.full(5, 300))
            except AccessError:
                given_up += 1
            else:
                exact += 1
                assert [bytes(p) for p in found] == [CONTENT[o : o + 300] for o in range(0, 100_000, 20_000)]
    assert given_up > 10
    assert exact > 10
    assert len(server.misbehaved) > 3


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.BUSY])
def test_what_passes_by_itself_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    (tmp_path / "a.h5").write_bytes(CONTENT)
    with RangeServer(tmp_path, plan=lambda _, number: fault if number == 0 else None) as server:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        url = server.url("a.h5")
        assert read(url, pieces.head(url).etag) == EXPECTED
        assert server.misbehaved == {fault: 1}
        assert len(server.asked) == 3


def test_another_version_on_the_server_is_refused_by_the_server(server: RangeServer) -> None:
    url = server.url("a.h5")
    head = pieces.head(url)
    (server.folder / "a.h5").write_bytes(CONTENT[::-1])
    with pytest.raises(AccessError, match="changed since it was indexed"):
        read(url, head.etag)
    assert server.answers[412] > 0
    assert server.bytes == 0


def test_a_weak_tag_is_not_sent_and_still_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.h5").write_bytes(CONTENT)
    with RangeServer(tmp_path, weak=True) as server:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        url = server.url("a.h5")
        head = pieces.head(url)
        assert head.etag.startswith("W/")
        assert read(url, head.etag) == EXPECTED
        (tmp_path / "a.h5").write_bytes(CONTENT[::-1])
        with pytest.raises(AccessError, match="changed while it was read"):
            read(url, head.etag)
        assert server.answers[412] == 0


def test_a_range_behind_the_end_is_an_error(server: RangeServer, tmp_path: Path) -> None:
    for url in (server.url("a.h5"), str(tmp_path / "a.h5")):
        etag = pieces.head(url).etag
        for start, size in ((len(CONTENT) - 10, 20), (len(CONTENT), 5), (len(CONTENT) + 99, 5)):
            with pytest.raises(AccessError):
                pieces.read(url, etag, np.array([start]), np.array([size]))


def test_the_size_and_version_of_an_object_are_told(server: RangeServer, tmp_path: Path) -> None:
    assert pieces.head(server.url("a.h5")).size == len(CONTENT)
    local = pieces.head(str(tmp_path / "a.h5"))
    assert local.size == len(CONTENT)
    assert local.etag
    assert pieces.head((tmp_path / "a.h5").as_uri()) == local
    assert server.asked == []


@pytest.mark.parametrize("change", ["written anew", "replaced", "grown", "cut"])
def test_a_file_that_changed_since_it_was_looked_at_is_refused(tmp_path: Path, change: str) -> None:
    file = tmp_path / "a.h5"
    file.write_bytes(CONTENT)
    head = pieces.head(str(file))
    assert read(str(file), head.etag) == EXPECTED
    if change == "replaced":
        (tmp_path / "b.h5").write_bytes(CONTENT[::-1])
        (tmp_path / "b.h5").replace(file)
    else:
        file.write_bytes({"written anew": CONTENT[::-1], "grown": CONTENT * 2, "cut": CONTENT[:-1]}[change])
        # a file system's clock may stand still between two writes of a test
        os.utime(file, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns + 10**9))
    with pytest.raises(AccessError, match="changed"):
        read(str(file), head.etag)


def test_a_missing_file_is_an_access_error(server: RangeServer, tmp_path: Path) -> None:
    for url in (str(tmp_path / "none.h5"), (tmp_path / "none.h5").as_uri(), server.url("none.h5")):
        with pytest.raises(AccessError, match=r"none\.h5 cannot be read"):
            pieces.head(url)
    for url in (str(tmp_path), "https://[::1/a.h5"):
        with pytest.raises(AccessError):
            pieces.head(url)


def test_a_server_that_is_not_there_is_an_access_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RangeServer(tmp_path) as server:
        pass
    monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
    with pytest.raises(AccessError, match=server.host):
        pieces.head(server.url("a.h5"))


@pytest.mark.parametrize("scheme", ["s3", "gs", "ftp"])
def test_other_schemes_are_not_yet_supported(scheme: str) -> None:
    with pytest.raises(RecipeError, match=f"{scheme}:// is not yet supported"):
        pieces.head(f"{scheme}://bucket/a.h5")


def test_a_host_that_is_not_allowed_is_never_asked(
    server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.url("a.h5")
    head = pieces.head(url)
    monkeypatch.delenv("EOSCALE_ALLOW_HOSTS")
    with pytest.raises(ForbiddenError, match="is refused"):
        pieces.head(url)
    with pytest.raises(ForbiddenError, match="is refused"):
        read(url, head.etag)
    assert (server.heads, server.asked) == (1, [])


@pytest.mark.parametrize(
    "name", ["a b.h5", "a+b.h5", "a%20b.h5", "a#b.h5", "a?b.h5", "ü.h5", "[a]*.h5", "a:b.h5", "a&b=c.h5"]
)
def test_odd_names_are_read_by_path_and_by_url(server: RangeServer, tmp_path: Path, name: str) -> None:
    content = random.Random(name).randbytes(1000)  # noqa: S311  no secret
    (tmp_path / name).write_bytes(content)
    for url in (str(tmp_path / name), (tmp_path / name).as_uri(), server.url(quote(name))):
        found, _ = pieces.read(url, pieces.head(url).etag, np.array([3]), np.array([500]))
        assert bytes(found[0]) == content[3:503]


def test_the_query_of_a_signed_url_is_sent(server: RangeServer) -> None:
    url = server.url("a.h5?X-Signature=abc%2Bd&X-Expires=60")
    assert read(url, pieces.head(url).etag) == EXPECTED
    assert {path for path, _, _ in server.asked} == {"/a.h5?X-Signature=abc%2Bd&X-Expires=60"}


@pytest.mark.parametrize("fault", [Fault.FORBIDDEN, Fault.SHORT, Fault.CUT, Fault.MISSING])
def test_errors_do_not_tell_passwords_and_signatures(
    server: RangeServer, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", f"me:hunter2@{server.host}")
    url = f"http://me:hunter2@{server.host}/a.h5?X-Signature=s3cr3t"
    head = pieces.head(url)
    server.faults["/a.h5"] = fault
    with pytest.raises(AccessError) as raised:
        read(url, head.etag)
    assert server.misbehaved[fault] > 0
    told = "".join(traceback.format_exception(raised.value))
    assert server.url("a.h5") in told
    assert "hunter2" not in told
    assert "s3cr3t" not in told
