"""Plain: numpy types and the values of attributes as JSON, and back, without loss.

JSON has no types of numbers and no NaN: arrays and scalars of numpy are kept as the bytes that they are,
under the name of their type. What comes back is built from names and numbers alone, never evaluated.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from functools import lru_cache
from typing import Any

import numpy as np

_SIMPLE = re.compile(r"[<>|][biufcSV]\d{1,9}")
"""A type of a file that has no fields."""
_TEXT = re.compile(r"[<>]U\d{1,9}")
"""Text as only numpy holds it: four bytes a character."""
_DEEPEST = 8
"""Types within types."""


def state_dtype(dtype: np.dtype[Any]) -> object:
    """Return a type as JSON: its name, or its fields with their places, or its base and shape.

    Parameters
    ----------
    dtype : numpy.dtype
        Of booleans, numbers, byte strings of fixed length, opaque bytes, and structures and arrays of these.
        Metadata, titles and the mark of alignment are no part of what decodes values, and are left out.

    Raises
    ------
    TypeError
        If it holds Python objects, numpy's text or times, which no file holds.

    Examples
    --------
    >>> state_dtype(np.dtype([("a", "u1"), ("b", "<f4")], align=True))
    {'names': ['a', 'b'], 'formats': ['|u1', '<f4'], 'offsets': [0, 4], 'itemsize': 8}
    """
    if dtype.subdtype:
        base, shape = dtype.subdtype
        return {"base": state_dtype(base), "shape": list(shape)}
    if dtype.fields:
        fields = [dtype.fields[name] for name in dtype.names or ()]
        return {
            "names": list(dtype.names or ()),
            "formats": [state_dtype(field[0]) for field in fields],
            "offsets": [field[1] for field in fields],
            "itemsize": dtype.itemsize,
        }
    if not _SIMPLE.fullmatch(dtype.str):
        raise TypeError(f"values of type {dtype} cannot be kept")
    return dtype.str


def dtype(stated: object, depth: int = _DEEPEST) -> np.dtype[Any]:
    """Return the type that :func:`state_dtype` stated.

    Raises
    ------
    ValueError, TypeError, LookupError
        If it is none.

    Examples
    --------
    >>> dtype(state_dtype(np.dtype(">i2"))).str
    '>i2'
    >>> dtype("O")
    Traceback (most recent call last):
    ValueError: 'O' is no type of plain values
    """
    if isinstance(stated, dict) and depth:
        if "base" in stated:
            return np.dtype((dtype(stated["base"], depth - 1), tuple(stated["shape"])))
        places: dict[str, Any] = {part: stated[part] for part in ("names", "offsets", "itemsize")}
        places["formats"] = [dtype(each, depth - 1) for each in stated["formats"]]
        return np.dtype(places)  # type: ignore[call-overload, no-any-return]
    return _named(str(stated))


@lru_cache(maxsize=256)
def _named(name: str) -> np.dtype[Any]:
    if not _SIMPLE.fullmatch(name):
        raise ValueError(f"{name!r} is no type of plain values")
    return np.dtype(name)


def state_value(value: object) -> object:
    """Return the value of an attribute as JSON.

    Parameters
    ----------
    value : str, numpy scalar or array
        Arrays of Python objects may hold text, as h5py gives text of variable length.

    Raises
    ------
    TypeError
        If it is, or holds, anything else.

    Examples
    --------
    >>> state_value("meters"), state_value(np.float32("nan"))
    ('meters', {'dtype': '<f4', 'shape': None, 'bytes': 'AADAfw=='})
    """
    if isinstance(value, str):
        return {"text": str(value)} if isinstance(value, np.str_) else value
    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"an attribute of type {type(value).__name__} cannot be kept")
    # a scalar and an array of one value are different attributes
    shape = list(value.shape) if isinstance(value, np.ndarray) else None
    if value.dtype.hasobject and isinstance(value, np.ndarray):
        texts = value.reshape(-1).tolist()
        if not all(type(text) is str for text in texts):
            raise TypeError("an attribute of Python objects other than text cannot be kept")
        return {"texts": texts, "shape": shape}
    kind = value.dtype.str if value.dtype.kind == "U" else state_dtype(value.dtype)
    raw = bytes(value) if isinstance(value, bytes) else value.tobytes()
    return {"dtype": kind, "shape": shape, "bytes": b64encode(raw).decode()}


def value(stated: object) -> Any:  # noqa: ANN401  whatever the attribute was
    """Return the value that :func:`state_value` stated: equal, and of the same type.

    Raises
    ------
    ValueError, TypeError, LookupError
        If it is none.

    Examples
    --------
    >>> value(state_value(np.array([0, 1], "i1")))
    array([0, 1], dtype=int8)
    """
    if not isinstance(stated, dict):
        return _text(stated)
    if "text" in stated:
        return np.str_(_text(stated["text"]))
    shape = stated["shape"]
    if "texts" in stated:
        return np.array([_text(text) for text in stated["texts"]], object).reshape(shape)
    name, raw = stated["dtype"], b64decode(stated["bytes"])
    if isinstance(name, str) and _TEXT.fullmatch(name):
        # numpy itself notices too late what is no character
        raw.decode("utf-32-be" if name[0] == ">" else "utf-32-le", "surrogatepass")
        return np.frombuffer(raw, name).reshape(shape)
    kind = dtype(name)
    if shape is None and kind.kind == "S":
        return np.bytes_(raw)  # an item of an array would lose zeros at its end
    array = np.frombuffer(raw, kind)
    return array[0] if shape is None else array.reshape(shape)


def _text(stated: object) -> str:
    if not isinstance(stated, str):
        raise TypeError(f"{stated!r} is no text")
    return stated
