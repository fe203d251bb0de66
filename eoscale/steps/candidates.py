"""Candidates: the rows of a granule that can matter to a job, as far as its index tells (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from eoscale.hdf5.read import Wanted
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.columns import LATITUDE, LONGITUDE, Array, Columns, Rows
from eoscale.model.job import Job
from eoscale.model.zone_map import ZoneMap, runs
from eoscale.steps.groups import groups

Candidates: TypeAlias = Mapping[str, Rows | None]
"""Group to the rows, ascending, among which are all that lie inside; None for all rows."""


def candidates(job: Job, chunks: ChunkIndex) -> Candidates | None:
    """Return the rows of each group that can be inside region and period.

    None where only coordinates tell: zone maps are not known, and there is a region or a period.
    """
    names = groups(job, chunks)
    if job.region is None and job.recipe.span is None:
        return dict.fromkeys(names)
    paths = [longitude(job, group) for group in names]
    if not chunks.zones.keys() >= set(paths):
        return None
    zones = [chunks.zones[path] for path in paths]
    chosen = runs(zones, job.region, job.recipe.span)
    return {
        group: None if some.all() else each.rows_of(some)
        for group, each, some in zip(names, zones, chosen, strict=True)
    }


def coordinates(job: Job, chunks: ChunkIndex) -> Sequence[str]:
    """Return the paths of the coordinates that are read of a granule, below its groups.

    Its times are among them where the job asks for them, and where zone maps are to be made.
    """
    known = all(longitude(job, group) in chunks.zones for group in groups(job, chunks))
    return job.coordinates[:2] if known and not job.timed else job.coordinates


def wanted(rows: Candidates, paths: Iterable[str]) -> Wanted:
    """Return what to read of some variables of each group; nothing of a group without candidates."""
    return {
        f"{group}/{path}": some for path in paths for group, some in rows.items() if some is None or some.size
    }


def longitude(job: Job, group: str) -> str:
    """Return the full path of a group's longitude, under which its zone map is kept."""
    return f"{group}/{job.coordinates[0]}"


def column(chunks: ChunkIndex, columns: Columns, full: str) -> Array:
    """Return what has been read of a variable; no values where no row of it was wanted."""
    return columns.get(full, np.empty(0, chunks.datasets[full].dtype))


def located(job: Job, chunks: ChunkIndex, names: Iterable[str], columns: Columns) -> dict[str, Array]:
    """Return ``longitude`` and ``latitude`` of what has been read of groups, (n,) float64, degrees."""
    x, y, _ = job.coordinates
    return {LONGITUDE: _joined(chunks, columns, names, x), LATITUDE: _joined(chunks, columns, names, y)}


def timed(job: Job, chunks: ChunkIndex, names: Iterable[str], columns: Columns) -> Array:
    """Return the times of what has been read of groups, (n,) datetime64[ns], UTC."""
    return job.product.times(_joined(chunks, columns, names, job.coordinates[2]))


def _joined(chunks: ChunkIndex, columns: Columns, names: Iterable[str], path: str) -> Array:
    return np.concatenate([np.empty(0), *(column(chunks, columns, f"{group}/{path}") for group in names)])


def with_zones(job: Job, chunks: ChunkIndex, rows: Candidates, columns: Columns) -> ChunkIndex:
    """Return an index with the zone maps of groups of which the coordinates of all rows have been read.

    The same index if it has them already.
    """
    zones = {}
    for group in (group for group, some in rows.items() if some is None):
        name = longitude(job, group)
        if name not in chunks.zones:
            x, y, _ = (column(chunks, columns, f"{group}/{path}") for path in job.coordinates)
            zones[name] = ZoneMap.of(
                x,
                y,
                timed(job, chunks, [group], columns),
                chunk_rows=chunks.datasets[name].chunk_shape[0],
            )
    return replace(chunks, zones={**chunks.zones, **zones}) if zones else chunks
