"""A real HTTP/1.1 server of byte ranges over a folder, that counts, and misbehaves when told to."""

from __future__ import annotations

import random
import re
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.utils import formatdate
from enum import Enum
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import ceil
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from threading import Lock, Thread
from time import monotonic, sleep, time
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit

_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_INVERTED = bytes(range(255, -1, -1))


class Fault(Enum):
    """A way to answer a GET badly; the number is the status, 0 where there is none."""

    SHORT = (206, "the last byte left out, and a Content-Length that fits")
    SHIFTED = (206, "the range one byte further on")
    RETAGGED = (206, "another version and its bytes, whatever If-Match says")
    FLIPPED = (206, "one bit of the body is another")
    DELAYED = (206, "nothing wrong, but late")
    CUT = (206, "the connection ends in the middle of the body")
    RESET = (0, "the connection is reset instead of an answer")
    WHOLE = (200, "the whole file")
    UNAUTHORIZED = (401, "")
    FORBIDDEN = (403, "")
    MISSING = (404, "")
    BUSY = (503, "")
    SLOW_DOWN = (503, "as S3 says it")
    THROTTLED = (429, "with Retry-After")


class Get(NamedTuple):
    """A GET as it came."""

    path: str
    """With query."""
    start: int
    stop: int
    fault: Fault | None
    at: float
    """Seconds of a clock that never goes back."""


Plan = Callable[[str, int], Fault | None]
"""From the path and the number of the GET, counted from 0 for each path, to what goes wrong."""


def seeded(seed: int, share: float, faults: Sequence[Fault] = tuple(Fault)) -> Plan:
    """Return a plan in which a share of the GETs goes wrong: the same ones for the same seed."""

    def plan(path: str, number: int) -> Fault | None:
        dice = random.Random(f"{seed} {path} {number}")  # noqa: S311  no secret
        return dice.choice(faults) if dice.random() < share else None

    return plan


class RangeServer:
    """Serves a folder on 127.0.0.1 for as long as the context lasts.

    ``faults`` names a fault for a path (``/a.h5``), and may change at any time; ``plan`` decides where it
    names none.
    """

    def __init__(self, folder: Path, *, plan: Plan | None = None, weak: bool = False) -> None:
        self.folder = folder
        self.faults: dict[str, Fault] = {}
        self.plan: Plan = plan or (lambda _path, _number: None)
        self.weak = weak
        self.delay = 0.3
        """Seconds by which a delayed answer is late."""
        self.pause = 1
        """Seconds that Retry-After asks for."""
        self.dated = False
        """Whether Retry-After says until when, not how long."""
        self.heads = 0
        """How often size and version were asked for: by HEAD, or by the first byte, which is no GET here."""
        self.gets: list[Get] = []
        self.numbers: Counter[str] = Counter()
        """How many GETs there were of a path."""
        self.bytes = 0
        """Of all bodies, as far as they were sent."""
        self.answers: Counter[int] = Counter()
        self.misbehaved: Counter[Fault] = Counter()
        self.lock = Lock()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self.host = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, name: str) -> str:
        """Return the URL of a file of the folder."""
        return f"http://{self.host}/{name}"

    @property
    def asked(self) -> list[tuple[str, int, int]]:
        """Path with query, start and stop of each GET."""
        return [(get.path, get.start, get.stop) for get in self.gets]

    def waits(self, fault: Fault) -> list[float]:
        """Return the seconds from each such answer to the next GET of the same range, where there is one."""
        met: dict[tuple[str, int, int], float] = {}
        waits = []
        for get in self.gets:
            part = get[:3]
            if part in met:
                waits.append(get.at - met.pop(part))
            if get.fault is fault:
                met[part] = get.at
        return waits


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512


@lru_cache(maxsize=8)
def _content(file: Path, _changed: int, _size: int) -> bytes:
    return file.read_bytes()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: RangeServer

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that was cancelled hangs up
            super().handle()

    def do_HEAD(self) -> None:
        with self.owner.lock:
            self.owner.heads += 1
        content, tag = self._file()
        self._answer(404 if content is None else 200, len(content or b""), {"ETag": tag})

    def do_GET(self) -> None:
        content, tag = self._file()
        size = len(content or b"")
        if content and self.headers.get("Range") == "bytes=0-0" and "If-Match" not in self.headers:
            self._look(content, tag)
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, stop = (int(found[1]), int(found[2]) + 1) if found else (0, size)
        fault = self._count(start, stop)
        status = fault.value[0] if fault else 206 if found else 200
        if fault is Fault.DELAYED:
            sleep(self.owner.delay)
        if fault is Fault.RESET:
            self._reset()
        elif content is None or status > 400:
            self._refuse(404 if content is None else status, fault)
        elif fault is not Fault.RETAGGED and self.headers.get("If-Match", tag) != tag:
            self._answer(412, 0, {"ETag": tag})
        elif start >= size:
            self._answer(416, 0, {"Content-Range": f"bytes */{size}"})
        elif status == 200:
            self._answer(200, size, {"ETag": tag}, content)
        else:
            self._part(content, tag, (start, min(stop, size - (fault is Fault.SHIFTED))), fault)

    def _look(self, content: bytes, tag: str) -> None:
        """Answer who wants to know size and version."""
        with self.owner.lock:
            self.owner.heads += 1
            self.owner.bytes -= 1
        self._answer(206, 1, {"ETag": tag, "Content-Range": f"bytes 0-0/{len(content)}"}, content[:1])

    def _part(self, content: bytes, tag: str, part: tuple[int, int], fault: Fault | None) -> None:
        """Answer a range, or what a fault makes of it."""
        start, stop = (place + (fault is Fault.SHIFTED) for place in part)
        headers = {"ETag": '"another"' if fault is Fault.RETAGGED else tag}
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        body = content[start : stop - (fault is Fault.SHORT)]
        if fault is Fault.RETAGGED:
            body = body.translate(_INVERTED)
        elif fault is Fault.FLIPPED:
            bit = random.Random(f"{part}").randrange(8 * len(body))  # noqa: S311  no secret
            body = (int.from_bytes(body, "little") ^ 1 << bit).to_bytes(len(body), "little")
        self._answer(206, len(body), headers, body[: len(body) // 2] if fault is Fault.CUT else body)
        self.close_connection = self.close_connection or fault is Fault.CUT

    def _refuse(self, status: int, fault: Fault | None) -> None:
        body = _SLOW_DOWN if fault is Fault.SLOW_DOWN else b""
        headers = {"Content-Type": "application/xml"} if body else {}
        if fault is Fault.THROTTLED:
            pause = self.owner.pause
            until = formatdate(ceil(time()) + pause, usegmt=True)
            headers["Retry-After"] = until if self.owner.dated else str(pause)
        self._answer(status, len(body), headers, body)

    def _reset(self) -> None:
        """Close the connection so that the client is told of an error, not of an end."""
        self.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()  # which keeps the socket open
        self.connection.close()
        self.close_connection = True

    def _count(self, start: int, stop: int) -> Fault | None:
        path = urlsplit(self.path).path
        with self.owner.lock:
            fault = self.owner.faults.get(path) or self.owner.plan(path, self.owner.numbers[path])
            self.owner.numbers[path] += 1
            self.owner.gets.append(Get(self.path, start, stop, fault, monotonic()))
            self.owner.misbehaved.update([fault] if fault else [])
        return fault

    def _file(self) -> tuple[bytes | None, str]:
        """Return content and tag of the file that is asked for."""
        file = self.owner.folder / unquote(urlsplit(self.path).path).lstrip("/")
        if not file.is_file():
            return None, '""'
        facts = file.stat()
        tag = f'{"W/" * self.owner.weak}"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
        return _content(file, facts.st_mtime_ns, facts.st_size), tag

    def _answer(self, status: int, length: int, headers: dict[str, str], body: bytes = b"") -> None:
        with self.owner.lock:
            self.owner.answers[status] += 1
            self.owner.bytes += len(body)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
