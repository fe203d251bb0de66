"""Reading: rows of variables, by the chunks that hold them.

What to read is planned in the caller's thread, the bytes come by the I/O thread, and each chunk is decoded as
it lands, by the crew of the process, right to its place in the result. So memory holds the result, and of the
file no more than what is in flight.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import groupby, islice, pairwise, repeat
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from eoscale.access import budgets, loop, ranges, redirects
from eoscale.access.head import Head
from eoscale.access.spans import Cost
from eoscale.errors import (
    GranuleError,
    MissingVariableError,
    RecipeError,
    UnsafeGranuleError,
    UnsupportedFilterError,
)
from eoscale.hdf5.file import File
from eoscale.hdf5.filters import DECODED, TOGETHER, decode, decode_many
from eoscale.hdf5.format import texts
from eoscale.model.chunk_index import UNALLOCATED, ChunkIndex, DatasetIndex
from eoscale.model.columns import Array, Rows

MOST_BYTES = 2**34
"""Of the values of one granule that are read together. A file can state far more than it stores: chunks that
were never written take no room in it."""


_HEAPS = 8
"""In which texts of varying length lie, or more."""


class Reading(NamedTuple):
    """Values, and what reading them took."""

    columns: dict[str, Array]
    """By full path, as they lie in the file: neither masked nor scaled."""
    cost: Cost


Wanted: TypeAlias = Mapping[str, Rows | None]
"""Full path to row numbers, (n,) int64, ascending, each once; None for all rows."""


def read(index: ChunkIndex, wanted: Wanted) -> Reading:
    """Return rows of some variables, asked for together and only by the chunks that hold them.

    Parameters
    ----------
    index : ChunkIndex
    wanted : mapping of str to (n,) int64 or None
        Full path to row numbers, ascending, each once; None for all rows.

    Returns
    -------
    Reading
        An array of shape ``(n, ...)`` for each path; of numpy's ``StringDType`` for texts of varying length.

    Raises
    ------
    AccessError
        If a range cannot be read exactly, or the file changed since it was indexed.
    GranuleError
        If a variable is not in the index, of a type or packed in a way that is not read
        (:class:`UnsupportedFilterError`, before anything is fetched), is too large to be read at once, or a
        chunk is corrupt.
    RecipeError
        If rows are not in order, or not in the variable.
    """
    begun = begin(index, wanted)
    try:
        return begun.result()
    finally:
        begun.cancel()  # who is interrupted leaves nothing running behind


def begin(index: ChunkIndex, wanted: Wanted) -> Future[Reading]:
    """Begin to read rows of some variables; parameters and errors as of :func:`read`.

    What is wrong with the index or the rows is raised at once.
    """
    planned = _planned(index, wanted)

    async def attempt() -> Reading:
        try:
            return await _read(index, planned)
        except GranuleError as error:
            raise _of(index, error) from error

    return loop.start(attempt())


class _Chosen(NamedTuple):
    """Rows of variables that share them and their grid."""

    rows: Rows | None
    numbers: NDArray[np.int64]
    """Of the chunks that hold some of them."""
    places: Mapping[int, tuple[slice, slice | Rows]]
    """By the position of chunks along the rows: where these go, and where in a chunk they are."""


class _Column(NamedTuple):
    """Rows of one variable, and the chunks of it that hold them."""

    dataset: DatasetIndex
    chosen: _Chosen
    numbers: NDArray[np.int64]
    """Of the chunks that are in the file."""
    values: Array
    """(n, ...), where each chunk is put as it lands; the fill value where there is none."""

    def put(self, numbers: NDArray[np.int64], raws: Sequence[memoryview]) -> None:
        """Decode chunks, ascending by number, and put the rows of them that are wanted in their place."""
        count = max(1, TOGETHER // self.dataset.chunk_nbytes)
        for start in range(0, numbers.size, count):
            some = slice(start, start + count)
            self._put(numbers[some], raws[some])

    def _put(self, numbers: NDArray[np.int64], raws: Sequence[memoryview]) -> None:
        dataset, place = self.dataset, self._place(numbers)
        masks = dataset.masks.reshape(-1)[numbers].tolist()
        if place is not None:
            decode_many(raws, dataset, masks, _flat(place))
            return
        chunks: Iterable[Array] = map(decode, raws, repeat(dataset), masks)
        if not dataset.clipped:
            chunks = together = np.empty((numbers.size, *dataset.chunk_shape), dataset.dtype)
            decode_many(raws, dataset, masks, _flat(together))
        for number, chunk in zip(numbers.tolist(), chunks, strict=True):
            self._copy(number, chunk)

    def _place(self, numbers: NDArray[np.int64]) -> Array | None:
        """Return the values that chunks fill whole, one behind the other; None where they do not."""
        dataset = self.dataset
        if self.chosen.rows is not None or not dataset.shape or dataset.chunk_shape[1:] != dataset.shape[1:]:
            return None
        begin, end = int(numbers[0]) * dataset.chunk_shape[0], (int(numbers[-1]) + 1) * dataset.chunk_shape[0]
        follow = numbers[-1] - numbers[0] + 1 == numbers.size
        return self.values[begin:end] if follow and end <= dataset.shape[0] else None

    def _copy(self, number: int, chunk: Array) -> None:
        """Put the rows of a chunk that are wanted in their place."""
        dataset = self.dataset
        if not dataset.shape:
            self.values[...] = chunk.reshape(self.values.shape)
            return
        target: list[slice] = []
        source: list[slice | Rows] = []
        cell = np.unravel_index(number, dataset.grid)
        for at, size, length in zip(cell, dataset.chunk_shape, dataset.shape, strict=True):
            begin = int(at) * size
            target.append(slice(begin, min(begin + size, length)))
            source.append(slice(0, min(size, length - begin)))
        if self.chosen.rows is not None:
            target[0], source[0] = self.chosen.places[int(cell[0])]
        self.values[tuple(target)] = chunk[tuple(source)]


def _flat(values: Array) -> NDArray[np.uint8]:
    """Return the bytes of contiguous values."""
    return values.reshape(-1).view(np.uint8)


def _compact(rows: Rows) -> slice | Rows:
    """Return rows as a slice where they follow each other, which numpy copies faster."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if rows.size == last - first + 1 else rows


_Columns: TypeAlias = dict[str, _Column]


def _planned(index: ChunkIndex, wanted: Wanted) -> _Columns:
    """Return what will be read of a granule, by path."""
    try:
        datasets = {path: _dataset(index, path) for path in wanted}
        nbytes = sum(
            prod(_shape(each, wanted[path])) * each.dtype.itemsize for path, each in datasets.items()
        )
        if nbytes > MOST_BYTES:
            raise UnsafeGranuleError(
                f"what is wanted of it takes {nbytes / 1e9:.0f} GB of memory, expected at most "
                f"{MOST_BYTES / 1e9:.0f}: read it in blocks of rows"
            )
    except GranuleError as error:
        raise _of(index, error) from error
    for rows in {id(rows): rows for rows in wanted.values()}.values():  # variables share them
        if rows is not None and rows.size and (rows[0] < 0 or (np.diff(rows) <= 0).any()):
            raise RecipeError("rows to read are not in order: expected row numbers, ascending, each once")
    shared: dict[object, _Chosen] = {}  # and grids
    columns = {}
    for path, dataset in datasets.items():
        key = id(wanted[path]), dataset.shape, dataset.chunk_shape, dataset.inline is None
        if key not in shared:
            shared[key] = _chosen(dataset, wanted[path])
        columns[path] = _column(dataset, shared[key])
    return columns


def _of(index: ChunkIndex, error: GranuleError) -> GranuleError:
    return type(error)(error.message, granule=index.granule, url=index.url)


def _chosen(dataset: DatasetIndex, rows: Rows | None) -> _Chosen:
    if rows is None or not dataset.shape:
        return _Chosen(None, dataset.chunks(), {})
    if rows.size and rows[-1] >= dataset.shape[0]:
        raise RecipeError(f"{dataset.path} has {dataset.shape[0]} rows: row {rows[-1]} is none of them")
    if not rows.size or dataset.inline is not None:
        return _Chosen(rows, np.empty(0, np.int64), {})
    size = dataset.chunk_shape[0]
    first = int(rows[0]) // size
    edges = np.searchsorted(rows, np.arange(first, int(rows[-1]) // size + 2) * size).tolist()
    places = {
        at: (slice(low, high), _compact(rows[low:high] - at * size))
        for at, (low, high) in enumerate(pairwise(edges), first)
        if low < high
    }
    return _Chosen(rows, dataset.chunks(rows), places)


def _column(dataset: DatasetIndex, chosen: _Chosen) -> _Column:
    rows, numbers = chosen.rows, chosen.numbers
    if dataset.inline is not None:
        shape = dataset.shape + dataset.dtype.shape  # an element may be an array itself
        values = np.frombuffer(dataset.inline, dataset.dtype).reshape(shape)
        return _Column(dataset, chosen, numbers, values if rows is None else values[rows])
    allocated = dataset.offsets.reshape(-1)[numbers] != UNALLOCATED
    values = np.empty(_shape(dataset, rows), dataset.dtype)
    if not allocated.all():
        values[...] = np.frombuffer(dataset.fill or bytes(dataset.dtype.itemsize), dataset.dtype)[0]
        numbers = numbers[allocated]
    return _Column(dataset, chosen, numbers, values)


async def _read(index: ChunkIndex, columns: _Columns) -> Reading:
    pieces = [(path, number) for path, column in columns.items() for number in column.numbers.tolist()]
    tables = [
        (column.dataset.offsets.reshape(-1)[column.numbers], column.dataset.sizes.reshape(-1)[column.numbers])
        for column in columns.values()
    ]
    offsets, sizes = np.concatenate(tables, axis=1) if tables else np.empty((2, 0), np.int64)

    def take(found: Mapping[int, memoryview]) -> None:
        for path, members in groupby(sorted(found), lambda member: pieces[member][0]):
            some = list(members)
            numbers = np.array([pieces[member][1] for member in some])
            columns[path].put(numbers, [found[member] for member in some])

    places = offsets.tolist()
    cost = Cost(0, 0)
    if index.at_hand.keys() >= set(places):
        at_hand = {member: memoryview(index.at_hand[place]) for member, place in enumerate(places)}
        await budgets.here().crew.do(partial(take, at_hand))
    else:
        if index.plain:
            redirects.trust(index.url)
        cost = await ranges.deliver(index.url, index.etag, offsets, sizes, take)
    values = {path: column.values for path, column in columns.items()}
    file = File(index.url, Head(index.size, index.etag))
    in_heap = [path for path, column in columns.items() if column.dataset.in_heap]
    elements = b"".join(values[path].tobytes() for path in in_heap)
    found = iter(await file.walk(texts(index.size, elements), _HEAPS) if elements else ())
    for path in in_heap:
        shape = values[path].shape
        values[path] = np.array(list(islice(found, prod(shape))), np.dtypes.StringDType()).reshape(shape)
    return Reading(values, cost + file.cost)


def _dataset(index: ChunkIndex, path: str) -> DatasetIndex:
    """Return where a variable lies; refuse one that is not there or whose values cannot be decoded."""
    if path not in index.datasets:
        raise MissingVariableError(f"has no {path}")
    dataset = index.datasets[path]
    for step in dataset.filters:
        if step.id not in DECODED:
            raise UnsupportedFilterError(
                f"{path} is packed by filter {step.id} ({step.name}), which is not read"
            )
    if not dataset.in_heap and not _plain(dataset.dtype):
        raise UnsupportedFilterError(
            f"{path} is of type {dataset.dtype}: expected numbers, text or structures of them"
        )
    return dataset


def _plain(dtype: np.dtype[Any]) -> bool:
    """Return whether the bytes of an element are its value."""
    if dtype.names:
        return all(_plain(dtype[name]) for name in dtype.names)
    return dtype.base.kind in "iufcSb"


def _shape(dataset: DatasetIndex, rows: Rows | None) -> tuple[int, ...]:
    """Return the shape of the values of some rows."""
    return dataset.shape if rows is None or not dataset.shape else (rows.size, *dataset.shape[1:])
