"""Datasets in one run of bytes, or in the object header itself."""

from __future__ import annotations

import h5py
import numpy as np
from h5py import h5d, h5s, h5t

from tests.hdf5.files import Maker, noise
from tests.hdf5.libhdf5 import Step, early, listed

NULL, SCALAR = h5s.create(h5s.NULL), h5s.create(h5s.SCALAR)
CONTENT = noise("u1", 120).tobytes()


def laid_out(layout: int, space: h5s.SpaceID, kind: h5t.TypeID, *steps: Step, content: bytes = b"") -> Maker:
    """Return a maker of a dataset without chunks, written if there is content."""

    def make(group: h5py.Group, name: str) -> None:
        properties = listed(lambda given: given.set_layout(layout), *steps)
        dataset = h5d.create(group.id, name.encode(), kind, space, properties)
        if content:
            dataset.write(h5s.ALL, h5s.ALL, np.frombuffer(content, "u1"), kind)

    return make


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


UNCHUNKED: dict[str, Maker] = {
    **{f"compact_{name}": make for name, make in _extents(h5d.COMPACT).items()},
    **{f"contiguous_{name}": make for name, make in _extents(h5d.CONTIGUOUS).items()},
    # more than one piece of rows
    "contiguous_long": lambda group, name: group.create_dataset(name, data=noise("<f4", 300_001, 2)),
    "contiguous_wide": lambda group, name: group.create_dataset(name, data=noise("u1", 2, 1_100_000)),
    "compact_large": laid_out(h5d.COMPACT, h5s.create_simple((60_000,)), h5t.STD_U8LE, content=bytes(60_000)),
}
