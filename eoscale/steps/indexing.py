"""Building chunk indexes and zone maps ahead of a run, into the index store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eoscale.access.spans import Cost
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.granule import Granule
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.steps.candidates import longitude, wanted, with_zones
from eoscale.steps.walks import Walk, asked, indexed, kept, together

GRANULES_PER_BATCH = 32
"""Indexed at once: while one waits for bytes another one is parsed."""


def index_batch(job: Job, granules: Sequence[Granule]) -> tuple[Receipt, ...]:
    """Index what a job asks for of granules, map where their rows lie, keep both, and return receipts.

    Parameters
    ----------
    job : Job
        Of any granules.
    granules : sequence of Granule
    """
    mapped = dict(together(_mapped(job, granule) for granule in granules))
    return tuple(_receipt(job, granule, mapped[number]) for number, granule in enumerate(granules))


def _mapped(job: Job, granule: Granule) -> Walk[tuple[ChunkIndex, Cost]]:
    """Read the coordinates of beams of which there is no zone map, and keep the index with theirs."""
    chunks = yield from indexed(granule, job.full_paths)
    rows = {
        group: None
        for group in job.product.groups
        if all(f"{group}/{path}" in chunks.datasets for path in job.coordinates)
        and longitude(job, group) not in chunks.zones
    }
    read = yield from asked(chunks, wanted(rows, job.coordinates))
    mapped = replace(with_zones(job, chunks, rows, read.columns), at_hand={})
    yield from kept(mapped, mapped=bool(rows))
    return mapped, read.cost


def _receipt(job: Job, granule: Granule, found: tuple[ChunkIndex, Cost] | Exception) -> Receipt:
    if isinstance(found, Exception):
        return Receipt(granule=granule.id, failure=f"{type(found).__name__}: {found}")
    chunks, cost = found
    return Receipt(
        granule=granule.id,
        absent=tuple(path for path in job.full_paths if path in chunks.absent),
        fallback=chunks.fallback,
        requests=chunks.requests + cost.requests,
        bytes=chunks.bytes_read + cost.bytes,
    )
