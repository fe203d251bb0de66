"""Building chunk indexes ahead of a run, into the index store."""

from __future__ import annotations

from collections.abc import Sequence

from eoscale.hdf5.index import Indexed, indexes
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.granule import Granule
from eoscale.model.receipt import Receipt

GRANULES_PER_BATCH = 32
"""Indexed at once: while one waits for bytes another one is parsed."""


def index_batch(granules: Sequence[Granule], paths: Sequence[str]) -> tuple[Receipt, ...]:
    """Index some variables of granules, keep the indexes, and return receipts.

    Parameters
    ----------
    granules : sequence of Granule
    paths : sequence of str
        Full paths in the files.
    """
    found = indexes(granules, paths)
    return tuple(_receipt(granule, one, paths) for granule, one in zip(granules, found, strict=True))


def _receipt(granule: Granule, found: Indexed, paths: Sequence[str]) -> Receipt:
    if not isinstance(found, ChunkIndex):
        return Receipt(granule=granule.id, failure=f"{type(found).__name__}: {found}")
    return Receipt(
        granule=granule.id,
        absent=tuple(path for path in paths if path in found.absent),
        fallback=found.fallback,
        requests=found.requests,
        bytes=found.bytes_read,
    )
