"""From a granule to the rows of it that a job wants: index, coordinates, region, rules, values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from eoscale import subset
from eoscale.access.spans import Cost
from eoscale.errors import ChangedError
from eoscale.hdf5 import store
from eoscale.hdf5.index import Indexed
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.columns import LATITUDE, LONGITUDE, TIME, Array, Columns, Rows, Values
from eoscale.model.granule import Granule
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.steps.candidates import (
    Candidates,
    candidates,
    column,
    coordinates,
    located,
    longitude,
    timed,
    wanted,
    with_zones,
)
from eoscale.steps.groups import demanded
from eoscale.steps.walks import Ended, Walk, asked, indexed, kept, together


class Beam(NamedTuple):
    """The rows of one group that are wanted."""

    name: str
    rows: Rows
    coordinates: Columns
    """``longitude`` and ``latitude`` of these rows, and ``time`` if the job asks for it."""
    values: Mapping[str, Values]
    """By path below the group: what has been read of them."""


@dataclass(frozen=True, kw_only=True)
class Observations:
    """The rows of one granule inside region and period that pass the rules, in the order of the file."""

    chunks: ChunkIndex
    beams: tuple[Beam, ...]
    """Those with rows inside region and period."""
    receipt: Receipt
    """Counts of the rows up to here."""

    @property
    def size(self) -> int:
        """Number of rows."""
        return sum(beam.rows.size for beam in self.beams)

    @property
    def coordinates(self) -> dict[str, Array]:
        """``longitude``, ``latitude`` (float64, degrees) and ``time`` (datetime64[ns], UTC), (n,) each.

        Times only if the job asks for them.
        """
        names = self.beams[0].coordinates if self.beams else (LONGITUDE, LATITUDE, TIME)
        return {name: self.coordinate(name) for name in names}

    def coordinate(self, name: str) -> Array:
        """Return one of :attr:`coordinates`."""
        empty = np.empty(0, "M8[ns]" if name == TIME else np.float64)
        return np.concatenate([empty, *(beam.coordinates[name] for beam in self.beams)])

    def values(self, path: str) -> Values:
        """Return (n,) values of a variable by its path below the group.

        Raises
        ------
        KeyError
            If there are beams and it has not been read of them.
        """
        pieces = [beam.values[path] for beam in self.beams]
        if not pieces:
            return Values(np.empty(0), np.empty(0, np.bool_))
        return Values(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))


Observed: TypeAlias = Ended[Observations]
"""Observations, or why a granule has none."""


def observations(
    job: Job, granules: Sequence[Granule], *, columns: Iterable[str] | None = None
) -> Iterator[tuple[int, Observed]]:
    """Yield the observations that a job wants of some granules, or why there are none, as they come.

    Each has the number of its granule. As many granules are read at once as memory allows. Where the zone map
    of one is known, its chunks that can hold rows inside are read in one round, of all variables and groups.
    Elsewhere coordinates are read first, which makes the zone map, and then, for the rows inside, the chunks
    that hold them. A file that has changed since it was indexed is indexed again, once.

    Parameters
    ----------
    job : Job
    granules : sequence of Granule
    columns : iterable of str, optional
        Which of the job's columns to read; all of them unless given. The rows are the same whatever is
        read of them.
    """
    named = job.columns if columns is None else columns
    paths = {*job.rule.values(), *job.operands.values(), *(job.columns[name] for name in named)}
    return together(_walk(job, granule, paths) for granule in granules)


def describe(job: Job, granule: Granule, found: Indexed) -> dict[str, dict[str, str]]:
    """Return dtype, units and long name of each of the job's columns, from a granule's index alone.

    Raises
    ------
    AccessError, GranuleError
        If the granule cannot be indexed.
    """
    if not isinstance(found, ChunkIndex):
        raise found
    names = demanded(job, granule, found)
    return {name: _described(job, found, names, name) for name in job.columns}


def _walk(job: Job, granule: Granule, paths: Collection[str]) -> Walk[Observations]:
    """Go from a granule to its observations, with the values of some paths below the groups."""
    try:
        return (yield from _indexed(job, granule, paths))
    except ChangedError:
        store.forget(granule)
        return (yield from _indexed(job, granule, paths))


def _indexed(job: Job, granule: Granule, paths: Collection[str]) -> Walk[Observations]:
    """Go from a granule to its index and its observations, and keep what was learned of it."""
    chunks = yield from indexed(granule, job.full_paths)
    seen = yield from _seen(job, granule, chunks, paths)
    yield from kept(seen.chunks, mapped=seen.chunks.zones.keys() > chunks.zones.keys())
    return seen


def _seen(job: Job, granule: Granule, chunks: ChunkIndex, paths: Collection[str]) -> Walk[Observations]:
    names = demanded(job, granule, chunks)
    rows = candidates(job, chunks)
    now = job.coordinates if rows is None else {*coordinates(job, chunks), *paths}
    rows = dict.fromkeys(names) if rows is None else rows
    first = yield from asked(chunks, wanted(rows, now))
    chunks = with_zones(job, chunks, rows, first.columns)
    inside, columns = _inside(job, chunks, rows, first.columns)
    lacking = {full: some for full, some in wanted(inside, paths).items() if full not in columns}
    second = yield from asked(chunks, lacking)
    columns |= second.columns
    good = [
        _passing(job, _beam(job, chunks, group, rows, columns, paths))
        for group, rows in inside.items()
        if rows.size
    ]
    total = sum(chunks.datasets[longitude(job, group)].shape[0] for group in names)
    cost = Cost(chunks.requests, chunks.bytes_read) + first.cost + second.cost
    receipt = Receipt(
        granule=granule.id,
        absent=tuple(g for g in job.product.groups if g not in names),
        fallback=chunks.fallback,
        read=total,
        outside=total - sum(rows.size for rows in inside.values()),
        quality=sum(each.quality for each in good),
        undecided=sum(each.undecided for each in good),
        where=sum(each.where for each in good),
        attributes={name: _described(job, chunks, names, name) for name in job.columns},
        requests=cost.requests,
        bytes=cost.bytes,
    )
    chunks = replace(chunks, at_hand={})
    return Observations(chunks=chunks, beams=tuple(each.beam for each in good), receipt=receipt)


def _inside(
    job: Job, chunks: ChunkIndex, rows: Candidates, columns: Columns
) -> tuple[dict[str, Rows], dict[str, Array]]:
    """Return which of the candidates are inside, by group, and what has been read of them."""
    places = located(job, chunks, rows, columns)  # of all groups, which takes hardly longer than of one
    if job.recipe.span is not None:
        places[TIME] = timed(job, chunks, rows, columns)
    kept = subset.inside(places, job.region, job.recipe.span)
    inside: dict[str, Rows] = {}
    read: dict[str, Array] = {}
    start = 0
    for group, some in rows.items():
        stop = start + column(chunks, columns, longitude(job, group)).size
        low, high = np.searchsorted(kept, [start, stop])
        own = kept[low:high] - start
        inside[group] = own if some is None else some[own]
        read |= {path: columns[path][own] for path in columns if path.startswith(f"{group}/")}
        start = stop
    return inside, read


def _beam(
    job: Job, chunks: ChunkIndex, group: str, rows: Rows, columns: Columns, paths: Iterable[str]
) -> Beam:
    places = located(job, chunks, [group], columns)
    places[LONGITUDE] = subset.normalised(places[LONGITUDE])
    if job.timed:
        places[TIME] = timed(job, chunks, [group], columns)
    values = {
        path: _values(job, chunks, full, column(chunks, columns, full))
        for path in paths
        for full in [f"{group}/{path}"]
    }
    return Beam(group, rows, places, values)


class _Kept(NamedTuple):
    """The rows of a beam that pass the rules, and how many do not, by the first rule that refuses them."""

    beam: Beam
    quality: int
    undecided: int
    where: int


def _passing(job: Job, beam: Beam) -> _Kept:
    size = beam.rows.size
    if job.preset is None and job.where is None:
        return _Kept(beam, 0, 0, 0)
    good = subset.passing(job.preset, {name: beam.values[path] for name, path in job.rule.items()}, size)
    operands = {name: beam.values[path] for name, path in job.operands.items()}
    holds, undecided = subset.decided(job.where, operands, size)
    rows = np.flatnonzero(good & holds)
    kept = Beam(
        beam.name,
        beam.rows[rows],
        {name: column[rows] for name, column in beam.coordinates.items()},
        {path: values.take(rows) for path, values in beam.values.items()},
    )
    quality, unknown = int((~good).sum()), int((good & undecided).sum())
    return _Kept(kept, quality, unknown, size - rows.size - quality - unknown)


def _values(job: Job, chunks: ChunkIndex, full: str, raw: Array) -> Values:
    """Return values as they lie in the file, scaled, with what is missing by the product's rule."""
    dataset = chunks.datasets[full]
    return Values(_unpacked(raw, dataset.attributes), job.product.missing(raw, dataset.fill_value))


def _unpacked(values: Array, attributes: Mapping[str, Any]) -> Array:
    """Return values by the scale and offset of their own file, which may differ between granules."""
    scale, offset = attributes.get("scale_factor"), attributes.get("add_offset")
    if scale is None and offset is None:
        return values
    return np.asarray(values, np.float64) * float(scale or 1.0) + float(offset or 0.0)


def _described(job: Job, chunks: ChunkIndex, groups: Sequence[str], name: str) -> dict[str, str]:
    """Return dtype, units and long name of a variable: as the file says, else as the product does."""
    listed = job.product.variables.get(job.recipe.columns[name])
    described = {"units": listed.units, "long_name": listed.description} if listed else {}
    for group in groups[:1]:
        dataset = chunks.datasets[f"{group}/{job.columns[name]}"]
        attributes = dataset.attributes
        described |= {key: str(attributes[key]) for key in ("units", "long_name") if key in attributes}
        described["dtype"] = _unpacked(np.empty(0, dataset.dtype), attributes).dtype.name
    return {key: text for key, text in described.items() if text}
