"""What reading a job's granules will take, from their chunk indexes alone (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from eoscale.access.budgets import IN_FLIGHT
from eoscale.access.ranges import Cost, coalesce
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.job import Job
from eoscale.steps.batches import GRANULES_AT_ONCE, GRANULES_PER_BATCH
from eoscale.steps.statistics import CELLS_AT_ONCE
from eoscale.steps.table import ROWS_PER_PART

_COPIES = 4
"""Of values that are held at once, at most: as they lie in the file, scaled, masked, sorted."""
_PARTIAL = 48
"""Bytes of a cell of a partial: its key and five columns."""
_POINT = 256
"""Bytes of a row's point: as GEOS has it, as Python does, as WKB, and the box around it."""


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
    """Bytes that a worker's thread holds at most, beside Python and its libraries, while it reads (as far as
    granules are indexed) or while it writes; however many granules there are."""


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
    rows = max((_rows(job, chunks) for chunks in indexes if chunks is not None), default=0)
    return Expected(
        requests=sum(cost.requests for cost in costs),
        bytes=sum(cost.bytes for cost in costs) + 2 * sum(granule.size for granule in unread),
        exact=not unread and job.region is None and job.recipe.span is None,
        unknown=len(unread),
        memory=max(_held_reading(job, rows), _held_writing(job)),
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


def _rows(job: Job, chunks: ChunkIndex) -> int:
    """Return the number of rows of a granule."""
    return sum(chunks.datasets[f"{group}/{job.coordinates[0]}"].shape[0] for group in _groups(job, chunks))


def _held_reading(job: Job, rows: int) -> int:
    """Return the bytes that a batch of granules with so many rows takes."""
    values = GRANULES_AT_ONCE * _COPIES * rows * len(job.paths) * 8
    if job.recipe.reduce is None:
        left = rows * _row(job)
    else:
        # at worst each row has a cell of its own
        left = min(rows, job.cube.tiles * job.cube.tile_cells) * len(job.columns) * _PARTIAL
    return IN_FLIGHT + values + GRANULES_PER_BATCH * 2 * left


def _held_writing(job: Job) -> int:
    """Return the bytes that a tile or a part takes."""
    if job.recipe.reduce is None:
        return ROWS_PER_PART * (_COPIES * _row(job) + _POINT)
    blocks = job.cube.tile_cells * len(job.columns) * (2 * _PARTIAL + 8 * len(job.statistics))
    return blocks + 2 * CELLS_AT_ONCE * _PARTIAL


def _row(job: Job) -> int:
    """Return the bytes of a row of a table: granule, beam, three coordinates, the curve, and variables."""
    return 4 + 4 + 3 * 8 + 4 + 8 * len(job.columns)
