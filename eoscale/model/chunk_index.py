"""ChunkIndex: where the chunks of a granule's variables lie in its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eoscale.model.columns import Array, Rows
from eoscale.model.digest import Digested
from eoscale.model.zone_map import ZoneMap

UNALLOCATED = -1
"""Offset of a chunk that was never written: it reads as the fill value."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """One step of the pipeline that packed a chunk."""

    id: int
    """Registered number: 1 deflate, 2 shuffle, 3 fletcher32, …"""
    name: str
    parameters: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class DatasetIndex(Digested):
    """Where one variable's chunks lie.

    A contiguous variable is described as chunks of whole rows without filters, and a compact one by its
    bytes; so one reader serves all layouts.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk_shape: tuple[int, ...]
    offsets: NDArray[np.int64]
    """In the file, for each chunk of the grid; :data:`UNALLOCATED` where there is none."""
    sizes: NDArray[np.int64]
    """Stored bytes, for each chunk of the grid."""
    masks: NDArray[np.int64]
    """For each chunk of the grid: bit i is set where filter i was skipped."""
    filters: tuple[Filter, ...] = ()
    """In the order in which they were applied on writing."""
    fill: bytes = b""
    """One element for unallocated chunks; empty means zeros."""
    inline: bytes | None = None
    """All bytes of a compact variable, which has no chunks."""
    clipped: bool = False
    """Chunks at the edge are stored without their part outside the shape (contiguous layout)."""
    in_heap: bool = False
    """Values are texts of varying length: an element says where in a heap of the file its text lies."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Those that decoding and describing need: ``_FillValue``, ``units``, ``long_name``, ``flag_values``."""

    def __post_init__(self) -> None:
        for array in (self.offsets, self.sizes, self.masks):
            if array.shape != self.grid:
                raise ValueError(f"{self.path}: chunk table of shape {array.shape}, expected {self.grid}")
            array.flags.writeable = False

    def __repr__(self) -> str:
        filters = "+".join(step.name for step in self.filters) or "unfiltered"
        return f"<DatasetIndex {self.path} {self.shape} {self.dtype}: {self.offsets.size} chunks, {filters}>"

    def content(self) -> object:
        """Return all fields, the dtype by its string and the attributes by their text."""
        return {
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "dtype": self.dtype.str,
            "attributes": {k: repr(v) for k, v in self.attributes.items()},
        }

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks along each dimension; nothing where the variable is stored inline."""
        if self.inline is not None:
            return (0,)
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunk_shape, strict=True))

    @cached_property
    def chunk_nbytes(self) -> int:
        """Bytes of one whole decoded chunk."""
        return prod(self.chunk_shape) * self.dtype.itemsize

    @property
    def fill_value(self) -> Array | None:
        """The file's ``_FillValue`` attribute as a 0-d array of the variable's dtype, or None."""
        stated = self.attributes.get("_FillValue")
        return None if stated is None else np.asarray(stated, self.dtype).reshape(())

    def chunks(self, rows: Rows | None = None) -> NDArray[np.int64]:
        """Return the numbers of the chunks that hold some rows, ascending, in C order of the grid.

        Parameters
        ----------
        rows : (n,) int64, optional
            Row numbers, ascending; all rows unless given.
        """
        if rows is None or not self.shape or not self.offsets.size:
            return np.arange(self.offsets.size)
        if not rows.size:
            return np.empty(0, np.int64)
        size = self.chunk_shape[0]
        low, high = int(rows[0]) // size, int(rows[-1]) // size
        edges = np.searchsorted(rows, np.arange(low, high + 2) * size)
        first = low + np.flatnonzero(np.diff(edges))
        per_row = self.offsets.size // self.grid[0]
        return (first[:, None] * per_row + np.arange(per_row)).ravel()

    def ranges(self, rows: Rows | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return offsets and sizes in the file of the allocated chunks that hold some rows."""
        numbers = self.chunks(rows)
        offsets, sizes = self.offsets.reshape(-1)[numbers], self.sizes.reshape(-1)[numbers]
        allocated = offsets != UNALLOCATED
        return offsets[allocated], sizes[allocated]


@dataclass(frozen=True, kw_only=True, eq=False)
class ChunkIndex(Digested):
    """Where the chunks of some variables of one granule lie."""

    granule: str
    url: str
    """Of the file that was indexed."""
    size: int
    """Bytes of that file."""
    etag: str
    """Its version; every read is refused if the file has another one by then."""
    datasets: Mapping[str, DatasetIndex]
    """By full path in the file."""
    absent: frozenset[str] = frozenset()
    """Paths that were asked for and that the file does not hold."""
    zones: Mapping[str, ZoneMap] = field(default_factory=dict)
    """By full path of a longitude: where the rows of its rate lie, once its coordinates have been read."""
    plain: bool = False
    """Whether the URL answered by itself, without redirects, when the file was indexed."""
    bytes_read: int = 0
    """What building the index cost."""
    requests: int = 0
    at_hand: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    """By offset: chunks that came with the metadata of a file that was taken whole. They are kept nowhere."""
    fallback: str = ""
    """Why libhdf5 had to read the metadata; empty where it did not."""

    def __repr__(self) -> str:
        return f"<ChunkIndex of {self.granule}: {len(self.datasets)} variables, {len(self.absent)} absent>"

    def content(self) -> object:
        """Return version and tables, not what building them cost."""
        tables = (dict(self.datasets), dict(self.zones), tuple(sorted(self.absent)))
        return (self.granule, self.size, self.etag, *tables)
