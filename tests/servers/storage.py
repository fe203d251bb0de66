"""An object store near by: byte ranges of a folder over HTTP/1.1, from a process of its own.

An answer waits for its first byte, and a connection carries so many bytes a second, as inside a cloud's
region; connections do not wait for each other. What was asked for is counted and logged.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from http import HTTPStatus
from math import inf
from mmap import ACCESS_READ, mmap
from pathlib import Path
from subprocess import PIPE, Popen
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import uvloop

_PIECE = 2**18
"""Bytes of a body that are sent at once."""
_SHORT = 0.001
"""Seconds that no timer can keep."""
_TARGET = re.compile(rb"(GET|HEAD) (\S+) HTTP/1\.1\r\n")
_RANGE = re.compile(rb"(?im)^range: *bytes=(\d*)-(\d*)\r?$")
_IF_MATCH = re.compile(rb"(?im)^if-match: *([^\r]*)\r?$")


@dataclass(kw_only=True)
class Counts:
    """What a storage was asked for."""

    gets: int = 0
    heads: int = 0
    bytes: int = 0
    """Of the bodies of all answers to GET."""
    connections: int = 0
    most_at_once: int = 0
    """Requests that waited for the end of their answer."""


class Storage:
    """Serves a folder on 127.0.0.1 for as long as the context lasts.

    Parameters
    ----------
    folder : Path
    latency : float
        Seconds from a request to the first byte of its answer.
    bandwidth : float
        Bytes a second of one connection.
    """

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

    def url(self, name: str = "") -> str:
        return f"http://{self.host}/{name}".rstrip("/")

    def counts(self) -> Counts:
        return counts(self.url())


def reset(url: str) -> None:
    """Have a storage forget what it was asked for."""
    urlopen(f"{url}/__reset").close()  # noqa: S310  this machine


def counts(url: str) -> Counts:
    """Return what a storage was asked for since the last :func:`reset`; this is not counted."""
    with urlopen(f"{url}/__counts") as answer:  # noqa: S310  this machine
        return Counts(**json.load(answer))


def log(url: str) -> list[tuple[str, int, int]]:
    """Return path, start and length of all that was sent since the last :func:`reset`."""
    with urlopen(f"{url}/__log") as answer:  # noqa: S310  this machine
        return [(path, start, length) for path, start, length in json.load(answer)]


class _Answer(NamedTuple):
    head: bytes
    body: memoryview = memoryview(b"")

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Yield what is sent at once, and how many bytes of it are of the body."""
        first = self.body[:_PIECE]
        yield len(first), self.head + first
        for start in range(_PIECE, len(self.body), _PIECE):
            piece = self.body[start : start + _PIECE]
            yield len(piece), bytes(piece)


@dataclass(kw_only=True)
class _Service:
    """What all connections share."""

    folder: Path
    latency: float
    bandwidth: float
    counts: Counts = field(default_factory=Counts)
    log: list[tuple[str, int, int]] = field(default_factory=list)
    at_once: int = 0
    seen: set[asyncio.StreamWriter] = field(default_factory=set)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection, one after the other."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                told = self._told(request)
                if told is None:
                    await self._answer(request, writer)
                else:
                    writer.write(told.head + told.body)
        writer.close()

    def _told(self, request: bytes) -> _Answer | None:
        """Return the answer to a question about the storage itself."""
        match request.split(b" ", 2)[1]:
            case b"/__reset":
                self.counts, self.log = Counts(), []
                self.seen.clear()
                return _answer(200)
            case b"/__counts":
                return _answer(200, json.dumps(asdict(self.counts)).encode())
            case b"/__log":
                return _answer(200, json.dumps(self.log).encode())
        return None

    async def _answer(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        due = asyncio.get_running_loop().time() + self.latency
        self.seen.add(writer)
        self.at_once += 1
        self.counts.connections = len(self.seen)
        self.counts.most_at_once = max(self.counts.most_at_once, self.at_once)
        try:
            for size, piece in self._found(request).pieces():
                due += size / self.bandwidth
                await _until(due)
                writer.write(piece)
                await writer.drain()
        finally:
            self.at_once -= 1

    def _found(self, request: bytes) -> _Answer:
        """Return the answer to a request for a file, and take note of it."""
        target = _TARGET.match(request)
        if not target:
            return _answer(405)
        path = unquote(urlsplit(target[2].decode()).path).lstrip("/")
        file = self.folder / path
        if ".." in file.parts or not file.is_file():
            return _answer(404)
        facts = file.stat()
        size, tag = facts.st_size, f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
        about = [f"ETag: {tag}", "Accept-Ranges: bytes"]
        if target[1] == b"HEAD":
            self.counts.heads += 1
            return _Answer(_head(200, size, about))
        self.counts.gets += 1
        expected, part = _IF_MATCH.search(request), _RANGE.search(request)
        if expected and expected[1].decode() not in ("*", tag):
            return _answer(412, b"", about)
        start, stop = _span(part[1], part[2], size) if part else (0, size)
        if part and start >= stop:
            return _answer(416, b"", [f"Content-Range: bytes */{size}"])
        self.counts.bytes += stop - start
        self.log.append((path, start, stop - start))
        if part:
            about.append(f"Content-Range: bytes {start}-{stop - 1}/{size}")
        body = _content(file, facts.st_mtime_ns)[start:stop] if size else memoryview(b"")
        return _Answer(_head(206 if part else 200, len(body), about), body)


async def _until(due: float) -> None:
    left = due - asyncio.get_running_loop().time()
    if left > _SHORT:
        await asyncio.sleep(left)


def _span(first: bytes, last: bytes, size: int) -> tuple[int, int]:
    """Return where a range of a file begins and ends; nothing where there is none of it."""
    if first:
        return int(first), min(size, int(last) + 1) if last else size
    return max(0, size - int(last or 0)), size


@cache
def _content(file: Path, _changed: int) -> memoryview:
    with file.open("rb") as opened:
        return memoryview(mmap(opened.fileno(), 0, access=ACCESS_READ))


def _answer(status: int, body: bytes = b"", about: list[str] | None = None) -> _Answer:
    return _Answer(_head(status, len(body), about or []), memoryview(body))


def _head(status: int, length: int, about: list[str]) -> bytes:
    first = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    return "\r\n".join([first, f"Content-Length: {length}", *about, "", ""]).encode()


async def _serve(service: _Service) -> None:
    server = await asyncio.start_server(service.connected, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Serve a folder until the process is ended; the first line of its output is the port."""
    parser = ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds to the first byte of an answer")
    parser.add_argument("--bandwidth", type=float, default=inf, help="bytes a second of one connection")
    service = _Service(**vars(parser.parse_args()))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(service))


if __name__ == "__main__":
    main()
