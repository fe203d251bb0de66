"""What indexing a folder of granules costs over HTTP: ``python -m tests.benchmarks.index FOLDER``.

A first run reads the metadata of all granules at once and fills an empty index store; a second one finds
everything there and may not ask the server for a byte. Each run has a process of its own: imports lie outside
the clock, connections inside.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from unittest.mock import patch

import h5py
import numpy as np

from eoscale.access import endpoints
from eoscale.hdf5.index import indexes
from eoscale.model.chunk_index import UNALLOCATED, ChunkIndex
from eoscale.model.granule import Granule
from tests.servers.storage import Storage

_BEAMS = ("gt1l", "gt1r", "gt2l", "gt2r", "gt3l", "gt3r")
_VARIABLES = ("latitude", "longitude", "delta_time", "canopy/h_canopy", "terrain/h_te_best_fit")
_PATHS = [f"{beam}/land_segments/{variable}" for beam in _BEAMS for variable in _VARIABLES]
"""What a map of canopy heights reads of ATL08."""
_COMPARED = 2
"""Granules whose chunk tables are compared with those that h5py tells of the local file."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run over all granules."""

    wall: float
    cpu: float
    """Seconds, of all threads of the process."""
    requests: int = 0
    bytes: int = 0
    most_in_flight: int = 0


def run(urls: Mapping[str, str], paths: Sequence[str], compared: Mapping[str, Path]) -> Run:
    """Index granules, given by name and URL, in this process; compare some with local files afterwards."""
    granules = [Granule(id=name, product="ATL08", urls={"http": url}) for name, url in urls.items()]
    start, begun = perf_counter(), process_time()
    found = indexes(granules, paths)
    measured = Run(wall=perf_counter() - start, cpu=process_time() - begun)
    for granule, index in zip(granules, found, strict=True):
        if not isinstance(index, ChunkIndex):
            raise index
        if granule.id in compared:
            compare(index, compared[granule.id], paths)
    return measured


def compare(index: ChunkIndex, local: Path, paths: Sequence[str]) -> None:
    """Demand that an index tells of a file what h5py does."""
    with h5py.File(local) as file:
        assert index.absent == {path for path in paths if path not in file}
        for name, told in index.datasets.items():
            dataset = file[name]
            assert (told.shape, told.dtype) == (dataset.shape, dataset.dtype), name
            if dataset.chunks is None:
                continue  # libhdf5 has no table of it
            assert told.chunk_shape == dataset.chunks, name
            expected = [np.full(told.grid, UNALLOCATED), np.zeros(told.grid), np.zeros(told.grid)]
            for number in range(dataset.id.get_num_chunks()):
                chunk = dataset.id.get_chunk_info(number)
                place = tuple(at // size for at, size in zip(chunk.chunk_offset, dataset.chunks, strict=True))
                for table, value in zip(
                    expected, (chunk.byte_offset, chunk.size, chunk.filter_mask), strict=True
                ):
                    table[place] = value
            for table, one in zip(expected, (told.offsets, told.sizes, told.masks), strict=True):
                assert np.array_equal(table, one), name


def repeated(
    storage: Storage, files: Mapping[str, Path], paths: Sequence[str], repeat: int
) -> Iterator[tuple[Run, Run]]:
    """Yield pairs of a run with an empty index store and one with what the first has left there."""
    urls = {name: storage.url(file.name) for name, file in files.items()}
    compared = dict(list(files.items())[:_COMPARED])
    for _ in range(repeat):
        with TemporaryDirectory() as store:
            environment = {endpoints.INDEX_STORE: store, endpoints.ALLOW_HOSTS: storage.host}
            with patch.dict(os.environ, environment):
                first, second = (apart(storage, urls, paths, compared) for _ in range(2))
        assert not second.requests, f"the second run asked for metadata: {second}"
        yield first, second


def apart(
    storage: Storage, urls: Mapping[str, str], paths: Sequence[str], compared: Mapping[str, Path]
) -> Run:
    """Return a run in a new process, with what the server says of it."""
    storage.reset()
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        measured = process.submit(run, urls, paths, compared).result()
    told = storage.counts()
    return replace(
        measured,
        requests=told.gets + told.heads,
        bytes=told.bytes,
        most_in_flight=told.most_in_flight,
    )


def summary(runs: Sequence[Run], granules: int, nbytes: int) -> dict[str, float]:
    """Return the figures of some runs: medians, unless their name says otherwise."""
    wall, cpu = median(run.wall for run in runs), median(run.cpu for run in runs)
    requests, read = median(run.requests for run in runs), median(run.bytes for run in runs)
    return {
        "wall_s": wall,
        "wall_min_s": min(run.wall for run in runs),
        "cpu_s": cpu,
        "requests": requests,
        "read_MB": read / 1e6,
        "most_in_flight": max(run.most_in_flight for run in runs),
        "wall_ms_per_granule": 1000 * wall / granules,
        "cpu_ms_per_granule": 1000 * cpu / granules,
        "requests_per_granule": requests / granules,
        "read_kB_per_granule": read / 1e3 / granules,
        "share_of_bytes_read": read / nbytes,
    }


def options() -> Namespace:
    """Return what the command line says."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--glob", default="*.h5", help="which files of the folder")
    parser.add_argument("--paths", type=Path, help="a file with a path of a dataset a line; else 30 of ATL08")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds to the first byte")
    parser.add_argument("--bandwidth", type=float, default=80e6, help="bytes a second of a connection")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    chosen = options()
    files = {file.stem: file for file in sorted(chosen.folder.resolve().glob(chosen.glob))}
    paths = chosen.paths.read_text().split() if chosen.paths else _PATHS
    nbytes = sum(file.stat().st_size for file in files.values())
    with Storage(chosen.folder, latency=chosen.latency, bandwidth=chosen.bandwidth) as storage:
        pairs = list(repeated(storage, files, paths, chosen.repeat))
    told = {
        "granules": len(files),
        "MB": nbytes / 1e6,
        "paths": len(paths),
        "latency_s": chosen.latency,
        "bandwidth_MB_per_s": chosen.bandwidth / 1e6,
        "repeat": chosen.repeat,
        "runs": {
            name: summary(runs, len(files), nbytes)
            for name, runs in zip(("first", "second"), zip(*pairs, strict=True), strict=True)
        },
    }
    sys.stdout.write(json.dumps(told, indent=2) + "\n" if chosen.json else table(told))


def table(told: Mapping[str, object]) -> str:
    """Return a table of two columns of figures, below what they are about."""
    runs = told["runs"]
    assert isinstance(runs, dict)
    about = ", ".join(f"{name} {value:g}" for name, value in told.items() if isinstance(value, int | float))
    rows = [f"| {name} | {first:.4g} | {runs['second'][name]:.4g} |" for name, first in runs["first"].items()]
    return "\n".join([about, "", "| figure | first run | second run |", "|---|---|---|", *rows, ""])


if __name__ == "__main__":
    main()
