"""From a granule to the rows of it that a job wants: index, coordinates, region, rules, values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np

from eoscale import subset
from eoscale.access.ranges import Cost
from eoscale.errors import ChangedError, CorruptGranuleError, MissingVariableError, RecipeError
from eoscale.hdf5 import store
from eoscale.hdf5.index import Indexed, index, siblings
from eoscale.hdf5.read import read
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.columns import LATITUDE, LONGITUDE, TIME, Array, Columns, Rows, Values
from eoscale.model.granule import Granule
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt


class Beam(NamedTuple):
    """The rows of one group that are wanted."""

    name: str
    rows: Rows
    coordinates: Columns
    """``longitude``, ``latitude`` and ``time`` of these rows."""
    values: Mapping[str, Values]
    """By path below the group: what has been read of them."""


@dataclass(frozen=True, kw_only=True)
class Observations:
    """The rows of one granule inside region and period that pass the rules, in the order of the file."""

    chunks: ChunkIndex
    beams: tuple[Beam, ...]
    receipt: Receipt
    """Counts of the rows up to here."""

    @property
    def size(self) -> int:
        """Number of rows."""
        return sum(beam.rows.size for beam in self.beams)

    @property
    def coordinates(self) -> dict[str, Array]:
        """``longitude``, ``latitude`` (float64, degrees) and ``time`` (datetime64[ns], UTC), (n,) each."""
        return {name: self.coordinate(name) for name in (LONGITUDE, LATITUDE, TIME)}

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


def observe(
    job: Job, granule: Granule, found: Indexed | None = None, *, columns: Iterable[str] | None = None
) -> Observations:
    """Return the observations that a job wants of a granule.

    Coordinates are read first; then, for the rows inside, the chunks that hold them, of all variables and
    groups at once.

    Parameters
    ----------
    job : Job
    granule : Granule
    found : ChunkIndex or error, optional
        Its index, or why there is none; looked up unless given. If the file has changed since it was
        indexed, it is indexed again, once.
    columns : iterable of str, optional
        Which of the job's columns to read; all of them unless given. The rows are the same whatever is
        read of them.

    Raises
    ------
    AccessError, GranuleError
        If the granule cannot be used.
    """
    wanted = job.columns if columns is None else columns
    try:
        return _observed(job, _given(job, granule, found), granule, wanted)
    except ChangedError:
        store.forget(granule)
        return _observed(job, _given(job, granule, None), granule, wanted)


def _given(job: Job, granule: Granule, found: Indexed | None) -> ChunkIndex:
    """Return an index, or raise why there is none."""
    if found is None:
        return index(granule, job.full_paths)
    if not isinstance(found, ChunkIndex):
        raise found
    return found


def _observed(job: Job, chunks: ChunkIndex, granule: Granule, columns: Iterable[str]) -> Observations:
    groups = _groups(job, granule, chunks)
    coordinates = read(chunks, {f"{g}/{p}": None for g in groups for p in job.coordinates})
    inside = [_inside(job, chunks, group, coordinates.columns) for group in groups]
    rules = {*job.rule.values(), *job.operands.values()}
    beams, cost = _filled(job, chunks, inside, rules | {job.columns[name] for name in columns})
    good = [_passing(job, beam) for beam in beams]
    total = sum(len(coordinates.columns[f"{group}/{job.coordinates[0]}"]) for group in groups)
    cost = Cost(chunks.requests, chunks.bytes_read) + coordinates.cost + cost
    receipt = Receipt(
        granule=granule.id,
        absent=tuple(g for g in job.product.groups if g not in groups),
        fallback=chunks.fallback,
        read=total,
        outside=total - sum(beam.rows.size for beam in inside),
        quality=sum(each.quality for each in good),
        undecided=sum(each.undecided for each in good),
        where=sum(each.where for each in good),
        attributes={name: _described(job, chunks, groups, name) for name in job.columns},
        requests=cost.requests,
        bytes=cost.bytes,
    )
    return Observations(chunks=chunks, beams=tuple(each.beam for each in good), receipt=receipt)


def describe(job: Job, granule: Granule) -> dict[str, dict[str, str]]:
    """Return dtype, units and long name of each of the job's columns, from a granule's index alone.

    Raises
    ------
    AccessError, GranuleError
        If the granule cannot be indexed.
    """
    chunks = index(granule, job.full_paths)
    groups = _groups(job, granule, chunks)
    return {name: _described(job, chunks, groups, name) for name in job.columns}


def _groups(job: Job, granule: Granule, chunks: ChunkIndex) -> tuple[str, ...]:
    """Return the groups of a granule that hold all that is asked for."""
    groups = tuple(g for g in job.product.groups if all(f"{g}/{p}" in chunks.datasets for p in job.paths))
    _demand_variables(job, granule, chunks, groups)
    _demand_columns(job, chunks, groups)
    return groups


def _demand_variables(job: Job, granule: Granule, chunks: ChunkIndex, groups: Sequence[str]) -> None:
    """Refuse a granule that has beams, and none with everything that is asked for."""
    present = [g for g in job.product.groups if f"{g}/{job.coordinates[0]}" in chunks.datasets]
    if present and not groups:
        lacking = [path for path in job.paths if f"{present[0]}/{path}" not in chunks.datasets]
        near = get_close_matches(
            lacking[0].rpartition("/")[2], siblings(granule, f"{present[0]}/{lacking[0]}"), n=3
        )
        raise MissingVariableError(
            f"no group holds {', '.join(lacking)}"
            + (f"; did you mean {', '.join(near)}?" if near else "")
            + ": leave it out, or give another version of the product",
            granule=chunks.granule,
            url=chunks.url,
        )


def _demand_columns(job: Job, chunks: ChunkIndex, groups: Sequence[str]) -> None:
    """Refuse a granule in which variables of one rate have different numbers of rows, or are no columns."""
    for group in groups:
        datasets = {path: chunks.datasets[f"{group}/{path}"] for path in job.paths}
        for path, dataset in datasets.items():
            if len(dataset.shape) != 1 or dataset.dtype.kind not in "iufb":
                raise RecipeError(
                    f"{path} has shape {dataset.shape} and type {dataset.dtype}: expected one number a row"
                )
        if len({dataset.shape for dataset in datasets.values()}) > 1:
            told = ", ".join(f"{path} {dataset.shape}" for path, dataset in datasets.items())
            raise CorruptGranuleError(
                f"{group} has columns of different lengths ({told}): fetch it anew",
                granule=chunks.granule,
                url=chunks.url,
            )


def _inside(job: Job, chunks: ChunkIndex, group: str, columns: Columns) -> Beam:
    longitude, latitude, seconds = (columns[f"{group}/{path}"] for path in job.coordinates)
    located = {
        LONGITUDE: np.asarray(longitude, np.float64),
        LATITUDE: np.asarray(latitude, np.float64),
        TIME: job.product.times(np.asarray(seconds, np.float64)),
    }
    rows = subset.inside(located, job.region, job.recipe.span)
    kept = {name: values[rows] for name, values in located.items()}
    kept[LONGITUDE] = subset.normalised(kept[LONGITUDE])
    also = {*job.rule.values(), *job.operands.values(), *job.columns.values()}.intersection(job.coordinates)
    values = {
        path: _values(job, chunks, f"{group}/{path}", columns[f"{group}/{path}"][rows]) for path in also
    }
    return Beam(group, rows, kept, values)


def _filled(
    job: Job, chunks: ChunkIndex, beams: Sequence[Beam], paths: Iterable[str]
) -> tuple[list[Beam], Cost]:
    """Return beams with the values of some paths too, all read at once."""
    lacking = {beam.name: [path for path in paths if path not in beam.values] for beam in beams}
    wanted = {f"{b.name}/{path}": b.rows for b in beams if b.rows.size for path in lacking[b.name]}
    reading = read(chunks, wanted)
    filled = []
    for beam in beams:
        new = {}
        for path in lacking[beam.name]:
            dataset = chunks.datasets[f"{beam.name}/{path}"]
            raw = reading.columns.get(f"{beam.name}/{path}", np.empty(0, dataset.dtype))
            new[path] = _values(job, chunks, f"{beam.name}/{path}", raw)
        filled.append(beam._replace(values={**beam.values, **new}))
    return filled, reading.cost


class _Kept(NamedTuple):
    """The rows of a beam that pass the rules, and how many do not, by the first rule that refuses them."""

    beam: Beam
    quality: int
    undecided: int
    where: int


def _passing(job: Job, beam: Beam) -> _Kept:
    size = beam.rows.size
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
