"""Files that h5py cannot write by itself, and that our reader leaves to libhdf5."""

from __future__ import annotations

import ctypes
import re
import struct
from pathlib import Path

import h5py
import numpy as np
from h5py import h5f, h5p

from tests.hdf5.libhdf5 import call


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
    call("H5Pset_mdc_image_config", access.id, ctypes.byref(image))
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
