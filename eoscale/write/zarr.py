"""A Zarr store as a sink: laid out first, filled tile by tile, opened to readers last."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import xarray as xr
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore, ObjectStore

from eoscale.access.bucket import BucketPath
from eoscale.errors import IncompleteRunError
from eoscale.model.columns import Array
from eoscale.model.cube import Cube, Tile
from eoscale.write import publish
from eoscale.write.hiding import Hiding, hiding
from eoscale.write.places import Place

_ROOT = {3: ("zarr.json",), 2: (".zattrs", ".zmetadata", ".zgroup")}
"""Documents of the root group, the one that makes it open last."""


@dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """One data variable of a store."""

    dtype: str
    fill: float
    """Of cells without data, and of the array."""
    attributes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ZarrSink:
    """A consolidated Zarr store on a disk or in a bucket, hidden until it is complete.

    Parameters
    ----------
    output : Place
        Where readers will find it.
    digest : str
        Of the job.
    cube : Cube
        One tile is one chunk of every variable.
    """

    output: Place
    digest: str
    cube: Cube
    variables: Mapping[str, ArraySpec]
    attributes: Mapping[str, Any]
    """Of the store."""
    zarr_format: Literal[2, 3] = 3
    stage: str = ""
    """Digest of what the tiles are made of: what was made of something else is not mixed with it."""

    @cached_property
    def _hiding(self) -> Hiding:
        return hiding(self.output, self.digest, self.stage)

    def prepare(self) -> None:
        """Write all metadata and coordinates but not the root group, so that nothing opens."""
        documents = self._documents()
        self._hiding.prepare(
            {name: each for name, each in documents.items() if name not in _ROOT[self.zarr_format]}
        )

    def write(self, tile: Tile, blocks: Mapping[str, Array]) -> None:
        """Write one tile of every variable; each is one chunk, replaced whole."""
        for name, block in blocks.items():
            self._hiding.put(f"{name}/{self._chunk(tile)}", self._encoded(name, tile, block))

    def missing(self) -> tuple[Tile, ...]:
        """Return the tiles of which a variable has no chunk."""
        names = self._hiding.names()
        return tuple(
            tile
            for tile in range(self.cube.tiles)
            if not all(f"{name}/{self._chunk(tile)}" in names for name in self.variables)
        )

    def publish(self) -> None:
        """Put the root group, and let readers see it.

        Raises
        ------
        IncompleteRunError
            If a tile has not been written.
        ConflictError
            If something has come into being at the output.
        """
        self._demand_none(self.missing())
        documents = self._documents()
        chunks = {f"{name}/{self._chunk(tile)}" for name in self.variables for tile in range(self.cube.tiles)}
        roots = {name: documents.pop(name) for name in _ROOT[self.zarr_format] if name in documents}
        self._hiding.show(roots, chunks | documents.keys())

    def _demand_none(self, missing: Collection[Tile]) -> None:
        if missing:
            raise IncompleteRunError(f"{len(missing)} of {self.cube.tiles} tiles are missing: run again")

    def _encoded(self, name: str, tile: Tile, block: Array) -> bytes:
        """Return the chunk that a block becomes; one is written for an empty block, too."""
        memory = MemoryStore()
        group = zarr.create_group(memory, zarr_format=self.zarr_format)
        array = self._create(group, name, self.variables[name]).with_config({"write_empty_chunks": True})
        array[self.cube.block(tile)] = block
        return _contents(memory)[f"{name}/{self._chunk(tile)}"]

    def _chunk(self, tile: Tile) -> str:
        position = [str(int(at)) for at in np.unravel_index(tile, self.cube.tile_grid)]
        return "/".join(["c", *position]) if self.zarr_format == 3 else ".".join(position)

    def _documents(self) -> dict[str, bytes]:
        """Return every object of the store but the chunks of its variables, made in memory."""
        memory = MemoryStore()
        coordinates = self.cube.coordinates().assign_attrs(dict(self.attributes))
        coordinates.to_zarr(memory, mode="w", consolidated=False, zarr_format=self.zarr_format)
        group = zarr.open_group(memory, mode="r+")
        for name, spec in self.variables.items():
            self._create(group, name, spec)
        with warnings.catch_warnings():
            # zarr 3 says that consolidated metadata is not part of the specification yet; readers know it
            warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
            zarr.consolidate_metadata(memory)
        return _contents(memory)

    def _create(self, group: zarr.Group, name: str, spec: ArraySpec) -> zarr.Array[Any]:
        attributes = dict(spec.attributes)
        fill: float | None = spec.fill
        names: dict[str, Any] = {"dimension_names": self.cube.dims}
        if self.zarr_format == 2:
            attributes["_ARRAY_DIMENSIONS"] = list(self.cube.dims)
            names = {}
            # xarray takes a fill value of format 2 for missing data: a count of 0 is none
            fill = fill if np.dtype(spec.dtype).kind == "f" else None
        return group.create_array(
            name,
            shape=self.cube.shape,
            chunks=self.cube.tile_shape,
            dtype=spec.dtype,
            fill_value=fill,
            attributes=attributes,
            **names,
        )


def _contents(memory: MemoryStore) -> dict[str, bytes]:
    async def gather() -> dict[str, bytes]:
        prototype = default_buffer_prototype()
        found = {key: await memory.get(key, prototype) async for key in memory.list()}
        return {key: value.to_bytes() for key, value in found.items() if value is not None}

    return sync(gather())


def open_store(output: Place) -> xr.Dataset:
    """Return a published store as a dataset, read lazily.

    Raises
    ------
    IncompleteRunError
        If there is none.
    """
    if publish.published(output) is None:
        raise IncompleteRunError(f"{output} has not been published: run its recipe")
    store = ObjectStore(output.store(), read_only=True) if isinstance(output, BucketPath) else output
    dataset: xr.Dataset = xr.open_zarr(store, consolidated=True, chunks=None)
    return dataset
