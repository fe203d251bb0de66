"""The quota of Copernicus, which holds for all workers of a cluster together."""

from __future__ import annotations

import os
import random
import signal
import time

import dask
import numpy as np
import pytest
from distributed import Client, Future, LocalCluster, as_completed

from eoscale.access import keeper, loop, ranges
from eoscale.access.spans import Span
from eoscale.run.broker import connect
from tests.servers.logins import Copernicus

CONTENT = random.Random(3).randbytes(10_000)  # noqa: S311  no secret
LEASE, TASKS = 5.0, 400
"""Seconds of a lease without its worker, and tasks of one request each."""


def read(url: str, number: int) -> bytes:
    """Return some bytes of an object, as a task."""
    spans = [Span(number, number + 100, ())]
    return bytes(loop.run(ranges.fetch(url, '"1"', spans))[0])


def test_four_workers_of_eight_threads_ask_for_no_more_than_one_user_may_also_after_deaths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {
        "distributed.scheduler.locks.lease-timeout": f"{LEASE}s",
        "distributed.scheduler.locks.lease-validation-interval": "0.5s",
        "distributed.nanny.environ": {"DASK_DISTRIBUTED__SCHEDULER__LOCKS__LEASE_TIMEOUT": f"{LEASE}s"},
    }
    with Copernicus(CONTENT) as service, dask.config.set(settings):
        service.seconds = 0.05
        for name, value in service.environment().items():
            monkeypatch.setenv(name, value)
        keeper.use(keeper.Keeper())
        with (
            LocalCluster(
                n_workers=4, threads_per_worker=8, host="127.0.0.1", dashboard_address="127.0.0.1:0"
            ) as cluster,
            Client(cluster) as client,
        ):
            connect(client)
            futures = client.map(read, [service.url] * TASKS, range(TASKS), pure=False)
            held = _kill_three(client, cluster, futures)
            time.sleep(LEASE + 3)
            freed = held - _leases(cluster)
            numbers = {future.key: number for number, future in enumerate(futures)}
            for future in as_completed(futures):
                number = numbers[future.key]
                assert future.result() == CONTENT[number : number + 100]
    assert service.nodes.most_open == 4
    times = np.array(service.times)
    # of any ten seconds, so of any minute
    assert (np.searchsorted(times, times + 10) - np.arange(times.size)).max() <= 2000 / 6
    assert times.size >= TASKS
    # the dead held permits, which are free when nobody has heard of them for a while
    assert held
    assert freed == held


def _leases(cluster: LocalCluster) -> set[str]:
    """Return the permits that are held."""
    assert cluster.scheduler
    return set(cluster.scheduler.extensions["semaphores"].leases["eoscale-cdse"])


def _kill_three(client: Client, cluster: LocalCluster, futures: list[Future[bytes]]) -> set[str]:
    """Kill all workers but one when all are at work, and return the permits that died with them."""
    while sum(future.done() for future in futures) < 60:
        time.sleep(0.05)
    for process in sorted(client.run(os.getpid).values())[:3]:
        os.kill(process, signal.SIGKILL)
    time.sleep(0.1)
    held = _leases(cluster)
    time.sleep(LEASE / 2)  # nobody who lives holds one so long
    return held & _leases(cluster)
