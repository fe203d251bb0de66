"""Files that share messages of object headers in a table: what our reader leaves to libhdf5."""

from __future__ import annotations

import ctypes
from pathlib import Path

import h5py

_LIBRARY = ctypes.CDLL(h5py.h5.__file__)
_ALL_KINDS, _LEAST = 0x1F, 8
"""Dataspaces, types, fill values, filters, attributes; from eight bytes on."""


def create(path: Path) -> h5py.File:
    """Return a new file, open for writing, in which equal messages are shared."""
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    for name, *arguments in (
        ("H5Pset_shared_mesg_nindexes", 1),
        ("H5Pset_shared_mesg_index", 0, _ALL_KINDS, _LEAST),
    ):
        function = getattr(_LIBRARY, name)
        function.argtypes = (ctypes.c_int64, *(ctypes.c_uint for _ in arguments))
        if function(creation.id, *arguments) < 0:
            raise OSError(f"{name} failed")
    return h5py.File(h5py.h5f.create(str(path).encode(), h5py.h5f.ACC_TRUNC, creation))


def copied(source: Path, path: Path) -> Path:
    """Write everything of a file into one of this kind."""
    with h5py.File(source) as old, create(path) as new:
        for name in old:
            old.copy(name, new)
    return path
