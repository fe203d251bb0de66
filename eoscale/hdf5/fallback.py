"""The fallback: libhdf5 reads the metadata of a file that uses what our own reader does not know.

It sees a complete local copy, in a process of its own (:mod:`~eoscale.hdf5.library`): never a remote file,
which is slow, nor a Python file object, with which it can deadlock.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from eoscale.access import objects, ranges
from eoscale.access.head import Head
from eoscale.access.spans import Cost
from eoscale.errors import CorruptGranuleError, UnsafeGranuleError, UnsupportedFilterError
from eoscale.hdf5 import safety
from eoscale.hdf5.format import Contents
from eoscale.hdf5.format.arrays import Elements
from eoscale.hdf5.format.chunk_indexes import Table, placed
from eoscale.hdf5.format.cursor import File
from eoscale.hdf5.format.dataset import ATTRIBUTES, contiguous, rows
from eoscale.hdf5.format.messages import CONTIGUOUS, Layout, filter_name
from eoscale.model.chunk_index import DatasetIndex, Filter

_LIBRARY = Path(__file__).with_name("library.py")
"""Run, and not imported: so libhdf5 is in no process that does without."""
_SECONDS = 120
"""For one file; libhdf5 takes less than two for a real one."""
_FAULTS = {
    "unsafe": UnsafeGranuleError,
    "unsupported": UnsupportedFilterError,
    "corrupt": CorruptGranuleError,
}


async def datasets(url: str, head: Head, paths: Iterable[str]) -> tuple[Contents, Cost]:
    """Return where the chunks of the variables at some paths lie, as libhdf5 says, and what that cost.

    Parameters
    ----------
    url : str
    head : Head
        Its size and version.
    paths : iterable of str
        Full paths in the file.

    Raises
    ------
    AccessError
        If the file cannot be copied.
    GranuleError
        If libhdf5 cannot read it or dies of it, or a path leads out of it.
    """
    local = objects.local(url)
    if local is not None:
        return await asyncio.to_thread(_asked, local, head.size, list(paths)), Cost(0, 0)
    with TemporaryDirectory(prefix="eoscale-") as folder:
        copy = Path(folder) / "granule.h5"
        cost = await ranges.copied(url, head, copy)
        return await asyncio.to_thread(_asked, copy, head.size, list(paths)), cost


def _asked(file: Path, size: int, paths: list[str]) -> Contents:
    question = json.dumps({"file": str(file), "paths": paths, "attributes": ATTRIBUTES})
    command = [sys.executable, "-I", str(_LIBRARY)]
    try:
        done = subprocess.run(  # noqa: S603  our own script; the question goes through a pipe
            command, input=question, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise CorruptGranuleError(f"libhdf5 did not come to an end in {_SECONDS} s: fetch it anew") from None
    if done.returncode:
        raise CorruptGranuleError(f"libhdf5 died of it (status {done.returncode}): fetch it anew")
    answer = json.loads(done.stdout)
    if "fault" in answer:
        raise _FAULTS[answer["fault"]](f"libhdf5 says: {answer['reason']}")
    space = File(size, answer["base"])
    found = {path: _dataset(space, path, told) for path, told in answer["datasets"].items()}
    return Contents(found, frozenset(answer["absent"]))


def _dataset(space: File, path: str, told: Mapping[str, Any]) -> DatasetIndex:
    dtype = np.dtype(told["dtype"])
    shape, inline = tuple(told["shape"]), told["inline"]
    chunk_shape = tuple(told["chunk"]) if told["chunk"] else rows(shape, dtype.itemsize)
    safety.check_shape(path, shape, chunk_shape, dtype.itemsize)
    space.allot(prod(-(-n // c) for n, c in zip(shape, chunk_shape, strict=True)))
    if inline is not None:
        places = Table(*(np.zeros(0, np.int64) for _ in range(3)))
    elif told["chunk"]:
        places = _chunked(space, told, chunk_shape, dtype.itemsize)
    else:
        # where libhdf5 gives no place nothing was written
        start = space.undefined if told["offset"] is None else told["offset"] - space.base
        layout = Layout(CONTIGUOUS, start, prod(shape) * dtype.itemsize)
        places = contiguous(space, layout, shape, chunk_shape, dtype.itemsize)
    return DatasetIndex(
        path=path,
        shape=shape,
        dtype=dtype,
        chunk_shape=chunk_shape,
        offsets=places.offsets,
        sizes=places.sizes,
        masks=places.masks,
        filters=tuple(
            Filter(id=code, name=filter_name(code), parameters=tuple(values))
            for code, values in told["filters"]
        ),
        fill=b64decode(told["fill"]),
        inline=None if inline is None else b64decode(inline),
        clipped=not told["chunk"] and inline is None,
        attributes={name: _value(value) for name, value in told["attributes"].items() if value is not None},
    )


def _chunked(space: File, told: Mapping[str, Any], chunk_shape: tuple[int, ...], itemsize: int) -> Table:
    starts = np.array([chunk[0] for chunk in told["chunks"]], np.int64).reshape(-1, len(chunk_shape))
    offsets, sizes, masks = (np.array([chunk[n] for chunk in told["chunks"]], np.int64) for n in (1, 2, 3))
    cells, rest = np.divmod(starts, chunk_shape)
    if rest.any() or (offsets < space.base).any():
        raise CorruptGranuleError("a chunk does not begin where one can: damaged")
    grid = tuple(-(-n // c) for n, c in zip(told["shape"], chunk_shape, strict=True))
    elements = Elements((offsets - space.base).astype(np.uint64), sizes, masks)
    return placed(space, grid, prod(chunk_shape) * itemsize, cells, elements)


def _value(told: Mapping[str, Any]) -> Any:  # noqa: ANN401  text, number or array
    if "texts" in told:
        texts: list[str] = told["texts"]
        return texts[0] if len(texts) == 1 else np.array(texts, np.str_)
    values = np.frombuffer(b64decode(told["data"]), np.dtype(told["dtype"])).reshape(told["shape"])
    return values.reshape(-1)[0] if values.size == 1 else values
