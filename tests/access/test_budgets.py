from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import sleep
from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from eoscale.access import budgets, loop
from eoscale.access.budgets import Allowance, Crew

TOTAL = 100
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "leave", "cancel", "settle"]),
        st.integers(0, 2 * TOTAL) | st.integers(0, TOTAL // 4),
    ),
    max_size=40,
)
"""What happens to an allowance: so many bytes are asked for, or one of those who asked leaves."""
Step: TypeAlias = tuple[str, int]


@dataclass
class Holder:
    """Who holds bytes of an allowance from when they are given until told to leave."""

    allowance: Allowance
    nbytes: int
    holds: bool = False
    leave: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.task = asyncio.create_task(self._hold())

    @property
    def share(self) -> int:
        return min(self.nbytes, TOTAL)

    async def _hold(self) -> None:
        async with self.allowance.of(self.nbytes):
            self.holds = True
            try:
                await self.leave.wait()
            finally:
                self.holds = False


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def check(allowance: Allowance, holders: Sequence[Holder]) -> None:
    """Look, once nothing moves any more, at who got bytes and who waits."""
    there = [holder for holder in holders if not holder.task.done()]
    served = [holder for holder in there if holder.holds]
    waiting = there[len(served) :]
    assert served == there[: len(served)], "who asked later was served earlier"
    assert allowance.free == TOTAL - sum(holder.share for holder in served) >= 0
    assert not waiting or waiting[0].share > allowance.free, "who could be served was not"


@given(STEPS)
def test_an_allowance_serves_in_order_and_never_gives_more_than_it_has(steps: Sequence[Step]) -> None:
    async def play() -> None:
        allowance, holders = Allowance(TOTAL), list[Holder]()
        for verb, number in steps:
            there = [holder for holder in holders if not holder.task.done()]
            if verb == "ask":
                holders.append(Holder(allowance, number))
            elif verb == "settle":
                await settle()
                check(allowance, holders)
            elif there:
                chosen = there[number % len(there)]
                chosen.leave.set() if verb == "leave" else chosen.task.cancel()
            assert sum(holder.share for holder in holders if holder.holds) <= TOTAL
        await settle()
        check(allowance, holders)
        for holder in holders:
            holder.leave.set()
        ended = await asyncio.wait_for(
            asyncio.gather(*(holder.task for holder in holders), return_exceptions=True), 5
        )
        assert all(end is None or isinstance(end, asyncio.CancelledError) for end in ended)
        assert allowance.free == TOTAL

    asyncio.run(play())


def test_more_than_there_is_is_given_alone() -> None:
    async def play() -> list[str]:
        allowance, order = Allowance(TOTAL), list[str]()

        async def hold(name: str, nbytes: int) -> None:
            async with allowance.of(nbytes):
                order.append(f"{name} begins")
                await asyncio.sleep(0.001)
                order.append(f"{name} ends")

        await asyncio.gather(hold("small", 1), hold("huge", 10 * TOTAL), hold("other", 1))
        return order

    begins_and_ends = [f"{name} {verb}" for name in ("small", "huge", "other") for verb in ("begins", "ends")]
    assert asyncio.run(play()) == begins_and_ends


def test_those_who_stop_waiting_together_do_not_keep_bytes_from_others() -> None:
    async def play() -> int:
        allowance = Allowance(TOTAL)
        holders = [Holder(allowance, TOTAL), *(Holder(allowance, 10) for _ in range(20))]
        await settle()
        for holder in holders[:-1]:
            holder.task.cancel()
        await settle()
        assert holders[-1].holds
        assert all(holder.task.cancelled() for holder in holders[:-1])
        holders[-1].leave.set()
        await settle()
        return allowance.free

    assert asyncio.run(play()) == TOTAL


class Counting(ThreadPoolExecutor):
    """Threads that count how often they are given work."""

    given = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401  as it is
        self.given += 1
        return super().submit(fn, *args, **kwargs)


@dataclass
class Works:
    """Pieces of work that note where and how many at once they ran."""

    seconds: float = 0.0
    done: list[int] = field(default_factory=list)
    threads: set[threading.Thread] = field(default_factory=set)
    most: int = 0
    _running: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def piece(self, number: int, error: Exception | None = None) -> Callable[[], None]:
        def work() -> None:
            with self._lock:
                self._running += 1
                self.most = max(self.most, self._running)
                self.threads.add(threading.current_thread())
            sleep(self.seconds)
            with self._lock:
                self._running -= 1
                self.done.append(number)
            if error:
                raise error

        return work


def play(scene: Callable[[Crew], Coroutine[Any, Any, None]]) -> Crew:
    """Have a crew work in a loop of its own."""

    async def played() -> Crew:
        crew = Crew()
        crew._pool = Counting(crew._most, thread_name_prefix="crew")
        await asyncio.wait_for(scene(crew), 30)
        crew._pool.shutdown()
        await settle()
        assert crew._busy == 0
        return crew

    return asyncio.run(played())


def given_work(crew: Crew) -> int:
    assert isinstance(crew._pool, Counting)
    return crew._pool.given


def test_work_is_done_in_other_threads_and_no_more_of_them_than_processors() -> None:
    works = Works(seconds=0.001)

    async def scene(crew: Crew) -> None:
        await asyncio.gather(*(crew.do(works.piece(number)) for number in range(100)))

    crew = play(scene)
    assert sorted(works.done) == list(range(100))
    assert min(2, crew._most) <= works.most <= crew._most
    assert len(works.threads) <= crew._most
    assert threading.current_thread() not in works.threads


def test_a_thread_takes_many_pieces_at_once_when_many_wait() -> None:
    works = Works()

    async def scene(crew: Crew) -> None:
        await asyncio.gather(*(crew.do(works.piece(number)) for number in range(6400)))

    crew = play(scene)
    assert sorted(works.done) == list(range(6400))
    assert 100 <= given_work(crew) < 640


def test_a_thread_takes_one_piece_when_one_waits() -> None:
    works = Works()

    async def scene(crew: Crew) -> None:
        for number in range(20):
            await crew.do(works.piece(number))

    assert given_work(play(scene)) == 20
    assert works.done == list(range(20))


@given(st.lists(st.booleans(), max_size=200))
def test_an_exception_reaches_who_asked_for_that_work_and_nobody_else(fails: Sequence[bool]) -> None:
    works = Works()
    errors = [KeyError(number) if fail else None for number, fail in enumerate(fails)]

    async def scene(crew: Crew) -> None:
        asked = (crew.do(works.piece(number, error)) for number, error in enumerate(errors))
        assert await asyncio.gather(*asked, return_exceptions=True) == errors

    play(scene)
    assert sorted(works.done) == list(range(len(fails)))


@given(st.sets(st.integers(0, 99)))
def test_work_that_nobody_waits_for_any_more_is_not_done(cancelled: set[int]) -> None:
    works, goes_on = Works(), threading.Event()

    def block() -> None:
        goes_on.wait(10)

    async def scene(crew: Crew) -> None:
        blocking = [asyncio.create_task(crew.do(block)) for _ in range(crew._most)]
        await settle()
        waiting = [asyncio.create_task(crew.do(works.piece(number))) for number in range(100)]
        await settle()
        for number in cancelled:
            waiting[number].cancel()
        await settle()
        goes_on.set()
        await asyncio.gather(*blocking, *waiting, return_exceptions=True)
        await crew.do(works.piece(100))  # behind those that nobody waits for

    play(scene)
    assert sorted(works.done) == sorted(set(range(101)) - cancelled)


def test_who_leaves_while_the_work_is_done_does_not_stop_the_others() -> None:
    works = Works(seconds=0.02)

    async def scene(crew: Crew) -> None:
        tasks = [asyncio.create_task(crew.do(works.piece(number))) for number in range(10)]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(ended[0], asyncio.CancelledError)
        assert ended[1:] == [None] * 9

    play(scene)
    assert sorted(works.done) == list(range(10))


def test_all_tasks_of_a_process_share_its_budgets() -> None:
    async def here() -> budgets.Budgets:
        return budgets.here()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: loop.run(here()), range(32)))
    assert all(each is found[0] for each in found)
    assert asyncio.run(here()) is not found[0]
