"""Chunk tables of every structure that libhdf5 writes, against what libhdf5 says itself."""

from __future__ import annotations

import ctypes
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5a, h5d, h5l, h5s, h5t
from numpy.typing import NDArray

from eoscale.errors import UnsafeGranuleError, UnsupportedFilterError
from eoscale.hdf5.format import Unfamiliar, datasets
from eoscale.hdf5.format.driver import over
from eoscale.model.chunk_index import UNALLOCATED, DatasetIndex
from tests.hdf5.layouts import (
    DESCRIBING,
    KINDS,
    LIBRARY,
    NETCDF,
    NEWER_TYPES,
    TYPES,
    Kind,
    chunk_of,
    plain,
    typed_attribute,
    write,
    write_cache_image,
    write_netcdf,
    write_old_layouts,
)

UNFAMILIAR = {
    "earliest_shared_messages": "a table that objects share",
    "v200_shared_messages": "a table that objects share",
    "v200_deflated_links": "a fractal heap is packed",
}
"""Kinds of files that are left to libhdf5, and why."""

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
    assert LIBRARY.H5Pget_chunk_opts(ctypes.c_int64(properties.id), ctypes.byref(option)) >= 0
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
    assert LIBRARY.H5Dget_chunk_index_type(ctypes.c_int64(dataset.id.id), ctypes.byref(found)) >= 0
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


def fill(properties: h5py.h5p.PropDCID, kind: h5t.TypeID) -> bytes:
    """Return the fill value as it is stored, nothing for zeros."""
    content = ctypes.create_string_buffer(kind.get_size())
    defined = properties.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED
    if not plain(kind) or not defined:
        return b""
    function = LIBRARY.H5Pget_fill_value
    function.argtypes = (ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
    assert function(properties.id, kind.id, content) >= 0
    return content.raw if any(content.raw) else b""


def address_size(node: h5py.HLObject) -> int:
    return int(node.file.id.get_create_plist().get_sizes()[0])


IEEE = ("<f2", ">f2", "<f4", ">f4", "<f8", ">f8")


def stored(kind: h5t.TypeID, address: int = 8) -> np.dtype[Any]:
    """Return the dtype of a type as it is stored."""
    readers: dict[int, Callable[[Any, int], Any]] = {
        h5t.INTEGER: integer,
        h5t.BITFIELD: lambda kind, _: kind.dtype,
        h5t.FLOAT: floating,
        h5t.STRING: text,
        h5t.ENUM: enumeration,
        h5t.COMPOUND: compound,
        h5t.ARRAY: lambda kind, address: (stored(kind.get_super(), address), kind.get_array_dims()),
        h5t.VLEN: lambda _, address: varying(address),
        h5t.COMPLEX: lambda kind, _: kind.dtype if kind.get_size() in (8, 16) else void(kind),
    }
    reader = readers.get(kind.get_class())
    return np.dtype(reader(kind, address) if reader else void(kind))


def void(kind: h5t.TypeID) -> str:
    # libhdf5 takes 64 bytes in memory for a reference that takes 18 in the file
    any_reference = kind.equal(NEWER_TYPES["reference_of_any_kind"])
    return f"V{18 if any_reference else kind.get_size()}"


def varying(address: int) -> str:
    """Return what stands for an element elsewhere: its length, the address of a heap, its number there."""
    return f"V{4 + address + 4}"


def integer(kind: h5t.TypeIntegerID, _: int) -> str:
    size = kind.get_size()
    if size not in (1, 2, 4, 8) or kind.get_precision() != 8 * size or kind.get_offset():
        return void(kind)
    return f"{'>' if kind.get_order() == h5t.ORDER_BE else '<'}{'i' if kind.get_sign() else 'u'}{size}"


def floating(kind: h5t.TypeFloatID, _: int) -> str:
    same = (name for name in IEEE if h5t.py_create(np.dtype(name)).equal(kind))
    return next(same, void(kind))


def text(kind: h5t.TypeStringID, address: int) -> Any:  # noqa: ANN401
    if kind.is_variable_str():
        return varying(address)
    return void(kind) if kind.get_strpad() == h5t.STR_SPACEPAD else f"S{kind.get_size()}"


def enumeration(kind: h5t.TypeEnumID, address: int) -> Any:  # noqa: ANN401
    return np.bool_ if kind.dtype == np.bool_ else stored(kind.get_super(), address)


def compound(kind: h5t.TypeCompoundID, address: int) -> Any:  # noqa: ANN401
    if kind.equal(TYPES["complex_compound"]):
        return kind.dtype
    names, formats, offsets, wider = [], [], [], 0
    for number in range(kind.get_nmembers()):
        member = kind.get_member_type(number)
        names.append(kind.get_member_name(number).decode())
        formats.append(stored(member, address))
        offsets.append(kind.get_member_offset(number) + wider)
        # libhdf5 tells sizes in memory, where what lies elsewhere takes another size than in the file
        wider += formats[-1].itemsize - member.get_size()
    return {"names": names, "formats": formats, "offsets": offsets, "itemsize": kind.get_size() + wider}


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


Written = Callable[[str], Path]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Return the file of a kind, which is written once."""
    folder = tmp_path_factory.mktemp("layouts")

    @cache
    def make(name: str) -> Path:
        path = folder / f"{name}.h5"
        return write(path, KINDS[name]) if name in KINDS else write_netcdf(path, NETCDF[name])

    return make


@pytest.mark.parametrize("name", [name for name in [*KINDS, *NETCDF] if name not in UNFAMILIAR])
def test_every_dataset_lies_where_libhdf5_says(written: Written, name: str) -> None:
    content = written(name).read_bytes()
    with h5py.File(written(name)) as file:
        links = Links(file)
        found = over(content, datasets(len(content), [*links.datasets, *links.absent]))
        assert found.datasets.keys() == links.datasets.keys()
        assert found.absent == links.absent
        assert links.differences(found.datasets, content) == {}


@pytest.mark.parametrize("name", UNFAMILIAR)
def test_what_is_left_to_libhdf5_is_called_unfamiliar(written: Written, name: str) -> None:
    content = written(name).read_bytes()
    with h5py.File(written(name)) as file:
        links = Links(file)
    with pytest.raises(Unfamiliar, match=UNFAMILIAR[name]):
        over(content, datasets(len(content), links.datasets))


@pytest.mark.parametrize("name", ["earliest_v108", "v200_v200"])
def test_a_dataset_without_values_is_refused(written: Written, name: str) -> None:
    content = written(name).read_bytes()
    with h5py.File(written(name)) as file:
        null = Links(file).null
    assert null == {"compact_null", "contiguous_null"}
    for path in null:
        with pytest.raises(UnsupportedFilterError, match="null dataspace"):
            over(content, datasets(len(content), [path]))


@pytest.mark.parametrize("padding", ["terminated", "null_padded", "space_padded"])
def test_spaces_at_the_end_of_a_text_stay_unless_they_pad_it(tmp_path: Path, padding: str) -> None:
    make = typed_attribute("units", TYPES[f"text_{padding}"], h5s.create(h5s.SCALAR), b"  m    ")
    path = write(tmp_path / "a.h5", Kind("earliest", "v200", {"h": make}))
    content = path.read_bytes()
    found = over(content, datasets(len(content), ["h"])).datasets["h"]
    with h5py.File(path) as file:
        assert found.attributes == {"units": attribute(file["h"], "units")}


def test_a_file_with_an_image_of_the_cache_is_left_to_libhdf5(tmp_path: Path) -> None:
    path = write_cache_image(tmp_path / "a.h5")
    content = path.read_bytes()
    with h5py.File(path) as file:
        assert file["h"].id.get_num_chunks() == 6
    with pytest.raises(Unfamiliar, match="cache"):
        over(content, datasets(len(content), ["h"]))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", ["chunked", "contiguous"])
def test_layouts_from_before_2005_are_left_to_libhdf5(tmp_path: Path, version: int, name: str) -> None:
    path = write_old_layouts(tmp_path / "a.h5", version)
    content = path.read_bytes()
    with h5py.File(path) as file:
        assert file[name][()].tolist() == list(range(len(file[name])))
    with pytest.raises(Unfamiliar, match=f"layout message of version {version}"):
        over(content, datasets(len(content), [name]))


@pytest.mark.parametrize("low", ["earliest", "v200"])
def test_a_chunk_of_4_gib_is_refused(tmp_path: Path, low: str) -> None:
    most = 2**32 + 2**20 if low == "v200" else 2**32 - 1
    path = write(tmp_path / "a.h5", Kind(low, "v200", {"h": chunk_of(most)}))
    content = path.read_bytes()
    with pytest.raises(UnsafeGranuleError, match=f"a chunk of {most} bytes"):
        over(content, datasets(len(content), ["h"]))


SIGNATURES = (
    b"TREE", b"SNOD", b"HEAP", b"GCOL", b"OHDR", b"OCHK", b"FRHP", b"FHIB", b"FHDB", b"BTHD", b"BTIN",
    b"BTLF", b"FAHD", b"FADB", b"EAHD", b"EAIB", b"EASB", b"EADB", b"SMTB",
)  # fmt: skip


def test_the_files_hold_every_structure_of_the_format(written: Written) -> None:
    contents = [written(name).read_bytes() for name in KINDS]
    assert [each for each in SIGNATURES if not any(each in content for content in contents)] == []
    starts = [KINDS[name].userblock for name in KINDS]
    versions = {content[start + 8] for content, start in zip(contents, starts, strict=True)}
    assert versions == {0, 1, 2, 3}


def test_the_trees_and_heaps_are_deep(written: Written) -> None:
    contents = b"".join(written(name).read_bytes() for name in KINDS)
    old, new = Counter[int](), Counter[int]()
    for kind, level in re.findall(rb"TREE(.)(.)", contents, re.DOTALL):
        old[kind[0]] = max(old[kind[0]], level[0])
    for kind, depth in re.findall(rb"BTHD\0(.).{6}(..)", contents, re.DOTALL):
        new[kind[0]] = max(new[kind[0]], int.from_bytes(depth, "little"))
    links, chunks = old[0], old[1]
    assert (links >= 3, chunks >= 3) == (True, True)
    # 1 large objects of a heap, 5 and 6 links, 8 and 9 attributes, 10 and 11 chunks, plain and packed
    assert new.keys() >= {1, 5, 6, 8, 9, 10, 11}
    assert min(new[kind] for kind in (5, 10, 11)) >= 2
    # with more than nine rows the root block of a heap of links leads to other such blocks
    rows = [int.from_bytes(each, "little") for each in re.findall(rb"FRHP\0.{135}(..)", contents, re.DOTALL)]
    assert max(rows) > 9


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("earliest_v200", {BTREE1}), ("v108_v108", {BTREE1}),
     *((name, {SINGLE, IMPLICIT, FIXED_ARRAY, EXTENSIBLE_ARRAY, BTREE2})
       for name in ("v110_grids", "v200_grids"))],
)  # fmt: skip
def test_the_chunks_are_found_in_every_way(written: Written, name: str, kinds: set[int]) -> None:
    with h5py.File(written(name)) as file:
        nodes = [node for node in file.values() if isinstance(node, h5py.Dataset) and node.chunks]
        counts = Counter(chunk_index(node) for node in nodes)
        assert counts.keys() == kinds
        assert min(counts.values()) > 10
        assert sum(map(misplaced, nodes)) > 10 or kinds == {BTREE1}


@pytest.mark.parametrize("name", ["earliest_v108", "v200_v200"])
def test_the_datasets_have_every_layout_and_extent(written: Written, name: str) -> None:
    with h5py.File(written(name)) as file:
        nodes = list(Links(file).datasets.values())
        layouts = Counter(node.id.get_create_plist().get_layout() for node in nodes)
        assert min(layouts[each] for each in (h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED)) > 5
        assert {node.ndim for node in nodes} >= {0, 1, 2, 3, 4, 5}
        masks = [
            mask for node in nodes if "masks" in (found := table(node)) for mask in np.unique(found["masks"])
        ]
        assert set(masks) == {0, 1, 2, 3}
