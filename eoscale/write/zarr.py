"""A Zarr store as a sink: laid out first, filled tile by tile, opened to readers last."""

from __future__ import annotations

import warnings
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore

from eoscale.errors import IncompleteRunError
from eoscale.model.columns import Array
from eoscale.model.cube import Cube, Tile
from eoscale.write import publish
from eoscale.write.whole import whole

_ROOT = {3: ("zarr.json",), 2: (".zmetadata", ".zattrs", ".zgroup")}
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
    """A consolidated Zarr store on local disk, hidden until it is complete.

    Parameters
    ----------
    output : Path
        Where readers will find it.
    digest : str
        Of the job.
    cube : Cube
        One tile is one chunk of every variable.
    """

    output: Path
    digest: str
    cube: Cube
    variables: Mapping[str, ArraySpec]
    attributes: Mapping[str, Any]
    """Of the store."""
    zarr_format: Literal[2, 3] = 3
    stage: str = ""
    """Digest of what the tiles are made of: what was made of something else is not mixed with it."""

    @property
    def hidden(self) -> Path:
        """The sibling in which the store is made."""
        return publish.staging(self.output, self.digest, self.stage)

    def prepare(self) -> None:
        """Write all metadata and coordinates but not the root group, so that nothing opens."""
        for key, document in self._documents().items():
            if key not in _ROOT[self.zarr_format]:
                target = self.hidden / key
                target.parent.mkdir(parents=True, exist_ok=True)
                with whole(target) as hidden:  # somebody may be reading what an earlier attempt laid out
                    hidden.write_bytes(document)

    def write(self, tile: Tile, blocks: Mapping[str, Array]) -> None:
        """Write one tile of every variable; each is one chunk, replaced whole."""
        try:
            for name, block in blocks.items():
                _array(str(self.hidden / name), self.zarr_format)[self.cube.block(tile)] = block
        finally:
            # a client that died may have left a task in hand until another one has published
            if publish.published(self.output) == self.digest:
                publish.discard(self.hidden)

    def missing(self) -> tuple[Tile, ...]:
        """Return the tiles of which a variable has no chunk."""
        names = tuple(self.variables)
        return tuple(
            tile
            for tile in range(self.cube.tiles)
            if not all((self.hidden / name / self._chunk(tile)).exists() for name in names)
        )

    def publish(self) -> None:
        """Put the root group, then rename the hidden sibling to its name.

        Raises
        ------
        IncompleteRunError
            If a tile has not been written.
        ConflictError
            If something has come into being at the output.
        """
        missing = self.missing()
        if missing:
            raise IncompleteRunError(f"{len(missing)} of {self.cube.tiles} tiles are missing: run again")
        documents = self._documents()
        self._clear(documents)
        for key in _ROOT[self.zarr_format]:
            if key in documents:
                (self.hidden / key).write_bytes(documents[key])
        publish.reveal(self.hidden, self.output)

    def _clear(self, documents: Container[str]) -> None:
        """Remove what workers left that died while they wrote a chunk."""
        chunks = {f"{name}/{self._chunk(tile)}" for name in self.variables for tile in range(self.cube.tiles)}
        for path in [path for path in self.hidden.rglob("*") if path.is_file()]:
            key = path.relative_to(self.hidden).as_posix()
            if key not in documents and key not in chunks:
                path.unlink(missing_ok=True)

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

    def _create(self, group: zarr.Group, name: str, spec: ArraySpec) -> None:
        attributes = dict(spec.attributes)
        fill: float | None = spec.fill
        names: dict[str, Any] = {"dimension_names": self.cube.dims}
        if self.zarr_format == 2:
            attributes["_ARRAY_DIMENSIONS"] = list(self.cube.dims)
            names = {}
            # xarray takes a fill value of format 2 for missing data: a count of 0 is none
            fill = fill if np.dtype(spec.dtype).kind == "f" else None
        group.create_array(
            name,
            shape=self.cube.shape,
            chunks=self.cube.tile_shape,
            dtype=spec.dtype,
            fill_value=fill,
            attributes=attributes,
            **names,
        )


@lru_cache(maxsize=64)
def _array(path: str, zarr_format: Literal[2, 3]) -> zarr.Array[Any]:
    """Open an array by its path, whose group does not open yet; each tile is written, even an empty one."""
    array = zarr.open_array(LocalStore(path), mode="r+", zarr_format=zarr_format)
    return array.with_config({"write_empty_chunks": True})


def _contents(memory: MemoryStore) -> dict[str, bytes]:
    async def gather() -> dict[str, bytes]:
        prototype = default_buffer_prototype()
        found = {key: await memory.get(key, prototype) async for key in memory.list()}
        return {key: value.to_bytes() for key, value in found.items() if value is not None}

    return sync(gather())


def open_store(output: Path) -> xr.Dataset:
    """Return a published store as a dataset, read lazily.

    Raises
    ------
    IncompleteRunError
        If there is none.
    """
    if publish.published(output) is None:
        raise IncompleteRunError(f"{output} has not been published: run its recipe")
    dataset: xr.Dataset = xr.open_zarr(output, consolidated=True, chunks=None)
    return dataset
