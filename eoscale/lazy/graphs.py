"""The graph of an aggregate: partials of partitions, folded into each tile in order, made into arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from operator import getitem
from typing import Any, TypeAlias

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from eoscale.errors import BudgetError, GranuleError
from eoscale.model.columns import GRANULE, LATITUDE, LONGITUDE, TIME, Array, Values
from eoscale.model.cube import Cube, Tile
from eoscale.model.reduction import Partial
from eoscale.reduce.moments import Moments
from eoscale.steps.statistics import Summary

MOST_EDGES = 200_000
"""Between partitions and tiles; above it a scheduler spends longer on the graph than on the data."""
_AT_ONCE = 8
"""Partitions that are folded into a tile together: so many partials wait for one another, not all."""

Touching: TypeAlias = Callable[[Tile], NDArray[np.int64]]
"""Tile to the partitions that may hold rows of it, ascending."""
Parts: TypeAlias = Mapping[tuple[str, Tile], Sequence[Partial]]
"""Variable and tile to the partials of a partition's granules, in id order."""
Merged: TypeAlias = Mapping[str, Partial]
"""Variable to what is known of one tile so far."""


def arrays(summary: Summary, frame: dd.DataFrame, touching: Touching) -> dict[str, da.Array]:
    """Return the lazy arrays of a summary of a frame, one chunk a tile.

    A tile is folded along a chain, from the first partition to the last: that is the order that makes the
    bits the same everywhere, and it lets a scheduler drop each partial soon after it was made.

    Parameters
    ----------
    summary : Summary
    frame : dask.dataframe.DataFrame
        With the columns that the summary needs.
    touching : callable

    Raises
    ------
    BudgetError
        If there would be more than 200,000 edges between partitions and tiles.
    """
    cube = summary.cube
    edges = _edges(cube, touching, frame.npartitions)
    optimized = frame.optimize()
    token = tokenize(optimized, cube.digest, summary.variables, summary.statistics)
    partials, folds, blocks = (f"{step}-{token}" for step in ("partial", "fold", "block"))
    tasks: dict[Any, Any] = dict(optimized.__dask_graph__())
    expected = _tiles(edges, frame.npartitions)
    for number, key in enumerate(optimized.__dask_keys__()):
        tasks[partials, number] = (reduce_partition, summary, key, expected[number])
    for tile, partitions in enumerate(edges):
        state: Any = None
        for step in range(0, len(partitions), _AT_ONCE):
            parts = [(partials, number) for number in partitions[step : step + _AT_ONCE].tolist()]
            tasks[folds, tile, step] = (fold, summary, tile, state, parts)
            state = (folds, tile, step)
        tasks[blocks, tile] = (finish, summary, tile, state)
    return {name: _array(name, token, cube, dtype, tasks) for name, dtype in _dtypes(summary).items()}


def _edges(cube: Cube, touching: Touching, partitions: int) -> list[NDArray[np.int64]]:
    """Return the partitions of each tile, if there are not too many in all."""
    edges, number = [], 0
    for tile in range(cube.tiles):
        edges.append(touching(tile))
        number += edges[-1].size
        if number > MOST_EDGES:
            raise BudgetError(
                f"{partitions:,} partitions on {cube.tiles:,} tiles make a graph of more than {MOST_EDGES:,} "
                "edges: write the question as a recipe and use eoscale.run, which has no such graph"
            )
    return edges


def _tiles(edges: Sequence[NDArray[np.int64]], partitions: int) -> list[frozenset[Tile]]:
    """Return the tiles of each partition."""
    tiles: list[set[Tile]] = [set() for _ in range(partitions)]
    for tile, touching in enumerate(edges):
        for number in touching.tolist():
            tiles[number].add(tile)
    return [frozenset(found) for found in tiles]


def _array(name: str, token: str, cube: Cube, dtype: np.dtype[Any], tasks: Mapping[Any, Any]) -> da.Array:
    key, base = f"{name}-{token}", f"aggregate-{token}"
    blocks = f"block-{token}"
    places = product(*(range(n) for n in cube.tile_grid))  # tiles are numbered in this order
    layer = {(key, *place): (getitem, (blocks, tile), name) for tile, place in enumerate(places)}
    layers: dict[str, Mapping[Any, Any]] = {base: tasks, key: layer}
    graph = HighLevelGraph(layers, {base: set(), key: {base}})
    chunks = tuple(
        tuple(min(size, n - start) for start in range(0, n, size))
        for n, size in zip(cube.shape, cube.tile_shape, strict=True)
    )
    return da.Array(graph, key, chunks, dtype=dtype)


def _dtypes(summary: Summary) -> dict[str, np.dtype[Any]]:
    return {name: np.dtype(spec.dtype) for name, spec in summary.arrays({}).items()}


def reduce_partition(summary: Summary, frame: pd.DataFrame, expected: frozenset[Tile]) -> Parts:
    """Return the partials of each granule that has rows in a partition.

    Raises
    ------
    GranuleError
        If there are rows of a tile that no edge leads to: they would be lost.
    """
    found: dict[tuple[str, Tile], list[Partial]] = {}
    granule, _ = pd.factorize(frame[GRANULE], sort=True)
    for number in range(granule.max() + 1 if granule.size else 0):
        rows = frame.iloc[np.flatnonzero(granule == number)]
        coordinates = {name: rows[name].to_numpy() for name in (TIME, LONGITUDE, LATITUDE)}
        reduced = summary.reduce(coordinates, {name: _values(rows[name]) for name in summary.variables})
        stray = sorted(reduced.tiles.keys() - expected)
        if stray:
            raise GranuleError(
                f"{sum(reduced.tiles[tile] for tile in stray)} rows lie outside the time that the granule "
                "states: mend its start and end in the list, or leave it out",
                granule=str(rows[GRANULE].iloc[0]),
            )
        for place, partial in reduced.partials.items():
            found.setdefault(place, []).append(partial)
    return found


def _values(column: pd.Series) -> Values:
    missing = column.isna().to_numpy(np.bool_)
    if isinstance(column.dtype, np.dtype):
        return Values(column.to_numpy(), missing)
    # pandas' own and Arrow's types mark what is missing apart: the number below is never looked at
    return Values(column.to_numpy(getattr(column.dtype, "numpy_dtype", np.float64), na_value=0), missing)


def fold(summary: Summary, tile: Tile, state: Merged | None, parts: Sequence[Parts]) -> Merged:
    """Return what is known of a tile after some more partitions."""
    return {
        name: Moments().merge(
            [
                *([] if state is None else [state[name]]),
                *(partial for part in parts for partial in part.get((name, tile), ())),
            ]
        )
        for name in summary.variables
    }


def finish(summary: Summary, tile: Tile, merged: Merged | None) -> dict[str, Array]:
    """Return the blocks of a tile; without data where no partition touches it."""
    return summary.blocks(tile, fold(summary, tile, merged, []))
