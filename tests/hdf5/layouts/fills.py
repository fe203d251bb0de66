"""Fill values, and when they are written."""

from __future__ import annotations

import ctypes
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5s, h5t

from tests.hdf5.files import Maker
from tests.hdf5.layouts.datatypes import POINT
from tests.hdf5.libhdf5 import Step, call, early, listed


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
    call("H5Pset_fill_value", properties.id, ctypes.c_int64(h5t.STD_I32LE.id), None)
    h5d.create(group.id, name.encode(), h5t.STD_I32LE, h5s.create_simple((9,)), properties)


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
