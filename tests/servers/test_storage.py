from __future__ import annotations

import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from threading import Barrier, Thread
from time import perf_counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.servers import storage as server
from tests.servers.storage import Counts, Storage

CONTENT = np.random.default_rng(3).bytes(2_000_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("storage")
    (made / "a b.bin").write_bytes(CONTENT)
    (made / "empty.bin").write_bytes(b"")
    return made


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Storage]:
    with Storage(folder) as storage:
        yield storage


@pytest.fixture
def storage(running: Storage) -> Storage:
    server.reset(running.url())
    return running


def ask(
    storage: Storage, headers: dict[str, str] | None = None, *, method: str = "GET", name: str = "a%20b.bin"
) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(storage.host)
    try:
        connection.request(method, f"/{name}", headers=headers or {})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


@given(first=st.integers(0, len(CONTENT) - 1), length=st.integers(1, 2 * len(CONTENT)))
@example(first=0, length=1)
@example(first=len(CONTENT) - 1, length=1)
def test_a_range_is_what_was_asked_for_as_far_as_the_file_goes(
    running: Storage, first: int, length: int
) -> None:
    answer, body = ask(running, {"Range": f"bytes={first}-{first + length - 1}"})
    assert (answer.status, body) == (206, CONTENT[first : first + length])
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(body) - 1}/{len(CONTENT)}"


def test_a_range_over_the_end_is_cut_and_one_behind_it_refused(storage: Storage) -> None:
    answer, body = ask(storage, {"range": "bytes=1999990-2999999"})
    assert (answer.status, body) == (206, CONTENT[-10:])
    answer, body = ask(storage, {"Range": "bytes=2000000-2000001"})
    assert (answer.status, body) == (416, b"")
    assert answer.headers["Content-Range"] == "bytes */2000000"


def test_ranges_may_be_open_and_count_from_the_end(storage: Storage) -> None:
    assert ask(storage, {"Range": "bytes=1999000-"})[1] == CONTENT[1_999_000:]
    assert ask(storage, {"Range": "bytes=-10"})[1] == CONTENT[-10:]


def test_without_a_range_the_whole_file_comes_and_its_size_is_told(storage: Storage) -> None:
    assert ask(storage)[1] == CONTENT
    answer, body = ask(storage, method="HEAD")
    assert (answer.status, answer.headers["Content-Length"], body) == (200, "2000000", b"")
    assert ask(storage, name="empty.bin")[1] == b""


def test_what_the_folder_does_not_hold_is_missing(storage: Storage) -> None:
    for name in ("none.bin", "", "../storage0/a%20b.bin", "%2Fetc/hostname"):
        assert ask(storage, name=name)[0].status == 404
    assert ask(storage, method="DELETE")[0].status == 405


def test_another_version_than_the_one_expected_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"first")
    with Storage(tmp_path) as storage:
        tag = ask(storage, method="HEAD", name="a.bin")[0].headers["ETag"]
        wanted = {"If-Match": tag, "Range": "bytes=1-2"}
        assert ask(storage, wanted, name="a.bin")[1] == b"ir"
        (tmp_path / "a.bin").write_bytes(b"another")
        answer, body = ask(storage, wanted, name="a.bin")
        assert (answer.status, body) == (412, b"")
        wanted["If-Match"] = answer.headers["ETag"]
        assert ask(storage, wanted, name="a.bin")[1] == b"no"


def test_requests_and_bytes_are_counted_until_the_reset(storage: Storage) -> None:
    ask(storage, method="HEAD")
    ask(storage, {"Range": "bytes=10-19"})
    ask(storage, name="none.bin")
    assert (
        storage.counts()
        == storage.counts()
        == Counts(gets=1, heads=1, bytes=10, connections=3, most_at_once=1)
    )
    assert server.log(storage.url()) == [("a b.bin", 10, 10)]
    server.reset(storage.url())
    assert storage.counts() == Counts()
    assert server.log(storage.url()) == []


def test_requests_of_one_connection_are_answered_in_turn(storage: Storage) -> None:
    host, port = storage.host.split(":")
    with socket.create_connection((host, int(port))) as connection:
        for first in (5, 3, 900_000):
            request = f"GET /a%20b.bin HTTP/1.1\r\nRange: bytes={first}-{first + 299999}\r\n\r\n".encode()
            connection.sendall(request[:20])
            connection.sendall(request[20:])
        stream = connection.makefile("rb")
        for first in (5, 3, 900_000):
            head = list(iter(stream.readline, b"\r\n"))
            assert head[0] == b"HTTP/1.1 206 Partial Content\r\n"
            assert stream.read(300_000) == CONTENT[first : first + 300_000]
        stream.close()


def test_the_first_byte_comes_late_and_later_requests_do_not_wait_for_it(folder: Path) -> None:
    together = Barrier(8)

    def one() -> None:
        together.wait()
        start = perf_counter()
        answers.append(ask(storage, {"Range": "bytes=0-9"}))
        took.append(perf_counter() - start)

    answers: list[tuple[HTTPResponse, bytes]] = []
    took: list[float] = []
    with Storage(folder, latency=0.3) as storage:
        threads = [Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counts = storage.counts()
    assert [body for _, body in answers] == [CONTENT[:10]] * 8
    assert min(took) >= 0.3
    assert counts.most_at_once > 1


def test_a_connection_carries_no_more_than_its_bandwidth(folder: Path) -> None:
    with Storage(folder, bandwidth=10e6) as storage:
        start = perf_counter()
        _, body = ask(storage)
        took = perf_counter() - start
    assert body == CONTENT
    assert took >= 0.19
