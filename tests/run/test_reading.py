from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster
from hypothesis import given
from hypothesis import strategies as st

from eoscale.model.receipt import Receipt
from eoscale.run.plan import Plan, cut
from eoscale.run.progress import Silent
from eoscale.run.reading import CHANCES, known, read, singles
from eoscale.write import partials, places
from eoscale.write.receipts import Finished
from eoscale.write.work import Batch, Work
from tests.write.jobs import job

NUMBER = 14
IDS = [granule.id for granule in job(NUMBER).granules]


class Heard(Silent):
    """A watcher that remembers what it heard."""

    def __init__(self) -> None:
        self.began: list[tuple[int, int]] = []
        self.advanced = 0

    def begin(self, stage: str, total: int, *, done: int = 0) -> None:
        assert stage == "granules read"
        self.began.append((total, done))

    def advance(self, stage: str, number: int) -> None:
        assert stage == "granules read"
        self.advanced += number


def planned(granules_per_batch: int) -> Plan:
    return cut(job(NUMBER), granules_per_batch=granules_per_batch)


def worked(folder: Path) -> Work:
    return Work(folder=str(folder), digest=planned(1).job.digest)


def leave(
    work: Work, batch: Batch, *, log: str = "", killers: tuple[int, ...] = (), bad: tuple[int, ...] = ()
) -> Finished:
    """Do what a task does, but for the reading: die of some granules, and write down who was read."""
    for granule in range(*batch):
        if log:
            with Path(log).open("a") as file:
                file.write("died\n" if granule in killers else f"{granule}\n")
        if granule in killers:
            os.kill(os.getpid(), signal.SIGKILL)
    places.make(work.left(batch).parent)
    receipts = [
        Receipt(granule=IDS[granule], failure="AccessError: late" if granule in bad else "")
        for granule in range(*batch)
    ]
    return work.finish(batch, receipts, partials.save(work.left(batch), {}))


def granules(finished: Iterable[Finished]) -> list[int]:
    """Return the positions of granules, each as often as it is there."""
    return sorted(IDS.index(receipt.granule) for each in finished for receipt in each.receipts)


@given(size=st.integers(1, 6), data=st.data())
def test_what_is_finished_and_what_is_left_are_all_granules_each_once(
    tmp_path_factory: pytest.TempPathFactory, size: int, data: st.DataObject
) -> None:
    plan, work = planned(size), worked(tmp_path_factory.mktemp("work"))
    some = st.lists(st.sampled_from(plan.batches), unique=True)
    done = {*data.draw(some)}
    done |= {
        each for batch in data.draw(some) for each in data.draw(st.sets(st.sampled_from(singles(batch))))
    }
    bad = tuple(data.draw(st.sets(st.integers(0, NUMBER - 1))))
    for batch in done:
        leave(work, batch, bad=bad)
    finished, left = known(plan, work)
    assert sorted([*granules(finished), *(g for batch in left for g in range(*batch))]) == [*range(NUMBER)]
    good = {granule for batch in done for granule in range(*batch)} - {*bad}
    assert good <= {*granules(finished)}
    assert not {*bad} & {*granules(finished)}


def test_only_what_no_attempt_finished_is_read(scheduler: str, tmp_path: Path) -> None:
    plan, work, log = planned(4), worked(tmp_path), tmp_path / "log"
    function = partial(leave, log=str(log))
    with Client(scheduler) as client:
        first, second, third = Heard(), Heard(), Heard()
        finished = read(function, replace(plan, batches=plan.batches[:2]), client, work, first)
        assert granules(finished) == [*range(8)]
        everything = read(function, plan, client, work, second)
        assert read(function, plan, client, work, third) == everything
    assert granules(everything) == [*range(NUMBER)]
    assert sorted(map(int, log.read_text().split())) == [*range(NUMBER)]
    assert [
        (first.began, first.advanced),
        (second.began, second.advanced),
        (third.began, third.advanced),
    ] == [
        ([(NUMBER, 0)], 8),
        ([(NUMBER, 8)], 6),
        ([(NUMBER, NUMBER)], 0),
    ]


def test_only_the_granules_that_failed_are_read_once_more(scheduler: str, tmp_path: Path) -> None:
    plan, work, log = planned(5), worked(tmp_path), tmp_path / "log"
    with Client(scheduler) as client:
        first = read(partial(leave, bad=(1, 3, 12)), plan, client, work, Heard())
        assert sum(each.failed for each in first) == 2
        again = read(partial(leave, log=str(log), bad=(3,)), plan, client, work, Heard())
        assert sorted(map(int, log.read_text().split())) == [1, 3, 12]
        assert [granules([each]) for each in again if each.failed] == [[3]]
        last = read(partial(leave, log=str(log)), plan, client, work, Heard())
    assert sorted(map(int, log.read_text().split())) == [1, 3, 3, 12]
    assert granules(last) == [*range(NUMBER)]
    assert not any(each.failed for each in last)


@pytest.fixture
def impatient() -> Iterator[Client]:
    """Return a client of a cluster that blames a task for the first death."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def test_a_granule_that_kills_workers_is_left_out_and_its_neighbours_are_read(
    impatient: Client, tmp_path: Path
) -> None:
    plan, work, log = planned(7), worked(tmp_path), tmp_path / "log"
    finished = read(partial(leave, log=str(log), killers=(3,)), plan, impatient, work, Heard())
    read_or_died = log.read_text().split()
    # in its batch, among single granules, and alone
    assert read_or_died.count("died") == 2 + CHANCES
    # those that stand before it in its batch were read when it killed the first worker
    assert {*read_or_died} - {"died"} == {str(granule) for granule in range(NUMBER) if granule != 3}
    assert granules(finished) == [*range(NUMBER)]
    (failed,) = (each for each in finished if each.failed)
    assert granules([failed]) == [3]
    assert "workers died of it again and again" in failed.receipts[0].failure
    # whoever runs it again with more memory gives it another chance, and the others are not read again
    again, left = known(plan, work)
    assert left == [(3, 4)]
    assert granules(again) == [granule for granule in range(NUMBER) if granule != 3]
