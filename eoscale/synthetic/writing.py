"""Writing HDF5 as the mission's producer does, a few hundred datasets in a fraction of a second.

By h5py's low-level interface: the usual one spends most of such a file's time on names and properties.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5ds, h5g, h5p, h5s, h5t
from numpy.typing import NDArray

from eoscale.synthetic.columns import Column, Packed, Table

CHUNK = 10_000
"""Rows of a chunk, however few there are."""
_LEVEL = 6
_TITLES = {
    "h_li": "Land Ice height",
    "canopy/h_canopy": "height canopy",
    "terrain/h_te_best_fit": "segment terrain height best fit",
}
"""Long names of the product where they are more than the name without underscores."""
_STANDARD_NAMES = {"delta_time": "time", "latitude": "latitude", "longitude": "longitude"}


def in_memory(image: bytes | None = None) -> h5py.File:
    """Return a file that lies in memory only: a new one, or a copy of the one whose bytes are given."""
    return h5py.File.in_memory(image, libver="earliest")


def image_of(file: h5py.File) -> bytes:
    """Return the bytes of a file in memory."""
    file.flush()
    return bytes(file.id.get_file_image())


def publish(image: bytes, path: Path) -> None:
    """Write bytes to a path that shows them whole or not at all; replaces what is there."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(image)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def group(parent: h5g.GroupID, path: str, attributes: Mapping[str, Any] | None = None) -> h5g.GroupID:
    """Return a group below another one, made with those on the way if it is not there."""
    current = parent
    for name in path.encode().split(b"/"):
        current = h5g.open(current, name) if name in current else h5g.create(current, name)
    set_attributes(current, attributes or {})
    return current


def set_attributes(owner: Any, attributes: Mapping[str, Any]) -> None:  # noqa: ANN401  any HDF5 object
    """Write attributes: text as strings of fixed length, numbers as scalars, sequences as arrays."""
    for name, value in attributes.items():
        array = np.asarray(value.encode() if isinstance(value, str) else value)
        kind = _type(array.dtype)
        h5a.create(owner, name.encode(), kind, _space(array.shape)).write(array, kind)


def write_single(parent: h5g.GroupID, name: str, value: Any, *, contiguous: bool = False) -> h5d.DatasetID:  # noqa: ANN401
    """Write a dataset that neither grows nor is packed, inside its header or contiguous.

    Parameters
    ----------
    parent : h5py GroupID
    name : str
    value : text, number or (n,) array
        Text and numbers become arrays of shape (1,).
    contiguous : bool
        In a place of its own instead of the header.
    """
    array = np.atleast_1d(value.encode() if isinstance(value, str) else value)
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    properties.set_layout(h5d.CONTIGUOUS if contiguous else h5d.COMPACT)
    return _create(parent, name, array, properties, limits=array.shape)


def write_growing(
    parent: h5g.GroupID, name: str, values: NDArray[Any], *, fill: float | None = None, rows: int = CHUNK
) -> h5d.DatasetID:
    """Write a dataset without limit along its first dimension: floats deflated, integers shuffled too.

    Parameters
    ----------
    parent : h5py GroupID
    name : str
    values : (n, ...) array
    fill : number, optional
        The HDF5 fill value.
    rows : int
        Of a chunk.
    """
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    properties.set_chunk((rows, *values.shape[1:]))
    if fill is not None:
        properties.set_fill_value(np.asarray(fill, values.dtype))
    if values.dtype.kind != "f":
        properties.set_shuffle()
    properties.set_deflate(_LEVEL)
    return _create(parent, name, values, properties, limits=(h5s.UNLIMITED, *values.shape[1:]))


def write_scale(parent: h5g.GroupID, name: str, values: NDArray[Any]) -> h5d.DatasetID:
    """Write the scale of a dimension that does not grow."""
    dataset = write_single(parent, name, values)
    set_attributes(dataset, {"CLASS": "DIMENSION_SCALE", "long_name": name, "units": "1"})
    return dataset


def create_table(parent: h5g.GroupID, table: Table, scales: Mapping[str, h5d.DatasetID]) -> None:
    """Create all datasets of a table, without rows, each with the scales of its dimensions.

    Parameters
    ----------
    parent : h5py GroupID
        The beam.
    table : Table
    scales : mapping of name to h5py DatasetID
        Of second dimensions, besides those that the table brings.
    """
    home = group(parent, table.group)
    scales = {**scales, **{name: write_scale(home, name, own) for name, own in table.scales.items()}}
    time = write_growing(home, "delta_time", np.empty(0))
    set_attributes(time, {"CLASS": "DIMENSION_SCALE"})
    for column in table.columns:
        dataset = time
        if column.path != "delta_time":
            folder, _, name = column.path.rpartition("/")
            width = scales[column.scale].shape if column.scale else ()
            empty = np.empty((0, *width), column.dtype)
            dataset = write_growing(group(home, folder or "."), name, empty, fill=column.fill)
            h5ds.attach_scale(dataset, time, 0)
            if column.scale:
                h5ds.attach_scale(dataset, scales[column.scale], 1)
        set_attributes(dataset, described(column, table.coordinates))


def fill_table(parent: h5g.GroupID, table: Table, values: Packed) -> None:
    """Write the rows of a table that has none.

    Parameters
    ----------
    parent : h5py GroupID
        The beam.
    table : Table
    values : mapping of path to (n, ...) array
        As :func:`~eoscale.synthetic.columns.complete` returns them.
    """
    home = group(parent, table.group)
    for path, rows in values.items():
        dataset = h5d.open(home, path.encode())
        dataset.set_extent(rows.shape)
        dataset.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(rows))


def described(column: Column, coordinates: tuple[str, ...]) -> dict[str, Any]:
    """Return the attributes of a column, given the columns that say when and where the rows are."""
    folder, _, name = column.path.rpartition("/")
    near = "../" if folder else ""
    title = _TITLES.get(column.path, name.replace("_", " "))
    dtype = np.dtype(column.dtype)
    attributes: dict[str, Any] = {
        "contentType": "qualityInformation" if column.flags else "physicalMeasurement",
        "coordinates": " ".join(near + other for other in coordinates if other != column.path),
        "description": f"Synthetic {title}",
        "long_name": title,
        "source": "eoscale.synthetic",
        "units": column.units,
    }
    if column.path in _STANDARD_NAMES:
        attributes["standard_name"] = _STANDARD_NAMES[column.path]
    if column.fill is not None:
        attributes["_FillValue"] = dtype.type(column.fill)
    if column.units in ("degrees_north", "degrees_east"):
        limit = dtype.type(90 if column.units == "degrees_north" else 180)
        attributes |= {"valid_min": -limit, "valid_max": limit}
    if column.flags:
        attributes["flag_values"] = np.array(column.flags, dtype)
        attributes["flag_meanings"] = column.meanings
        attributes |= {"valid_min": dtype.type(column.flags[0]), "valid_max": dtype.type(column.flags[-1])}
    return attributes


@cache
def _type(dtype: np.dtype[Any]) -> h5t.TypeID:
    return h5t.py_create(dtype)


@cache
def _space(shape: tuple[int, ...]) -> h5s.SpaceID:
    return h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)


def _create(
    parent: h5g.GroupID, name: str, values: NDArray[Any], properties: h5p.PropDCID, *, limits: tuple[int, ...]
) -> h5d.DatasetID:
    space = h5s.create_simple(values.shape, limits)
    dataset = h5d.create(parent, name.encode(), _type(values.dtype), space, properties)
    if values.size:
        dataset.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(values))
    return dataset
