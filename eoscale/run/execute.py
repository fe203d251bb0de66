"""Execution: the tasks of a plan on a cluster, the ledger, and publication."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

from distributed import Client

from eoscale.errors import ConflictError, RunError
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.model.sink import Sink
from eoscale.model.vocabulary import Output
from eoscale.run import ledger as ledgers
from eoscale.run import reading
from eoscale.run.futures import windowed
from eoscale.run.ledger import Ledger
from eoscale.run.plan import Plan
from eoscale.run.policy import permit
from eoscale.run.progress import Watcher
from eoscale.steps import statistics, table
from eoscale.write import publish
from eoscale.write.places import place
from eoscale.write.receipts import Finished
from eoscale.write.work import Batch, Unit, Work

CHANCES = 3
"""Attempts at a unit of which workers die, each of as many workers as Dask allows a task."""


@dataclass(frozen=True)
class _Line:
    """The functions along which a job travels: statistics go one way, observations another."""

    read: Callable[[Work, Batch], Finished]
    units: Callable[[Job, Sequence[Receipt]], Sequence[Any]]
    """What is written apart: tiles, or parts of a table."""
    writer: Callable[[Work, Output, Sequence[Receipt]], Callable[[Any], dict[str, int]]]
    sink: Callable[[Work, Output, Sequence[Receipt]], Sink[Any, Any]]
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
        On a disk that client and workers share, or in a bucket.
    watcher : Watcher

    Raises
    ------
    IncompleteRunError
        If more granules failed than may, or no row was binned and the recipe does not allow that; nothing is
        published.
    RunError
        If workers died, or counts do not reconcile.
    ConflictError
        If something came into being at the output meanwhile.
    """
    began = perf_counter()
    job = plan.job
    line = _TABLE if job.recipe.reduce is None else _STATISTICS
    beside = ledgers.beside(place(output.path))
    work.save_job(job)
    finished = reading.read(line.read, plan, client, work, watcher)
    receipts = [receipt for each in finished for receipt in each.receipts]
    earlier = sum(len(each.receipts) for each in finished if each.source not in ("", work.digest[:16]))
    reused = {"reused": f"{earlier:,} granules, as earlier jobs read them"} if earlier else {}
    ledger = Ledger.of(job, receipts, plan.facts() | reused)
    ledger.save(beside)
    permit(ledger, job)
    staged = work.staged(finished)
    counts = _write(line, client, staged, output, receipts, watcher)
    for name in job.columns:
        if counts[name] != ledger.binned(name):
            raise RunError(
                f"{name}: {ledger.binned(name)} rows were binned, {counts[name]} are in the result"
            )
    # CSV and JSON cannot say who made them: the ledger does, even if this process dies before its last line
    Ledger(frame=ledger.frame, facts=ledger.facts, job=job.digest).save(beside)
    try:
        line.sink(staged, output, receipts).publish()
    except ConflictError:
        if publish.published(place(output.path)) != job.digest:
            ledger.save(beside)  # what came into being there is not this job's
            raise
    elapsed = f"{perf_counter() - began:.1f} s on {len(client.nthreads())} workers"
    facts = {**ledger.facts, "took": elapsed, "published": output.path}
    ledger = Ledger(frame=ledger.frame, facts=facts, job=job.digest)
    ledger.save(beside)
    return ledger


def _write(
    line: _Line, client: Client, work: Work, output: Output, receipts: Sequence[Receipt], watcher: Watcher
) -> dict[str, int]:
    """Write the units that no earlier attempt wrote, and return how many rows are in all of them."""
    job = work.job()
    sink = line.sink(work, output, receipts)
    units = line.units(job, receipts)
    missing = set(sink.missing())
    known = work.written()
    written = {unit: known[unit] for unit in units if unit in known and unit not in missing}
    work.forget_others()
    sink.prepare()
    watcher.begin(line.written, len(units), done=len(written))
    left = [unit for unit in units if unit not in written]
    work.forget(left)
    write = partial(_once, line.writer(work, output, receipts), work)
    for _ in range(CHANCES):
        killed: list[Unit] = []
        for unit, counts in windowed(client, write, left, killed=killed.append):
            written[unit] = counts
            watcher.advance(line.written, 1)
        left = killed
    if left:
        raise RunError(
            f"workers died while they wrote {len(left):,} of {len(units):,} blocks of the result, again and "
            "again: give them more memory, and run again"
        )
    return {name: sum(counts[name] for counts in written.values()) for name in job.columns}


def _once(write: Callable[[Unit], dict[str, int]], work: Work, unit: Unit) -> dict[str, int]:
    """Return the counts of a unit, which is not written again where a worker died just after writing it."""
    return work.counts(unit) or write(unit)
