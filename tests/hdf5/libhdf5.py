"""Steps below h5py's own: creation properties, and calls of libhdf5 that h5py has no method for."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import hdf5plugin  # noqa: F401  its filters fail where they are registered after H5open
from h5py import h5d, h5p, h5t, h5z

ORDERED = h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED
Step = Callable[[h5p.PropInstanceID], object]
"""What sets one property among those that an object is created with."""

_LIBRARY = ctypes.CDLL(h5p.__file__)
"""libhdf5 as h5py loaded it."""


def call(name: str, number: int, *arguments: object) -> None:
    """Call a function for an object of libhdf5, by its number; numbers among the arguments are C integers."""
    assert getattr(_LIBRARY, name)(ctypes.c_int64(number), *arguments) >= 0, name


def called(name: str, *arguments: int) -> Step:
    """Return a step that h5py has no method for."""
    return lambda properties: call(name, properties.id, *arguments)


def predefined(name: str) -> h5t.TypeReferenceID:
    """Return a type that h5py has no name for."""
    _LIBRARY.H5open()
    number = _LIBRARY.H5Tcopy
    number.restype, number.argtypes = ctypes.c_int64, (ctypes.c_int64,)
    return h5t.TypeReferenceID(number(ctypes.c_int64.in_dll(_LIBRARY, name).value))


def listed(*steps: Step) -> h5p.PropDCID:
    """Return creation properties of a dataset."""
    properties = h5p.create(h5p.DATASET_CREATE)
    for step in steps:
        step(properties)
    return properties


def early(properties: h5p.PropDCID) -> None:
    properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)


def deflated(level: int) -> Step:
    return lambda properties: properties.set_filter(h5z.FILTER_DEFLATE, h5z.FLAG_MANDATORY, (level,))
