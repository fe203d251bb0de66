"""Budgets: what the tasks of a process share, so that all together ask no more of servers and memory."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio import AbstractEventLoop, Future
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from eoscale.access.attempts import Patience
from eoscale.access.pace import AT_ONCE, Pace

if sys.platform != "win32":
    from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit


def _most_files() -> int:
    """Return how many files a process may have open, sockets among them."""
    if sys.platform == "win32":
        return 1024
    soft, _ = getrlimit(RLIMIT_NOFILE)
    return 1024 if soft == RLIM_INFINITY else soft


CONNECTIONS = min(AT_ONCE, _most_files() // 4)
"""Requests in flight."""
HEDGES = 4
"""Second requests for late ranges in flight, beside them."""
IN_FLIGHT = 96 * 2**20
"""Bytes that have been asked for and are not yet worked on: what comes in the time of an answer, at most."""
HELD = 192 * 2**20
"""Bytes of files that are kept while their metadata are read."""
PATIENCE = Patience()
_PIECES = 64
"""That a thread takes at once, at most."""


class Allowance:
    """So many bytes at a time; who asked first is served first.

    Examples
    --------
    >>> async def example():
    ...     allowance = Allowance(100)
    ...     async with allowance.of(60), allowance.of(40):
    ...         return allowance.free
    >>> asyncio.run(example())
    0
    """

    def __init__(self, total: int) -> None:
        self._total = self.free = total
        self._waiting: deque[tuple[int, Future[None]]] = deque()

    @asynccontextmanager
    async def of(self, nbytes: int) -> AsyncIterator[None]:
        """Hold so many bytes; all of them where there are not so many."""
        share = min(nbytes, self._total)
        await self._take(share)
        try:
            yield
        finally:
            self._give(share)

    async def _take(self, share: int) -> None:
        if not self._waiting and share <= self.free:
            self.free -= share
            return
        turn: Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((share, turn))
        try:
            await turn
        except asyncio.CancelledError:
            # it had just been served, or the next ones need not wait for it any more
            self._give(0 if turn.cancelled() else share)
            raise

    def _give(self, share: int) -> None:
        self.free += share
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self.free):
            nbytes, turn = self._waiting.popleft()
            if not turn.done():  # it was cancelled
                self.free -= nbytes
                turn.set_result(None)


class Crew:
    """A thread for each processor, which take many pieces of work at once when many are there.

    A chunk is decoded in less time than a thread needs to be woken.
    """

    def __init__(self) -> None:
        self._most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._most, thread_name_prefix="eoscale-crew")
        self._waiting: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._busy = 0

    async def do(self, work: Callable[[], None]) -> None:
        """Have a function called, and raise what it raises."""
        done: Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, done))
        self._start()
        await done

    def _start(self) -> None:
        while self._waiting and self._busy < self._most:
            share = min(_PIECES, -(-len(self._waiting) // (self._most - self._busy)))
            some = [self._waiting.popleft() for _ in range(share)]
            self._busy += 1
            self._pool.submit(self._work, some, asyncio.get_running_loop())

    def _work(self, some: list[tuple[Callable[[], None], Future[None]]], loop: AbstractEventLoop) -> None:
        outcomes: list[tuple[Future[None], Exception | None]] = []
        for work, done in some:
            error: Exception | None = None
            try:
                if not done.cancelled():
                    work()
            except Exception as raised:  # noqa: BLE001  raised where it is awaited
                error = raised
            outcomes.append((done, error))
        loop.call_soon_threadsafe(self._finished, outcomes)

    def _finished(self, outcomes: list[tuple[Future[None], Exception | None]]) -> None:
        self._busy -= 1
        for done, error in outcomes:
            if done.cancelled():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
        self._start()


@dataclass
class Budgets:
    """The budgets of a process."""

    connections: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTIONS))
    hedges: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(HEDGES))
    in_flight: Allowance = field(default_factory=lambda: Allowance(IN_FLIGHT))
    held: Allowance = field(default_factory=lambda: Allowance(HELD))
    crew: Crew = field(default_factory=Crew)
    paces: defaultdict[str, Pace] = field(default_factory=lambda: defaultdict(Pace))
    """By host."""


_budgets: WeakKeyDictionary[AbstractEventLoop, Budgets] = WeakKeyDictionary()


def here() -> Budgets:
    """Return the budgets of the running loop: a process has one, and a forked process its own."""
    loop = asyncio.get_running_loop()
    if loop not in _budgets:
        _budgets[loop] = Budgets()
    return _budgets[loop]
