"""What reading a job's granules will take, from their chunk indexes alone (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from eoscale.access.budgets import IN_FLIGHT
from eoscale.access.ranges import Cost, coalesce
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.job import Job
from eoscale.steps.batches import GRANULES_AT_ONCE

_COPIES = 4
"""Of a granule's values that are held at once, at most: as they lie in the file, scaled, masked, sorted."""


class Expected(NamedTuple):
    """What a run will read."""

    requests: int
    """For the granules that are indexed, without retries."""
    bytes: int
    """That these transfer, and twice each granule that is not indexed: for its metadata, and its chunks."""
    exact: bool
    """Whether all granules are indexed, and no row is ruled out before its variables are read; else a run
    takes no more than this, but for the requests of granules that are not indexed."""
    unknown: int
    """Granules that are not indexed."""
    memory: int
    """Bytes that a worker's thread holds at most while it reads, beside Python and its libraries; of the
    granules that are indexed."""


def expected(job: Job, indexes: Sequence[ChunkIndex | None]) -> Expected:
    """Return what a job will read.

    Parameters
    ----------
    job : Job
    indexes : sequence of ChunkIndex or None
        Of its granules, in order, as far as they are known.
    """
    costs = [reading(job, chunks) for chunks in indexes if chunks is not None]
    unread = [granule for granule, chunks in zip(job.granules, indexes, strict=True) if chunks is None]
    largest = max((_nbytes(job, chunks) for chunks in indexes if chunks is not None), default=0)
    return Expected(
        requests=sum(cost.requests for cost in costs),
        bytes=sum(cost.bytes for cost in costs) + 2 * sum(granule.size for granule in unread),
        exact=not unread and job.region is None and job.recipe.span is None,
        unknown=len(unread),
        memory=IN_FLIGHT + GRANULES_AT_ONCE * _COPIES * largest,
    )


def reading(job: Job, chunks: ChunkIndex) -> Cost:
    """Return what all rows of a granule cost: coordinates first, then everything else at once."""
    groups = _groups(job, chunks)
    others = [path for path in job.paths if path not in job.coordinates]
    return _asked(chunks, groups, job.coordinates) + _asked(chunks, groups, others)


def _groups(job: Job, chunks: ChunkIndex) -> list[str]:
    """Return the groups that hold everything that is asked for."""
    return [g for g in job.product.groups if all(f"{g}/{path}" in chunks.datasets for path in job.paths)]


def _asked(chunks: ChunkIndex, groups: Iterable[str], paths: Iterable[str]) -> Cost:
    tables = [chunks.datasets[f"{group}/{path}"].ranges() for group in groups for path in paths]
    if not tables:
        return Cost(0, 0)
    offsets, sizes = np.concatenate(tables, axis=1)
    spans = coalesce(offsets, sizes)
    return Cost(len(spans), sum(span.stop - span.start for span in spans))


def _nbytes(job: Job, chunks: ChunkIndex) -> int:
    """Return the bytes of all values of a granule, as 64-bit numbers."""
    rows = sum(chunks.datasets[f"{group}/{job.coordinates[0]}"].shape[0] for group in _groups(job, chunks))
    return rows * 8 * len(job.paths)
