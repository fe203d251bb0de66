"""One digest for any value: what makes two regions, lists or jobs the same."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import shapely

if TYPE_CHECKING:
    from collections.abc import Iterator


class Digested:
    """Equality and hash by the digest of :meth:`content`, for types that hold arrays or tables."""

    def content(self) -> object:
        """Return what decides whether two values are the same; the fields, unless overridden."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(cast("Any", self))}

    @cached_property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of the content, the same in every process."""
        return digest(self.content())

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.digest == getattr(other, "digest", None)

    def __hash__(self) -> int:
        return hash(self.digest)


def digest(value: object) -> str:
    """Return the hexadecimal SHA-256 of a value built of plain data, arrays and dataclasses.

    Parameters
    ----------
    value : object
        None, bool, int, float, str, bytes, date, array, shapely geometry, and sequences, mappings and
        dataclasses of these. A mapping's order does not matter, a sequence's does.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    TypeError
        For any other type: a value whose repr could differ between processes is no digest.

    Examples
    --------
    >>> digest({"b": 1, "a": 2.0}) == digest({"a": 2.0, "b": 1})
    True
    >>> digest([1, 2]) == digest([2, 1])
    False
    """
    state = hashlib.sha256()
    for piece in _pieces(value):
        state.update(len(piece).to_bytes(8, "little"))
        state.update(piece)
    return state.hexdigest()


def _pieces(value: object) -> Iterator[bytes]:  # noqa: C901  one case a type
    match value:
        case Digested():
            yield f"{type(value).__name__}:{value.digest}".encode()
        case np.ndarray() | np.generic() if not value.dtype.hasobject:
            array = np.ascontiguousarray(value)
            yield f"{array.dtype.str}{array.shape}".encode()
            yield array.tobytes()
        case None | bool() | int() | float() | str() | dt.date():
            yield f"{type(value).__name__}:{value!r}".encode()
        case bytes():
            yield b"bytes:" + value
        case shapely.Geometry():
            yield b"wkb:" + shapely.to_wkb(value)
        case Mapping():
            yield f"mapping:{len(value)}".encode()
            for key in sorted(value):
                yield from _pieces(key)
                yield from _pieces(value[key])
        case tuple() | list():
            yield f"sequence:{len(value)}".encode()
            for item in value:
                yield from _pieces(item)
        case _ if dataclasses.is_dataclass(value):
            yield type(value).__name__.encode()
            for field in dataclasses.fields(value):
                yield from _pieces(field.name)
                yield from _pieces(getattr(value, field.name))
        case _:
            raise TypeError(f"no stable digest of a {type(value).__name__}: give plain data")
