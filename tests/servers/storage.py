"""Object storage near a machine: byte ranges of a folder over HTTP/1.1, from a process of its own.

An answer waits for its first byte, and a connection carries so many bytes a second, as inside a cloud's
region; connections do not wait for each other. The process keeps the server out of the client's interpreter.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from argparse import ArgumentParser
from collections import deque
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from http import HTTPStatus
from math import inf
from mmap import ACCESS_READ, mmap
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Self
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

_PIECE = 2**18
"""Bytes of a body that are sent at once."""
_NOTHING = memoryview(b"")
_TARGET = re.compile(rb"(GET|HEAD) (\S+) HTTP/1\.1\r\n")
_RANGE = re.compile(rb"(?im)^range: *bytes=(\d+)-(\d+)\r?$")
_IF_MATCH = re.compile(rb"(?im)^if-match: *([^\r]*)\r?$")


@dataclass
class Counts:
    """What a storage was asked for."""

    gets: int = 0
    heads: int = 0
    """How often size and version were asked for, by HEAD or by one byte of any version: no GET here."""
    bytes: int = 0
    """Of the bodies of all answers to GET."""
    most_in_flight: int = 0


class Storage:
    """Serves a folder on 127.0.0.1 for as long as the context lasts."""

    def __init__(self, folder: Path, *, latency: float = 0, bandwidth: float = inf) -> None:
        options = [f"--latency={latency}", f"--bandwidth={bandwidth}"]
        self._command = [sys.executable, "-m", "tests.servers.storage", str(folder.resolve()), *options]

    def __enter__(self) -> Self:
        self._process = Popen(self._command, stdout=PIPE, cwd=Path(__file__).parents[2])  # noqa: S603
        assert self._process.stdout is not None
        self.host = f"127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def url(self, name: str) -> str:
        return f"http://{self.host}/{name}"

    def counts(self) -> Counts:
        """Return what was asked for since the last :meth:`reset`; this is not counted."""
        with urlopen(self.url("__counts")) as answer:  # noqa: S310  this machine
            return Counts(**json.load(answer))

    def reset(self) -> None:
        urlopen(self.url("__reset")).close()  # noqa: S310  this machine


@dataclass
class _Service:
    """What all connections share."""

    folder: Path
    latency: float
    """Seconds from a request to the first byte of its answer."""
    bandwidth: float
    """Bytes a second of one connection."""
    counts: Counts = field(default_factory=Counts)
    in_flight: set[_Connection] = field(default_factory=set)

    def answer(self, connection: _Connection, request: bytes) -> tuple[bytes, memoryview]:
        """Return head and body of the answer to a request."""
        found = _TARGET.match(request)
        if not found:
            return _answer(405)
        path = unquote(urlsplit(found[2].decode()).path).lstrip("/")
        self.counts = Counts() if path == "__reset" else self.counts
        if path in ("__counts", "__reset"):
            return _answer(200, memoryview(json.dumps(asdict(self.counts)).encode()))
        head, body = self._file(path, request)
        self.in_flight.add(connection)
        self.counts.most_in_flight = max(self.counts.most_in_flight, len(self.in_flight))
        if found[1] == b"HEAD" or (len(body) == 1 and not _IF_MATCH.search(request)):
            self.counts.heads += 1
            return head, body if found[1] == b"GET" else _NOTHING
        self.counts.gets += 1
        self.counts.bytes += len(body)
        return head, body

    def _file(self, path: str, request: bytes) -> tuple[bytes, memoryview]:
        file = self.folder / path
        if ".." in file.parts or not file.is_file():
            return _answer(404)
        facts = file.stat()
        size, tag = facts.st_size, f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
        expected, part = _IF_MATCH.search(request), _RANGE.search(request)
        if expected and expected[1].decode() != tag:
            return _answer(412, _NOTHING, f"ETag: {tag}")
        content = _content(file, facts.st_mtime_ns, size)
        if not part:
            return _answer(200, content, f"ETag: {tag}")
        start, stop = int(part[1]), min(size, int(part[2]) + 1)
        if start >= stop:
            return _answer(416, _NOTHING, f"Content-Range: bytes */{size}")
        place = f"Content-Range: bytes {start}-{stop - 1}/{size}"
        return _answer(206, content[start:stop], f"ETag: {tag}", place)


@lru_cache
def _content(file: Path, _changed: int, size: int) -> memoryview:
    with file.open("rb") as opened:
        return memoryview(mmap(opened.fileno(), 0, access=ACCESS_READ) if size else b"")


def _answer(status: int, body: memoryview = _NOTHING, *headers: str) -> tuple[bytes, memoryview]:
    first = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    return "\r\n".join([first, f"Content-Length: {len(body)}", *headers, "", ""]).encode(), body


class _Connection(asyncio.Protocol):
    def __init__(self, service: _Service) -> None:
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._unread = b""
        self._requests: deque[tuple[float, bytes]] = deque()
        """With the time at which they came: the first one is being answered, the others wait."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        self._service.in_flight.discard(self)
        if self._requests:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        *whole, self._unread = (self._unread + data).split(b"\r\n\r\n")
        idle = not self._requests
        self._requests.extend((self._loop.time(), request + b"\r\n") for request in whole)
        if idle and whole:
            self._begin()

    def _begin(self) -> None:
        came, request = self._requests[0]
        head, body = self._service.answer(self, request)
        self._send(max(came + self._service.latency, self._loop.time()), head, body)

    def _send(self, start: float, head: bytes, body: memoryview) -> None:
        """Send a piece of a body when a connection that has been free from ``start`` on has carried it."""
        piece = body[:_PIECE]
        end = start + len(piece) / self._service.bandwidth
        self._timer = self._loop.call_at(end, self._sent, end, head + piece, body[_PIECE:])

    def _sent(self, end: float, piece: bytes, rest: memoryview) -> None:
        self._transport.write(piece)
        if rest:
            self._send(end, b"", rest)
            return
        self._requests.popleft()
        self._service.in_flight.discard(self)
        if self._requests:
            self._begin()


async def _serve(service: _Service) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(service), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Serve a folder until the process is ended; the first line of its output is the port."""
    parser = ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds to the first byte of an answer")
    parser.add_argument("--bandwidth", type=float, default=inf, help="bytes a second of one connection")
    asyncio.run(_serve(_Service(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
