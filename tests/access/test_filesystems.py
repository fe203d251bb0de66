from __future__ import annotations

import logging
import os
import random
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any, Self

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

from eoscale.errors import AccessError, ChangedError, ForbiddenError, RecipeError
from tests.access import pieces

pytestmark = pytest.mark.usefixtures("fresh")
CONTENT = random.Random(9).randbytes(300_000)  # noqa: S311  no secret
ATTEMPTS = 6


class Files:
    """A folder that a real FTP server serves, to anybody and to one user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: Counter[str] = Counter()
        """How often a command came."""
        self.busy: set[str] = set()
        """Commands that are refused for now."""
        everybody = DummyAuthorizer()
        everybody.add_anonymous(str(folder))
        everybody.add_user("me", "hunter2", str(folder))
        parts = {"authorizer": everybody, "owner": self, "auth_failed_timeout": 0}
        self._server = FTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), parts))
        self._thread = Thread(target=self._serve, daemon=True)
        self.host = f"127.0.0.1:{self._server.address[1]}"

    def __enter__(self) -> Self:
        self.serves = True
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.serves = False
        self._thread.join()
        self._server.close_all()

    def _serve(self) -> None:
        while self.serves:
            self._server.serve_forever(timeout=0.02, blocking=False)

    def write(self, name: str, content: bytes, *, second: int = 0) -> str:
        """Write a file at some second, and return its URL: FTP tells times by the second."""
        (self.folder / name).write_bytes(content)
        os.utime(self.folder / name, (1e9 + second, 1e9 + second))
        return f"ftp://{self.host}/{name}"


class _Handler(FTPHandler):  # type: ignore[misc]  # has no types
    owner: Files

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        self.owner.asked[cmd] += 1
        if cmd in self.owner.busy:
            self.respond("421 too many of you")
            self.close_when_done()
        else:
            super().pre_process_command(line, cmd, arg)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    logging.getLogger("pyftpdlib").setLevel(logging.ERROR)
    with Files(tmp_path_factory.mktemp("ftp")) as files:
        yield files


@pytest.fixture(autouse=True)
def _allowed(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    users = [f"{user}@{files.host}" for user in ("me:hunter2", "me:s3cr3t")]
    monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", ",".join([files.host, *users]))
    files.asked.clear()


@given(st.lists(st.tuples(st.integers(0, 299_999), st.integers(1, 100_000)), min_size=1, max_size=5))
@settings(max_examples=15)
def test_any_ranges_of_a_file_are_its_bytes(files: Files, pairs: list[tuple[int, int]]) -> None:
    url = files.write("a.h5", CONTENT)
    offsets = np.array([start for start, _ in pairs])
    sizes = np.array([min(size, len(CONTENT) - start) for start, size in pairs])
    head = pieces.head(url)
    assert head.size == len(CONTENT)
    found, _ = pieces.read(url, head.etag, offsets, sizes)
    expected = [CONTENT[start : start + size] for start, size in zip(offsets, sizes, strict=True)]
    assert [bytes(body) for body in found] == expected
    assert files.asked["RETR"] > 0


@pytest.mark.parametrize("change", [CONTENT[::-1], CONTENT + b"x", CONTENT[:-1], b""])
def test_a_file_that_changed_since_it_was_looked_at_is_refused(files: Files, change: bytes) -> None:
    url = files.write("changes.h5", CONTENT)
    etag = pieces.head(url).etag
    assert pieces.head(files.write("changes.h5", CONTENT)).etag == etag
    files.write("changes.h5", change, second=1)
    with pytest.raises((ChangedError, AccessError), match=f"{url} (changed since|gave 0 bytes)"):
        pieces.read(url, etag, np.array([5]), np.array([100]))


def test_a_file_that_changes_while_it_is_read_is_refused(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = files.write("changing.h5", CONTENT)
    etag = pieces.head(url).etag
    send = _Handler.ftp_RETR

    def changed(handler: _Handler, path: str) -> Any:  # noqa: ANN401  has no types
        files.write("changing.h5", CONTENT[::-1], second=1)
        return send(handler, path)

    monkeypatch.setattr(_Handler, "ftp_RETR", changed)
    with pytest.raises(ChangedError, match="changed since it was indexed"):
        pieces.read(url, etag, np.array([5]), np.array([100]))


def test_a_range_behind_the_end_is_an_error(files: Files) -> None:
    url = files.write("short.h5", CONTENT)
    etag = pieces.head(url).etag
    for start in (len(CONTENT) - 5, len(CONTENT), 2 * len(CONTENT)):
        with pytest.raises(AccessError, match=f"{url} gave . bytes, asked for {start} to {start + 10}"):
            pieces.read(url, etag, np.array([start]), np.array([10]))


def test_what_is_not_there_is_an_error_at_once(files: Files) -> None:
    with pytest.raises(AccessError, match=r"none\.h5 cannot be read: FileNotFoundError$"):
        pieces.head(f"ftp://{files.host}/none.h5")
    assert files.asked["USER"] == 1


def test_who_logs_in_wrongly_is_told_at_once_and_not_by_the_password(files: Files) -> None:
    url = files.write("a.h5", CONTENT).replace("ftp://", "ftp://me:{}@")
    assert pieces.head(url.format("hunter2")).size == len(CONTENT)
    files.asked.clear()
    with pytest.raises(AccessError, match=r"a\.h5 cannot be read: error_perm$") as raised:
        pieces.head(url.format("s3cr3t"))
    assert files.asked["PASS"] == 1
    assert "me:" not in str(raised.value)
    assert "s3cr3t" not in str(raised.value)


def test_what_passes_by_itself_is_tried_again(files: Files) -> None:
    url = files.write("a.h5", CONTENT)
    files.busy.add("USER")
    with pytest.raises(AccessError, match=rf"a\.h5 cannot be read: .*\(attempt {ATTEMPTS}\)"):
        pieces.head(url)
    files.busy.clear()
    assert files.asked["USER"] == ATTEMPTS
    assert pieces.head(url).size == len(CONTENT)


def test_a_server_that_is_not_there_is_an_access_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", "127.0.0.1:9")
    with pytest.raises(AccessError, match=r"a\.h5 cannot be read: ConnectionRefusedError"):
        pieces.head("ftp://127.0.0.1:9/a.h5")


def test_a_host_that_is_not_allowed_is_never_asked(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    url = files.write("a.h5", CONTENT)
    monkeypatch.delenv("EOSCALE_ALLOW_HOSTS")
    for other in (url, "ftp://ftp.example.org/a.h5", "sftp://example.org/a.h5", "webhdfs://localhost/a.h5"):
        with pytest.raises(ForbiddenError, match="is refused"):
            pieces.head(other)
    assert not files.asked


@pytest.mark.parametrize(
    "url",
    [
        "local:///etc/hostname",
        "memory://a.h5",
        "github://me:s3cr3t@/a.h5",
        "simplecache::ftp://{host}/a.h5",
        "filecache::file:///etc/hostname",
        "zip://a.h5::ftp://{host}/a.zip",
        "ftp://{host}/a.h5::file:///etc/hostname",
        "ftp://{host}/a.h5::memory://a.h5",
        "reference://::ftp://{host}/a.h5",
        "ftp:/a.h5",
        "nonsense://a.h5",
        "javascript:alert(1)",
    ],
)
def test_what_does_not_lead_to_a_server_is_refused_and_not_opened(
    files: Files, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(fsspec.core, "url_to_fs", opened.append)
    with pytest.raises(RecipeError, match="give a path, or a URL of https") as raised:
        pieces.head(url.format(host=files.host))
    assert "s3cr3t" not in "".join(traceback.format_exception(raised.value))
    assert not opened
    assert not files.asked
