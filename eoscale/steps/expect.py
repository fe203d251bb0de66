"""What reading a job's granules will take, from their chunk indexes alone (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eoscale.access.budgets import HELD, IN_FLIGHT
from eoscale.access.spans import Cost, coalesce
from eoscale.hdf5.file import AT_HAND
from eoscale.hdf5.read import Wanted
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.job import Job
from eoscale.steps.batches import GRANULES_PER_BATCH
from eoscale.steps.candidates import Candidates, candidates, coordinates, wanted
from eoscale.steps.groups import groups
from eoscale.steps.statistics import CELLS_AT_ONCE
from eoscale.steps.table import ROWS_PER_PART
from eoscale.steps.walks import AT_ONCE

_INDEXING = HELD + GRANULES_PER_BATCH * AT_HAND
"""Bytes of files that are held while granules are indexed."""
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
    """Whether all granules are indexed, with zone maps where there is a region or a period; else a run takes
    no more than this, but for the requests of granules that are not indexed."""
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
    known = [(chunks, candidates(job, chunks)) for chunks in indexes if chunks is not None]
    costs = [_reading(job, chunks, left) for chunks, left in known]
    unread = [granule for granule, chunks in zip(job.granules, indexes, strict=True) if chunks is None]
    rows = max((_rows(job, chunks) for chunks, _ in known), default=0)
    return Expected(
        requests=sum(cost.requests for cost in costs),
        bytes=sum(cost.bytes for cost in costs) + 2 * sum(granule.size for granule in unread),
        exact=not unread and all(left is not None for _, left in known),
        unknown=len(unread),
        memory=max(_held_reading(job, rows) + bool(unread) * _INDEXING, _held_writing(job)),
    )


def _reading(job: Job, chunks: ChunkIndex, left: Candidates | None) -> Cost:
    """Return what a granule costs: what its zone map leaves, or all coordinates and then all the rest."""
    others = [path for path in job.paths if path not in job.coordinates]
    if left is not None:
        return _asked(chunks, wanted(left, [*coordinates(job, chunks), *others]))
    everything = dict.fromkeys(groups(job, chunks))
    return _asked(chunks, wanted(everything, job.coordinates)) + _asked(chunks, wanted(everything, others))


def _asked(chunks: ChunkIndex, rows: Wanted) -> Cost:
    tables = [chunks.datasets[path].ranges(some) for path, some in rows.items()]
    if not tables:
        return Cost(0, 0)
    offsets, sizes = np.concatenate(tables, axis=1)
    spans = coalesce(offsets, sizes)
    return Cost(len(spans), sum(span.stop - span.start for span in spans))


def _rows(job: Job, chunks: ChunkIndex) -> int:
    """Return the number of rows of a granule."""
    return sum(chunks.datasets[f"{group}/{job.coordinates[0]}"].shape[0] for group in groups(job, chunks))


def _held_reading(job: Job, rows: int) -> int:
    """Return the bytes that a batch of granules with so many rows takes."""
    largest = rows * len(job.paths) * 8
    values = _COPIES * max(largest, min(AT_ONCE, GRANULES_PER_BATCH * largest))
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
