"""Chunks that other filters packed, that skip filters, that were taken away, or that are of other sizes."""

from __future__ import annotations

from itertools import product

import h5py
from h5py import h5d, h5s, h5t, h5z

from tests.hdf5.files import Maker, noise
from tests.hdf5.layouts.grids import GRIDS, PACKED, Grid, gridded
from tests.hdf5.libhdf5 import deflated, listed


def unknown_filter(group: h5py.Group, name: str) -> None:
    """Name a filter that is nowhere installed, with an odd number of parameters."""
    properties = listed(
        lambda given: given.set_chunk((4,)),
        lambda given: given.set_filter(32_123, h5z.FLAG_OPTIONAL, (7, 2**32 - 1, 0)),
    )
    h5d.create(group.id, name.encode(), h5t.STD_I32LE, h5s.create_simple((9,)), properties)


PLANE = GRIDS["fixed"]
FILTERS: dict[str, Maker] = {
    "deflate": gridded(PLANE, [...], deflated(9)),
    "shuffle": gridded(PLANE, [...], PACKED[0]),
    "fletcher32": gridded(PLANE, [...], PACKED[2]),
    "lzf": gridded(PLANE, [...], lambda given: given.set_filter(h5z.FILTER_LZF, h5z.FLAG_OPTIONAL)),
    "scale_offset": gridded(PLANE, [...], lambda given: given.set_scaleoffset(h5z.SO_INT, 0)),
    "scale_offset_float": gridded(
        PLANE, [...], lambda given: given.set_scaleoffset(h5z.SO_FLOAT_DSCALE, 2), dtype="<f4"
    ),
    "szip": gridded(PLANE, [...], lambda given: given.set_szip(h5z.SZIP_NN_OPTION_MASK, 8)),
    "nbit": gridded(PLANE, [...], lambda given: given.set_filter(h5z.FILTER_NBIT, 0, ())),
    "twice_deflated": gridded(PLANE, [...], deflated(1), deflated(9)),
    "unknown_filter": unknown_filter,
}
"""Steps of a pipeline that tell of themselves in other ways."""


def masked(grid: Grid) -> Maker:
    """Return a maker of a dataset whose chunks were written as they are, each skipping other filters."""

    def make(group: h5py.Group, name: str) -> None:
        dataset = group.create_dataset(
            name, grid.shape, "u1", chunks=grid.chunks, maxshape=grid.maxshape, shuffle=True, compression=1
        )
        starts = [range(0, n, c) for n, c in zip(grid.shape, grid.chunks, strict=True)]
        for number, start in enumerate(product(*starts)):
            dataset.id.write_direct_chunk(start, bytes(1 + number % 300), number % 4)

    return make


def regrown(grid: Grid) -> Maker:
    """Return a maker of a dataset that lost chunks and grew again, as far as it may."""

    def make(group: h5py.Group, name: str) -> None:
        dataset = group.create_dataset(name, grid.shape, "<i4", chunks=grid.chunks, maxshape=grid.maxshape)
        dataset[...] = noise("<i4", *grid.shape)
        dataset.resize([1 + n // 2 for n in grid.shape])
        most = grid.maxshape or grid.shape
        dataset.resize(
            [n + 12 if limit is None else limit for n, limit in zip(grid.shape, most, strict=True)]
        )
        dataset[(-1,) * len(grid.shape)] = 5

    return make


def chunk_of(nbytes: int, **options: object) -> Maker:
    """Return a maker of two chunks of a size, of which one is stored with ten bytes."""

    def make(group: h5py.Group, name: str) -> None:
        dataset = group.create_dataset(
            name, (2 * nbytes,), "u1", chunks=(nbytes,), **{"compression": 1, **options}
        )
        dataset.id.write_direct_chunk((nbytes,), bytes(10), 1)

    return make


MASKED = ("single", "fixed", "fixed_pages", "extensible_room", "extensible_last", "tree_room", "tree_leaves")
REGROWN = ("fixed_room", "extensible_room", "extensible_middle", "extensible_super_blocks", "tree_room")
CHUNKS: dict[str, Maker] = {
    **{f"masked_{name}": masked(GRIDS[name]) for name in MASKED},
    **{f"regrown_{name}": regrown(GRIDS[name]) for name in REGROWN},
    # records of filtered chunks hold as many bytes of a stored size as the chunk's own size needs
    **{f"chunk_of_{2**power}_bytes": chunk_of(2**power) for power in (7, 8, 15, 16, 23, 24, 28)},
    "empty_unlimited": gridded(Grid((0,), (4,), (None,), []), []),
    "empty_column": gridded(Grid((3, 0), (2, 2), (None, None), []), []),
}
