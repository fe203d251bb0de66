"""The dtype of every type of HDF5 as libhdf5 tells it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from h5py import h5t

from tests.hdf5.layouts import NEWER_TYPES, TYPES

IEEE = ("<f2", ">f2", "<f4", ">f4", "<f8", ">f8")


def stored(kind: h5t.TypeID, address: int = 8) -> np.dtype[Any]:
    """Return the dtype of a type as it is stored."""
    readers: dict[int, Callable[[Any, int], Any]] = {
        h5t.INTEGER: integer,
        h5t.BITFIELD: lambda kind, _: kind.dtype,
        h5t.FLOAT: floating,
        h5t.STRING: text,
        h5t.ENUM: enumeration,
        h5t.COMPOUND: compound,
        h5t.ARRAY: lambda kind, address: (stored(kind.get_super(), address), kind.get_array_dims()),
        h5t.VLEN: lambda _, address: varying(address),
        h5t.COMPLEX: lambda kind, _: kind.dtype if kind.get_size() in (8, 16) else void(kind),
    }
    reader = readers.get(kind.get_class())
    return np.dtype(reader(kind, address) if reader else void(kind))


def void(kind: h5t.TypeID) -> str:
    # libhdf5 takes 64 bytes in memory for a reference that takes 18 in the file
    any_reference = kind.equal(NEWER_TYPES["reference_of_any_kind"])
    return f"V{18 if any_reference else kind.get_size()}"


def varying(address: int) -> str:
    """Return what stands for an element elsewhere: its length, the address of a heap, its number there."""
    return f"V{4 + address + 4}"


def integer(kind: h5t.TypeIntegerID, _: int) -> str:
    size = kind.get_size()
    if size not in (1, 2, 4, 8) or kind.get_precision() != 8 * size or kind.get_offset():
        return void(kind)
    return f"{'>' if kind.get_order() == h5t.ORDER_BE else '<'}{'i' if kind.get_sign() else 'u'}{size}"


def floating(kind: h5t.TypeFloatID, _: int) -> str:
    same = (name for name in IEEE if h5t.py_create(np.dtype(name)).equal(kind))
    return next(same, void(kind))


def text(kind: h5t.TypeStringID, address: int) -> Any:  # noqa: ANN401
    if kind.is_variable_str():
        return varying(address)
    return void(kind) if kind.get_strpad() == h5t.STR_SPACEPAD else f"S{kind.get_size()}"


def enumeration(kind: h5t.TypeEnumID, address: int) -> Any:  # noqa: ANN401
    return np.bool_ if kind.dtype == np.bool_ else stored(kind.get_super(), address)


def compound(kind: h5t.TypeCompoundID, address: int) -> Any:  # noqa: ANN401
    if kind.equal(TYPES["complex_compound"]):
        return kind.dtype
    names, formats, offsets, wider = [], [], [], 0
    for number in range(kind.get_nmembers()):
        member = kind.get_member_type(number)
        names.append(kind.get_member_name(number).decode())
        formats.append(stored(member, address))
        offsets.append(kind.get_member_offset(number) + wider)
        # libhdf5 tells sizes in memory, where what lies elsewhere takes another size than in the file
        wider += formats[-1].itemsize - member.get_size()
    return {"names": names, "formats": formats, "offsets": offsets, "itemsize": kind.get_size() + wider}
