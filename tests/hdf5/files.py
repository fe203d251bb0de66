"""HDF5 files of every layout and type that eoscale reads, made by h5py, and granules that name them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import h5py
import numpy as np

from eoscale.model.columns import Array
from eoscale.model.granule import Granule

Maker = Callable[[h5py.File, str], object]
VERSIONS = ("earliest", "latest")
"""Of the file format: other superblocks, object headers and chunk tables."""


def granule(place: Path | str) -> Granule:
    """Return a granule that lies at a path or URL."""
    return Granule(
        id="granule_007", product="ATL06", urls={urlsplit(str(place)).scheme or "file": str(place)}
    )


def oracle(path: Path, name: str) -> Array:
    """Return what h5py reads."""
    with h5py.File(path) as file:
        return np.asarray(file[name][()], file[name].dtype)


def same(left: Array, right: Array) -> bool:
    """Return whether two arrays agree to the last bit: NaN payloads too."""
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def noise(dtype: str, *shape: int) -> Array:
    """Return values of any bits."""
    kind = np.dtype(dtype)
    content = np.random.default_rng(7).bytes(int(np.prod(shape)) * kind.itemsize)
    return np.frombuffer(content, kind).reshape(shape)


def chunked(dtype: str, shape: tuple[int, ...], chunks: tuple[int, ...], **options: object) -> Maker:
    def make(file: h5py.File, name: str) -> None:
        file.create_dataset(name, data=noise(dtype, *shape), chunks=chunks, **options)

    return make


def contiguous(values: object) -> Maker:
    return lambda file, name: file.create_dataset(name, data=values)


def unwritten(shape: tuple[int, ...], **options: object) -> Maker:
    return lambda file, name: file.create_dataset(name, shape=shape, **options)


def compact(values: Array) -> Maker:
    def make(file: h5py.File, name: str) -> None:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple(values.shape) if values.shape else h5py.h5s.create(h5py.h5s.SCALAR)
        kind = h5py.h5t.py_create(values.dtype, logical=True)
        dataset = h5py.h5d.create(file.id, name.encode(), kind, space, creation)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, values)

    return make


def sparse(file: h5py.File, name: str) -> None:
    """Write three of twelve chunks."""
    dataset = file.create_dataset(name, (10, 11), ">i4", chunks=(4, 3), fillvalue=-7, compression=1)
    dataset[5, 4], dataset[9, 10], dataset[0, 0] = 1, 2, 3


def grown(file: h5py.File, name: str) -> None:
    """Write, then append rows and columns, of which some stay empty."""
    dataset = file.create_dataset(
        name, (5, 3), "<f8", chunks=(4, 2), maxshape=(None, None), fillvalue=1.5, shuffle=True
    )
    dataset[...] = noise("<f8", 5, 3)
    dataset.resize((23, 7))
    dataset[20:, 6] = 9.0


def masked(file: h5py.File, name: str) -> None:
    """Write chunks that skip one filter, the other, both."""
    values = np.arange(16, dtype="<i4")
    dataset = file.create_dataset(name, (16,), "<i4", chunks=(4,), shuffle=True, fletcher32=True)
    dataset[...] = values
    dataset.id.write_direct_chunk((4,), values[4:8].tobytes(), 3)
    dataset.id.write_direct_chunk((12,), values[12:].tobytes(), 3)


MAKERS: dict[str, Maker] = {
    **{f"number_{dtype}": chunked(dtype, (23,), (5,), compression=4, shuffle=True)
       for dtype in ("i1", "<i2", ">i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", ">u8",
                     "<f2", ">f2", "<f4", ">f4", "<f8", ">f8")},
    "line": chunked("<f4", (23,), (5,)),
    "line_exact": chunked("<f4", (20,), (5,), fletcher32=True),
    "line_short": chunked("<f4", (3,), (5,), maxshape=(None,)),
    "line_single": chunked("<f4", (23,), (23,), compression=1),
    "plane": chunked("<i2", (23, 11), (5, 4), compression=9, shuffle=True, fletcher32=True),
    "plane_rows": chunked("<i2", (23, 11), (5, 11), compression=1),
    "plane_columns": chunked("<i2", (23, 11), (23, 1)),
    "volume": chunked("<f8", (7, 6, 5), (2, 4, 3), compression=1),
    "unlimited": chunked("<u4", (23,), (5,), maxshape=(None,), compression=1),
    "unlimited_many": chunked("<u4", (900,), (2,), maxshape=(None,)),
    "fixed_many": chunked("<u4", (2100,), (1,)),
    "unlimited_twice": chunked("<u4", (23, 9), (5, 2), maxshape=(None, None)),
    "early": unwritten((23,), dtype="<f4", chunks=(5,), fillvalue=2.5, fill_time="alloc"),
    "grown": grown,
    "sparse": sparse,
    "masked": masked,
    "empty_chunks": unwritten((9, 4), dtype="<f4", chunks=(4, 4), fillvalue=3.4028235e38),
    "empty_chunks_zero": unwritten((9,), dtype="<i8", chunks=(4,)),
    "empty_unlimited": unwritten((0,), dtype="<f8", chunks=(4,), maxshape=(None,)),
    "contiguous": contiguous(noise("<f4", 23)),
    "contiguous_plane": contiguous(noise(">f8", 23, 3)),
    "contiguous_long": contiguous(noise("<f4", 300_001, 2)),
    "contiguous_unwritten": unwritten((23, 2), dtype="<f4", fillvalue=-9999.0),
    "contiguous_unwritten_zero": unwritten((23,), dtype="<f4"),
    "no_rows": contiguous(noise("<f4", 0, 3)),
    "no_columns": contiguous(noise("<f4", 3, 0)),
    "no_columns_chunked": unwritten((3, 0), dtype="<f4", chunks=(2, 2), maxshape=(None, None)),
    "no_middle": unwritten((2, 0, 3), dtype="<f4"),
    "scalar": contiguous(np.float32(4.5)),
    "scalar_unwritten": unwritten((), dtype=">i4", fillvalue=5),
    "compact": compact(noise("<f4", 23)),
    "compact_plane": compact(noise(">i2", 5, 3)),
    "compact_scalar": compact(np.array(7, "<u8")),
    "compact_bool": compact(np.array([True, False])),
    "text": chunked("S5", (23,), (5,), compression=1),
    "text_contiguous": contiguous(np.array([b"a", b"", b"abc"])),
    "text_scalar": contiguous(np.bytes_(b"ATL06")),
    "flags": contiguous(np.arange(23) % 3 == 0),
    "flags_chunked": lambda file, name: file.create_dataset(name, data=np.arange(23) % 3 == 0, chunks=(5,)),
    "named_values": contiguous(np.arange(23).astype(h5py.enum_dtype({"no": 0, "yes": 1}, "i2"))),
}  # fmt: skip


def write(path: Path, version: str) -> Path:
    """Write a file with all of them, in a group."""
    with h5py.File(path, "w", libver=version, userblock_size=512 if version == "latest" else 0) as file:
        group = file.create_group("gt1l")
        for name, make in MAKERS.items():
            make(group, name)
    return path
