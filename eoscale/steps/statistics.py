"""From observations to statistics: partials of granules, folded tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from eoscale.model.columns import LATITUDE, Array, Columns, Values
from eoscale.model.cube import Cube, Tile
from eoscale.model.grid import Grid
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.model.reduction import Partial
from eoscale.model.vocabulary import Output
from eoscale.reduce.moments import Moments
from eoscale.steps.batches import accounted
from eoscale.steps.observe import Observations
from eoscale.write import partials
from eoscale.write.icechunk import IcechunkSink
from eoscale.write.partials import Part
from eoscale.write.pieces import Piece
from eoscale.write.places import place
from eoscale.write.provenance import provenance
from eoscale.write.receipts import Finished
from eoscale.write.work import Batch, Work
from eoscale.write.zarr import ArraySpec, ZarrSink

CELLS_AT_ONCE = 2**19
"""Of partials of a tile, before they are merged: to merge each by itself would take long."""


class Reduced(NamedTuple):
    """What the rows of one granule come to, and where each of them went."""

    partials: dict[tuple[str, Tile], Partial]
    off_axis: int
    missing: dict[str, int]
    binned: dict[str, int]
    tiles: dict[Tile, int]
    """Rows that lie on each tile."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Some statistics of some variables on a cube (pure)."""

    cube: Cube
    variables: tuple[str, ...]
    statistics: tuple[str, ...]

    @classmethod
    def of(cls, job: Job) -> Summary:
        """Return what a job asks for."""
        return cls(cube=job.cube, variables=tuple(job.columns), statistics=job.statistics)

    def reduce(self, coordinates: Columns, values: Mapping[str, Values]) -> Reduced:
        """Return what the rows of one granule come to.

        Parameters
        ----------
        coordinates : mapping
            ``longitude``, ``latitude`` and ``time``, (n,).
        values : mapping of str to Values
            (n,) of each variable.
        """
        located = self.cube.locate(coordinates)
        made: dict[tuple[str, Tile], Partial] = {}
        missing, binned = {}, {}
        for name in self.variables:
            column, absent = values[name].take(located.rows)
            made_of = Moments().chunk(located.bins[~absent], column[~absent])
            missing[name], binned[name] = int(absent.sum()), int((~absent).sum())
            for tile in np.unique(made_of.keys // self.cube.tile_cells).tolist():
                first = tile * self.cube.tile_cells
                made[name, tile] = made_of.between(first, first + self.cube.tile_cells)
        rows = np.bincount(located.bins // self.cube.tile_cells)
        tiles = np.flatnonzero(rows)
        off_axis = coordinates[LATITUDE].size - located.rows.size
        return Reduced(
            made, off_axis, missing, binned, dict(zip(tiles.tolist(), rows[tiles].tolist(), strict=True))
        )

    def by_tile(self, granule: str, reduced: Reduced) -> dict[Tile, dict[Part, Partial]]:
        """Return the partials of a granule as they are kept: by tile, their keys the tile's own."""
        kept: dict[Tile, dict[Part, Partial]] = {}
        for (name, tile), each in reduced.partials.items():
            kept.setdefault(tile, {})[Part(granule, name)] = each.moved(-tile * self.cube.tile_cells)
        return kept

    def merged(self, tile: Tile, pieces: Sequence[Piece]) -> dict[str, Partial]:
        """Return one partial of each variable: what was kept of a tile, merged in granule-id order.

        However many granules there are, only some of their cells are held at once.

        Parameters
        ----------
        tile : Tile
        pieces : sequence of Piece
            Of that tile, in the order of their first granules.
        """
        moments = Moments()
        made = dict.fromkeys(self.variables, moments.merge([]))
        waiting: dict[Part, Partial] = {}
        for piece, following in zip_longest(pieces, pieces[1:]):
            waiting |= partials.load(piece)
            if following and sum(map(len, waiting.values())) < CELLS_AT_ONCE:
                continue
            # what comes may belong before the others that wait
            ready = sorted(part for part in waiting if not following or part.granule < following.first)
            for name in self.variables:
                some = [waiting.pop(part) for part in ready if part.variable == name]
                made[name] = moments.merge([made[name], *some])
        return {name: each.moved(tile * self.cube.tile_cells) for name, each in made.items()}

    def blocks(self, tile: Tile, merged: Mapping[str, Partial]) -> dict[str, Array]:
        """Return the blocks of a tile, one a variable and statistic, from each variable's merged partial."""
        moments = Moments()
        return {
            f"{name}_{statistic}": self.cube.dense(
                tile,
                merged[name].keys,
                moments.finalize(merged[name], statistic),
                fill=moments.empty(statistic).item(),
            )
            for name in self.variables
            for statistic in self.statistics
        }

    def arrays(self, described: Mapping[str, Mapping[str, str]]) -> dict[str, ArraySpec]:
        """Return dtype, fill and CF attributes of each variable of the result.

        Parameters
        ----------
        described : mapping
            Units and long name of each variable, as far as they are known.
        """
        grid = any(isinstance(axis, Grid) for axis in self.cube.axes)
        mapping = {"grid_mapping": "spatial_ref"} if grid else {}
        moments = Moments()
        return {
            f"{name}_{statistic}": ArraySpec(
                dtype=moments.empty(statistic).dtype.name,
                fill=moments.empty(statistic).item(),
                attributes=moments.describe(statistic, described.get(name, {}), self.cube.dims) | mapping,
            )
            for name in self.variables
            for statistic in self.statistics
        }


def read_batch(work: Work, batch: Batch) -> Finished:
    """Read and reduce the granules of a batch, leave their partials and receipts, and return the receipts.

    A granule that cannot be used is told by its receipt, and does not stop the others.
    """
    job = work.job()
    summary = Summary.of(job)

    def reduced(seen: Observations) -> tuple[Reduced, Receipt]:
        result = summary.reduce(
            seen.coordinates, {name: seen.values(job.columns[name]) for name in job.columns}
        )
        receipt = replace(
            seen.receipt,
            off_axis=result.off_axis,
            missing=result.missing,
            binned=result.binned,
            tiles=result.tiles,
        )
        return result, receipt

    results = accounted(job, batch, reduced)
    parts: dict[Tile, dict[Part, Partial]] = {}
    for result, receipt in results:
        for tile, some in summary.by_tile(receipt.granule, result).items() if result else ():
            parts.setdefault(tile, {}).update(some)
    left = partials.save(work.left(batch), parts)
    return work.finish(batch, (receipt for _, receipt in results), left)


def tiles(job: Job, _receipts: Sequence[Receipt]) -> range:
    """Return the tiles to write: all of them, so that none is a hole."""
    return range(job.cube.tiles)


def writer(work: Work, output: Output, _receipts: Sequence[Receipt]) -> Callable[[Tile], dict[str, int]]:
    """Return the function that writes a tile."""
    return partial(write_tile, work, output)


def write_tile(work: Work, output: Output, tile: Tile) -> dict[str, int]:
    """Fold the partials that the batches left of a tile, write its blocks, and return the counts."""
    summary = Summary.of(work.job())
    merged = summary.merged(tile, work.pieces(tile))
    sink(work, output).write(tile, summary.blocks(tile, merged))
    counts = {name: int(each.columns["count"].sum()) for name, each in merged.items()}
    work.wrote(tile, counts)
    return counts


def sink(work: Work, output: Output, receipts: Sequence[Receipt] = ()) -> ZarrSink:
    """Return the sink of a job.

    Parameters
    ----------
    work : Work
        Whose batches have been read.
    output : Output
    receipts : sequence of Receipt, optional
        Of all granules: units and names come from the first, in id order, that has the variable. Tasks
        that only write blocks do without.
    """
    job = work.job()
    kind = IcechunkSink if output.icechunk else ZarrSink
    return kind(
        output=place(output.path),
        digest=job.digest,
        stage=work.stage,
        cube=job.cube,
        variables=Summary.of(job).arrays({name: first(receipts, name) for name in job.columns}),
        attributes=provenance(job, excluded(receipts)) if receipts else {},
        zarr_format=job.recipe.zarr_format,
    )


def excluded(receipts: Sequence[Receipt]) -> dict[str, str]:
    """Return the granules that could not be used, and why."""
    return {receipt.granule: receipt.failure for receipt in receipts if receipt.failure}


def first(receipts: Sequence[Receipt], name: str) -> Mapping[str, str]:
    """Return what the first granule in id order that has a variable says of it."""
    ordered = sorted(receipts, key=lambda receipt: receipt.granule)
    return next((r.attributes[name] for r in ordered if r.attributes.get(name)), {})
