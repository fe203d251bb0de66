"""libhdf5 in a process of its own: asked on standard input, it tells of the datasets of one local file.

It runs as a script, by its path, and imports nothing of eoscale: it starts quickly, and if libhdf5 crashes
on a damaged file, goes on for ever or wants all memory, no worker goes with it. It tells facts only; whoever
asked decides what to make of them.
"""

from __future__ import annotations

import json
import resource
import sys
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np

_MEMORY = 4 * 2**30
"""Bytes of address space: libhdf5 maps no files, and reads metadata and compact values only."""
_MOST_LINKS = 32
_FAULTS = (OSError, RuntimeError, OverflowError, UnicodeDecodeError, KeyError, TypeError, ValueError)
"""What h5py raises on damaged files."""


class UnsafeError(Exception):
    """A path, or the values at it, lie in another file."""


class UnsupportedError(Exception):
    """Values of varying length lie in heaps, which h5py does not locate."""


def main() -> None:
    """Answer one question: ``{file, paths, attributes}``, with ``{datasets, absent}`` or ``{fault}``."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    asked = json.load(sys.stdin)
    try:
        with h5py.File(asked["file"], "r") as file:
            nodes = {path: _follow(file, path) for path in asked["paths"]}
            found = {path: node for path, node in nodes.items() if isinstance(node, h5py.Dataset)}
            answer = {
                "base": file.userblock_size,
                "datasets": {path: _told(node, path, asked["attributes"]) for path, node in found.items()},
                "absent": sorted(nodes.keys() - found.keys()),
            }
    except UnsafeError as error:
        answer = {"fault": "unsafe", "reason": str(error)}
    except UnsupportedError as error:
        answer = {"fault": "unsupported", "reason": str(error)}
    except _FAULTS as error:
        answer = {"fault": "corrupt", "reason": str(error).partition("\n")[0]}
    json.dump(answer, sys.stdout)


def _follow(file: h5py.File, path: str) -> Any:  # noqa: ANN401  h5py is untyped
    """Return the object at a path of the file itself, or None."""
    node: Any = file
    steps = _steps(path)
    links = 0
    while steps:
        step = steps.pop()
        link = node.get(step, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            return None
        if isinstance(link, h5py.ExternalLink):
            raise UnsafeError(f"{path} leads into another file, {link.filename!r}")
        if isinstance(link, h5py.SoftLink):
            links += 1
            if links > _MOST_LINKS:
                raise UnsafeError(f"{path} follows more than {_MOST_LINKS} links")
            node = file if link.path.startswith("/") else node
            steps += _steps(link.path)
        else:
            node = node[step]
    return node


def _steps(path: str) -> list[str]:
    """Return the names on a path, the last one first; ``.`` is where it stands."""
    return [step for step in reversed(path.split("/")) if step not in ("", ".")]


def _told(dataset: h5py.Dataset, path: str, attributes: Iterable[str]) -> dict[str, Any]:
    if dataset.is_virtual or dataset.external:
        raise UnsafeError(f"{path} has its values in another file")
    if dataset.shape is None or dataset.dtype.hasobject:
        raise UnsupportedError(f"{path} is of type {dataset.dtype}: expected numbers or fixed text")
    creation, stored = dataset.id.get_create_plist(), dataset.id.get_type()
    steps = [creation.get_filter(number) for number in range(creation.get_nfilters())]
    compact = creation.get_layout() == h5py.h5d.COMPACT
    return {
        "shape": dataset.shape,
        "dtype": _dtype(dataset.dtype, stored),
        "chunk": dataset.chunks,
        "filters": [(code, [int(value) for value in values]) for code, _, values, _ in steps],
        "fill": _fill(dataset),
        "chunks": _chunks(dataset) if dataset.chunks else [],
        "offset": dataset.id.get_offset(),
        "inline": _encoded(dataset[()]) if compact and dataset.dtype.kind in "iufSb" else None,
        "attributes": {
            name: _plain(np.asarray(dataset.attrs[name])) for name in attributes if name in dataset.attrs
        },
    }


def _dtype(dtype: np.dtype[Any], stored: Any) -> str:  # noqa: ANN401  h5py is untyped
    """Return the type if numpy holds what is stored without converting it, else opaque bytes."""
    plain = dtype.kind in "iufSb"
    if plain and dtype.kind == "S":
        plain = stored.get_strpad() != h5py.h5t.STR_SPACEPAD
    elif plain and dtype.kind == "f":
        plain = stored.equal(h5py.h5t.py_create(dtype))
    elif plain:
        whole = stored.get_super() if isinstance(stored, h5py.h5t.TypeEnumID) else stored
        integer = isinstance(whole, h5py.h5t.TypeIntegerID)
        plain = integer and whole.get_precision() == 8 * dtype.itemsize
    return dtype.str if plain else f"|V{stored.get_size()}"


def _fill(dataset: h5py.Dataset) -> str:
    value = np.asarray(dataset.fillvalue, dataset.dtype)
    return _encoded(value) if any(value.tobytes()) else ""


def _chunks(dataset: h5py.Dataset) -> list[tuple[tuple[int, ...], int, int, int]]:
    unlimited = [axis for axis, most in enumerate(dataset.maxshape) if most is None]
    if len(unlimited) == 1 and unlimited != [0]:
        # HDF5 2.0 and before list such chunks with their dimensions in another order than they have
        raise UnsupportedError(f"{dataset.name} grows along another dimension than its first")
    found: list[tuple[tuple[int, ...], int, int, int]] = []
    if dataset.size:
        dataset.id.chunk_iter(
            lambda chunk: found.append((chunk.chunk_offset, chunk.byte_offset, chunk.size, chunk.filter_mask))
        )
    return found


def _plain(value: np.ndarray[Any, Any]) -> dict[str, Any] | None:
    """Return an attribute's value as text or as bytes with their type; None where it is neither."""
    if value.dtype.kind in "OSU":
        texts = [text.decode("utf-8", "replace") if isinstance(text, bytes) else text for text in value.flat]
        return {"texts": texts} if all(isinstance(text, str) for text in texts) else None
    if value.dtype.kind in "iufb":
        return {"dtype": value.dtype.str, "shape": value.shape, "data": _encoded(value)}
    return None


def _encoded(value: Any) -> str:  # noqa: ANN401  array or scalar
    return b64encode(np.asarray(value).tobytes()).decode()


if __name__ == "__main__":
    main()
