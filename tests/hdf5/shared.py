"""Files that share messages of object headers in a table: what our reader leaves to libhdf5."""

from __future__ import annotations

from pathlib import Path

import h5py
from h5py import h5f, h5p

from tests.hdf5.libhdf5 import called

_DATASPACES, _TYPES, _FILL_VALUES, _FILTERS, _ATTRIBUTES = 1 << 1, 1 << 3, 1 << 5, 1 << 11, 1 << 12
"""Each is one bit, whose number is that of the message."""
_LEAST = 4
SHARED_MESSAGES = (
    called("H5Pset_shared_mesg_nindexes", 1),
    called(
        "H5Pset_shared_mesg_index",
        0,
        _DATASPACES | _TYPES | _FILL_VALUES | _FILTERS | _ATTRIBUTES,
        _LEAST,
    ),
)
"""Steps by which a file gets one table, for messages of every kind from four bytes on."""


def create(path: Path) -> h5py.File:
    """Return a new file, open for writing, in which equal messages are shared."""
    creation = h5p.create(h5p.FILE_CREATE)
    for step in SHARED_MESSAGES:
        step(creation)
    return h5py.File(h5f.create(bytes(path), h5f.ACC_TRUNC, creation))


def copied(source: Path, path: Path) -> Path:
    """Write everything of a file into one of this kind."""
    with h5py.File(source) as old, create(path) as new:
        for name in old:
            old.copy(name, new)
    return path
