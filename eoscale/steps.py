"""The line that data travels, one granule, batch or tile at a time: ordinary functions, no Dask.

``reduce_batch`` reads granules and leaves their partials in the work folder; ``write_tile`` folds the
partials of one tile in granule-id order and hands its block to a sink. Granules are the unit of reducing
and cells that of folding, so batches and tiles never change a bit of the result.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eoscale import subset
from eoscale.access.ranges import Cost
from eoscale.errors import (
    AccessError,
    CorruptGranuleError,
    GranuleError,
    MissingVariableError,
    RecipeError,
)
from eoscale.hdf5.index import index
from eoscale.hdf5.read import read
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.columns import LATITUDE, LONGITUDE, TIME, Array, Columns, Rows
from eoscale.model.cube import Tile
from eoscale.model.granule import Granule
from eoscale.model.grid import Grid
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.model.reduction import Partial
from eoscale.reduce.moments import Moments
from eoscale.write import partials
from eoscale.write.partials import Part
from eoscale.write.provenance import provenance
from eoscale.write.work import Batch, Work
from eoscale.write.zarr import ArraySpec, ZarrSink

_GRANULES_AT_ONCE = 4
"""Of one batch, to hide the wait for bytes; decoding and reducing take turns on the processor."""


@dataclass(frozen=True, kw_only=True)
class Observations:
    """The rows of one granule inside region and period that pass the quality rule."""

    columns: Columns
    """``longitude``, ``latitude``, ``time`` and the recipe's variables, (n,) each."""
    missing: Mapping[str, NDArray[np.bool_]]
    """For each variable: (n,) whether the row has no value of it."""
    receipt: Receipt
    """Counts of the rows up to here."""


class _Group(NamedTuple):
    """One beam: the rows that are wanted, and their coordinates."""

    name: str
    rows: Rows
    columns: dict[str, Array]


def observe(job: Job, granule: Granule) -> Observations:
    """Return the observations that a job wants of a granule.

    Coordinates are read first; then, for the rows inside, the chunks that hold them, of all variables and
    groups at once.

    Raises
    ------
    AccessError, GranuleError
        If the granule cannot be used.
    """
    product = job.product
    paths = [f"{group}/{path}" for group in product.groups for path in job.paths]
    chunks = index(granule, paths)
    groups = tuple(g for g in product.groups if all(f"{g}/{p}" in chunks.datasets for p in job.paths))
    _demand_variables(job, chunks, groups)
    _demand_one_length(job, chunks, groups)
    coordinates = read(chunks, {f"{g}/{p}": None for g in groups for p in _coordinates(job)})
    inside = [_inside(job, group, coordinates.columns) for group in groups]
    others = [path for path in job.paths if path not in _coordinates(job)]
    values = read(chunks, {f"{g.name}/{path}": g.rows for g in inside for path in others})
    total = sum(len(coordinates.columns[f"{g}/{_coordinates(job)[0]}"]) for g in groups)
    kept = sum(g.rows.size for g in inside)
    selected = [_select(job, chunks, group, {**coordinates.columns, **values.columns}) for group in inside]
    good = sum(columns[TIME].size for columns, _ in selected)
    cost = Cost(chunks.requests, chunks.bytes_read) + coordinates.cost + values.cost
    receipt = Receipt(
        granule=granule.id,
        absent=tuple(g for g in product.groups if g not in groups),
        read=total,
        outside=total - kept,
        quality=kept - good,
        attributes={name: _described(job, chunks, groups, name) for name in job.columns},
        requests=cost.requests,
        bytes=cost.bytes,
    )
    return Observations(
        columns=_concatenated(
            [columns for columns, _ in selected], (LONGITUDE, LATITUDE, TIME, *job.columns)
        ),
        missing=_concatenated([missing for _, missing in selected], job.columns),
        receipt=receipt,
    )


def reduce_rows(job: Job, seen: Observations) -> tuple[dict[Part, Partial], Receipt]:
    """Return the partials of the observations of a granule, by variable and tile, and their receipt (pure).

    The position in each :class:`Part` is 0: a batch knows better.
    """
    located = job.cube.locate(seen.columns)
    parts: dict[Part, Partial] = {}
    missing, binned = {}, {}
    for name in job.columns:
        valid = ~seen.missing[name][located.rows]
        partial = Moments().chunk(located.bins[valid], seen.columns[name][located.rows[valid]])
        missing[name], binned[name] = int((~valid).sum()), int(valid.sum())
        for tile in np.unique(partial.keys // job.cube.tile_cells).tolist():
            first = tile * job.cube.tile_cells
            parts[Part(0, name, tile)] = partial.between(first, first + job.cube.tile_cells)
    receipt = replace(
        seen.receipt,
        off_axis=seen.columns[TIME].size - located.rows.size,
        missing=missing,
        binned=binned,
        tiles=tuple(sorted({part.tile for part in parts})),
    )
    return parts, receipt


def reduce_batch(work: Work, batch: Batch) -> tuple[Receipt, ...]:
    """Read and reduce the granules of a batch, leave their partials in a file, and return receipts.

    A granule that cannot be used is told by its receipt, and does not stop the others.
    """
    job = work.job()
    positions = range(*batch)
    with ThreadPoolExecutor(min(_GRANULES_AT_ONCE, len(positions))) as pool:
        results = list(pool.map(lambda position: _attempt(job, position), positions))
    partials.save(
        work.partials(batch), {part: partial for parts, _ in results for part, partial in parts.items()}
    )
    return tuple(receipt for _, receipt in results)


def fold_tile(job: Job, tile: Tile, parts: Mapping[Part, Partial]) -> tuple[dict[str, Array], dict[str, int]]:
    """Return the blocks of a tile, and the counts of each variable (pure).

    Parameters
    ----------
    job : Job
    tile : int
    parts : mapping of Part to Partial
        All partials of that tile, in any order: they are folded in granule-id order.
    """
    moments = Moments()
    counts, blocks = {}, {}
    for name in job.columns:
        merged = moments.merge([parts[part] for part in sorted(parts) if part.variable == name])
        counts[name] = int(merged.columns["count"].sum())
        for statistic in job.statistics:
            values = moments.finalize(merged, statistic)
            empty = moments.empty(statistic).item()
            blocks[f"{name}_{statistic}"] = job.cube.dense(tile, merged.keys, values, fill=empty)
    return blocks, counts


def write_tile(work: Work, output: str, tile: Tile) -> dict[str, int]:
    """Fold the partials that the batches left of a tile, write its blocks, and return the counts."""
    job = work.job()
    parts: dict[Part, Partial] = {}
    for batch in work.batches(tile):
        parts.update(partials.load(work.partials(batch), tile))
    blocks, counts = fold_tile(job, tile, parts)
    sink(job, output).write(tile, blocks)
    return counts


def sink(job: Job, output: str, receipts: Sequence[Receipt] = ()) -> ZarrSink:
    """Return the sink of a job.

    Parameters
    ----------
    job : Job
    output : str
        Path of the store.
    receipts : sequence of Receipt, optional
        Of all granules: units and names come from the first, in id order, that has the variable. Tasks
        that only write blocks do without.
    """
    described = {name: _first(receipts, name) for name in job.columns}
    specs = {
        f"{name}_{statistic}": ArraySpec(
            dtype=Moments().empty(statistic).dtype.name,
            fill=Moments().empty(statistic).item(),
            attributes=_cf(job, statistic, described[name]),
        )
        for name in job.columns
        for statistic in job.statistics
    }
    return ZarrSink(
        output=Path(output),
        digest=job.digest,
        cube=job.cube,
        variables=specs,
        attributes=provenance(job) if receipts else {},
        zarr_format=job.recipe.zarr_format,
    )


def _first(receipts: Sequence[Receipt], name: str) -> Mapping[str, str]:
    ordered = sorted(receipts, key=lambda receipt: receipt.granule)
    return next((r.attributes[name] for r in ordered if r.attributes.get(name)), {})


def _cf(job: Job, statistic: str, described: Mapping[str, str]) -> dict[str, str]:
    attributes = Moments().describe(statistic, described, job.cube.dims)
    if any(isinstance(axis, Grid) for axis in job.cube.axes):
        attributes["grid_mapping"] = "spatial_ref"
    return attributes


def _attempt(job: Job, position: int) -> tuple[dict[Part, Partial], Receipt]:
    granule = job.granules[position]
    began = time.perf_counter()
    try:
        parts, receipt = reduce_rows(job, observe(job, granule))
    except (AccessError, GranuleError) as error:
        return {}, Receipt(granule=granule.id, failure=f"{type(error).__name__}: {error}")
    placed = {part._replace(granule=position): partial for part, partial in parts.items()}
    seconds = time.perf_counter() - began
    return placed, replace(receipt, seconds=seconds, finished=time.time(), process=os.getpid())


def _coordinates(job: Job) -> tuple[str, str, str]:
    product, rate = job.product, job.rate
    return product.path(rate.longitude), product.path(rate.latitude), product.path(rate.time)


def _demand_variables(job: Job, chunks: ChunkIndex, groups: Sequence[str]) -> None:
    """Refuse a granule that has beams, and none with everything that is asked for."""
    present = [g for g in job.product.groups if f"{g}/{_coordinates(job)[0]}" in chunks.datasets]
    if present and not groups:
        lacking = [path for path in job.paths if f"{present[0]}/{path}" not in chunks.datasets]
        raise MissingVariableError(
            f"no group holds {', '.join(lacking)}: leave it out, or give another version of the product",
            granule=chunks.granule,
            url=chunks.url,
        )


def _demand_one_length(job: Job, chunks: ChunkIndex, groups: Sequence[str]) -> None:
    """Refuse a granule in which variables of one rate have different numbers of rows."""
    for group in groups:
        lengths = {path: chunks.datasets[f"{group}/{path}"].shape[:1] for path in job.paths}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{path} {length}" for path, length in lengths.items())
            raise CorruptGranuleError(
                f"{group} has columns of different lengths ({told}): fetch it anew",
                granule=chunks.granule,
                url=chunks.url,
            )


def _inside(job: Job, group: str, columns: Columns) -> _Group:
    longitude, latitude, seconds = (columns[f"{group}/{path}"] for path in _coordinates(job))
    located = {
        LONGITUDE: subset.normalised(longitude),
        LATITUDE: np.asarray(latitude, np.float64),
        TIME: job.product.times(np.asarray(seconds, np.float64)),
    }
    rows = subset.inside(located, job.region, job.recipe.span)
    return _Group(group, rows, {name: values[rows] for name, values in located.items()})


def _select(
    job: Job, chunks: ChunkIndex, group: _Group, columns: Columns
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the rows of one beam that pass the quality rule, and which of their values are missing."""
    conditions = job.preset.conditions if job.preset else ()
    rule = {condition.variable: job.product.path(condition.variable) for condition in conditions}
    values, missing = {}, {}
    for path in {*job.columns.values(), *rule.values()}:
        full = f"{group.name}/{path}"
        raw = columns[full] if path not in _coordinates(job) else columns[full][group.rows]
        if raw.ndim != 1 or raw.dtype.kind not in "iufb":
            raise RecipeError(f"{path} has shape {raw.shape} and type {raw.dtype}: expected one number a row")
        missing[path] = job.product.missing(raw, chunks.datasets[full].fill_value)
        values[path] = _unpacked(raw, chunks.datasets[full].attributes)
    good = np.ones(group.rows.size, np.bool_)
    if job.preset is not None:
        ruled = {name: values[path] for name, path in rule.items()}
        good = subset.passing(job.preset, ruled, {name: missing[path] for name, path in rule.items()})
    kept = {name: column[good] for name, column in group.columns.items()}
    kept |= {name: values[path][good] for name, path in job.columns.items()}
    return kept, {name: missing[path][good] for name, path in job.columns.items()}


def _unpacked(values: Array, attributes: Mapping[str, Any]) -> Array:
    """Return values by the scale and offset of their own file, which may differ between granules."""
    scale, offset = attributes.get("scale_factor"), attributes.get("add_offset")
    if scale is None and offset is None:
        return values
    return np.asarray(values, np.float64) * float(scale or 1.0) + float(offset or 0.0)


def _described(job: Job, chunks: ChunkIndex, groups: Sequence[str], name: str) -> dict[str, str]:
    """Return units and long name of a variable: as the file says, else as the product does."""
    listed = job.product.variables.get(job.recipe.columns[name])
    described = {"units": listed.units, "long_name": listed.description} if listed else {}
    for group in groups[:1]:
        attributes = chunks.datasets[f"{group}/{job.columns[name]}"].attributes
        described |= {key: str(attributes[key]) for key in ("units", "long_name") if key in attributes}
    return {key: text for key, text in described.items() if text}


def _concatenated(pieces: Iterable[Columns], names: Iterable[str]) -> dict[str, Array]:
    pieces = list(pieces)
    if pieces:
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in names}
    return {name: np.empty(0, "datetime64[ns]" if name == TIME else np.float64) for name in names}
