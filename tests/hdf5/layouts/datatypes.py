"""Types of every class, and a dataset of each."""

from __future__ import annotations

import h5py
import numpy as np
from h5py import h5d, h5s, h5t

from tests.hdf5.files import Maker, noise
from tests.hdf5.layouts.unchunked import laid_out
from tests.hdf5.libhdf5 import predefined


def altered(kind: h5t.TypeID, **settings: object) -> h5t.TypeID:
    """Return a copy of a type with other settings, such as its precision."""
    copy = kind.copy()
    for name, value in settings.items():
        getattr(copy, f"set_{name}")(*value if isinstance(value, tuple) else (value,))
    return copy


def structure(size: int, **members: tuple[int, h5t.TypeID]) -> h5t.TypeID:
    """Return a compound of members at some offsets."""
    compound = h5t.create(h5t.COMPOUND, size)
    for name, (offset, kind) in members.items():
        compound.insert(name.encode(), offset, kind)
    return compound


POINT = np.dtype({"names": ["x", "y"], "formats": ["<f4", ">i2"], "offsets": [2, 8], "itemsize": 16})
PAIR = structure(12, low=(0, h5t.STD_I32BE), high=(4, h5t.IEEE_F64LE))
VLEN = h5t.vlen_create(h5t.STD_U16LE)
TYPES: dict[str, h5t.TypeID] = {
    **{name: getattr(h5t, name) for name in dir(h5t)
       if name.startswith(("STD_I", "STD_U", "STD_B", "IEEE_F", "UNIX_D", "LDOUBLE_"))},
    "text_terminated": altered(h5t.C_S1, size=7),
    "text_null_padded": altered(h5t.C_S1, size=7, strpad=h5t.STR_NULLPAD),
    "text_space_padded": altered(h5t.FORTRAN_S1, size=7),
    "text_utf8": altered(h5t.C_S1, size=7, cset=h5t.CSET_UTF8),
    "text_long": altered(h5t.C_S1, size=70_000),
    "text_of_any_length": h5t.py_create(h5py.string_dtype(), logical=True),
    "integer_of_3_bytes": altered(h5t.STD_U32LE, size=3),
    "float_of_24_bits": altered(h5t.IEEE_F32BE, fields=(23, 16, 7, 0, 16), precision=24),
    "bool": h5t.py_create(np.dtype(bool), logical=True),
    "enum": h5t.py_create(h5py.enum_dtype({"no": -1, "yes": 1, "a longer name": 300}, ">i2"), logical=True),
    "opaque": h5t.py_create(np.dtype("V5")),
    "opaque_tagged": h5t.py_create(h5py.opaque_dtype(np.dtype("M8[us]")), logical=True),
    "reference": h5t.STD_REF_OBJ,
    "reference_to_region": h5t.STD_REF_DSETREG,
    "complex_compound": h5t.py_create(np.dtype("c8")),
    "array": h5t.array_create(h5t.STD_I16BE, (2, 3)),
    "vlen": VLEN,
    "vlen_nested": h5t.vlen_create(VLEN),
    "vlen_compound": h5t.vlen_create(PAIR),
    "compound": PAIR.copy(),
    "compound_padded": h5t.py_create(POINT, logical=True),
    "compound_nested": structure(
        60,
        pair=(4, PAIR),
        array=(16, h5t.array_create(PAIR, (2,))),
        vlen=(40, VLEN),
        flag=(56, h5t.py_create(np.dtype(bool), logical=True)),
    ),
    "compound_of_texts": structure(
        40,
        first=(0, h5t.py_create(h5py.string_dtype(), logical=True)),
        number=(9, h5t.STD_I16LE),
        rows=(16, VLEN),
        last=(32, h5t.py_create(h5py.string_dtype(), logical=True)),
    ),
    "compound_nested_plain": structure(
        64,
        pair=(4, PAIR),
        array=(16, h5t.array_create(PAIR, (2,))),
        text=(41, altered(h5t.C_S1, size=7)),
        enum=(50, h5t.py_create(h5py.enum_dtype({"no": 0, "maybe": 7}, "<u2"), logical=True)),
        opaque=(52, h5t.py_create(np.dtype("V3"))),
    ),
    "compound_wide": structure(
        600, **{f"member {number} of many": (8 * number, h5t.STD_I64LE) for number in range(70)}
    ),
    "compound_très_nommé": structure(4, **{"hauteur à côté": (0, h5t.IEEE_F32LE)}),
}  # fmt: skip
NEWER_TYPES: dict[str, h5t.TypeID] = {
    **{name: getattr(h5t, name) for name in dir(h5t) if name.startswith("COMPLEX_IEEE")},
    "integer_of_12_bits": altered(h5t.STD_I32LE, precision=12, offset=3),
    "reference_of_any_kind": predefined("H5T_STD_REF_g"),
}
FOREIGN = (h5t.VLEN, h5t.REFERENCE)
"""Classes whose elements are not what libhdf5 hands out."""


def plain(kind: h5t.TypeID) -> bool:
    """Return whether libhdf5 hands out a type's elements as they are stored."""
    text = kind.get_class() == h5t.STRING and kind.is_variable_str()
    return not text and not any(kind.detect_class(each) for each in FOREIGN)


def typed(types: dict[str, h5t.TypeID]) -> dict[str, Maker]:
    two = h5s.create_simple((2,))
    return {
        f"type_{name}": laid_out(
            h5d.COMPACT if kind.get_size() < 2**15 else h5d.CONTIGUOUS,
            two,
            kind,
            content=noise("u1", 2 * kind.get_size()).tobytes() if plain(kind) else b"",
        )
        for name, kind in types.items()
    }
