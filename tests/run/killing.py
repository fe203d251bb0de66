"""Workers that are killed, one every so often, as a machine without memory kills them."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic, sleep
from typing import NamedTuple, Self

import dask
from distributed import Client, LocalCluster
from distributed.utils import get_mp_context

from eoscale.run.cluster import connected


@contextmanager
def cluster(workers: int, environment: Mapping[str, str]) -> Iterator[Client]:
    """Give a client of a cluster as runs make it, whose workers are back soon after they died.

    They are forks of a process that has imported everything: importing takes seconds of a processor, which at
    one death a second is all that a small machine has.

    None of them is given up. Else distributed looks 15 s after a death whether that worker is back, and drops
    it for good where it is not, even if it has just died again (``SpecCluster._update_worker_status``).
    """
    settings = {
        "distributed.deploy.lost-worker-timeout": "1h",
        "distributed.worker.multiprocessing-method": "forkserver",
        "distributed.nanny.environ": dict(environment),
    }
    with dask.config.set(settings):
        get_mp_context().set_forkserver_preload(["eoscale.run.reading", "eoscale.steps.statistics"])
        with connected("local", workers=workers) as client:
            yield client


class Death(NamedTuple):
    """A worker process that was killed."""

    process: int
    tasks: int
    """That it had in hand."""


class Killer:
    """Kills a worker of a local cluster every so many seconds, for as long as the context lasts.

    Which one, a seed says. If none is there, it waits for the first that comes back.
    """

    def __init__(self, client: Client, *, seconds: float, seed: int) -> None:
        assert isinstance(client.cluster, LocalCluster)
        self.deaths: list[Death] = []
        self._cluster = client.cluster
        self._seconds = seconds
        self._dice = random.Random(seed)  # noqa: S311  no secret
        self._over = Event()
        self._thread = Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def gone(self) -> int:
        """How many of those that were killed are no process any more."""
        return sum(not _there(death.process) for death in self.deaths)

    def living(self, number: int, *, seconds: float) -> int:
        """Return how many workers there are whom nobody has killed, as soon as they are so many.

        They are waited for so long, as those that die last have yet to come back.
        """
        killed = {death.process for death in self.deaths}
        end = monotonic() + seconds
        while True:
            living = {one.process for one in self._alive()} - killed
            if len(living) >= number or monotonic() > end:
                return len(living)
            sleep(0.05)

    def _work(self) -> None:
        while not self._over.wait(self._seconds):
            while not (alive := self._alive()) and not self._over.wait(0.01):
                pass
            if alive:
                death = self._dice.choice(alive)
                os.kill(death.process, signal.SIGKILL)
                self.deaths.append(death)

    def _alive(self) -> list[Death]:
        """Return the processes that the scheduler knows as workers."""
        scheduler = self._cluster.scheduler
        known = scheduler.workers if scheduler else {}
        nannies = list(self._cluster.workers.values())
        pairs = [(nanny.pid, known.get(nanny.worker_address)) for nanny in nannies]
        return [Death(process, len(worker.processing)) for process, worker in pairs if process and worker]


def _there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
