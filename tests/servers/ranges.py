"""A real HTTP/1.1 server of byte ranges over a folder, that counts, and misbehaves when told to."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Self
from urllib.parse import unquote, urlsplit


class Fault(Enum):
    """A way to answer a GET badly; the number is the status."""

    SHORT = (206, "the last byte left out, and a Content-Length that fits")
    SHIFTED = (206, "the range one byte further on")
    RETAGGED = (206, "another version, whatever If-Match says")
    CUT = (206, "the connection ends in the middle of the body")
    WHOLE = (200, "the whole file")
    UNAUTHORIZED = (401, "")
    FORBIDDEN = (403, "")
    MISSING = (404, "")
    BUSY = (503, "")


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
        self.heads = 0
        self.asked: list[tuple[str, int, int]] = []
        """Path with query, start and stop of each GET."""
        self.bytes = 0
        """Of all bodies, as far as they were sent."""
        self.answers: Counter[int] = Counter()
        self.misbehaved: Counter[Fault] = Counter()
        self.lock = Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self._server.daemon_threads, self._server.block_on_close = True, False
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
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, stop = (int(found[1]), int(found[2]) + 1) if found else (0, size)
        fault = self._count(start, stop)
        status = fault.value[0] if fault else 206 if found else 200
        if content is None or status > 400:
            self._answer(404 if content is None else status, 0, {})
        elif fault is not Fault.RETAGGED and self.headers.get("If-Match", tag) != tag:
            self._answer(412, 0, {"ETag": tag})
        elif start >= size:
            self._answer(416, 0, {"Content-Range": f"bytes */{size}"})
        elif status == 200:
            self._answer(200, size, {"ETag": tag}, content)
        else:
            first, last = start + (fault is Fault.SHIFTED), min(stop, size - (fault is Fault.SHIFTED))
            headers = {"ETag": '"another"' if fault is Fault.RETAGGED else tag}
            headers["Content-Range"] = f"bytes {first}-{last + (fault is Fault.SHIFTED) - 1}/{size}"
            body = content[first : last + (fault is Fault.SHIFTED) - (fault is Fault.SHORT)]
            self._answer(206, len(body), headers, body[: len(body) // 2] if fault is Fault.CUT else body)
            self.close_connection = self.close_connection or fault is Fault.CUT

    def _count(self, start: int, stop: int) -> Fault | None:
        path = urlsplit(self.path).path
        with self.owner.lock:
            number = sum(urlsplit(asked).path == path for asked, _, _ in self.owner.asked)
            self.owner.asked.append((self.path, start, stop))
            fault = self.owner.faults.get(path) or self.owner.plan(path, number)
            self.owner.misbehaved.update([fault] if fault else [])
        return fault

    def _file(self) -> tuple[bytes | None, str]:
        """Return content and tag of the file that is asked for."""
        file = self.owner.folder / unquote(urlsplit(self.path).path).lstrip("/")
        if not file.is_file():
            return None, '""'
        facts = file.stat()
        return file.read_bytes(), f'{"W/" * self.owner.weak}"{facts.st_mtime_ns:x}-{facts.st_size:x}"'

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
