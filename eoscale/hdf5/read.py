"""Reading: rows of variables, by the chunks that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from eoscale.access import loop, ranges
from eoscale.access.ranges import Cost
from eoscale.access.transports import Head
from eoscale.errors import GranuleError, MissingVariableError, UnsupportedFilterError
from eoscale.hdf5.file import File
from eoscale.hdf5.filters import DECODED, decode
from eoscale.hdf5.format import texts
from eoscale.model.chunk_index import UNALLOCATED, ChunkIndex, DatasetIndex
from eoscale.model.columns import Array, Rows


class Reading(NamedTuple):
    """Values, and what reading them took."""

    columns: dict[str, Array]
    """By full path, as they lie in the file: neither masked nor scaled."""
    cost: Cost


class _Piece(NamedTuple):
    """One chunk of one variable that holds wanted rows."""

    path: str
    number: int


def read(index: ChunkIndex, wanted: Mapping[str, Rows | None]) -> Reading:
    """Return rows of some variables, asked for together and only by the chunks that hold them.

    Parameters
    ----------
    index : ChunkIndex
    wanted : mapping of str to (n,) int64 or None
        Full path to row numbers, ascending; None for all rows.

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
        (:class:`UnsupportedFilterError`, before anything is fetched), or a chunk is corrupt.
    """
    selected = {path: _rows(index, path, rows) for path, rows in wanted.items()}
    pieces = [
        _Piece(path, number)
        for path, rows in selected.items()
        for number in index.datasets[path].chunks(rows).tolist()
        if index.datasets[path].offsets.flat[number] != UNALLOCATED
    ]
    offsets = np.array([index.datasets[p.path].offsets.flat[p.number] for p in pieces], np.int64)
    sizes = np.array([index.datasets[p.path].sizes.flat[p.number] for p in pieces], np.int64)
    bodies, cost = ranges.read(index.url, index.etag, offsets, sizes)
    stored = dict(zip(pieces, bodies, strict=True))
    try:
        columns = {path: _assemble(index.datasets[path], rows, stored) for path, rows in selected.items()}
        for path in [path for path in columns if index.datasets[path].in_heap]:
            columns[path], more = _texts(index, columns[path])
            cost += more
    except GranuleError as error:
        raise type(error)(error.message, granule=index.granule, url=index.url) from error
    return Reading(columns, cost)


def _texts(index: ChunkIndex, elements: Array) -> tuple[Array, Cost]:
    """Return the texts that elements refer to, and what reading them took."""
    file = File(index.url, Head(index.size, index.etag))
    found = loop.run(file.walk(texts(index.size, elements.tobytes())))
    return np.array(found, np.dtypes.StringDType()).reshape(elements.shape), file.cost


def _rows(index: ChunkIndex, path: str, rows: Rows | None) -> Rows:
    if path not in index.datasets:
        raise MissingVariableError(f"has no {path}", granule=index.granule, url=index.url)
    dataset = index.datasets[path]
    fault = _fault(dataset)
    if fault:
        raise UnsupportedFilterError(f"{path} {fault}", granule=index.granule, url=index.url)
    shape = dataset.shape
    return np.arange(shape[0] if shape else 1) if rows is None else rows


def _fault(dataset: DatasetIndex) -> str:
    """Return why the values of a variable cannot be decoded; nothing where they can."""
    for step in dataset.filters:
        if step.id not in DECODED:
            return f"is packed by filter {step.id} ({step.name}), which is not read"
    if not dataset.in_heap and not _plain(dataset.dtype):
        return f"is of type {dataset.dtype}: expected numbers, text or structures of them"
    return ""


def _plain(dtype: np.dtype[Any]) -> bool:
    """Return whether the bytes of an element are its value."""
    if dtype.names:
        return all(_plain(dtype[name]) for name in dtype.names)
    return dtype.base.kind in "iufcSb"


def _assemble(dataset: DatasetIndex, rows: Rows, stored: dict[_Piece, memoryview]) -> Array:
    """Return the rows of one variable from its stored chunks."""
    if dataset.inline is not None:
        values = np.frombuffer(dataset.inline, dataset.dtype).reshape(dataset.shape)
        return values[rows] if dataset.shape else values
    if not dataset.shape:
        return _chunk(dataset, 0, stored).reshape(())
    result = np.empty((rows.size, *dataset.shape[1:]), dataset.dtype)
    for number in dataset.chunks(rows).tolist():
        first, *others = np.unravel_index(number, dataset.grid)
        start = int(first) * dataset.chunk_shape[0]
        low, high = np.searchsorted(rows, [start, start + dataset.chunk_shape[0]])
        target: list[slice] = [slice(low, high)]
        source: list[slice] = []
        for at, size, length in zip(others, dataset.chunk_shape[1:], dataset.shape[1:], strict=True):
            begin = int(at) * size
            target.append(slice(begin, min(begin + size, length)))
            source.append(slice(0, min(size, length - begin)))
        chunk = _chunk(dataset, number, stored)
        inside: tuple[Any, ...] = (rows[low:high] - start, *source)
        result[tuple(target)] = chunk[inside]
    return result


def _chunk(dataset: DatasetIndex, number: int, stored: dict[_Piece, memoryview]) -> Array:
    raw = stored.get(_Piece(dataset.path, number))
    if raw is not None:
        return decode(raw, dataset, int(dataset.masks.flat[number]))
    fill = np.frombuffer(dataset.fill or bytes(dataset.dtype.itemsize), dataset.dtype)
    return np.broadcast_to(fill[0], dataset.chunk_shape or (1,))
