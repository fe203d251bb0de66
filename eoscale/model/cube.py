"""Cube: the shape of a result, and how it is cut into tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from eoscale.model.axis import Axis, Located
from eoscale.model.columns import Array, Columns
from eoscale.model.digest import Digested

Tile = int
"""Number of a tile in C order of the grid of tiles."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cube(Digested):
    """The axes of a result, in the order of its dimensions, cut into tiles.

    A key is the flat number of a cell, tile by tile: cells of one tile have consecutive keys. Tiles are
    the unit of writing (one chunk of the store each) and never change a value.

    Parameters
    ----------
    axes : sequence of Axis
        Time first, the grid last.
    tile_shape : tuple of int, optional
        Cells along each dimension; one span of time by 512 by 512 cells unless given.

    Examples
    --------
    >>> from eoscale.model.grid import Grid
    >>> grid = Grid(crs="EPSG:3413", resolution=1000, west=0, south=0, width=5, height=4)
    >>> cube = Cube(axes=(grid,), tile_shape=(2, 3))
    >>> cube.shape, cube.tiles
    ((4, 5), 4)
    >>> cube.block(3)
    (slice(2, 4, None), slice(3, 5, None))
    """

    axes: Sequence[Axis]
    tile_shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.tile_shape:
            side = 512 if len(self.shape) > 1 else 2**18
            shape = tuple(
                1 if dim == "time" and len(self.shape) > 1 else min(size, side)
                for dim, size in zip(self.dims, self.shape, strict=True)
            )
            object.__setattr__(self, "tile_shape", shape)
        if len(self.tile_shape) != len(self.shape) or min(self.tile_shape) < 1:
            raise ValueError(f"tiles of {self.tile_shape} do not cut a cube of {self.shape}")

    def __repr__(self) -> str:
        sizes = ", ".join(f"{dim}: {n}" for dim, n in zip(self.dims, self.shape, strict=True))
        return f"<Cube ({sizes}) in {self.tiles} tiles of {self.tile_shape}>"

    @cached_property
    def dims(self) -> tuple[str, ...]:
        """Names of all dimensions."""
        return tuple(dim for axis in self.axes for dim in axis.dims)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Cells along each dimension."""
        return tuple(size for axis in self.axes for size in axis.shape)

    @cached_property
    def tile_grid(self) -> tuple[int, ...]:
        """Tiles along each dimension."""
        return tuple(-(-n // t) for n, t in zip(self.shape, self.tile_shape, strict=True))

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return prod(self.tile_grid)

    @property
    def tile_cells(self) -> int:
        """Cells of a whole tile; tiles at the upper edges use only a part of them."""
        return prod(self.tile_shape)

    def locate(self, columns: Columns) -> Located:
        """Return the rows that lie on every axis, and their keys in place of bins."""
        first, *others = self.axes
        rows, found, weights = first.locate(columns)
        bins = _unravelled(found, first.shape)
        for axis in others:
            located = axis.locate({name: values[rows] for name, values in columns.items()})
            rows = rows[located.rows]
            bins = [earlier[located.rows] for earlier in bins]
            weights = None if weights is None else weights[located.rows]
            if located.weights is not None:
                weights = located.weights if weights is None else weights * located.weights
            bins += _unravelled(located.bins, axis.shape)
        return Located(rows, self._keys(bins), weights)

    def _keys(self, bins: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        tile_number = cell_number = np.zeros(bins[0].size, np.int64)
        for along, size, tiles in zip(bins, self.tile_shape, self.tile_grid, strict=True):
            tile = along // size if tiles > 1 else 0
            tile_number = tile_number * tiles + tile
            cell_number = cell_number * size + (along - tile * size)
        return tile_number * self.tile_cells + cell_number

    def block(self, tile: Tile) -> tuple[slice, ...]:
        """Return the part of the cube that a tile covers."""
        position = np.unravel_index(tile, self.tile_grid)
        return tuple(
            slice(int(i) * t, min((int(i) + 1) * t, n))
            for i, t, n in zip(position, self.tile_shape, self.shape, strict=True)
        )

    def dense(self, tile: Tile, keys: NDArray[np.int64], values: Array, *, fill: float) -> Array:
        """Return the tile's block with values at their keys, and the fill elsewhere.

        Parameters
        ----------
        tile : int
        keys : (n,) int64
            Cells of that tile, without repetition.
        values : (n,) array
        fill : number
            Of the values' dtype.
        """
        whole = np.full(self.tile_cells, fill, dtype=values.dtype)
        whole[keys - tile * self.tile_cells] = values
        inside = tuple(slice(0, part.stop - part.start) for part in self.block(tile))
        return whole.reshape(self.tile_shape)[inside]

    def coordinates(self) -> xr.Dataset:
        """Return the coordinates of all axes."""
        return xr.merge([axis.coordinates() for axis in self.axes])


def _unravelled(bins: NDArray[np.int64], shape: Sequence[int]) -> list[NDArray[np.int64]]:
    """Return positions along each dimension, as numpy's ``unravel_index`` does, in a fraction of the time."""
    positions = []
    for size in reversed(shape[1:]):
        rest = bins // size
        positions.append(bins - rest * size)
        bins = rest
    return [bins, *reversed(positions)]
