"""Single chunks as libhdf5 and its plugins pack them, and their faults."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from io import BytesIO
from struct import pack_into
from typing import NamedTuple

import h5py
import hdf5plugin
import numpy as np
from h5py import h5t, h5z

from eoscale.errors import GranuleError
from eoscale.hdf5.filters import decode
from eoscale.hdf5.format.messages import filter_name
from eoscale.model.chunk_index import DatasetIndex, Filter
from eoscale.model.columns import Array
from tests.hdf5.files import same
from tests.hdf5.libhdf5 import Step, call, listed

PLUGINS = hdf5plugin.get_config().registered_filters
"""Filters that libhdf5 knows by now beside its own."""


class Stored(NamedTuple):
    """One chunk as h5py stored it, what describes it, and what h5py reads."""

    raw: bytes
    dataset: DatasetIndex
    mask: int
    values: Array

    def decoded(self) -> Array:
        """Return what we read."""
        return decode(self.raw, self.dataset, self.mask)


def described(
    dtype: np.dtype[np.generic] | str,
    shape: tuple[int, ...],
    filters: Sequence[Filter] = (),
    *,
    clipped: bool = False,
) -> DatasetIndex:
    table = np.zeros((1,) * len(shape), np.int64)
    return DatasetIndex(
        path="beam/h",
        shape=shape,
        dtype=np.dtype(dtype),
        chunk_shape=shape,
        offsets=table,
        sizes=table.copy(),
        masks=table.copy(),
        filters=tuple(filters),
        clipped=clipped,
    )


def step(number: int, *parameters: int) -> Filter:
    return Filter(id=number, name=filter_name(number), parameters=parameters)


def dataset(
    file: h5py.File, values: Array, filters: Sequence[Filter], fill: Step | None = None
) -> h5py.Dataset:
    """Create a dataset of one chunk whose filters stand in any order, even twice."""
    creation = listed(*([fill] if fill else []))
    creation.set_chunk(values.shape)
    for one in filters:
        # where a filter fails that must not, libhdf5 cannot close the file
        creation.set_filter(one.id, h5z.FLAG_OPTIONAL, one.parameters)
    space = h5py.h5s.create_simple(values.shape)
    return h5py.Dataset(h5py.h5d.create(file.id, b"h", h5t.py_create(values.dtype), space, creation))


def store(values: Array, *filters: Filter, fill: Step | None = None, skipping: bool = False) -> Stored:
    """Let HDF5 pack values, by all filters unless it may skip those that fail."""
    image = BytesIO()
    with h5py.File(image, "w") as file:
        dataset(file, values, filters, fill)[...] = values
    with h5py.File(image) as file:  # the library keeps masks of chunks that it has just written to itself
        packed = stored(file["h"])
    assert skipping or not packed.mask, f"filters were skipped: {packed.mask:b}"
    return packed


def stored(packed: h5py.Dataset) -> Stored:
    mask, raw = packed.id.read_direct_chunk((0,) * packed.ndim)
    creation = packed.id.get_create_plist()
    told = [creation.get_filter(number) for number in range(creation.get_nfilters())]
    filters = [step(code, *values) for code, _, values, _ in told]
    return Stored(raw, described(packed.dtype, packed.shape, filters), mask, packed[()])


def filled(value: object) -> Step:
    """Return a step that sets a fill value."""
    return lambda properties: properties.set_fill_value(np.array(value))


def unfilled(properties: h5py.h5p.PropDCID) -> None:
    """Say that there is no fill value, not even zero."""
    call("H5Pset_fill_value", properties.id, ctypes.c_int64(h5t.STD_I32LE.id), None)


def compressible(dtype: str, shape: tuple[int, ...], seed: int) -> Array:
    random = np.random.default_rng(seed)
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    steps = np.cumsum(random.integers(0, 3, -(-count // 8))).astype(np.uint8)
    return np.frombuffer(np.repeat(steps, 8)[:count].tobytes(), dtype).reshape(shape)


def mutants(raw: bytes, number: int, header: int) -> Iterator[bytes]:
    """Yield damaged copies of a chunk: bits flipped, cut, lengthened, and other numbers in its header."""
    random = np.random.default_rng(len(raw))
    numbers = [0, 1, -1, 2**31 - 1, -(2**31), len(raw), len(raw) - 1, len(raw) + 1]
    for _ in range(number):
        damaged = bytearray(raw)
        match random.integers(5):
            case 0:
                damaged[random.integers(len(raw))] ^= 1 << random.integers(8)
            case 1:
                del damaged[random.integers(len(raw)) :]
            case 2:
                damaged += random.bytes(int(random.integers(1, 9)))
            case 3:
                start = random.integers(len(raw))
                damaged[start : start + 8] = random.bytes(8)
            case _:
                form = ">i" if random.integers(2) else "<i"
                pack_into(form, damaged, int(random.integers(header)), int(random.choice(numbers)))
        if damaged != raw:
            yield bytes(damaged)


def outcomes(chunks: Iterator[bytes], dataset: DatasetIndex) -> tuple[int, int]:
    """Return how many chunks are refused, each with the variable's name, and how many decode to a chunk."""
    refused = accepted = 0
    for raw in chunks:
        try:
            values = decode(raw, dataset)
        except GranuleError as error:
            assert "beam/h" in str(error)  # noqa: PT017  or no error at all
            refused += 1
        else:
            assert (values.shape, values.dtype) == (dataset.chunk_shape, dataset.dtype)
            accepted += 1
    return refused, accepted


def refused_or_same(raw: bytes, packed: Stored) -> bool:
    """Return whether bytes are refused; demand that they decode to the same values where they are not."""
    try:
        values = decode(raw, packed.dataset)
    except GranuleError as error:
        assert "beam/h" in str(error)  # noqa: PT017  or no error at all
        return True
    assert same(values, packed.values)
    return False
