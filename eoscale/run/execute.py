"""Execution: the tasks of a plan on a cluster, the ledger, and publication."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from distributed import Client

from eoscale.errors import ConflictError, IncompleteRunError, RunError
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.model.sink import Sink
from eoscale.model.vocabulary import Output
from eoscale.run import ledger as ledgers
from eoscale.run.futures import windowed
from eoscale.run.ledger import Ledger
from eoscale.run.plan import Plan
from eoscale.run.progress import Watcher
from eoscale.steps import statistics, table
from eoscale.write.work import Batch, Work

_READING = "granules read"


@dataclass(frozen=True)
class _Line:
    """The functions along which a job travels: statistics go one way, observations another."""

    read: Callable[[Work, Batch], tuple[Receipt, ...]]
    units: Callable[[Job, Sequence[Receipt]], Sequence[Any]]
    """What is written apart: tiles, or parts of a table."""
    writer: Callable[[Work, Output, Sequence[Receipt]], Callable[[Any], dict[str, int]]]
    sink: Callable[[Job, Output, Sequence[Receipt]], Sink[Any, Any]]
    written: str


_STATISTICS = _Line(
    statistics.read_batch, statistics.tiles, statistics.writer, statistics.sink, "tiles written"
)
_TABLE = _Line(table.read_batch, table.parts, table.writer, table.sink, "parts written")


def execute(plan: Plan, output: Output, client: Client, *, work: Work, watcher: Watcher) -> Ledger:
    """Run the tasks of a plan, publish the result, and return the ledger.

    The ledger is written beside the output whatever happens after the granules have been read.

    Parameters
    ----------
    plan : Plan
    output : Output
        An absolute path.
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
    line = _TABLE if job.recipe.reduce is None else _STATISTICS
    beside = ledgers.beside(Path(output.path))
    work.save_job(job)
    receipts = _read(line, plan, client, work, watcher)
    work.save_tiles(receipts)
    everything = [receipt for batch in sorted(receipts) for receipt in receipts[batch]]
    ledger = Ledger.of(job, everything, plan.facts())
    ledger.save(beside)
    _allow(ledger, job)
    sink = line.sink(job, output, everything)
    sink.prepare()
    counts = dict.fromkeys(job.columns, 0)
    units = line.units(job, everything)
    watcher.begin(line.written, len(units))
    for _, result in windowed(client, line.writer(work, output, everything), units):
        counts = {name: counts[name] + result[name] for name in counts}
        watcher.advance(line.written, 1)
    for name in job.columns:
        if counts[name] != ledger.binned(name):
            raise RunError(
                f"{name}: {ledger.binned(name)} rows were binned, {counts[name]} are in the result"
            )
    # CSV and JSON cannot say who made them: the ledger does, even if this process dies before its last line
    Ledger(frame=ledger.frame, facts=ledger.facts, job=job.digest).save(beside)
    try:
        sink.publish()
    except ConflictError:
        ledger.save(beside)  # what came into being there is not this job's
        raise
    elapsed = f"{perf_counter() - began:.1f} s on {len(client.nthreads())} workers"
    facts = {**ledger.facts, "took": elapsed, "published": output.path}
    ledger = Ledger(frame=ledger.frame, facts=facts, job=job.digest)
    ledger.save(beside)
    return ledger


def _read(
    line: _Line, plan: Plan, client: Client, work: Work, watcher: Watcher
) -> dict[Batch, tuple[Receipt, ...]]:
    watcher.begin(_READING, len(plan.job.granules))
    receipts = {}
    for batch, result in windowed(client, partial(line.read, work), plan.batches):
        receipts[batch] = result
        watcher.advance(_READING, len(result))
    return receipts


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
            "look at region, period, quality and where, or set allow_empty"
        )
