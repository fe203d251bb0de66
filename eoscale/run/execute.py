"""Execution: the tasks of a plan on a cluster, the ledger, and publication."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import perf_counter

from distributed import Client

from eoscale import steps
from eoscale.errors import IncompleteRunError, RunError
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.run import ledger as ledgers
from eoscale.run.futures import windowed
from eoscale.run.ledger import Ledger
from eoscale.run.plan import Plan
from eoscale.run.progress import Watcher
from eoscale.write.work import Batch, Work

_READING, _WRITING = "granules read", "tiles written"


def execute(plan: Plan, output: Path, client: Client, *, work: Work, watcher: Watcher) -> Ledger:
    """Run the tasks of a plan, publish the result, and return the ledger.

    The ledger is written beside the output whatever happens after the granules have been read.

    Parameters
    ----------
    plan : Plan
    output : Path
        Of the store.
    client : distributed.Client
    work : Work
        On a disk that client and workers share.
    watcher : Watcher

    Raises
    ------
    IncompleteRunError
        If a granule failed, or no row was binned and the recipe does not allow that; nothing is published.
    RunError
        If workers died, or counts do not reconcile.
    ConflictError
        If something came into being at the output meanwhile.
    """
    began = perf_counter()
    job = plan.job
    work.save_job(job)
    receipts = _reduce(plan, client, work, watcher)
    work.save_tiles(receipts)
    everything = [receipt for batch in sorted(receipts) for receipt in receipts[batch]]
    ledger = Ledger.of(job, everything, plan.facts())
    ledger.save(ledgers.beside(output))
    _allow(ledger, job)
    sink = steps.sink(job, str(output), everything)
    sink.prepare()
    counts = _write(job, client, work, output, watcher)
    for name in job.columns:
        if counts[name] != ledger.binned(name):
            raise RunError(f"{name}: {ledger.binned(name)} rows were binned, the cube counts {counts[name]}")
    sink.publish()
    elapsed = f"{perf_counter() - began:.1f} s on {len(client.nthreads())} workers"
    ledger = Ledger(frame=ledger.frame, facts={**ledger.facts, "took": elapsed, "published": str(output)})
    ledger.save(ledgers.beside(output))
    return ledger


def _reduce(plan: Plan, client: Client, work: Work, watcher: Watcher) -> dict[Batch, tuple[Receipt, ...]]:
    watcher.begin(_READING, len(plan.job.granules))
    receipts = {}
    for batch, result in windowed(client, partial(steps.reduce_batch, work), plan.batches):
        receipts[batch] = result
        watcher.advance(_READING, len(result))
    return receipts


def _write(job: Job, client: Client, work: Work, output: Path, watcher: Watcher) -> dict[str, int]:
    watcher.begin(_WRITING, job.cube.tiles)
    counts = dict.fromkeys(job.columns, 0)
    write = partial(steps.write_tile, work, str(output))
    for _, result in windowed(client, write, range(job.cube.tiles)):
        counts = {name: counts[name] + result[name] for name in counts}
        watcher.advance(_WRITING, 1)
    return counts


def _allow(ledger: Ledger, job: Job) -> None:
    failed = ledger.frame[ledger.frame["status"] == "failed"]
    if len(failed):
        reasons = "; ".join(failed["reason"].head(3))
        raise IncompleteRunError(
            f"{len(failed)} of {len(ledger.frame)} granules failed, so nothing was published: {reasons}"
        )
    if not job.recipe.allow_empty and not any(ledger.binned(name) for name in job.columns):
        raise IncompleteRunError(
            f"no row was binned ({ledger.sentence()}), so nothing was published: "
            "look at region, period and quality, or set allow_empty"
        )
