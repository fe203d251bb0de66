"""Chunk indexes: where the chunks of a variable lie, of every kind that the format has.

Source: HDF5 File Format Specification, "Version 1 B-trees", "Version 2 B-trees", and appendix C, "Types of
Indexes for Dataset Chunks".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eoscale.errors import CorruptGranuleError
from eoscale.hdf5.format import arrays, extensible_array, trees
from eoscale.hdf5.format.arrays import Elements, Numbers
from eoscale.hdf5.format.cursor import File
from eoscale.hdf5.format.walk import Walk
from eoscale.model.chunk_index import UNALLOCATED

BTREE_1, SINGLE, IMPLICIT, FIXED_ARRAY, EXTENSIBLE_ARRAY, BTREE_2 = range(6)
_CHUNKS = 1
"""Kind of a tree of version 1."""
_RECORDS, _FILTERED_RECORDS = 10, 11
_SKIP_ALL = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class Chunking:
    """What a variable's header says of its chunks."""

    kind: int
    address: int
    chunk_shape: tuple[int, ...]
    shape: tuple[int, ...]
    most: tuple[int | None, ...]
    """Largest shape; None where there is no limit."""
    nbytes: int
    """Of a whole decoded chunk."""
    size_width: int
    """Bytes in which an array or tree says how long a chunk is; 0 where chunks are not filtered."""
    single: tuple[int, int] | None = None
    """Stored bytes and filter mask of a single chunk that is filtered."""
    plain_edges: bool = False
    """Chunks that reach over the edge are not filtered."""

    @property
    def filtered(self) -> bool:
        """Whether chunks are filtered."""
        return bool(self.size_width)

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks along each dimension."""
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunk_shape, strict=True))


class Table(NamedTuple):
    """Offset from the beginning of the file, stored bytes and filter mask of each chunk of the grid."""

    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    masks: NDArray[np.int64]


class _Chunks(NamedTuple):
    """Chunks as an index lists them."""

    cells: NDArray[np.int64]
    """(n, dimensions): position in the grid."""
    elements: Elements


def table(file: File, chunking: Chunking) -> Walk[Table]:
    """Return where the chunks of a variable lie.

    Raises
    ------
    CorruptGranuleError
        If the index is damaged, has a chunk twice or outside the grid, or one behind the file's end.
    """
    if chunking.address == file.undefined or 0 in chunking.shape:
        none = np.empty((0, len(chunking.shape)), np.int64)
        return placed(file, chunking.grid, chunking.nbytes, none, Elements(np.empty(0, np.uint64)))
    cells, elements = yield from _listed(file, chunking)
    found = placed(file, chunking.grid, chunking.nbytes, cells, elements)
    if chunking.filtered and chunking.plain_edges:
        partial = _partial(chunking) & (found.offsets != UNALLOCATED)
        if (found.sizes[partial] != chunking.nbytes).any():
            raise CorruptGranuleError("a chunk over the edge is filtered, and none should be: damaged")
        found.masks[partial] = _SKIP_ALL
    return found


def placed(
    file: File, grid: tuple[int, ...], nbytes: int, cells: NDArray[np.int64], elements: Elements
) -> Table:
    """Return a table of chunks that are known one by one.

    Parameters
    ----------
    file : File
    grid : tuple of int
        Number of chunks along each dimension.
    nbytes : int
        Of a chunk, where elements do not say.
    cells : (n, dimensions) int64
        Position of each chunk in the grid, not below zero.
    elements : Elements

    Raises
    ------
    CorruptGranuleError
        If a chunk lies outside the grid, twice, or behind the file's end.
    """
    offsets = np.full(grid, UNALLOCATED, np.int64)
    sizes, masks = np.zeros(grid, np.int64), np.zeros(grid, np.int64)
    if not len(cells):
        return Table(offsets, sizes, masks)
    positions = tuple(cells.T)
    if (cells >= grid).any():
        raise CorruptGranuleError("a chunk lies outside the grid of its variable: damaged")
    stored = np.full(len(cells), nbytes) if elements.sizes is None else elements.sizes
    room = file.size - file.base
    # compared so that no sum can wrap round
    last = (room - np.minimum(np.maximum(stored, 0), room)).astype("u8")
    outside = (stored < 0) | (stored > room) | (elements.addresses > last)
    if outside.any():
        raise CorruptGranuleError(f"{outside.sum()} chunks lie behind the end of the file: truncated")
    offsets[positions] = elements.addresses.astype(np.int64) + file.base
    sizes[positions] = stored
    masks[positions] = 0 if elements.masks is None else elements.masks
    if np.count_nonzero(offsets != UNALLOCATED) < len(cells):
        raise CorruptGranuleError("a chunk is listed twice: damaged")
    return Table(offsets, sizes, masks)


def _partial(chunking: Chunking) -> NDArray[np.bool_]:
    """Return which chunks reach over the edge."""
    partial = np.zeros(chunking.grid, np.bool_)
    for axis, (n, c) in enumerate(zip(chunking.shape, chunking.chunk_shape, strict=True)):
        if n % c:
            np.moveaxis(partial, axis, 0)[-1] = True
    return partial


def _listed(file: File, chunking: Chunking) -> Walk[_Chunks]:
    if chunking.kind == BTREE_1:
        return (yield from _btree_1(file, chunking))
    if chunking.kind == BTREE_2:
        return (yield from _btree_2(file, chunking))
    numbers, most = _numbers(chunking)
    elements = yield from _numbered(file, chunking, numbers.reshape(-1), most)
    found = elements.addresses != file.undefined
    cells = np.argwhere(found.reshape(numbers.shape))
    return _Chunks(cells, elements.only(found))


def _numbers(chunking: Chunking) -> tuple[Numbers, int]:
    """Return the number of each chunk of the grid in an array of the largest shape, and how many that has.

    The dimension without limit counts slowest, wherever it stands among the others.
    """
    unlimited = [axis for axis, most in enumerate(chunking.most) if most is None]
    order = [*unlimited, *(axis for axis in range(len(chunking.shape)) if axis not in unlimited)]
    numbers = np.zeros(chunking.grid, np.int64)
    stride = 1
    for axis in reversed(order):
        most, length = chunking.most[axis], chunking.grid[axis]
        along = np.arange(length, dtype=np.int64) * stride
        numbers += along.reshape([-1 if other == axis else 1 for other in range(numbers.ndim)])
        stride *= length if most is None else -(-most // chunking.chunk_shape[axis])
    if stride >= 2**62:
        raise CorruptGranuleError("a variable has more chunks than can be counted: damaged")
    return numbers, stride


def _numbered(file: File, chunking: Chunking, numbers: Numbers, most: int) -> Walk[Elements]:
    if chunking.kind == FIXED_ARRAY:
        return (yield from arrays.fixed(file, chunking.address, chunking.size_width, numbers, most))
    if chunking.kind == EXTENSIBLE_ARRAY:
        return (yield from extensible_array.extensible(file, chunking.address, chunking.size_width, numbers))
    if chunking.kind == IMPLICIT:
        return Elements(np.uint64(chunking.address) + numbers.astype("u8") * np.uint64(chunking.nbytes))
    addresses = np.array([chunking.address], np.uint64)
    if numbers.size != 1:
        raise CorruptGranuleError(f"an index of one chunk for {numbers.size}: damaged")
    if chunking.single is None:
        return Elements(addresses)
    size, mask = chunking.single
    return Elements(addresses, np.array([min(size, 2**62)], np.int64), np.array([mask], np.int64))


def _btree_1(file: File, chunking: Chunking) -> Walk[_Chunks]:
    rank = len(chunking.shape)
    # a key counts elements, and has one dimension more, of the bytes inside an element
    key = np.dtype([("size", "<u4"), ("mask", "<u4"), ("start", "<u8", (rank + 1,))])
    entry = np.dtype([*((name, key[name]) for name in key.names or ()), ("child", f"<u{file.offset_size}")])

    def entries(node: trees.Node) -> NDArray[np.void]:
        return np.frombuffer(node.body.data, entry, node.entries, node.body.at)

    leaves = yield from trees.leaves(
        file, chunking.address, _CHUNKS, key.itemsize, lambda node: entries(node)["child"].tolist()
    )
    found = np.concatenate([entries(node) for node in leaves])
    cells, rest = np.divmod(found["start"][:, :rank], np.array(chunking.chunk_shape, "u8"))
    if rest.any() or found["start"][:, rank].any():
        raise CorruptGranuleError("a chunk does not begin where one can: damaged")
    sizes = found["size"].astype(np.int64)
    if not chunking.filtered and (sizes != chunking.nbytes).any():
        raise CorruptGranuleError("a chunk without filters has another size than its kind: damaged")
    return _Chunks(
        _signed(cells), Elements(found["child"].astype("u8"), sizes, found["mask"].astype(np.int64))
    )


def _btree_2(file: File, chunking: Chunking) -> Walk[_Chunks]:
    rank = len(chunking.shape)
    kind = _FILTERED_RECORDS if chunking.filtered else _RECORDS
    raw = yield from trees.records(file, chunking.address, kind)
    width = arrays.width(file, chunking.size_width)
    if raw.shape[1] != width + 8 * rank:
        raise CorruptGranuleError(f"a tree of chunks with records of {raw.shape[1]} bytes: damaged")
    elements = arrays.decoded(raw[:, :width], file.offset_size, filtered=chunking.filtered)
    cells = np.ascontiguousarray(raw[:, width:]).view("<u8").reshape(-1, rank)
    return _Chunks(_signed(cells), elements)


def _signed(cells: NDArray[np.uint64]) -> NDArray[np.int64]:
    return np.minimum(cells, np.uint64(2**62)).astype(np.int64)
