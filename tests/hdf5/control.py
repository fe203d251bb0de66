"""Threads that read over HTTP while garbage is collected all the time: by eoscale, or by h5py over fsspec.

``python -m tests.hdf5.control CLIENT URL CALLS``, in a process of its own, as it may stall: then it says on
standard error where each thread stands, and ends. Standard output has a line for each call, the seconds that
it took; the last line tells how often garbage was collected, and how many files that closed, by thread.
"""

from __future__ import annotations

import faulthandler
import gc
import io
import json
import os
import threading
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import ClassVar

import fsspec
import h5py
import numpy as np

from eoscale.hdf5.index import index
from eoscale.hdf5.read import read
from eoscale.model.columns import Array, Rows
from tests.hdf5.files import granule

THREADS = 8
SECONDS = 10
"""Without an answer to any call, after which the process has stalled."""
AT_ONCE = 10
"""Variables that a call reads, each by a request of its own."""
_PATHS = [f"v{number}" for number in range(AT_ONCE)]
_ROWS, _CHUNK = 8192, 64
"""Of a variable. From a chunk to that of the next variable it is farther than the longest gap read over."""
_LITTERED = 8
"""After so many calls a thread leaves a file open."""

Client = Callable[[Rows], Mapping[str, Array]]
"""From row numbers to these rows of all variables."""


def write(path: Path) -> None:
    """Write the file that is read: no two of its values are the same."""
    with h5py.File(path, "w") as file:
        for number, name in enumerate(_PATHS):
            file.create_dataset(name, data=_expected(number, np.arange(_ROWS)), chunks=(_CHUNK,))


def _expected(number: int, rows: Rows) -> Array:
    return number * _ROWS + rows


def _eoscale(url: str) -> Client:
    found = index(granule(url), _PATHS)
    return lambda rows: read(found, dict.fromkeys(_PATHS, rows)).columns


def _h5py(url: str) -> Client:
    filesystem = fsspec.filesystem("http")

    def client(rows: Rows) -> Mapping[str, Array]:
        with h5py.File(filesystem.open(url)) as file:
            return {path: file[path][rows] for path in _PATHS}

    return client


class _Litter:
    """A file in a cycle, left open: the collector closes it, on any thread, by libhdf5's lock."""

    closed: ClassVar[Counter[int]] = Counter()
    """By thread."""

    def __init__(self, content: bytes) -> None:
        self.itself = self
        self.file = h5py.File(io.BytesIO(content))

    def __del__(self) -> None:
        self.closed[threading.get_ident()] += 1


def _collect_often() -> None:
    # what the imports made stays, so that a collection takes microseconds and one follows the other
    gc.freeze()
    gc.set_threshold(40, 10, 10)


def _work(client: Client, calls: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    content = io.BytesIO()
    h5py.File(content, "w").close()
    for call in range(1, calls + 1):
        took = _timed(client, int(random.integers(_ROWS // _CHUNK)))
        os.write(1, f"{took}\n".encode())
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        if call % _LITTERED == 0:
            _Litter(content.getvalue())


def _timed(client: Client, chunk: int) -> float:
    """Return the seconds that a call takes, once its values have been compared."""
    rows = _CHUNK * chunk + np.array([0, 7, _CHUNK - 1])
    began = perf_counter()
    columns = client(rows)
    took = perf_counter() - began
    for number, path in enumerate(_PATHS):
        np.testing.assert_array_equal(columns[path], _expected(number, rows), strict=True)
    return took


def main() -> None:
    """Make so many calls in all threads together."""
    clients = {"eoscale": _eoscale, "h5py": _h5py}
    parser = ArgumentParser(description=main.__doc__)
    parser.add_argument("client", choices=clients)
    parser.add_argument("url")
    parser.add_argument("calls", type=int)
    asked = parser.parse_args()
    client = clients[asked.client](asked.url)
    _timed(client, 0)  # each of them can do it where nothing is in its way
    _collect_often()
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    with ThreadPoolExecutor(THREADS, "reader") as pool:
        for ended in [pool.submit(_work, client, asked.calls // THREADS, seed) for seed in range(THREADS)]:
            ended.result()
        closed = {thread.name: _Litter.closed[thread.ident or 0] for thread in threading.enumerate()}
    collections = sum(generation["collections"] for generation in gc.get_stats())
    os.write(1, json.dumps([collections, closed]).encode())


if __name__ == "__main__":
    main()
