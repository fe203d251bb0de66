"""The reading of a run: what an earlier attempt finished is left alone, and deaths are looked into."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from functools import partial
from itertools import groupby, pairwise

from distributed import Client

from eoscale.errors import RecipeError, RunError
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.run.futures import TASKS_PER_THREAD, windowed
from eoscale.run.plan import Plan
from eoscale.run.progress import Watcher
from eoscale.steps.reuse import Reuse
from eoscale.write.pieces import NOTHING
from eoscale.write.receipts import Finished
from eoscale.write.work import Batch, Work

STAGE = "granules read"
CHANCES = 2
"""Attempts at a granule while nothing else is read, each of as many workers as Dask allows a task."""
DEADLY = "RunError: workers died of it again and again: give them more memory, or leave it out"


def read(
    function: Callable[[Work, Batch], Finished], plan: Plan, client: Client, work: Work, watcher: Watcher
) -> list[Finished]:
    """Return what became of every granule of a plan, in the order of ids.

    Workers die of what they read, and of other causes, and Dask blames all that they had in hand. So the
    granules of a batch that is blamed are read each by itself, and those that are blamed again while nothing
    else is read. What kills workers even then is left out, as a failure.

    Parameters
    ----------
    function : callable
        Reads a batch, and leaves what it comes to and a receipt in the work folder.
    plan : Plan
    client : distributed.Client
    work : Work
        Granules that were read there are not read again, unless they failed.
    watcher : Watcher

    Raises
    ------
    RunError
        If the cluster is lost.
    """
    finished, left = known(plan, work)
    job = plan.job
    watcher.begin(STAGE, len(job.granules), done=sum(len(each.receipts) for each in finished))
    suspects: list[Batch] = []

    def attempt(batches: list[Batch], *, alone: bool = False) -> None:
        window = 0 if alone else TASKS_PER_THREAD
        tasks = windowed(
            client, partial(once, function, work), batches, killed=suspects.append, tasks_per_thread=window
        )
        for _, result in tasks:
            finished.append(result)
            watcher.advance(STAGE, len(result.receipts))

    def taken() -> list[Batch]:
        some, suspects[:] = [single for batch in sorted(suspects) for single in singles(batch)], []
        return some

    attempt(left)
    attempt(taken())
    for _ in range(CHANCES):
        attempt(taken(), alone=True)
    for start, _ in taken():
        finished.append(Finished((Receipt(granule=job.granules[start].id, failure=DEADLY),), NOTHING))
        watcher.advance(STAGE, 1)
    return sorted(finished, key=lambda each: each.receipts[0].granule)


def once(function: Callable[[Work, Batch], Finished], work: Work, batch: Batch) -> Finished:
    """Return what became of a batch, which is not read again where a worker died just after reading it."""
    done = work.finished(batch)
    return function(work, batch) if done is None or done.failed else done


def known(plan: Plan, work: Work) -> tuple[list[Finished], list[Batch]]:
    """Return what became of the granules that need not be read, and batches of those that are left.

    Attempts at this job have read some, and other jobs in the same folder perhaps, for whom they meant the
    same. Granules that failed, and those of a batch of which workers died, are read each by itself.
    """
    job = plan.job
    positions = {granule.id: number for number, granule in enumerate(job.granules)}
    failed: set[str] = set()
    have: set[str] = set()
    finished = []
    for each, holds in _candidates(work, job):
        good = [receipt for receipt in each.receipts if not receipt.failure]
        if each.source == work.digest[:16]:
            failed |= {receipt.granule for receipt in each.receipts if receipt.failure}
        new = [one for one in good if one.granule in positions and one.granule not in have]
        kept = [one for one in new if holds(one.granule)]
        if kept:
            counted = frozenset(receipt.granule for receipt in kept)
            have |= counted
            partly = counted if len(kept) < len(good) else None
            finished.append(each._replace(receipts=tuple(kept), counted=partly))
    gone = {positions[name] for name in have}
    alone = {positions[name] for name in failed} - gone
    return finished, [left for batch in plan.batches for left in _left(batch, gone, alone)]


def _candidates(work: Work, job: Job) -> Iterator[tuple[Finished, Callable[[str], bool]]]:
    """Yield what batches of this job and of others left, and which of its granules that holds for."""
    for each in work.known().values():
        yield each, lambda _granule: True
    for other in work.others():
        try:
            common = Reuse.of(job, other.job())
        except (RunError, RecipeError):
            continue  # another version of eoscale was here
        if common is not None:
            for each in other.known().values():
                yield each._replace(later=common.later), common.holds


def _left(batch: Batch, gone: Container[int], alone: Container[int]) -> Iterator[Batch]:
    """Yield what is left of a batch: granules that are read each by itself, and those that lie together."""
    start, stop = batch
    kinds = groupby(
        range(start, stop), lambda position: (position in gone, position in alone and position + 1)
    )
    for (done, _), some in kinds:
        if not done:
            first, *others = some
            yield first, (others or [first])[-1] + 1


def singles(batch: Batch) -> list[Batch]:
    """Return a batch of each granule of a batch.

    Examples
    --------
    >>> singles((3, 5))
    [(3, 4), (4, 5)]
    """
    start, stop = batch
    return list(pairwise(range(start, stop + 1)))
