"""The chunk index of a granule, built by h5py from a local file or a complete copy in memory.

libhdf5 never sees a remote file or a Python file object: the first is slow, the second can deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any
from urllib.parse import unquote, urlsplit

import h5py
import numpy as np

from eoscale.access import ranges
from eoscale.access.ranges import Cost
from eoscale.access.transports import Head
from eoscale.errors import (
    AccessError,
    CorruptGranuleError,
    GranuleError,
    NotHDF5Error,
    UnsafeGranuleError,
    UnsupportedFilterError,
)
from eoscale.hdf5 import safety
from eoscale.model.chunk_index import UNALLOCATED, ChunkIndex, DatasetIndex, Filter
from eoscale.model.granule import Granule

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_ATTRIBUTES = (
    "_FillValue",
    "units",
    "long_name",
    "standard_name",
    "scale_factor",
    "add_offset",
    "flag_values",
    "flag_masks",
    "flag_meanings",
)
_FILTERS = {
    1: "deflate",
    2: "shuffle",
    3: "fletcher32",
    4: "szip",
    5: "nbit",
    6: "scale-offset",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32015: "zstd",
}
_CONTIGUOUS_ROWS = 2**20
"""Bytes; a contiguous variable is read in pieces of whole rows of about this size."""
_LIBRARY_FAULTS = (OSError, RuntimeError, OverflowError, UnicodeDecodeError, KeyError, TypeError, ValueError)
"""What h5py raises on damaged files."""


def index(granule: Granule, paths: Iterable[str]) -> ChunkIndex:
    """Return where the chunks of some variables of a granule lie.

    Parameters
    ----------
    granule : Granule
    paths : iterable of str
        Full paths in the file. Those that it does not hold are listed as absent.

    Raises
    ------
    AccessError
        If the file cannot be reached.
    GranuleError
        If it is no HDF5 file (:class:`NotHDF5Error`), is damaged (:class:`CorruptGranuleError`), packed in
        a way that is not read (:class:`UnsupportedFilterError`), or would make a reader touch other files
        or exhaust the machine (:class:`UnsafeGranuleError`).
    """
    url = granule.url
    head = ranges.head(url)
    try:
        if head.size < len(SIGNATURE):
            raise NotHDF5Error(f"{head.size} bytes: expected an HDF5 file")
        with _opened(url, head) as (file, cost):
            datasets, absent = _datasets(file, paths, head.size)
    except GranuleError as error:
        raise type(error)(error.message, granule=granule.id, url=url) from error
    except AccessError:
        raise  # an OSError too, and no fault of the file
    except _LIBRARY_FAULTS as error:
        raise _diagnosed(error, granule.id, url, head) from error
    return ChunkIndex(
        granule=granule.id,
        url=url,
        size=head.size,
        etag=head.etag,
        datasets=datasets,
        absent=absent,
        requests=cost.requests,
        bytes_read=cost.bytes,
    )


def siblings(granule: Granule, path: str) -> tuple[str, ...]:
    """Return the names that lie beside a path in a granule that :func:`index` has read; none if none do."""
    try:
        with _opened(granule.url, ranges.head(granule.url)) as (file, _):
            group = _follow(file, path.rpartition("/")[0])
            return tuple(group) if isinstance(group, h5py.Group) else ()
    except _LIBRARY_FAULTS:
        return ()  # only a suggestion depends on it


@contextmanager
def _opened(url: str, head: Head) -> Iterator[tuple[h5py.File, Cost]]:
    """Open a local file, or a complete copy of another one in memory, and say what copying took."""
    parts = urlsplit(url)
    if parts.scheme in ("", "file"):
        with h5py.File(unquote(parts.path) if parts.scheme else url, "r") as file:
            yield file, Cost(0, 0)
    else:
        image, cost = ranges.whole(url, head)
        with h5py.File.in_memory(image) as file:
            yield file, cost


def _diagnosed(error: Exception, granule: str, url: str, head: Head) -> GranuleError:
    """Say what is wrong with a file that libhdf5 does not open."""
    pieces, _ = ranges.read(url, head.etag, np.array([0]), np.array([len(SIGNATURE)]))
    start = bytes(pieces[0])
    if start[:3] == b"CDF":
        return NotHDF5Error("a netCDF-3 file: expected HDF5 or netCDF-4", granule=granule, url=url)
    # a user block may come first: then libhdf5 itself looked for the signature further on
    if "signature not found" in str(error):
        return NotHDF5Error(f"begins with {start!r}: expected an HDF5 file", granule=granule, url=url)
    reason = str(error).partition("\n")[0]
    return CorruptGranuleError(f"damaged or truncated ({reason}): fetch it anew", granule=granule, url=url)


def _datasets(
    file: h5py.File, paths: Iterable[str], size: int
) -> tuple[dict[str, DatasetIndex], frozenset[str]]:
    found: dict[str, DatasetIndex] = {}
    absent = set()
    for path in paths:
        dataset = _follow(file, path)
        if isinstance(dataset, h5py.Dataset):
            found[path] = _dataset(dataset, path, size)
        else:
            absent.add(path)
    return found, frozenset(absent)


def _follow(file: h5py.File, path: str) -> Any:  # noqa: ANN401  h5py is untyped
    """Return the object at a path of the file itself, or None; links to other files are refused."""
    node: Any = file
    steps = _steps(path)
    links = 0
    while steps:
        step = steps.pop()
        link = node.get(step, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            return None
        if isinstance(link, h5py.ExternalLink):
            raise UnsafeGranuleError(f"{path} leads into another file, {link.filename!r}")
        if isinstance(link, h5py.SoftLink):
            links += 1
            if links > safety.MOST_LINKS:
                raise UnsafeGranuleError(f"{path} follows more than {safety.MOST_LINKS} links")
            node = file if link.path.startswith("/") else node
            steps += _steps(link.path)
        else:
            node = node[step]
    return node


def _steps(path: str) -> list[str]:
    """Return the names on a path, the last one first; ``.`` is where it stands."""
    return [step for step in reversed(path.split("/")) if step not in ("", ".")]


def _dataset(dataset: h5py.Dataset, path: str, size: int) -> DatasetIndex:
    if dataset.is_virtual or dataset.external:
        raise UnsafeGranuleError(f"{path} has its values in another file")
    if dataset.shape is None or dataset.dtype.kind not in "iufSb":
        raise UnsupportedFilterError(f"{path} is of type {dataset.dtype}: expected numbers or fixed strings")
    if not _plain(dataset):
        raise UnsupportedFilterError(f"{path} is stored in another way than numpy keeps {dataset.dtype}")
    chunked = dataset.chunks is not None
    chunk_shape = dataset.chunks if chunked else _rows(dataset.shape, dataset.dtype.itemsize)
    safety.check_shape(path, dataset.shape, chunk_shape, dataset.dtype.itemsize)
    layout = _chunked(dataset) if chunked else _unchunked(dataset, chunk_shape)
    index = DatasetIndex(
        path=path,
        shape=dataset.shape,
        dtype=dataset.dtype,
        chunk_shape=chunk_shape,
        filters=_filters(dataset, path),
        fill=np.asarray(dataset.fillvalue, dataset.dtype).tobytes(),
        attributes=_attributes(dataset),
        **layout,
    )
    outside = (index.offsets != UNALLOCATED) & (index.offsets + index.sizes > size)
    if outside.any():
        raise CorruptGranuleError(f"{path} has {outside.sum()} chunks behind the end of the file: truncated")
    return index


def _plain(dataset: h5py.Dataset) -> bool:
    """Return whether the stored bytes are what numpy holds, so that libhdf5 would convert nothing."""
    stored = dataset.id.get_type()
    if dataset.dtype.kind == "S":
        return bool(stored.get_strpad() != h5py.h5t.STR_SPACEPAD)
    if dataset.dtype.kind == "f":
        return bool(stored.equal(h5py.h5t.py_create(dataset.dtype)))
    whole = stored.get_super() if isinstance(stored, h5py.h5t.TypeEnumID) else stored
    integer = isinstance(whole, h5py.h5t.TypeIntegerID)
    return integer and bool(whole.get_precision() == 8 * dataset.dtype.itemsize)


def _rows(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return a piece of whole rows, as if a contiguous variable had such chunks."""
    if not shape:
        return ()
    row = max(1, int(np.prod(shape[1:], dtype=np.int64)) * itemsize)
    return (max(1, min(shape[0], _CONTIGUOUS_ROWS // row)), *(max(1, n) for n in shape[1:]))


def _chunked(dataset: h5py.Dataset) -> Mapping[str, Any]:
    grid = tuple(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True))
    offsets = np.full(grid, UNALLOCATED, np.int64)
    sizes, masks = np.zeros(grid, np.int64), np.zeros(grid, np.int64)

    def place(chunk: Any) -> None:  # noqa: ANN401  h5py is untyped
        cells = [divmod(at, c) for at, c in zip(chunk.chunk_offset, dataset.chunks, strict=True)]
        position = tuple(cell for cell, _ in cells)
        inside = all(cell < n and not rest for (cell, rest), n in zip(cells, grid, strict=True))
        if not inside or offsets[position] != UNALLOCATED:
            raise CorruptGranuleError(f"{dataset.name} has a chunk at {chunk.chunk_offset}, outside or twice")
        offsets[position], sizes[position] = chunk.byte_offset, chunk.size
        masks[position] = chunk.filter_mask

    if offsets.size:
        dataset.id.chunk_iter(place)
    return {"offsets": offsets, "sizes": sizes, "masks": masks}


def _unchunked(dataset: h5py.Dataset, chunk_shape: tuple[int, ...]) -> Mapping[str, Any]:
    start = dataset.id.get_offset()
    allocated = dataset.id.get_storage_size() > 0
    if start is None and allocated:
        # compact: the values lie in the object header, which h5py does not locate
        empty = np.zeros(0, np.int64)
        inline = dataset[()].tobytes()
        return {"offsets": empty, "sizes": empty.copy(), "masks": empty.copy(), "inline": inline}
    grid = tuple(-(-n // c) for n, c in zip(dataset.shape, chunk_shape, strict=True))
    row = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:], dtype=np.int64))
    first = np.arange(grid[0] if grid else 1, dtype=np.int64) * (chunk_shape[0] if chunk_shape else 1)
    rows = np.minimum(chunk_shape[0], dataset.shape[0] - first) if chunk_shape else np.ones(1, np.int64)
    offsets = (start or 0) + first * row if allocated else np.full(first.shape, UNALLOCATED)
    some = slice(prod(grid))  # no piece at all where another dimension is empty
    return {
        "offsets": offsets[some].reshape(grid),
        "sizes": (rows * row)[some].reshape(grid),
        "masks": np.zeros(grid, np.int64),
        "clipped": True,
    }


def _filters(dataset: h5py.Dataset, path: str) -> tuple[Filter, ...]:
    pipeline = dataset.id.get_create_plist()
    steps = [pipeline.get_filter(number) for number in range(pipeline.get_nfilters())]
    for code, *_ in steps:
        if code not in (1, 2, 3):
            name = _FILTERS.get(code, "an unregistered filter")
            raise UnsupportedFilterError(f"{path} is packed by filter {code} ({name}), which is not read")
    return tuple(
        Filter(id=code, name=_FILTERS[code], parameters=tuple(int(value) for value in values))
        for code, _, values, _ in steps
    )


def _attributes(dataset: h5py.Dataset) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _ATTRIBUTES:
        if name in dataset.attrs:
            value = np.asarray(dataset.attrs[name])
            # writers store one value as a scalar or as an array of one, text as fixed or as vlen string
            single = value.reshape(-1)[0] if value.size == 1 else value
            found[name] = single.decode("utf-8", "replace") if isinstance(single, bytes) else single
    return found
