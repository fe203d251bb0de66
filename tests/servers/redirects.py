"""Web servers with names of their own, that answer what a test says; and an archive with a login on three.

On Linux each address of 127.0.0.0/8 is this machine's, so hosts differ by name and not by port alone.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from time import sleep
from typing import NamedTuple, Self
from urllib.parse import parse_qs, parse_qsl, urlsplit

ETAG = '"1"'


class Asked(NamedTuple):
    """A request as it came."""

    target: str
    """Path and query."""
    headers: dict[str, str]
    """By name in lower case."""
    method: str = "GET"
    body: bytes = b""

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """Parameters of the URL."""
        return dict(parse_qsl(urlsplit(self.target).query))

    @property
    def form(self) -> dict[str, str]:
        """Fields of the body."""
        return dict(parse_qsl(self.body.decode()))

    @property
    def cookies(self) -> list[str]:
        """Of the header, each as ``name=value``."""
        return [cookie for cookie in self.headers.get("cookie", "").split("; ") if cookie]


class Answer(NamedTuple):
    """What is sent, with a Content-Length that fits unless the headers tell the length."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    pause: float = 0.0
    """Seconds between two halves of the body."""


Reply = Callable[[Asked], Answer]


def redirect(location: str, *cookies: str, status: int = 302) -> Answer:
    """Return an answer that sends a client elsewhere, perhaps with cookies."""
    return Answer(status, [("Location", location), *(("Set-Cookie", cookie) for cookie in cookies)])


def part(content: bytes, asked: Asked, *headers: tuple[str, str]) -> Answer:
    """Return the range that is asked for, of the version that is asked for, with some more headers."""
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked.headers.get("range", ""))
    if asked.headers.get("if-match", ETAG) != ETAG:
        return Answer(412)
    if not found:
        return Answer(200, [("ETag", ETAG), *headers], content)
    start, stop = int(found[1]), min(int(found[2]) + 1, len(content))
    if start >= stop:
        return Answer(416, [("Content-Range", f"bytes */{len(content)}"), *headers])
    place = ("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
    return Answer(206, [("ETag", ETAG), place, *headers], content[start:stop])


class Host:
    """A server of one origin, for as long as the context lasts."""

    def __init__(self, reply: Reply, name: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None) -> None:
        self.reply = reply
        self.asked: list[Asked] = []
        self.lock = Lock()
        address = "127.0.0.1" if name == "localhost" else name
        self._server = _Server((address, 0), type("Handler", (_Handler,), {"owner": self}))
        self._server.tls = tls
        self.host = f"{name}:{self._server.server_port}"
        self.origin = f"{'https' if tls else 'http'}://{self.host}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def connections(self) -> int:
        """How many were opened, with or without a request."""
        return self._server.connections

    @property
    def most_open(self) -> int:
        """How many connections were open at once, at most."""
        return self._server.most_open

    def clients(self) -> list[str]:
        """Return what each request says that it came by."""
        return [asked.headers["user-agent"].split("/")[0] for asked in self.asked]

    def paths(self) -> list[str]:
        """Return what was asked for, without queries."""
        return [asked.path for asked in self.asked]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512
    tls: ssl.SSLContext | None = None
    connections = now_open = most_open = 0

    def process_request(self, request: object, client_address: object) -> None:
        self.connections += 1
        super().process_request(request, client_address)  # type: ignore[arg-type]  # as socketserver gives them

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that hangs up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: Host
    server: _Server

    def setup(self) -> None:
        with self.owner.lock:
            self.server.now_open += 1
            self.server.most_open = max(self.server.most_open, self.server.now_open)
        if self.server.tls:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        super().finish()
        with self.owner.lock:
            self.server.now_open -= 1
        if self.server.tls:
            self.request.close()

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(
            self.path, headers, self.command, self.rfile.read(int(headers.get("content-length", 0)))
        )
        with self.owner.lock:
            self.owner.asked.append(asked)
        answer = self.owner.reply(asked)
        told = {name.lower() for name, _ in answer.headers}
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if not told & {"content-length", "transfer-encoding", "connection"}:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        half = len(answer.body) // 2
        self.wfile.write(answer.body[:half])
        sleep(answer.pause)
        self.wfile.write(answer.body[half:])

    do_POST = do_PUT = do_GET  # noqa: N815  as http.server has it


class Archive:
    """A file behind a login, as Earthdata Login and the cloud archives of NASA give it.

    Its URL sends a client to the login, which sets a cookie and sends it back with a code; the archive sets
    a cookie of its own for that, and sends who has it to a URL on a third host that is signed for a while.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.signature = 0
        """The last one that was given."""
        self.good = 1
        """The first one that is still good."""
        self.data = Host(self._data)
        self.login = Host(self._login, "localhost")
        self.storage = Host(self._storage, "127.0.0.2")
        self.url = f"{self.data.origin}/granules/a.h5"
        self.hosts = (self.data, self.login, self.storage)

    def expire(self) -> None:
        """Refuse all signatures that were given so far."""
        self.good = self.signature + 1

    def _data(self, asked: Asked) -> Answer:
        if asked.path == "/login":
            # a place without a host, as the standard allows (RFC 9110, 10.2.2)
            return redirect("granules/a.h5", "session=one; Path=/; HttpOnly", status=303)
        if "session=one" not in asked.cookies:
            return redirect(f"{self.login.origin}/oauth?client=7")
        with self.data.lock:
            self.signature += 1
            return redirect(f"{self.storage.origin}/a.h5?X-Signature=s{self.signature}&X-Expires=3600")

    def _login(self, _asked: Asked) -> Answer:
        return redirect(f"{self.data.origin}/login?code=1", "user=me; Path=/; Domain=localhost", status=307)

    def _storage(self, asked: Asked) -> Answer:
        (signature,) = parse_qs(urlsplit(asked.target).query)["X-Signature"]
        if int(signature[1:]) < self.good:
            return Answer(403, body=b"<Error><Code>AccessDenied</Code></Error>")
        return part(self.content, asked)


@contextmanager
def archive(content: bytes) -> Iterator[Archive]:
    """Run an archive."""
    made = Archive(content)
    with made.data, made.login, made.storage:
        yield made
