from __future__ import annotations

import asyncio
import pickle
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock
from time import sleep
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from eoscale.access import budgets, loop, ranges
from eoscale.access.pace import Pace
from eoscale.access.spans import Cost, coalesce
from eoscale.errors import AccessError
from tests.access import pieces
from tests.servers.ranges import Fault, RangeServer, seeded
from tests.servers.redirects import ETAG, Answer, Asked, Host, part

Ints: TypeAlias = NDArray[np.int64]
SIZE = 300_000
CONTENT = random.Random(1).randbytes(SIZE)  # noqa: S311  no secret
RANGES = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, 40_000)), max_size=25).map(
    lambda pairs: [(start, min(size, SIZE - start)) for start, size in pairs]
)


@dataclass(frozen=True)
class Places:
    """One object, by a path and by a server."""

    local: str
    remote: str
    server: RangeServer


@pytest.fixture(scope="module")
def places() -> Iterator[Places]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        (folder / "granule.bin").write_bytes(CONTENT)
        server = stack.enter_context(RangeServer(folder))
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        yield Places(str(folder / "granule.bin"), server.url("granule.bin"), server)


@pytest.fixture(autouse=True)
def _allowed(monkeypatch: pytest.MonkeyPatch, places: Places) -> None:
    monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", places.server.host)


def columns(pairs: list[tuple[int, int]]) -> tuple[Ints, Ints]:
    return np.array([start for start, _ in pairs], np.int64), np.array([size for _, size in pairs], np.int64)


@given(RANGES)
def test_a_local_file_gives_exactly_its_bytes(places: Places, pairs: list[tuple[int, int]]) -> None:
    head = pieces.head(places.local)
    found, cost = pieces.read(places.local, head.etag, *columns(pairs))
    assert [bytes(piece) for piece in found] == [CONTENT[start : start + size] for start, size in pairs]
    spans = coalesce(*columns(pairs))
    assert cost == Cost(len(spans), sum(span.stop - span.start for span in spans))


@given(RANGES)
def test_a_server_gives_exactly_the_bytes_and_counts_what_we_count(
    places: Places, pairs: list[tuple[int, int]]
) -> None:
    head = pieces.head(places.remote)
    server = places.server
    asked, sent = len(server.asked), server.bytes
    found, cost = pieces.read(places.remote, head.etag, *columns(pairs))
    assert [bytes(piece) for piece in found] == [CONTENT[start : start + size] for start, size in pairs]
    assert cost == Cost(len(server.asked) - asked, server.bytes - sent)
    assert sorted(server.asked[asked:]) == [
        ("/granule.bin", span.start, span.stop) for span in coalesce(*columns(pairs))
    ]


def test_a_whole_object_is_copied_in_pieces_of_the_limit(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "LIMIT", 100_000)
    for url in (places.local, places.remote):
        copy = Path(places.local).with_name("copy.bin")
        assert loop.run(ranges.copied(url, pieces.head(url), copy)) == Cost(-(-SIZE // 100_000), SIZE)
        assert copy.read_bytes() == CONTENT
    empty = Path(places.local).with_name("empty.bin")
    empty.write_bytes(b"")
    assert loop.run(ranges.copied(str(empty), pieces.head(str(empty)), copy)) == Cost(0, 0)
    assert copy.read_bytes() == b""


class Busy:
    """A server's answers, which wait for each other until so many are given at once."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.now = self.most = 0
        self.lock = Lock()
        self.reached = Event()

    def __call__(self, asked: Asked) -> Answer:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now >= self.wanted:
                self.reached.set()
        self.reached.wait(10)
        self.reached.set()  # if they will never be so many, none but the first need find out
        sleep(0.03)  # in which one too many would come
        with self.lock:
            self.now -= 1
        return part(CONTENT, asked)


def test_all_tasks_together_have_as_many_requests_in_flight_as_the_budget_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offsets, sizes = np.arange(0, SIZE, 20_000), np.full(SIZE // 20_000, 10)
    busy = Busy(budgets.CONNECTIONS)
    with Host(partial(part, CONTENT)) as host:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", host.host)

        def task(url: str) -> list[bytes]:
            found, _ = pieces.read(url, ETAG, offsets, sizes)
            return [bytes(body) for body in found]

        async def unhurried() -> None:
            budgets.here().paces[host.host] = Pace(floor_seconds=60)

        loop.run(unhurried())  # no answer is late: second requests are beside the budget
        urls = [f"{host.origin}/{number}" for number in range(32)]
        for url in urls:  # else the first range of each is asked for before the others of it
            pieces.head(url)
        host.reply = busy
        with ThreadPoolExecutor(32) as pool:
            found = list(pool.map(task, urls))
    assert found == [[CONTENT[start : start + 10] for start in offsets]] * 32
    assert len(host.asked) == 32 + 32 * len(offsets)
    assert busy.most == budgets.CONNECTIONS


@pytest.fixture
def small_budget(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Return how many bytes may be in flight, which are few."""

    async def forget() -> None:
        budgets._budgets.pop(asyncio.get_running_loop(), None)

    monkeypatch.setattr(budgets, "IN_FLIGHT", 50_000)
    loop.run(forget())
    yield budgets.IN_FLIGHT
    loop.run(forget())


def test_no_more_bytes_are_asked_for_than_those_taken_leave_room_for(
    places: Places, small_budget: int
) -> None:
    etag = pieces.head(places.remote).etag
    seen, lock = len(places.server.gets), Lock()
    taken, most = 0, 0
    offsets, sizes = np.arange(0, SIZE - 9000, 30_000), np.full(10, 9000)

    def take(found: Mapping[int, memoryview]) -> None:
        nonlocal taken, most
        sleep(0.02)
        ((number, body),) = found.items()
        start = int(offsets[number])
        assert body == CONTENT[start : start + 9000]
        with lock:
            asked = sum(get.stop - get.start for get in places.server.gets[seen:])
            most = max(most, asked - taken)
            taken += len(body)

    loop.run(ranges.deliver(places.remote, etag, offsets, sizes, take))
    assert taken == 90_000
    assert small_budget / 2 < most <= small_budget


def test_what_is_longer_than_the_budget_is_read_by_itself(places: Places, small_budget: int) -> None:
    offsets, sizes = np.array([0, 200_000, 5, 280_000]), np.array([10, 80_000, 150_000, 20_000])
    assert max(sizes) > small_budget
    found, _ = pieces.read(places.remote, pieces.head(places.remote).etag, offsets, sizes)
    assert [len(body) for body in found] == sizes.tolist()
    assert found[2] == CONTENT[5:150_005]


def test_the_first_failure_for_good_stops_the_requests_of_its_own_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = CONTENT * 102
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(content)
    faults = {("/a.bin", 5): Fault.MISSING}
    offsets, sizes = np.arange(0, len(content), 34_000), np.full(900, 10)

    def plan(path: str, number: int) -> Fault:
        return faults.get((path, number), Fault.DELAYED)

    with RangeServer(tmp_path, plan=plan) as server:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        etags = {name: pieces.head(server.url(name)).etag for name in ("a.bin", "b.bin")}

        def task(name: str) -> list[bytes]:
            found, _ = pieces.read(server.url(name), etags[name], offsets, sizes)
            return [bytes(body) for body in found]

        with ThreadPoolExecutor(2) as pool:
            failing, other = (pool.submit(task, name) for name in etags)
            with pytest.raises(AccessError, match="cannot be read: not found"):
                failing.result()
            assert other.result() == [content[start : start + 10] for start in offsets]
        assert server.misbehaved[Fault.MISSING] == 1
        assert server.numbers["/b.bin"] == len(offsets)
        assert server.numbers["/a.bin"] < len(offsets) / 2


def test_an_error_of_who_takes_the_bytes_stops_the_read_and_is_raised(
    places: Places, small_budget: int
) -> None:
    etag = pieces.head(places.remote).etag
    seen = len(places.server.gets)

    def take(found: Mapping[int, memoryview]) -> None:
        raise KeyError(*found)

    offsets, sizes = np.arange(0, SIZE, 50_000), np.full(6, 30_000)
    assert small_budget < 2 * 30_000  # one by one
    with pytest.raises(KeyError):
        loop.run(ranges.deliver(places.remote, etag, offsets, sizes, take))
    assert 0 < len(places.server.gets) - seen < len(offsets)


def test_late_answers_are_asked_for_again_and_nobody_can_tell_by_the_bytes(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hurry() -> None:
        budgets.here().paces[places.server.host] = pace = Pace(floor_seconds=0.05)
        for _ in range(64):
            pace.record(0.01)

    async def calm() -> None:
        del budgets.here().paces[places.server.host]

    etag = pieces.head(places.remote).etag
    seen = len(places.server.gets)
    monkeypatch.setattr(places.server, "plan", seeded(21, 0.2, [Fault.DELAYED]))
    loop.run(hurry())
    offsets, sizes = np.arange(0, SIZE, 30_000), np.full(10, 500)
    for _ in range(5):
        found, cost = pieces.read(places.remote, etag, offsets, sizes)
        assert [bytes(body) for body in found] == [CONTENT[start : start + 500] for start in offsets]
        assert cost == Cost(10, 5000)
    loop.run(calm())
    gets = Counter(get.fault for get in places.server.gets[seen:] if get.stop - get.start == 500)
    assert gets[Fault.DELAYED] > 5
    assert 50 < gets.total() <= 100


@given(*[st.integers(0, 2**40)] * 4)
def test_costs_add_up(a: int, b: int, c: int, d: int) -> None:
    assert Cost(a, b) + Cost(c, d) == Cost(a + c, b + d)
    assert pickle.loads(pickle.dumps(Cost(a, b))) == Cost(a, b)  # noqa: S301  just made
