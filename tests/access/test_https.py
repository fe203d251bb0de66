from __future__ import annotations

import asyncio
import ssl
import traceback
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from time import perf_counter, time
from types import SimpleNamespace
from typing import cast

import aiohttp
import pytest
import trustme
from hypothesis import example, given
from hypothesis import strategies as st

from eoscale.access import https, loop
from eoscale.errors import AccessError, ThrottledError
from tests.access import pieces
from tests.access.remote import CONTENT, EXPECTED, Allow, first, read, whole
from tests.access.test_loop import script
from tests.servers.redirects import ETAG, Answer, Archive, Asked, Host, part

pytestmark = pytest.mark.usefixtures("fresh")


def test_what_a_server_says_of_its_bytes_does_not_change_them(allow: Allow) -> None:
    with Host(lambda asked: part(CONTENT, asked, ("Content-Encoding", "gzip"))) as host:
        allow(host)
        assert read(f"{host.origin}/a.h5?signed") == read(f"{host.origin}/a.h5") == EXPECTED


def chunked(body: bytes) -> bytes:
    """Return a body in pieces that each tell their length (RFC 9112, 7.1)."""
    some = [body[start : start + 99] for start in range(0, len(body), 99)]
    return b"".join(f"{len(each):x}\r\n".encode() + each + b"\r\n" for each in some) + b"0\r\n\r\n"


CHUNKED, CLOSED = ("Transfer-Encoding", "chunked"), ("Connection", "close")
PLACE = ("Content-Range", f"bytes 0-699/{len(CONTENT)}")
TAG = ("ETag", ETAG)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([CHUNKED], chunked(CONTENT[:700])),
        ([CLOSED], CONTENT[:700]),
    ],
    ids=["chunked", "until the end"],
)
def test_a_body_is_taken_that_is_as_long_as_asked_for(
    allow: Allow, headers: list[tuple[str, str]], body: bytes
) -> None:
    with Host(lambda _: Answer(206, [PLACE, TAG, *headers], body)) as host:
        allow(host)
        for _ in range(3):
            assert first(f"{host.origin}/a.h5?signed") == CONTENT[:700]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([CHUNKED], chunked(CONTENT[:699])),
        ([CHUNKED], chunked(CONTENT[:701])),
        ([CHUNKED], chunked(CONTENT[:700])[:-20]),
        ([CLOSED], CONTENT[:699]),
        ([CLOSED], CONTENT[:701]),
        ([("Content-Length", "699")], CONTENT[:699]),
        ([("Content-Length", "701")], CONTENT[:701]),
        ([("Content-Length", "700")], CONTENT[:699]),
        ([("Content-Length", "-1")], CONTENT[:700]),
        ([("Content-Length", "700"), ("Content-Length", "70")], CONTENT[:700]),
        ([("Content-Length", "70"), CHUNKED], chunked(CONTENT[:700])),
    ],
)
def test_a_body_that_is_shorter_or_longer_is_an_error(
    allow: Allow, headers: list[tuple[str, str]], body: bytes
) -> None:
    extra = [] if CLOSED in headers else [CLOSED]
    with Host(lambda _: Answer(206, [PLACE, TAG, *headers, *extra], body)) as host:
        allow(host)
        with pytest.raises(AccessError, match=f"{host.origin}/a.h5 "):
            first(f"{host.origin}/a.h5?signed")
    assert 1 <= len(host.asked) <= 6


@pytest.mark.parametrize(
    "place",
    [
        "bytes 0-698/300000",
        "bytes 0-700/300000",
        "bytes 1-700/300000",
        "bytes 0-699/*",
        "bytes */300000",
        "bytes=0-699/300000",
        "items 0-699/300000",
        "bytes 0-699/300000, bytes 0-699/300000",
        f"bytes {'9' * 5000}-699/300000",
        "",
    ],
)
def test_an_answer_that_does_not_tell_the_range_that_was_asked_for_is_an_error(
    allow: Allow, place: str
) -> None:
    with Host(lambda _: Answer(206, [("Content-Range", place), TAG], CONTENT[:700])) as host:
        allow(host)
        with pytest.raises(AccessError):
            first(f"{host.origin}/a.h5?signed")
    assert len(host.asked) == 1


@pytest.mark.parametrize("query", ["", "?signed"])
def test_an_object_without_bytes_has_the_size_zero(allow: Allow, query: str) -> None:
    with Host(lambda asked: part(b"", asked)) as host:
        allow(host)
        assert pieces.head(f"{host.origin}/a.h5{query}").size == 0
        assert pieces.head(f"{host.origin}/a.h5{query}").size == 0


@pytest.mark.parametrize("status", [200, 204, 300, 304])
def test_a_server_that_ignores_ranges_is_told_by_the_first_request(allow: Allow, status: int) -> None:
    with Host(lambda _: Answer(status, [TAG])) as host:
        allow(host)
        with pytest.raises(AccessError, match=f"answered status {status} .* or the server ignores ranges"):
            pieces.head(f"{host.origin}/a.h5")
    assert len(host.asked) == 1


@pytest.mark.parametrize(
    "told", ["1", " 1 ", lambda: formatdate(int(time()) + 2, usegmt=True)], ids=["seconds", "blanks", "date"]
)
def test_a_host_that_says_for_how_long_it_wants_no_requests_gets_none(
    allow: Allow, told: str | Callable[[], str]
) -> None:
    def reply(asked: Asked) -> Answer:
        at.append(perf_counter())
        after = told if isinstance(told, str) else told()
        return Answer(429, [("Retry-After", after)]) if len(at) == 1 else whole(asked)

    at: list[float] = []
    with Host(reply) as host:
        allow(host)
        assert first(f"{host.origin}/a.h5") == CONTENT[:700]
    assert len(at) == 2
    assert 0.9 <= at[1] - at[0] < 5


@pytest.mark.parametrize(
    "told",
    ["86400", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"],
    ids=["a day", "for ever", "in the last year"],
)
def test_a_host_that_wants_no_requests_for_long_is_told_of_at_once(allow: Allow, told: str) -> None:
    with Host(lambda _: Answer(503, [("Retry-After", told)])) as host:
        allow(host)
        with pytest.raises(ThrottledError, match=r"503 Service Unavailable .*come back in \w+ s"):
            first(f"{host.origin}/a.h5")
    assert len(host.asked) == 1


@given(
    st.text(max_size=40)
    | st.from_regex(r"\A[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,12} \d\d:\d\d:\d\d (GMT|[+-]\d{1,20})\Z")
)
@example("Fri, 31 Dec 2027 23:59:59 +" + "9" * 60)
def test_whatever_a_host_says_of_when_to_come_back_is_a_time(told: str) -> None:
    answer = cast("aiohttp.ClientResponse", SimpleNamespace(headers={"Retry-After": told}))
    assert https._after(answer) >= 0


@pytest.mark.parametrize(
    "sent",
    [b"nonsense\r\n\r\n", b"HTTP/1.1 206 OK\r\nbad\x00name: 1\r\n\r\n", b""],
    ids=["no answer", "bad", "nothing"],
)
def test_what_a_broken_server_sends_tells_no_secrets(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(sent)
        writer.close()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(serve, "127.0.0.1", 0)

    async def stop() -> None:
        server.close()
        await server.wait_closed()

    asked: list[bytes] = []
    server = loop.run(start())
    host = f"me:s3cr3t@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", host)
    url = f"http://{host}/a.h5?X-Signature=s3cr3t"
    with pytest.raises(AccessError, match="attempt 6") as raised:
        first(url)
    loop.run(stop())
    assert len(asked) == 6
    assert all(b"X-Signature=s3cr3t" in request for request in asked)
    assert "s3cr3t" not in "".join(traceback.format_exception(raised.value))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certified(authority: trustme.CA, name: str) -> ssl.SSLContext:
    """Return what a server needs to be taken for a host of that name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


READS = """
    import numpy as np
    from eoscale.access import loop, ranges
    from eoscale.errors import AccessError
    url, bad = sys.argv[1:]
    head = loop.run(ranges.head(url))
    pieces = {}
    offsets, sizes = np.arange(0, 300_000, 20_000), np.full(15, 700)
    loop.run(ranges.deliver(url, head.etag, offsets, sizes, pieces.update))
    assert (head.size, sorted(pieces)) == (300_000, list(range(15)))
    try:
        loop.run(ranges.head(bad))
    except AccessError as error:
        print(error)
    """


def test_a_certificate_is_asked_for_and_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allow: Allow, authority: trustme.CA
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    good, other = (certified(authority, name) for name in ("localhost", "other.example.org"))
    with Host(whole, "localhost", tls=good) as host, Host(whole, "localhost", tls=other) as bad:
        allow(host, bad)
        ended = script(READS, f"{host.origin}/a.h5", f"{bad.origin}/a.h5")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "certificate is not valid for 'localhost'" in ended.stdout
    assert host.clients() == ["Python", *["object_store"] * 15]
    assert (bad.connections, bad.asked) == (1, [])


def test_a_certificate_of_an_unknown_authority_is_refused_at_once(
    allow: Allow, authority: trustme.CA
) -> None:
    with Host(whole, "localhost", tls=certified(authority, "localhost")) as host:
        allow(host)
        with pytest.raises(
            AccessError, match=f"{host.origin}/a.h5 cannot be read: .*certificate verify failed"
        ):
            first(f"{host.origin}/a.h5?X-Signature=s3cr3t")
    assert (host.connections, host.asked) == (1, [])


def test_a_process_that_read_from_a_host_and_closed_nothing_exits_cleanly(
    monkeypatch: pytest.MonkeyPatch, earthdata: Archive
) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    ended = script(READS, earthdata.url, f"{earthdata.storage.origin}/none?X-Signature=s0")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "ask for the right to read it" in ended.stdout
    assert len(earthdata.storage.asked) == 1 + 15 + 1


def test_a_forked_child_reads_with_a_client_of_its_own(
    monkeypatch: pytest.MonkeyPatch, earthdata: Archive
) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "error,ignore::DeprecationWarning")  # of fork beside threads
    ended = script(
        """
        import gc, os
        from eoscale.access import loop, ranges
        url = sys.argv[1]
        assert loop.run(ranges.head(url)).size == 300_000
        child = os.fork()
        gc.collect()
        assert loop.run(ranges.head(url)).size == 300_000
        if not child:
            os._exit(0)  # as multiprocessing does
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        assert loop.run(ranges.head(url)).size == 300_000
        """,
        earthdata.url,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(earthdata.login.asked) == 2
    assert len(earthdata.storage.asked) == 4
