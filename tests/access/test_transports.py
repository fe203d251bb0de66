from __future__ import annotations

import os
import random
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import TypeAlias
from urllib.parse import quote

import numpy as np
import pytest

from eoscale.access import loop, redirects
from eoscale.access.attempts import RangesRefusedError
from eoscale.errors import AccessError, ChangedError, CredentialsError, ForbiddenError, ThrottledError
from tests.access import pieces
from tests.servers.ranges import Fault, RangeServer, seeded
from tests.servers.redirects import ETAG, Answer, Asked, Host, part, redirect

pytestmark = pytest.mark.usefixtures("fresh")
Allow: TypeAlias = Callable[..., None]
CONTENT = bytes(range(256)) * 400
OFFSETS, SIZES = np.array([10, 60_000]), np.array([700, 300])
"""Two requests: they are too far apart to be joined."""
EXPECTED = [CONTENT[10:710], CONTENT[60_000:60_300]]
LASTING = {
    Fault.SHORT: (AccessError, "asked for"),
    Fault.SHIFTED: (AccessError, "[Rr]equested|asked for"),
    Fault.RETAGGED: (ChangedError, "changed while it was read"),
    Fault.WHOLE: (AccessError, "[Rr]ange"),
    Fault.UNAUTHORIZED: (CredentialsError, "401 Unauthorized; log in"),
    Fault.FORBIDDEN: (ForbiddenError, "403 Forbidden; ask for the right"),
    Fault.MISSING: (AccessError, "not found|404 Not Found"),
}
"""Answers that would be given again, and what is raised for them."""
PASSING = {
    Fault.CUT: (AccessError, "cannot be read"),
    Fault.RESET: (AccessError, "cannot be read"),
    Fault.BUSY: (ThrottledError, "503 Service Unavailable"),
    Fault.SLOW_DOWN: (ThrottledError, "503 Service Unavailable"),
    Fault.THROTTLED: (ThrottledError, "429 Too Many Requests"),
}
AIOHTTP, OBSTORE = "Python", "object_store"
"""How the clients name themselves."""
BOTH = pytest.mark.parametrize("query", ["", "?X-Signature=1"], ids=["obstore", "https"])
"""A host that has answered is read by obstore, but for URLs with a query."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    (tmp_path / "a.h5").write_bytes(CONTENT)
    with RangeServer(tmp_path) as server:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        server.pause = 0
        yield server


def whole(asked: Asked) -> Answer:
    return part(CONTENT, asked)


def read(url: str, etag: str) -> list[bytes]:
    found, _ = pieces.read(url, etag, OFFSETS, SIZES)
    return [bytes(piece) for piece in found]


def test_a_local_path_may_go_up_and_through_links(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "a.h5").write_bytes(CONTENT)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    for url in (f"{tmp_path}/deep/er/../a.h5", f"{tmp_path}/link/../a.h5", f"file://{tmp_path}/link/../a.h5"):
        assert read(url, pieces.head(url).etag) == EXPECTED


@BOTH
@pytest.mark.parametrize("fault", [*LASTING, *PASSING])
def test_a_bad_answer_is_an_error_and_never_data(server: RangeServer, query: str, fault: Fault) -> None:
    url = server.url("a.h5")
    head = pieces.head(url + query)
    assert read(url + query, head.etag) == EXPECTED
    server.faults["/a.h5"] = fault
    error, message = {**LASTING, **PASSING}[fault]
    with pytest.raises(error, match=message) as raised:
        read(url + query, head.etag)
    assert type(raised.value) in (error, RangesRefusedError if fault is Fault.WHOLE else error)
    assert url in str(raised.value)
    assert max(server.waits(fault), default=0) < 1
    if fault in PASSING:
        assert "(attempt 6)" in str(raised.value)
        assert server.misbehaved[fault] > 5
    else:
        assert 1 <= server.misbehaved[fault] <= 2
    del server.faults["/a.h5"]
    assert read(url + query, head.etag) == EXPECTED


def test_every_fault_of_the_server_that_can_be_told_is_tried() -> None:
    assert {*LASTING, *PASSING} == set(Fault) - {Fault.FLIPPED, Fault.DELAYED}


@BOTH
def test_a_flaky_server_gives_exact_bytes_or_an_error(server: RangeServer, query: str) -> None:
    given_up = exact = 0
    expected = [CONTENT[start : start + 300] for start in range(0, 100_000, 20_000)]
    url = server.url(f"a.h5{query}")
    etag = pieces.head(url).etag
    server.plan = seeded(5, 0.1, tuple(LASTING))
    for _ in range(60):
        try:
            found, _ = pieces.read(url, etag, np.arange(0, 100_000, 20_000), np.full(5, 300))
        except AccessError:
            given_up += 1
        else:
            exact += 1
            assert [bytes(body) for body in found] == expected
    assert given_up > 10
    assert exact > 10
    assert len(server.misbehaved) > 3


@BOTH
@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_by_itself_is_tried_again(server: RangeServer, query: str, fault: Fault) -> None:
    url = server.url(f"a.h5{query}")
    etag = pieces.head(url).etag
    server.plan = lambda _, number: fault if number == 0 else None
    assert read(url, etag) == EXPECTED
    assert server.misbehaved == {fault: 1}
    assert len(server.asked) == 3


@BOTH
def test_another_version_on_the_server_is_refused_by_the_server(server: RangeServer, query: str) -> None:
    url = server.url(f"a.h5{query}")
    head = pieces.head(url)
    (server.folder / "a.h5").write_bytes(CONTENT[::-1])
    sent = server.bytes
    with pytest.raises(ChangedError, match="changed since it was indexed"):
        read(url, head.etag)
    assert server.answers[412] > 0
    assert server.bytes == sent


@BOTH
def test_a_weak_tag_is_not_sent_and_still_compared(server: RangeServer, query: str) -> None:
    server.weak = True
    url = server.url(f"a.h5{query}")
    head = pieces.head(url)
    assert head.etag.startswith("W/")
    assert read(url, head.etag) == EXPECTED
    (server.folder / "a.h5").write_bytes(CONTENT[::-1])
    with pytest.raises(ChangedError, match="changed while it was read"):
        read(url, head.etag)
    assert server.answers[412] == 0


def test_a_range_behind_the_end_is_an_error(server: RangeServer, tmp_path: Path) -> None:
    for url in (server.url("a.h5"), server.url("a.h5?signed"), str(tmp_path / "a.h5")):
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


@pytest.mark.parametrize(
    "url", ["https://me:s3cr3t@h\u2100/a.h5", "https://[me:s3cr3t@h/a.h5", "ftp://me:s3cr3t/a"]
)
def test_what_is_no_url_is_an_access_error_without_secrets(url: str) -> None:
    with pytest.raises(AccessError) as raised:
        pieces.head(url)
    assert "s3cr3t" not in str(raised.value)


def test_a_server_that_is_not_there_is_an_access_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RangeServer(tmp_path) as server:
        pass
    monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
    with pytest.raises(AccessError, match=server.host):
        pieces.head(server.url("a.h5"))


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
    remote = server.url(quote(name))
    for url in (str(tmp_path / name), (tmp_path / name).as_uri(), remote, remote, f"{remote}?signed"):
        found, _ = pieces.read(url, pieces.head(url).etag, np.array([3]), np.array([500]))
        assert bytes(found[0]) == content[3:503]


def test_the_query_of_a_signed_url_is_sent(server: RangeServer) -> None:
    url = server.url("a.h5?X-Signature=abc%2Bd&X-Expires=60")
    assert read(url, pieces.head(url).etag) == EXPECTED
    assert {path for path, _, _ in server.asked} == {"/a.h5?X-Signature=abc%2Bd&X-Expires=60"}


def test_a_plain_url_is_read_by_obstore_from_the_second_request_on(allow: Allow) -> None:
    with Host(whole) as host:
        allow(host)
        assert pieces.head(f"{host.origin}/a.h5") == pieces.head(f"{host.origin}/a.h5")
        assert read(f"{host.origin}/a.h5", ETAG) == EXPECTED
    assert host.clients() == [AIOHTTP, *[OBSTORE] * 3]


def test_a_url_that_was_plain_when_it_was_indexed_is_read_by_obstore_at_once(allow: Allow) -> None:
    with Host(whole) as host:
        allow(host)
        trusted(f"{host.origin}/a.h5")
        assert read(f"{host.origin}/a.h5", ETAG) == EXPECTED
    assert set(host.clients()) == {OBSTORE}


def test_a_host_that_redirected_is_not_trusted_for_what_a_url_of_it_was(allow: Allow) -> None:
    with Host(whole) as host:
        host.reply = lambda asked: redirect("/a.h5") if asked.path == "/old.h5" else whole(asked)
        allow(host)
        pieces.head(f"{host.origin}/old.h5")
        trusted(f"{host.origin}/a.h5")
        assert read(f"{host.origin}/a.h5", ETAG) == EXPECTED
    assert set(host.clients()) == {AIOHTTP}


def trusted(url: str) -> None:
    async def trust() -> None:
        redirects.trust(url)

    loop.run(trust())


def test_a_url_that_redirects_is_walked_hop_by_hop_on_a_plain_host_too(allow: Allow) -> None:
    with Host(whole) as host, Host(whole) as forbidden:
        allow(host)
        pieces.head(f"{host.origin}/a.h5")
        host.reply = lambda asked: redirect(f"{forbidden.origin}{asked.path}")
        with pytest.raises(ForbiddenError, match="is refused"):
            read(f"{host.origin}/b.h5", ETAG)
    assert set(host.clients()) == {AIOHTTP}
    assert forbidden.asked == []


def test_a_host_that_redirected_or_set_a_cookie_is_never_read_by_obstore(allow: Allow) -> None:
    with Host(whole) as redirects, Host(whole) as cookies:
        redirects.reply = lambda asked: redirect("/a.h5") if asked.path == "/old.h5" else whole(asked)
        cookies.reply = lambda asked: part(CONTENT, asked, ("Set-Cookie", "a=b"))
        allow(redirects, cookies)
        for host, name in ((redirects, "old.h5"), (cookies, "a.h5")):
            assert read(f"{host.origin}/{name}", ETAG) == read(f"{host.origin}/a.h5", ETAG) == EXPECTED
            assert set(host.clients()) == {AIOHTTP}


def test_a_host_that_begins_to_redirect_or_to_set_cookies_is_not_read_by_obstore_any_more(
    allow: Allow,
) -> None:
    with Host(whole) as host:
        allow(host)
        pieces.head(f"{host.origin}/a.h5")
        read(f"{host.origin}/a.h5", ETAG)
        host.reply = lambda asked: part(CONTENT, asked, ("Set-Cookie", "a=b"))
        pieces.head(f"{host.origin}/a.h5?signed")
        before = len(host.asked)
        assert read(f"{host.origin}/a.h5", ETAG) == EXPECTED
    assert OBSTORE in host.clients()[:before]
    assert set(host.clients()[before:]) == {AIOHTTP}


def test_a_host_that_asks_for_fewer_requests_is_read_by_who_sees_for_how_long(allow: Allow) -> None:
    at: list[float] = []

    def busy(asked: Asked) -> Answer:
        at.append(perf_counter())
        return whole(asked) if len(at) > 2 else Answer(503, [("Retry-After", "1")])

    with Host(whole) as host:
        allow(host)
        pieces.head(f"{host.origin}/a.h5")
        pieces.head(f"{host.origin}/a.h5")
        host.reply = busy
        found, _ = pieces.read(f"{host.origin}/a.h5", ETAG, np.array([5]), np.array([7]))
    assert bytes(found[0]) == CONTENT[5:12]
    assert host.clients() == [AIOHTTP, OBSTORE, OBSTORE, AIOHTTP, AIOHTTP]
    assert at[2] - at[1] >= 1


def test_a_url_with_a_query_is_never_read_by_obstore(allow: Allow) -> None:
    with Host(whole) as host:
        allow(host)
        for _ in range(2):
            assert read(f"{host.origin}/a.h5?X-Signature=1", ETAG) == EXPECTED
    assert set(host.clients()) == {AIOHTTP}


def test_nobody_asks_for_packed_bytes(allow: Allow) -> None:
    with Host(whole) as host:
        allow(host)
        pieces.head(f"{host.origin}/a.h5")
        read(f"{host.origin}/a.h5", ETAG)
        read(f"{host.origin}/a.h5?signed", ETAG)
    assert {asked.headers.get("accept-encoding", "identity") for asked in host.asked} == {"identity"}
    assert set(host.clients()) == {AIOHTTP, OBSTORE}


@BOTH
@pytest.mark.parametrize("fault", [*LASTING, *PASSING])
def test_errors_do_not_tell_passwords_and_signatures(
    server: RangeServer, monkeypatch: pytest.MonkeyPatch, query: str, fault: Fault
) -> None:
    monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", f"me:hunter2@{server.host}")
    url = f"http://me:hunter2@{server.host}/a.h5{query and '?X-Signature=s3cr3t'}"
    head = pieces.head(url)
    server.faults["/a.h5"] = fault
    with pytest.raises(AccessError) as raised:
        read(url, head.etag)
    assert server.misbehaved[fault] > 0
    told = "".join(traceback.format_exception(raised.value))
    assert server.url("a.h5") in told
    assert "hunter2" not in told
    assert "s3cr3t" not in told
