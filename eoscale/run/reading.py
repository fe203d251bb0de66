"""The reading of a run: what an earlier attempt finished is left alone, and deaths are looked into."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

from distributed import Client

from eoscale.model.receipt import Receipt
from eoscale.run.futures import TASKS_PER_THREAD, windowed
from eoscale.run.plan import Plan
from eoscale.run.progress import Watcher
from eoscale.write.receipts import Finished
from eoscale.write.work import Batch, Work

STAGE = "granules read"
CHANCES = 2
"""Attempts at a granule while nothing else is read, each of as many workers as Dask allows a task."""
DEADLY = "RunError: workers died of it again and again: give them more memory, or leave it out"


def read(
    function: Callable[[Work, Batch], Finished], plan: Plan, client: Client, work: Work, watcher: Watcher
) -> dict[Batch, Finished]:
    """Return what became of every granule of a plan.

    Workers die of what they read, and of other causes, and Dask blames all that they had in hand. So the
    granules of a batch that is blamed are read each by itself, and those that are blamed again while nothing
    else is read. What kills workers even then is left out, as a failure.

    Parameters
    ----------
    function : callable
        Reads a batch, and leaves its partials and receipts in the work folder.
    plan : Plan
    client : distributed.Client
    work : Work
        Batches that were finished there, without a failure, are not read again.
    watcher : Watcher

    Raises
    ------
    RunError
        If the cluster is lost.
    """
    finished, left = known(plan, work)
    job = plan.job
    watcher.begin(STAGE, len(job.granules), done=sum(len(each.receipts) for each in finished.values()))
    suspects: list[Batch] = []

    def attempt(batches: list[Batch], *, alone: bool = False) -> None:
        window = 0 if alone else TASKS_PER_THREAD
        tasks = windowed(
            client, partial(once, function, work), batches, killed=suspects.append, tasks_per_thread=window
        )
        for batch, result in tasks:
            finished[batch] = result
            watcher.advance(STAGE, len(result.receipts))

    def taken() -> list[Batch]:
        some, suspects[:] = [single for batch in sorted(suspects) for single in singles(batch)], []
        return some

    attempt(left)
    attempt(taken())
    for _ in range(CHANCES):
        attempt(taken(), alone=True)
    for start, stop in taken():
        finished[start, stop] = Finished((Receipt(granule=job.granules[start].id, failure=DEADLY),), "")
        watcher.advance(STAGE, 1)
    return finished


def once(function: Callable[[Work, Batch], Finished], work: Work, batch: Batch) -> Finished:
    """Return what became of a batch, which is not read again where a worker died just after reading it."""
    done = work.finished([batch]).get(batch)
    return function(work, batch) if done is None or done.failed else done


def known(plan: Plan, work: Work) -> tuple[dict[Batch, Finished], list[Batch]]:
    """Return the batches that an earlier attempt finished, and those that are left to read.

    Granules that failed, and those of a batch of which workers died, are read each by itself; so are
    finished ones kept whose neighbours were not.
    """
    finished: dict[Batch, Finished] = {}
    left: list[Batch] = []
    for batch in plan.batches:
        whole = work.finished([batch]).get(batch, Finished((), ""))
        good = {
            position: receipt
            for position, receipt in zip(singles(batch), whole.receipts, strict=False)
            if not receipt.failure
        }
        others = [single for single in singles(batch) if single not in good]
        alone = {single: each for single, each in work.finished(others).items() if not each.failed}
        if good:
            finished[batch] = Finished(tuple(good.values()), whole.content)
        finished |= alone
        if good or alone or whole.receipts:
            left += [single for single in others if single not in alone]
        else:
            left.append(batch)
    return finished, left


def singles(batch: Batch) -> list[Batch]:
    """Return a batch of each granule of a batch.

    Examples
    --------
    >>> singles((3, 5))
    [(3, 4), (4, 5)]
    """
    start, stop = batch
    return list(pairwise(range(start, stop + 1)))
