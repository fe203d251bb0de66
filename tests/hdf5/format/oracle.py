"""What libhdf5 says of datasets, in the terms of an index, and in what an index differs from it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from math import prod
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5l, h5p, h5s, h5t
from numpy.typing import NDArray

from eoscale.model.chunk_index import UNALLOCATED, DatasetIndex
from tests.hdf5.format.stored_types import stored
from tests.hdf5.layouts import DESCRIBING, plain
from tests.hdf5.libhdf5 import call

BTREE1, SINGLE, IMPLICIT, FIXED_ARRAY, EXTENSIBLE_ARRAY, BTREE2 = range(6)
"""Chunk indexes by libhdf5's own numbers."""
EVERY_FILTER = 2**32 - 1
"""Mask of a chunk at an edge, where filters are left out there."""

Table = dict[str, Any]
"""What an index says of one dataset, in terms that compare."""


def table(dataset: h5py.Dataset) -> Table:
    """Return what libhdf5 says of a dataset."""
    kind, properties = dataset.id.get_type(), dataset.id.get_create_plist()
    steps = [properties.get_filter(number) for number in range(properties.get_nfilters())]
    return {
        "shape": dataset.shape,
        "dtype": stored(kind, address_size(dataset)),
        "filters": [(code, tuple(values)) for code, _, values, _ in steps],
        "fill": fill(properties, kind),
        "attributes": attributes(dataset),
        **places(dataset),
    }


def told(found: DatasetIndex, *, chunked: bool) -> Table:
    """Return what an index says of a dataset."""
    described: Table = {
        "shape": found.shape,
        "dtype": found.dtype,
        "filters": [(step.id, step.parameters) for step in found.filters],
        "fill": found.fill.lstrip(b"\0") and found.fill,
        "attributes": {name: comparable(value) for name, value in found.attributes.items()},
    }
    if found.inline is not None:
        return described | {"inline": found.inline}
    if found.clipped or not chunked:
        return described | {"run": run(found)}
    tables = {"offsets": found.offsets, "sizes": found.sizes, "masks": found.masks}
    return described | {"chunks": found.chunk_shape} | {name: each.tolist() for name, each in tables.items()}


def places(dataset: h5py.Dataset) -> Table:
    """Return where libhdf5 keeps the values of a dataset."""
    layout = dataset.id.get_create_plist().get_layout()
    if layout == h5d.COMPACT:
        return {"inline": inline(dataset)}
    if layout == h5d.CONTIGUOUS:
        size = dataset.id.get_storage_size()
        return {"run": (dataset.id.get_offset(), size) if size else None}
    return chunks(dataset)


def chunks(dataset: h5py.Dataset) -> Table:
    """Return the table of chunks: offset, size and mask for each of the grid."""
    grid = tuple(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True))
    offsets, sizes, masks = np.full(grid, UNALLOCATED), np.zeros(grid, int), np.zeros(grid, int)

    shape = dataset.chunks

    def place(chunk: Any) -> None:  # noqa: ANN401  h5py is untyped
        cell = tuple(at // c for at, c in zip(chunk.chunk_offset, shape, strict=True))
        assert offsets[cell] == UNALLOCATED
        offsets[cell], sizes[cell], masks[cell] = chunk.byte_offset, chunk.size, chunk.filter_mask

    if misplaced(dataset):
        listed: list[int] = []
        dataset.id.chunk_iter(lambda chunk: listed.append(chunk.byte_offset))
        return {"chunks": dataset.chunks, "written": sorted(listed), "differently stored": []}
    if offsets.size:
        dataset.id.chunk_iter(place)
    masks[edges(dataset, grid) & (offsets != UNALLOCATED)] = EVERY_FILTER
    tables = {"offsets": offsets, "sizes": sizes, "masks": masks}
    return {"chunks": dataset.chunks} | {name: each.tolist() for name, each in tables.items()}


def edges(dataset: h5py.Dataset, grid: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which chunks skip all filters because they lie at an edge: libhdf5 gives them no mask."""
    option, partial = ctypes.c_uint(), np.zeros(grid, bool)
    properties = dataset.id.get_create_plist()
    call("H5Pget_chunk_opts", properties.id, ctypes.byref(option))
    if option.value:
        for place, n, c in zip(np.indices(grid), dataset.shape, dataset.chunks, strict=True):
            partial |= (place + 1) * c > n
    return partial


def misplaced(dataset: h5py.Dataset) -> bool:
    """Return whether libhdf5 lists chunks at places where they do not lie, although it reads them well.

    In an extensible array the unlimited dimension varies slowest. Listing takes no account of that in
    libhdf5 2.0, if another one comes first.
    """
    unlimited = [number for number, most in enumerate(dataset.maxshape) if most is None]
    return len(unlimited) == 1 and unlimited != [0] and chunk_index(dataset) == EXTENSIBLE_ARRAY


def read_directly(dataset: h5py.Dataset, found: DatasetIndex, content: bytes) -> Table:
    """Return where an index has chunks, and at which of them libhdf5 reads other bytes."""
    partial = edges(dataset, found.grid)
    cells = [tuple(cell) for cell in np.argwhere(found.offsets != UNALLOCATED).tolist()]
    different = []
    for cell in cells:
        start, size = int(found.offsets[cell]), int(found.sizes[cell])
        mask, raw = stored_chunk(dataset, cell)
        if (found.masks[cell], content[start : start + size]) != (
            EVERY_FILTER if partial[cell] else mask,
            raw,
        ):
            different.append(cell)
    return {"written": sorted(int(found.offsets[cell]) for cell in cells), "differently stored": different}


def stored_chunk(dataset: h5py.Dataset, cell: tuple[int, ...]) -> tuple[int, bytes | None]:
    """Return mask and bytes of a chunk as libhdf5 finds it; no bytes if it does not."""
    start = tuple(at * c for at, c in zip(cell, dataset.chunks, strict=True))
    try:
        mask, raw = dataset.id.read_direct_chunk(start)
    except RuntimeError:  # it is not allocated
        return 0, None
    return int(mask), bytes(raw)


def chunk_index(dataset: h5py.Dataset) -> int:
    """Return how libhdf5 finds the chunks of a dataset: its own number of the structure."""
    found = ctypes.c_int()
    call("H5Dget_chunk_index_type", dataset.id.id, ctypes.byref(found))
    return found.value


def inline(dataset: h5py.Dataset) -> bytes:
    """Return the bytes of a compact dataset."""
    kind = dataset.id.get_type()
    content = np.zeros(prod(dataset.shape) * stored(kind, address_size(dataset)).itemsize, "u1")
    if content.size and plain(kind):
        dataset.id.read(h5s.ALL, h5s.ALL, content, kind)
    return content.tobytes()


def run(found: DatasetIndex) -> tuple[int, int] | None:
    """Return offset and length of the one run that all pieces make up."""
    offsets, sizes = found.offsets.reshape(-1), found.sizes.reshape(-1)
    assert not found.masks.any()
    if not offsets.size or (offsets == UNALLOCATED).all():
        return None
    assert (offsets[1:] == offsets[:-1] + sizes[:-1]).all()
    return int(offsets[0]), int(sizes.sum())


def fill(properties: h5p.PropDCID, kind: h5t.TypeID) -> bytes:
    """Return the fill value as it is stored, nothing for zeros."""
    content = ctypes.create_string_buffer(kind.get_size())
    defined = properties.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED
    if not plain(kind) or not defined:
        return b""
    call("H5Pget_fill_value", properties.id, ctypes.c_int64(kind.id), content)
    return content.raw if any(content.raw) else b""


def address_size(node: h5py.HLObject) -> int:
    return int(node.file.id.get_create_plist().get_sizes()[0])


def attributes(dataset: h5py.Dataset) -> Table:
    """Return the attributes that describe values, one value as a scalar and text as str."""
    found = {}
    for name in DESCRIBING:
        if name in dataset.attrs:
            value = attribute(dataset, name)
            if value is not None:
                found[name] = comparable(value)
    return found


def attribute(dataset: h5py.Dataset, name: str) -> Any:  # noqa: ANN401
    """Return an attribute; None if it has no values, or of a type that numpy lacks."""
    opened = h5a.open(dataset.id, name.encode())
    kind, value = opened.get_type(), dataset.attrs[name]
    if isinstance(value, h5py.Empty):
        return None
    if kind.get_class() == h5t.STRING:
        texts = [
            each.decode("utf-8", "replace") if isinstance(each, bytes) else each
            for each in np.asarray(value).reshape(-1).tolist()
        ]
        return texts[0] if len(texts) == 1 else np.array(texts, np.str_).reshape(opened.shape)
    if not plain(kind) or (stored(kind).kind == "V" and not stored(kind).names):
        return None
    values = np.zeros(opened.shape, stored(kind))
    if values.size:
        content = np.zeros(values.nbytes, "u1")
        opened.read(content, kind)
        values = content.view(values.dtype.base).reshape(values.shape)
    return values.reshape(-1)[0] if values.size == 1 else values


def comparable(value: Any) -> Any:  # noqa: ANN401
    """Return a value so that NaN equals itself and an array is no list of answers."""
    if isinstance(value, str):
        return value
    if not isinstance(value, np.ndarray | np.generic):
        return ("a plain number", value)
    content = value.tolist() if value.dtype.kind == "U" else value.tobytes()
    return (isinstance(value, np.ndarray), value.dtype.kind == "U" or value.dtype, value.shape, content)


def differences(dataset: h5py.Dataset, found: DatasetIndex, expected: Table, content: bytes) -> list[str]:
    """Return in what an index differs from what libhdf5 says of a dataset in a file of some content."""
    given = told(found, chunked="chunks" in expected)
    if "written" in expected:
        given = {name: each for name, each in given.items() if name not in ("offsets", "sizes", "masks")}
        given |= read_directly(dataset, found, content)
    return [
        f"{name}: {str(given.get(name))[:300]} expected {str(expected.get(name))[:300]}"
        for name in given.keys() | expected.keys()
        if given.get(name) != expected.get(name)
    ]


class Links:
    """The links of a file, and what libhdf5 says of the datasets that they lead to."""

    def __init__(self, file: h5py.File) -> None:
        links: list[tuple[str, int, int]] = []
        file.id.links.visit(
            lambda name, info: links.append((os.fsdecode(name), info.type, info.u)), info=True
        )
        objects = {place: name for name, kind, place in links if kind == h5l.TYPE_HARD}
        opened = {place: file[os.fsencode(name)] for place, name in objects.items()}
        nodes = {
            name: opened[place] if kind == h5l.TYPE_HARD else file.get(name)
            for name, kind, place in links
            if kind != h5l.TYPE_EXTERNAL
        }
        found = {name: node for name, node in nodes.items() if isinstance(node, h5py.Dataset)}
        self.datasets = {name: node for name, node in found.items() if node.shape is not None}
        self.null = found.keys() - self.datasets.keys()
        # a name that is not there falls between those that are, in whatever order they are kept
        self.absent = nodes.keys() - found.keys() | {f"{name}~" for name, *_ in links[::5]}

    def differences(self, found: Mapping[str, DatasetIndex], content: bytes) -> dict[str, list[str]]:
        """Return in what indexes differ, by path, of those that do."""
        known: dict[h5py.Dataset, Table] = {}
        different = {}
        for path, index in found.items():
            dataset = self.datasets[path]
            if dataset not in known:
                known[dataset] = table(dataset)
            different[path] = differences(dataset, index, known[dataset], content)
            different[path] += [f"is called {index.path}"] * (index.path != path)
        return {path: texts for path, texts in different.items() if texts}
