"""Datasets whose chunks are found by every index, in ways of packing them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from tests.hdf5.files import Maker, noise
from tests.hdf5.libhdf5 import Step, called, deflated, early, listed

_DONT_FILTER_PARTIAL_CHUNKS = 2
Parts = Sequence[Any]


class Grid(NamedTuple):
    """The chunks of a dataset, and the parts of it that are written where only some are."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    maxshape: tuple[int | None, ...] | None
    some: Parts


def gridded(grid: Grid, parts: Parts, *steps: Step, dtype: str = "<i4") -> Maker:
    """Return a maker of a chunked dataset whose parts hold values of any bits."""

    def make(group: h5py.Group, name: str) -> None:
        most = tuple(h5s.UNLIMITED if n is None else n for n in grid.maxshape or grid.shape)
        space, kind = h5s.create_simple(grid.shape, most), h5t.py_create(np.dtype(dtype))
        properties = listed(lambda given: given.set_chunk(grid.chunks), *steps)
        dataset = h5py.Dataset(h5d.create(group.id, name.encode(), kind, space, properties))
        values = noise(dtype, *grid.shape)
        for part in parts:
            dataset[part] = values[part]

    return make


GRIDS = {
    "single": Grid((6, 5), (6, 5), None, [0]),
    "fixed": Grid((23, 11), (5, 4), None, [(5, 4), (-1, -1)]),
    "fixed_room": Grid((23, 11), (5, 4), (50, 40), [(5, 4), (-1, -1)]),
    "fixed_pages": Grid((3300,), (1,), None, [1023, 1024, 3299]),
    "fixed_volume": Grid((3, 2, 4, 5, 3), (2, 2, 3, 1, 2), None, [(1, 1, 1, 1, 1), (2, 1, 3, 4, 2)]),
    "extensible_index_block": Grid((3,), (1,), (None,), [1]),
    "extensible": Grid((23, 11), (5, 4), (None, 11), [(5, 4), (-1, -1)]),
    "extensible_room": Grid((23, 11), (5, 4), (None, 40), [(5, 4), (-1, -1)]),
    "extensible_middle": Grid((7, 6, 5), (2, 4, 3), (9, None, 5), [(2, 4, 3), (-1, -1, -1)]),
    "extensible_last": Grid((7, 6, 5, 9), (2, 4, 3, 2), (7, 8, 5, None), [(2, 4, 3, 2), (-1, -1, -1, -1)]),
    "extensible_super_blocks": Grid((1500,), (1,), (None,), [0, 400, slice(700, 790), 1499]),
    "extensible_short": Grid((3, 2), (5, 4), (None, 4), [0]),
    "tree": Grid((23, 9), (5, 2), (None, None), [(5, 4), (-1, -1)]),
    "tree_room": Grid((7, 6, 5), (2, 4, 3), (None, 40, None), [(2, 4, 3), (-1, -1, -1)]),
    "tree_leaves": Grid((30, 20), (1, 1), (None, None), [(slice(None, None, 3), slice(5, 9))]),
}
DEEP_GRIDS = {
    "fixed_pages_many": Grid((90, 100), (1, 1), (100, 100), [(slice(30, 44), slice(7, 90)), (89, 99)]),
    # the data blocks of an extensible array have pages from its element 131,056 on
    "extensible_pages": Grid(
        (270_000,), (1,), (None,), [slice(131_000, 134_000), 150_000, slice(262_000, 263_000), 269_999]
    ),
    "extensible_pages_last": Grid((2, 70_000), (1, 1), (3, None), [(0, slice(43_600, 45_000)), (1, 69_999)]),
    "tree_deep": Grid((120, 100), (1, 1), (None, None), [(slice(None, None, 2), slice(None, None, 2))]),
}
PACKED: tuple[Step, ...] = (
    h5p.PropDCID.set_shuffle,
    deflated(1),
    h5p.PropDCID.set_fletcher32,
)
PACKS: dict[str, tuple[Step, ...]] = {
    "plain": (),
    "early": (early,),
    "packed": PACKED,
    "packed_early": (early, lambda properties: properties.set_fill_time(h5d.FILL_TIME_ALLOC), *PACKED),
    "packed_inside": (called("H5Pset_chunk_opts", _DONT_FILTER_PARTIAL_CHUNKS), *PACKED),
}


def combined(grids: dict[str, Grid], packs: Iterable[str], *extents: str) -> dict[str, Maker]:
    """Return makers of all grids, packed in some ways, of which nothing is written, or parts, or all."""
    return {
        f"{name}_{pack}_{extent}": gridded(
            grid, {"none": [], "some": grid.some, "whole": [...]}[extent], *PACKS[pack]
        )
        for (name, grid), pack, extent in product(grids.items(), packs, extents)
    }
