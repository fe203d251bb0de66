"""Batches: granules that share a task, and what became of each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeVar

from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.steps.observe import Observations, Observed, observations
from eoscale.write.work import Batch

T = TypeVar("T")

GRANULES_PER_BATCH = 16
"""A task costs the scheduler about as much as reading a small granule, and while one granule waits for bytes
another one is worked on."""


def cut(job: Job, *, granules_per_batch: int = GRANULES_PER_BATCH) -> tuple[Batch, ...]:
    """Return the batches of a job: all granules, in order.

    Parameters
    ----------
    job : Job
    granules_per_batch : int
        At most so many, and at most the recipe's ``batch_bytes`` together, but always one. All batches have
        as many as far as possible: the last one keeps nobody waiting.
    """
    most = -(-len(job.granules) // max(1, -(-len(job.granules) // granules_per_batch)))
    batches: list[Batch] = []
    start = nbytes = 0
    for position, granule in enumerate(job.granules):
        full = position - start >= most or nbytes + granule.size > job.recipe.batch_bytes
        if position > start and full:
            batches.append((start, position))
            start, nbytes = position, 0
        nbytes += granule.size
    if len(job.granules) > start:
        batches.append((start, len(job.granules)))
    return tuple(batches)


def each(job: Job, batch: Batch, *, columns: Iterable[str] | None = None) -> Iterator[tuple[int, Observed]]:
    """Yield the observations of the granules of a batch, or why there are none, as they come.

    Each has the position of its granule in the job.
    """
    granules = [job.granules[position] for position in range(*batch)]
    return ((batch[0] + number, seen) for number, seen in observations(job, granules, columns=columns))


def accounted(
    job: Job, batch: Batch, act: Callable[[Observations], tuple[T, Receipt]]
) -> list[tuple[T | None, Receipt]]:
    """Return what a function makes of the granules of a batch, each with its receipt, in order.

    A granule that cannot be used gives None and a receipt that says why, and does not stop the others. They
    are read at once: each has its share of the time.
    """
    began = time.perf_counter()
    done: dict[int, tuple[T | None, Receipt]] = {}
    for position, seen in each(job, batch):
        if isinstance(seen, Observations):
            done[position] = act(seen)
        else:
            reason = f"{type(seen).__name__}: {seen}"
            done[position] = None, Receipt(granule=job.granules[position].id, failure=reason)
    seconds = (time.perf_counter() - began) / len(done)
    measured = partial(replace, seconds=seconds, finished=time.time(), process=os.getpid())
    ordered = (done[position] for position in range(*batch))
    return [(made, receipt if receipt.failure else measured(receipt)) for made, receipt in ordered]
