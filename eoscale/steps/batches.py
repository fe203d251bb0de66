"""Batches: granules that share a task, and what became of each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from eoscale.errors import AccessError, GranuleError
from eoscale.hdf5.index import Indexed, indexes
from eoscale.model.granule import Granule
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.write.work import Batch

T = TypeVar("T")

GRANULES_PER_BATCH = 8
"""A task costs the scheduler about as much as reading a small granule: share it among some."""
GRANULES_AT_ONCE = 4
"""Of one batch, to hide the wait for bytes; decoding and reducing take turns on the processor."""


def cut(job: Job, *, granules_per_batch: int = GRANULES_PER_BATCH) -> tuple[Batch, ...]:
    """Return the batches of a job: all granules, in order.

    Parameters
    ----------
    job : Job
    granules_per_batch : int
        At most so many, and at most the recipe's ``batch_bytes`` together, but always one.
    """
    batches: list[Batch] = []
    start = nbytes = 0
    for position, granule in enumerate(job.granules):
        full = position - start >= granules_per_batch or nbytes + granule.size > job.recipe.batch_bytes
        if position > start and full:
            batches.append((start, position))
            start, nbytes = position, 0
        nbytes += granule.size
    if len(job.granules) > start:
        batches.append((start, len(job.granules)))
    return tuple(batches)


def each(job: Job, batch: Batch, act: Callable[[Granule, Indexed], T]) -> list[T]:
    """Return what a function makes of the granules of a batch and their indexes, in order.

    All are indexed at once, and then some are worked on at once.
    """
    granules = [job.granules[position] for position in range(*batch)]
    found = indexes(granules, job.full_paths)
    with ThreadPoolExecutor(min(GRANULES_AT_ONCE, len(granules))) as pool:
        return list(pool.map(act, granules, found))


def accounted(
    job: Job, batch: Batch, act: Callable[[Granule, Indexed], tuple[T, Receipt]]
) -> list[tuple[T | None, Receipt]]:
    """Return what a function makes of the granules of a batch, each with its receipt.

    A granule that cannot be used gives None and a receipt that says why, and does not stop the others.
    """

    def attempt(granule: Granule, found: Indexed) -> tuple[T | None, Receipt]:
        began = time.perf_counter()
        try:
            made, receipt = act(granule, found)
        except (AccessError, GranuleError) as error:
            return None, Receipt(granule=granule.id, failure=f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - began
        return made, replace(receipt, seconds=seconds, finished=time.time(), process=os.getpid())

    return each(job, batch, attempt)
