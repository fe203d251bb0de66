"""Files with every structure of the HDF5 format that h5py can write, for readers of metadata.

Each maker is named after what it writes. What h5py has no call for is asked of libhdf5 itself.
"""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py
import netCDF4
import numpy as np
from h5py import h5d, h5f, h5p, h5s, h5t, h5z

from tests.hdf5.files import Maker, noise

LIBRARY = ctypes.CDLL(h5p.__file__)
"""libhdf5 as h5py loaded it."""
ORDERED = h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED
_DONT_FILTER_PARTIAL_CHUNKS = 2

Step = Callable[[h5p.PropDCID], object]
Parts = Sequence[Any]


class Grid(NamedTuple):
    """The chunks of a dataset, and the parts of it that are written where only some are."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    maxshape: tuple[int | None, ...] | None
    some: Parts


def listed(*steps: Step) -> h5p.PropDCID:
    """Return creation properties of a dataset."""
    properties = h5p.create(h5p.DATASET_CREATE)
    for step in steps:
        step(properties)
    return properties


def called(name: str, *arguments: int) -> Step:
    """Return a step that h5py has no method for."""

    def call(properties: h5p.PropInstanceID) -> None:
        function = getattr(LIBRARY, name)
        function.argtypes = (ctypes.c_int64, *[ctypes.c_uint] * len(arguments))
        assert function(properties.id, *arguments) >= 0, name

    return call


def early(properties: h5p.PropDCID) -> None:
    properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)


def deflated(level: int) -> Step:
    return lambda properties: properties.set_filter(h5z.FILTER_DEFLATE, h5z.FLAG_MANDATORY, (level,))


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


def _grids(grids: dict[str, Grid], packs: Iterable[str], *extents: str) -> dict[str, Maker]:
    """Return makers of all grids, packed in some ways, of which nothing is written, or parts, or all."""
    return {
        f"{name}_{pack}_{extent}": gridded(
            grid, {"none": [], "some": grid.some, "whole": [...]}[extent], *PACKS[pack]
        )
        for (name, grid), pack, extent in product(grids.items(), packs, extents)
    }


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


def laid_out(layout: int, space: h5s.SpaceID, kind: h5t.TypeID, *steps: Step, content: bytes = b"") -> Maker:
    """Return a maker of a dataset without chunks, written if there is content."""

    def make(group: h5py.Group, name: str) -> None:
        properties = listed(lambda given: given.set_layout(layout), *steps)
        dataset = h5d.create(group.id, name.encode(), kind, space, properties)
        if content:
            dataset.write(h5s.ALL, h5s.ALL, np.frombuffer(content, "u1"), kind)

    return make


NULL, SCALAR = h5s.create(h5s.NULL), h5s.create(h5s.SCALAR)
CONTENT = noise("u1", 120).tobytes()


def _extents(layout: int) -> dict[str, Maker]:
    five = h5s.create_simple((5, 3))
    return {
        "written": laid_out(layout, five, h5t.STD_I64BE, content=CONTENT),
        "unwritten": laid_out(layout, five, h5t.STD_I64BE),
        "early": laid_out(layout, five, h5t.STD_I64BE, early),
        "scalar": laid_out(layout, SCALAR, h5t.STD_I16LE, content=CONTENT[:2]),
        "scalar_unwritten": laid_out(layout, SCALAR, h5t.STD_I16LE),
        "of_no_rows": laid_out(layout, h5s.create_simple((0, 3)), h5t.STD_I16LE),
        "of_no_columns": laid_out(layout, h5s.create_simple((3, 0)), h5t.STD_I16LE),
        "null": laid_out(layout, NULL, h5t.STD_I16LE),
    }


def filled(dtype: Any, value: object, fill_time: str | None = None, *steps: Step) -> Maker:  # noqa: ANN401
    def make(group: h5py.Group, name: str) -> None:
        group.create_dataset(
            name, (9,), dtype, chunks=(4,), fillvalue=value, fill_time=fill_time, dcpl=listed(*steps)
        )

    return make


def undefined_fill(group: h5py.Group, name: str) -> None:
    properties = listed(
        lambda given: given.set_chunk((4,)), lambda given: given.set_fill_time(h5d.FILL_TIME_NEVER)
    )
    function = LIBRARY.H5Pset_fill_value
    function.argtypes = (ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
    assert function(properties.id, h5t.STD_I32LE.id, None) >= 0
    h5d.create(group.id, name.encode(), h5t.STD_I32LE, h5s.create_simple((9,)), properties)


POINT = np.dtype({"names": ["x", "y"], "formats": ["<f4", ">i2"], "offsets": [2, 8], "itemsize": 16})
UNCHUNKED: dict[str, Maker] = {
    **{f"compact_{name}": make for name, make in _extents(h5d.COMPACT).items()},
    **{f"contiguous_{name}": make for name, make in _extents(h5d.CONTIGUOUS).items()},
    # more than one piece of rows
    "contiguous_long": lambda group, name: group.create_dataset(name, data=noise("<f4", 300_001, 2)),
    "contiguous_wide": lambda group, name: group.create_dataset(name, data=noise("u1", 2, 1_100_000)),
    "compact_large": laid_out(h5d.COMPACT, h5s.create_simple((60_000,)), h5t.STD_U8LE, content=bytes(60_000)),
}
FILLS: dict[str, Maker] = {
    "fill_number": filled(">f8", -9999.0),
    "fill_text": filled("S5", b"none"),
    "fill_compound": filled(POINT, np.array((1.5, -3), POINT)[()]),
    "fill_always": filled("<i4", 7, "alloc"),
    "fill_never": filled("<i4", 7, "never"),
    "fill_where_set": filled("<i4", 7, "ifset"),
    "fill_early": filled("<i4", 7, "alloc", early),
    "fill_late": filled("<i4", 7, None, lambda given: given.set_alloc_time(h5d.ALLOC_TIME_LATE)),
    "fill_incremental": filled("<i4", 7, None, lambda given: given.set_alloc_time(h5d.ALLOC_TIME_INCR)),
    "fill_default": filled("<i4", None),
    "fill_undefined": undefined_fill,
    "fill_large": filled("S5000", b"x" * 5000),
}


def altered(kind: h5t.TypeID, **settings: object) -> h5t.TypeID:
    """Return a copy of a type with other settings, such as its precision."""
    copy = kind.copy()
    for name, value in settings.items():
        getattr(copy, f"set_{name}")(*value if isinstance(value, tuple) else (value,))
    return copy


def structure(size: int, **members: tuple[int, h5t.TypeID]) -> h5t.TypeID:
    """Return a compound of members at some offsets."""
    compound = h5t.create(h5t.COMPOUND, size)
    for name, (offset, kind) in members.items():
        compound.insert(name.encode(), offset, kind)
    return compound


def predefined(name: str) -> h5t.TypeReferenceID:
    """Return a type of libhdf5's that h5py has no name for."""
    LIBRARY.H5open()
    number = LIBRARY.H5Tcopy
    number.restype, number.argtypes = ctypes.c_int64, (ctypes.c_int64,)
    return h5t.TypeReferenceID(number(ctypes.c_int64.in_dll(LIBRARY, name).value))


PAIR = structure(12, low=(0, h5t.STD_I32BE), high=(4, h5t.IEEE_F64LE))
VLEN = h5t.vlen_create(h5t.STD_U16LE)
TYPES: dict[str, h5t.TypeID] = {
    **{name: getattr(h5t, name) for name in dir(h5t)
       if name.startswith(("STD_I", "STD_U", "STD_B", "IEEE_F", "UNIX_D", "LDOUBLE_"))},
    "text_terminated": altered(h5t.C_S1, size=7),
    "text_null_padded": altered(h5t.C_S1, size=7, strpad=h5t.STR_NULLPAD),
    "text_space_padded": altered(h5t.FORTRAN_S1, size=7),
    "text_utf8": altered(h5t.C_S1, size=7, cset=h5t.CSET_UTF8),
    "text_long": altered(h5t.C_S1, size=70_000),
    "text_of_any_length": h5t.py_create(h5py.string_dtype(), logical=True),
    "integer_of_3_bytes": altered(h5t.STD_U32LE, size=3),
    "float_of_24_bits": altered(h5t.IEEE_F32BE, fields=(23, 16, 7, 0, 16), precision=24),
    "bool": h5t.py_create(np.dtype(bool), logical=True),
    "enum": h5t.py_create(h5py.enum_dtype({"no": -1, "yes": 1, "a longer name": 300}, ">i2"), logical=True),
    "opaque": h5t.py_create(np.dtype("V5")),
    "opaque_tagged": h5t.py_create(h5py.opaque_dtype(np.dtype("M8[us]")), logical=True),
    "reference": h5t.STD_REF_OBJ,
    "reference_to_region": h5t.STD_REF_DSETREG,
    "complex_compound": h5t.py_create(np.dtype("c8")),
    "array": h5t.array_create(h5t.STD_I16BE, (2, 3)),
    "vlen": VLEN,
    "vlen_nested": h5t.vlen_create(VLEN),
    "vlen_compound": h5t.vlen_create(PAIR),
    "compound": PAIR.copy(),
    "compound_padded": h5t.py_create(POINT, logical=True),
    "compound_nested": structure(
        60,
        pair=(4, PAIR),
        array=(16, h5t.array_create(PAIR, (2,))),
        vlen=(40, VLEN),
        flag=(56, h5t.py_create(np.dtype(bool), logical=True)),
    ),
    "compound_of_texts": structure(
        40,
        first=(0, h5t.py_create(h5py.string_dtype(), logical=True)),
        number=(9, h5t.STD_I16LE),
        rows=(16, VLEN),
        last=(32, h5t.py_create(h5py.string_dtype(), logical=True)),
    ),
    "compound_nested_plain": structure(
        64,
        pair=(4, PAIR),
        array=(16, h5t.array_create(PAIR, (2,))),
        text=(41, altered(h5t.C_S1, size=7)),
        enum=(50, h5t.py_create(h5py.enum_dtype({"no": 0, "maybe": 7}, "<u2"), logical=True)),
        opaque=(52, h5t.py_create(np.dtype("V3"))),
    ),
    "compound_wide": structure(
        600, **{f"member {number} of many": (8 * number, h5t.STD_I64LE) for number in range(70)}
    ),
    "compound_très_nommé": structure(4, **{"hauteur à côté": (0, h5t.IEEE_F32LE)}),
}  # fmt: skip
NEWER_TYPES: dict[str, h5t.TypeID] = {
    **{name: getattr(h5t, name) for name in dir(h5t) if name.startswith("COMPLEX_IEEE")},
    "integer_of_12_bits": altered(h5t.STD_I32LE, precision=12, offset=3),
    "reference_of_any_kind": predefined("H5T_STD_REF_g"),
}
FOREIGN = (h5t.VLEN, h5t.REFERENCE)
"""Classes whose elements are not what libhdf5 hands out."""


def plain(kind: h5t.TypeID) -> bool:
    """Return whether libhdf5 hands out a type's elements as they are stored."""
    text = kind.get_class() == h5t.STRING and kind.is_variable_str()
    return not text and not any(kind.detect_class(each) for each in FOREIGN)


def _typed(types: dict[str, h5t.TypeID]) -> dict[str, Maker]:
    two = h5s.create_simple((2,))
    return {
        f"type_{name}": laid_out(
            h5d.COMPACT if kind.get_size() < 2**15 else h5d.CONTIGUOUS,
            two,
            kind,
            content=noise("u1", 2 * kind.get_size()).tobytes() if plain(kind) else b"",
        )
        for name, kind in types.items()
    }


def committed(group: h5py.Group, name: str) -> None:
    """Name types, and use them for datasets and attributes, more than once."""
    inside = group.create_group(name)
    for each in ("STD_I64BE", "bool", "compound_nested_plain", "text_utf8"):
        kind = TYPES[each].copy()
        kind.commit(inside.id, f"type {each}".encode())
        for number in range(2):
            dataset = h5d.create(inside.id, f"{each} {number}".encode(), kind, h5s.create_simple((3,)))
            for wanted in ("_FillValue", "flag_values"):
                attribute = h5py.h5a.create(dataset, wanted.encode(), kind, SCALAR)
                attribute.write(noise("u1", kind.get_size()), kind)


DESCRIBING: dict[str, Any] = {
    "_FillValue": np.array([-9999.0], ">f4"),
    "units": np.bytes_(b"meters"),
    "long_name": "height é",
    "standard_name": np.array(["height"], object),
    "scale_factor": 0.5,
    "add_offset": np.float32(3),
    "flag_values": np.array([0, 1, 2], ">i2"),
    "flag_masks": np.array([[1, 2], [4, 8]], "<u8"),
    "flag_meanings": np.array(["bad", "good", "ü" * 3000], object),
}
"""The attributes that an index keeps."""


def described(before: int = 0, after: int = 0, *steps: Step, **values: Any) -> Maker:  # noqa: ANN401
    """Return a maker of a dataset with these attributes among others."""

    def make(group: h5py.Group, name: str) -> None:
        gridded(Grid((3,), (2,), None, []), [...], *steps)(group, name)
        dataset = group[name]
        names = {f"before {number}": number for number in range(before)}
        for key, value in {**names, **(values or DESCRIBING)}.items():
            dataset.attrs[key] = value
        for number in range(after):
            dataset.attrs[f"after {number}"] = f"another text, number {number}"

    return make


def redescribed(group: h5py.Group, name: str) -> None:
    """Write attributes, take every other one away, and replace those that matter."""
    described(40, 40, _dense, units="feet", long_name="n" * 500)(group, name)
    attributes = group[name].attrs
    for key in list(attributes)[::2]:
        del attributes[key]
    for key, value in DESCRIBING.items():
        attributes[key] = value
    attributes["units"] = "m"


def continued(group: h5py.Group, name: str) -> None:
    """Add attributes one by one while the file grows otherwise, so that the header lies in many pieces."""
    described(0, 0, lambda given: given.set_attr_phase_change(500, 400), units="m")(group, name)
    for number in range(30):
        group[name].attrs[f"number {number}"] = "x" * (13 * number)
        group.create_dataset(f"{name} beside {number}", data=noise("u1", 700))
        group.file.flush()
    group[name].attrs["long_name"] = "the last"


def typed_attribute(key: str, kind: h5t.TypeID, space: h5s.SpaceID, content: bytes = b"x-y") -> Maker:
    """Return a maker of a dataset with an attribute that is filled with some bytes again and again."""

    def make(group: h5py.Group, name: str) -> None:
        dataset = group.create_dataset(name, data=np.arange(3))
        attribute = h5py.h5a.create(dataset.id, key.encode(), kind, space)
        if space.get_simple_extent_type() != h5s.NULL and plain(kind):
            size = space.get_simple_extent_npoints() * kind.get_size()
            attribute.write(np.resize(np.frombuffer(content, "u1"), size), kind)

    return make


def _dense(properties: h5p.PropDCID) -> None:
    properties.set_attr_phase_change(0, 0)


def _ordered(properties: h5p.PropDCID) -> None:
    properties.set_attr_creation_order(ORDERED)


ATTRIBUTES: dict[str, Maker] = {
    "attributes": described(),
    "attributes_among_9": described(0, 9),
    "attributes_among_100": described(50, 50),
    "attributes_dense_at_once": described(0, 0, _dense),
    "attributes_ordered": described(2, 2, _ordered),
    "attributes_ordered_dense": described(50, 50, _ordered),
    "attributes_all_in_the_header": described(
        90, 30, lambda given: given.set_attr_phase_change(500, 400), **DESCRIBING
    ),
    "attributes_replaced": redescribed,
    "attributes_one_by_one": continued,
    "attributes_of_20_kB": described(0, 9, flag_meanings="x" * 20_000, units="m" * 5000),
    "attribute_empty_text": described(units="", long_name=np.bytes_(b""), standard_name=h5py.Empty("S1")),
    "attribute_null": described(scale_factor=h5py.Empty("f4"), add_offset=1.0),
    "attribute_no_values": described(flag_values=np.zeros(0, "i2"), flag_meanings=np.zeros((2, 0), "S3")),
    "attribute_not_utf8": described(units=np.bytes_(b"\xb0C")),
    "attribute_bool": described(flag_values=np.array([True, False]), scale_factor=np.bool_(1)),
    "attribute_compound": described(_FillValue=np.array((1.5, -3), POINT)),
    "attribute_fixed_texts": described(flag_meanings=np.array([b"bad", b"good", b""])),
    "attribute_long_names": described(0, 0, **{"x" * 300: 1, "units": "m", "ü" * 200: 2}),
    **{f"attribute_{name}": typed_attribute("flag_values", TYPES[name], h5s.create_simple((2,)))
       for name in ("STD_I8BE", "STD_U64BE", "IEEE_F16BE", "IEEE_F64BE", "enum", "compound", "array")},
    **{f"attribute_{name}_{extent}": typed_attribute("units", TYPES[name], space)
       for name in ("text_terminated", "text_null_padded", "text_space_padded", "text_utf8")
       for extent, space in {"scalar": SCALAR, "row": h5s.create_simple((3,)), "null": NULL}.items()},
    "attribute_vlen_never_written": typed_attribute("units", TYPES["text_of_any_length"], SCALAR),
    "committed": committed,
}  # fmt: skip
NEWER_ATTRIBUTES: dict[str, Maker] = {
    "attributes_of_200_kB": described(
        2, 30, flag_meanings=np.bytes_(b"x" * 200_000), flag_values=np.arange(40_000)
    ),
}


def linked(names: Sequence[str], *steps: Callable[[h5p.PropGCID], object], kept: int = 1) -> Maker:
    """Return a maker of a group whose names all lead to one dataset; each ``kept``-th of them stays."""

    def make(group: h5py.Group, name: str) -> None:
        properties = h5p.create(h5p.GROUP_CREATE)
        for step in steps:
            step(properties)
        inside = h5py.Group(h5py.h5g.create(group.id, name.encode(), gcpl=properties))
        target = group.file.require_dataset("one for all", (), "u1", exact=True)
        for each in names:
            inside[each] = target
        for number, each in enumerate(names):
            if number % kept:
                del inside[each]

    return make


def numbered(count: int, width: int = 5) -> list[str]:
    """Return names in another order than that of their bytes."""
    return [f"{number * 7919 % count:0{width}}" for number in range(count)]


def aliased(group: h5py.Group, name: str) -> None:
    """Lead to two datasets along links of every kind."""
    inside = group.create_group(name)
    inside["h"], inside["deeper/h"] = np.arange(3), np.arange(4)
    inside["hard"] = inside["h"]
    inside["group"] = inside["deeper"]
    inside["up"] = h5py.SoftLink(f"/{name}/h")
    inside["beside"] = h5py.SoftLink("h")
    inside["here"] = h5py.SoftLink("./deeper/.//h")
    inside["soft group"] = h5py.SoftLink("deeper")
    inside["through"] = h5py.SoftLink("soft group/h")
    inside["dangling"] = h5py.SoftLink("nowhere/h")
    inside["outside"] = h5py.ExternalLink("elsewhere.h5", "/h")
    inside["long"] = h5py.SoftLink("./" * 1000 + "h")


def nested(group: h5py.Group, name: str) -> None:
    group.create_dataset("/".join([name, *"abcdefghij", "h"]), data=np.arange(3))


def named(group: h5py.Group, name: str) -> None:
    """Use names that are long, or no ASCII, or no text at all."""
    inside = group.create_group(name)
    for each in ("x" * 300, "é" * 400, "y" * 5000, " ", "...", "a\nb", "雪" * 4, "H", "h", "ΐ\U0001f9ca"):
        inside[each] = len(each)
    space, kind = h5s.create(h5s.SCALAR), h5t.STD_I8LE
    h5d.create(inside.id, b"latin \xe9", kind, space)


_order_links = [lambda given: given.set_link_creation_order(ORDERED)]
_link_phase = called("H5Pset_link_phase_change", 0, 0)
GROUPS: dict[str, Maker] = {
    "links_none": linked([]),
    "links_7": linked(numbered(7)),
    "links_150": linked(numbered(150)),
    "links_7_ordered": linked(numbered(7), *_order_links),
    "links_150_ordered": linked(numbered(150), *_order_links),
    "links_dense_at_once": linked(numbered(2), _link_phase),
    "links_150_dense_ordered": linked(numbered(150), *_order_links, _link_phase),
    "links_of_which_some_stay": linked(numbered(300), kept=3),
    "links_of_which_few_stay": linked(numbered(200), kept=130),
    "links_of_which_none_stays": linked(["a", "b"], kept=3),
    "aliased": aliased,
    "nested": nested,
    "named": named,
}
DEEP_GROUPS: dict[str, Maker] = {
    "links_3000": linked(numbered(3000)),
    "links_1200_of_600_bytes": linked(numbered(1200, 600)),
    "links_of_70_kB": linked(["x" * 70_000, *numbered(20, 4500)]),
}
UNUSUAL_GROUPS: dict[str, Maker] = {
    "links_deflated": linked(numbered(900), called("H5Pset_deflate", 6)),
}


SHARED_MESSAGES = (
    called("H5Pset_shared_mesg_nindexes", 1),
    # data spaces, types, fill values, pipelines and attributes from four bytes on
    called("H5Pset_shared_mesg_index", 0, 1 << 1 | 1 << 3 | 1 << 5 | 1 << 11 | 1 << 12, 4),
)
EVERYWHERE: dict[str, Maker] = {
    **_grids(GRIDS, ("plain", "packed"), "some"),
    **FILTERS,
    **CHUNKS,
    **UNCHUNKED,
    **FILLS,
    **_typed(TYPES),
    **ATTRIBUTES,
    **GROUPS,
}
NEWER: dict[str, Maker] = {**_typed(NEWER_TYPES), **NEWER_ATTRIBUTES}
GRIDS_IN_FULL = _grids(GRIDS, PACKS, "none", "some", "whole")
DEEP: dict[str, Maker] = {
    **_grids(DEEP_GRIDS, ("plain", "packed"), "some"),
    **_grids(
        {name: DEEP_GRIDS[name] for name in ("fixed_pages_many", "tree_deep")}, ("plain", "packed"), "whole"
    ),
    **DEEP_GROUPS,
}
FEW: dict[str, Maker] = {
    name: EVERYWHERE[name]
    for name in ("fixed_plain_some", "extensible_packed_some", "tree_plain_some", "compact_written",
                 "contiguous_written", "attributes_among_9", "links_7", "type_text_of_any_length")
}  # fmt: skip
FIXED = {name: make for name, make in FEW.items() if not name.startswith("extensible")}
SPACED = _grids(GRIDS, ("plain", "packed"), "some") | ATTRIBUTES | GROUPS


class Kind(NamedTuple):
    """How a file is written, and what is written to it."""

    low: str
    high: str
    makers: dict[str, Maker]
    userblock: int = 0
    steps: tuple[Callable[[h5p.PropFCID], object], ...] = ()


BOUNDS = {
    "earliest": h5f.LIBVER_EARLIEST,
    "v108": h5f.LIBVER_V18,
    "v110": h5f.LIBVER_V110,
    "v112": h5f.LIBVER_V112,
    "v114": h5f.LIBVER_V114,
    "v200": h5f.LIBVER_V200,
}
PAIRS = [
    (low, high) for low, high in product(BOUNDS, BOUNDS) if BOUNDS[low] <= BOUNDS[high] and high != "earliest"
]
"""What libhdf5 accepts as the oldest and the newest release that shall read a file."""


def _spaced(strategy: int, *, persist: bool, page: int = 0) -> Callable[[h5p.PropFCID], object]:
    def step(properties: h5p.PropFCID) -> None:
        properties.set_file_space_strategy(strategy, persist, 1)
        if page:
            properties.set_file_space_page_size(page)

    return step


def _sized(offset: int, length: int) -> Callable[[h5p.PropFCID], object]:
    return lambda properties: properties.set_sizes(offset, length)


SPACES = {
    "pages_of_4_kib": _spaced(h5f.FSPACE_STRATEGY_PAGE, persist=False, page=4096),
    "pages_of_64_kib": _spaced(h5f.FSPACE_STRATEGY_PAGE, persist=True, page=65_536),
    "free_space": _spaced(h5f.FSPACE_STRATEGY_FSM_AGGR, persist=True),
    "aggregated": _spaced(h5f.FSPACE_STRATEGY_AGGR, persist=False),
    "end_of_file": _spaced(h5f.FSPACE_STRATEGY_NONE, persist=False),
}
# with lengths of four bytes libhdf5 does not know an unlimited dimension again, and opens no extensible array
SIZES = {(4, 4): FIXED | GROUPS, (8, 4): FIXED, (4, 8): FEW}
KINDS: dict[str, Kind] = {
    **{f"{low}_{high}": Kind(low, high, EVERYWHERE | (NEWER if low != "earliest" and high == "v200" else {}))
       for low, high in PAIRS},
    **{f"{low}_{high}_behind_{userblock}": Kind(low, high, FEW, userblock)
       for userblock, (low, high) in zip((512, 1024, 2048, 8192) * 5, PAIRS, strict=True)},
    **{f"{low}_grids": Kind(low, "v200", GRIDS_IN_FULL, 2048) for low in ("earliest", "v110", "v200")},
    **{f"{low}_deep": Kind(low, "v200", DEEP) for low in ("earliest", "v200")},
    **{f"{low}_{name}": Kind(low, "v200", SPACED, 1024 if name == "free_space" else 0, (step,))
       for low in ("earliest", "v200") for name, step in SPACES.items()},
    **{f"{low}_sizes_{offset}_{length}": Kind(low, "v200", makers, 512, (_sized(offset, length),))
       for low in ("earliest", "v200") for (offset, length), makers in SIZES.items()},
    **{f"{low}_narrow_trees": Kind(
        low, "v200", EVERYWHERE, 0, (called("H5Pset_istore_k", 2), called("H5Pset_sym_k", 2, 1))
       ) for low in ("earliest", "v200")},
    **{f"{low}_shared_messages": Kind(low, "v200", FEW | ATTRIBUTES, 0, SHARED_MESSAGES)
       for low in ("earliest", "v200")},
    # libhdf5 cannot read what it writes of dense links with such addresses
    "earliest_sizes_2_2": Kind("earliest", "v200", FEW, 0, (_sized(2, 2),)),
    "v200_deflated_links": Kind("v200", "v200", UNUSUAL_GROUPS),
    "earliest_ordered_root": Kind(
        "earliest", "v200", FEW, 0, (lambda given: given.set_link_creation_order(ORDERED),)
    ),
}  # fmt: skip


def write(path: Path, kind: Kind) -> Path:
    """Write a file of a kind."""
    creation, access = h5p.create(h5p.FILE_CREATE), h5p.create(h5p.FILE_ACCESS)
    creation.set_userblock(kind.userblock)
    for step in kind.steps:
        step(creation)
    access.set_libver_bounds(BOUNDS[kind.low], BOUNDS[kind.high])
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    with h5py.File(h5f.create(bytes(path), h5f.ACC_TRUNC, creation, access)) as file:
        for name, make in kind.makers.items():
            make(file, name)
    return path


class _CacheImage(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_int),
        ("generate", ctypes.c_bool),
        ("keep_status", ctypes.c_bool),
        ("ageout", ctypes.c_int),
    )


def write_cache_image(path: Path) -> Path:
    """Write a file, then more to it by a program that leaves its metadata as an image of its cache.

    What lies where the metadata were is the old state, and no longer true.
    """
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("h", (20,), "i4", chunks=(2,))[:2] = 1
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5f.LIBVER_LATEST, h5f.LIBVER_LATEST)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    image = _CacheImage(1, True, False, -1)  # noqa: FBT003  fields of a C structure
    assert LIBRARY.H5Pset_mdc_image_config(ctypes.c_int64(access.id), ctypes.byref(image)) >= 0
    with h5py.File(h5f.open(bytes(path), h5f.ACC_RDWR, access)) as file:
        file["h"][10:] = 7
    return path


def write_old_layouts(path: Path, version: int) -> Path:
    """Write a file whose layout messages are of a version that ended with HDF5 1.6.2."""
    with h5py.File(path, "w", libver="earliest") as file:
        file.create_dataset("chunked", data=np.arange(37, dtype="<i4"), chunks=(5,))
        file.create_dataset("contiguous", data=np.arange(41, dtype="<i4"))
    content = path.read_bytes()
    old = bytes([version])
    for pattern, message in (
        (rb"\x03\x02\x02(.{8}\x05\0{3}\x04\0{3})\0{5}", old + b"\x02\x02" + bytes(5) + rb"\1"),
        (rb"\x03\x01(.{8})" + struct.pack("<Q", 4 * 41) + bytes(6),
         old + b"\x01\x01" + bytes(5) + rb"\1" + struct.pack("<Q", 41)),
    ):  # fmt: skip
        content, count = re.subn(pattern, message, content, flags=re.DOTALL)
        assert count == 1
    path.write_bytes(content)
    return path


NETCDF: dict[str, Literal["NETCDF4", "NETCDF4_CLASSIC"]] = {
    "netcdf4": "NETCDF4",
    "netcdf4_classic": "NETCDF4_CLASSIC",
}
"""Formats of netCDF that are HDF5."""


def write_netcdf(path: Path, form: Literal["NETCDF4", "NETCDF4_CLASSIC"]) -> Path:
    """Write a file as netCDF does, which tracks the order of everything."""
    with netCDF4.Dataset(path, "w", format=form) as file:
        file.createDimension("time", None)
        file.createDimension("lat", 40)
        file.createDimension("lon", 70)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(1300)
        _packed_variables(file)
        for number in range(120):
            _many_attributes(file.createVariable(f"number_{number}", "i2", ("lat",)), number % 30)
        if form == "NETCDF4":
            _only_in_netcdf4(file)
    return path


def _packed_variables(file: netCDF4.Dataset) -> None:
    values = noise("<i4", 3, 40, 70)
    kinds: dict[str, dict[str, Any]] = {
        "bare": {"chunksizes": (2, 16, 33)},
        "packed": {"compression": "zlib", "shuffle": True, "fletcher32": True, "fill_value": -9999},
        "checked": {"fletcher32": True, "fill_value": False},
        "in_rows": {"chunksizes": (1, 1, 70)},
        "rounded": {"compression": "zlib", "least_significant_digit": 1},
    }
    for name, options in kinds.items():
        variable = file.createVariable(name, ">i4", ("time", "lat", "lon"), endian="big", **options)
        variable[3:6] = values
        variable.units, variable.long_name, variable.scale_factor = "m", f"a variable, {name}", 0.5
    file.createVariable("in_one_run", "i4", ("lat", "lon"), contiguous=True, fill_value=-1)[:] = values[0]
    file.createVariable("unwritten", "i1", ("time", "lon"), compression="zlib")
    file.createVariable("scalar", "f4", (), fill_value=1e20).units = ""
    file.createVariable("text", "S1", ("lat", "lon"))


def _many_attributes(variable: netCDF4.Variable[Any], count: int) -> None:
    for number in range(count):
        variable.setncattr(f"attribute_{number}", f"text {number}")
    variable.flag_values = np.arange(3, dtype="i2")
    variable.flag_meanings = "bad good best"
    variable.add_offset = 273.15


def _only_in_netcdf4(file: netCDF4.Dataset) -> None:
    file.createDimension("beam", None)
    for name in ("science", "science/ancillary"):
        group = file.createGroup(name)
        group.createDimension("local", 5)
        group.createVariable("twice", "u8", ("time", "beam"), compression="zlib")[3:9, 2:4] = noise(
            "<u8", 6, 2
        )
        group.createVariable("string", str, ("local",))[:] = np.array(
            ["a", "é", "", "ccc", "d" * 300], object
        )
    flags = file.createEnumType(np.int8, "flag", {"clear": 0, "cloudy": 1, "missing": -1})
    file.createVariable("flags", flags, ("lat",), fill_value=-1)[:] = 1
    pair = file.createCompoundType(np.dtype([("low", "f4"), ("high", "i2"), ("text", "S1", (8,))]), "pair")
    file.createVariable("pairs", pair, ("lat",))
    rows = file.createVLType(np.int32, "rows")
    file.createVariable("ragged", rows, ("lat",))[0] = np.arange(3, dtype="i4")
    file["bare"].setncattr_string("flag_meanings", ["several", "texts"])
