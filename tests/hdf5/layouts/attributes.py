"""Attributes in every place and number, of every kind of value."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5p, h5s, h5t

from tests.hdf5.files import Maker, noise
from tests.hdf5.layouts.datatypes import POINT, TYPES, plain
from tests.hdf5.layouts.grids import Grid, gridded
from tests.hdf5.layouts.unchunked import NULL, SCALAR
from tests.hdf5.libhdf5 import ORDERED, Step

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
        attribute = h5a.create(dataset.id, key.encode(), kind, space)
        if space.get_simple_extent_type() != h5s.NULL and plain(kind):
            size = space.get_simple_extent_npoints() * kind.get_size()
            attribute.write(np.resize(np.frombuffer(content, "u1"), size), kind)

    return make


def committed(group: h5py.Group, name: str) -> None:
    """Name types, and use them for datasets and attributes, more than once."""
    inside = group.create_group(name)
    for each in ("STD_I64BE", "bool", "compound_nested_plain", "text_utf8"):
        kind = TYPES[each].copy()
        kind.commit(inside.id, f"type {each}".encode())
        for number in range(2):
            dataset = h5d.create(inside.id, f"{each} {number}".encode(), kind, h5s.create_simple((3,)))
            for wanted in ("_FillValue", "flag_values"):
                attribute = h5a.create(dataset, wanted.encode(), kind, SCALAR)
                attribute.write(noise("u1", kind.get_size()), kind)


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
