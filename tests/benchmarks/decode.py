"""How fast chunks of floats are decoded: ``python -m tests.benchmarks.decode FOLDER``.

Both sides fill the same array from chunks in memory: libhdf5 through h5py, from open datasets of a file in
memory that keep no chunks; and ``decode``, from the bytes of the chunks. What libhdf5 takes to find and copy
those bytes is told apart. The fastest of some runs counts: of each variable on one thread, of all variables
of a file on two.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import h5py
import numpy as np
from h5py import h5d, h5p

from eoscale.hdf5.filters import decode
from eoscale.model.chunk_index import DatasetIndex
from eoscale.model.columns import Array
from tests.hdf5.stored import described, step

_THREADS, _TASK = 2, 8
"""Threads, and chunks that one of them decodes in turn."""
_MOST = 32_000_000
"""Bytes of one kind of chunk that are decoded of each file."""


class Chunk(NamedTuple):
    """One chunk, where it begins in its variable, and where its values go."""

    raw: bytes
    mask: int
    variable: DatasetIndex
    start: tuple[int, ...]
    target: Array


class Variable(NamedTuple):
    """An open dataset, and what it is read into by either side."""

    dataset: h5py.Dataset
    read: Array
    decoded: Array
    chunks: list[Chunk]


class Kind(NamedTuple):
    """What a row of the table is about."""

    product: str
    dtype: str
    length: int


def variables(file: h5py.File) -> Iterator[tuple[Kind, Variable]]:
    """Yield the variables of one dimension that hold packed floats in at least one whole chunk."""
    names: list[str] = []
    file.visit(names.append)
    access = h5p.create(h5p.DATASET_ACCESS)
    access.set_chunk_cache(0, 0, 0)
    product = Path(file.filename).stem.partition("_")[0]
    for name in names:
        if not isinstance(file[name], h5py.Dataset):
            continue
        dataset = h5py.Dataset(h5d.open(file.id, name.encode(), access))
        packed = dataset.id.get_create_plist().get_nfilters()
        if dataset.dtype.kind == "f" and dataset.ndim == 1 and packed and dataset.size >= dataset.chunks[0]:
            yield Kind(product, dataset.dtype.str, dataset.chunks[0]), variable(dataset)


def variable(dataset: h5py.Dataset) -> Variable:
    """Return a dataset with the bytes of its chunks."""
    creation, (length,) = dataset.id.get_create_plist(), dataset.chunks
    told = [creation.get_filter(number) for number in range(creation.get_nfilters())]
    index = described(dataset.dtype, (length,), [step(code, *values) for code, _, values, _ in told])
    decoded = np.empty(dataset.shape, dataset.dtype)
    chunks = []
    for number in range(dataset.id.get_num_chunks()):
        start = dataset.id.get_chunk_info(number).chunk_offset
        mask, raw = dataset.id.read_direct_chunk(start)
        chunks.append(Chunk(raw, mask, index, start, decoded[start[0] : start[0] + length]))
    return Variable(dataset, np.empty_like(decoded), decoded, chunks)


def fill(chunks: Sequence[Chunk]) -> None:
    """Decode chunks to where their values go."""
    for chunk in chunks:
        chunk.target[:] = decode(chunk.raw, chunk.variable, chunk.mask)[: chunk.target.size]


def read(one: Variable) -> None:
    """Let h5py read a variable."""
    one.dataset.read_direct(one.read)


def copy(one: Variable) -> None:
    """Let h5py copy the bytes of all chunks."""
    for chunk in one.chunks:
        one.dataset.id.read_direct_chunk(chunk.start)


def fastest(run: Callable[[], object], repeat: int) -> float:
    """Return the seconds of the fastest of some runs."""
    best = np.inf
    for _ in range(repeat):
        start = perf_counter()
        run()
        best = min(best, perf_counter() - start)
    return best


def measured(sample: Sequence[Variable], pool: ThreadPoolExecutor, repeat: int) -> dict[str, float]:
    """Return seconds of either side for some variables, and demand that their values agree."""
    seconds = {
        "h5py": sum(fastest(partial(read, one), repeat) for one in sample),
        "raw": sum(fastest(partial(copy, one), repeat) for one in sample),
        "one": sum(fastest(partial(fill, one.chunks), repeat) for one in sample),
    }
    chunks = [chunk for one in sample for chunk in one.chunks]
    tasks = [chunks[start : start + _TASK] for start in range(0, len(chunks), _TASK)]
    seconds["more"] = fastest(lambda: list(pool.map(fill, tasks)), repeat)
    for one in sample:
        assert one.read.tobytes() == one.decoded.tobytes(), one.dataset.name
    return {**seconds, "bytes": float(sum(chunk.variable.chunk_nbytes for chunk in chunks))}


def sampled(file: h5py.File) -> dict[Kind, list[Variable]]:
    """Return some variables of each kind of a file."""
    found: dict[Kind, list[Variable]] = defaultdict(list)
    for kind, one in variables(file):
        if sum(each.read.nbytes for each in found[kind]) < _MOST:
            found[kind].append(one)
    return found


def table(figures: Mapping[Kind, Mapping[str, float]]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "MB of decoded values a second; times as fast as h5py\n"
    yield f"| chunks | MB | h5py | raw bytes by h5py | decode, 1 thread | | decode, {_THREADS} threads | |"
    yield "|---|---|---|---|---|---|---|---|"
    for kind, told in sorted(figures.items()):
        speed = {name: told["bytes"] / 1e6 / told[name] for name in ("h5py", "raw", "one", "more")}
        times = [f"{speed[name]:.0f} | {speed[name] / speed['h5py']:.2f}" for name in ("one", "more")]
        sizes = f"{told['bytes'] / 1e6:.0f} | {speed['h5py']:.0f} | {speed['raw']:.0f}"
        yield f"| {kind.product} {kind.dtype[1:]} x {kind.length:,} | {sizes} | {' | '.join(times)} |"


def options() -> Namespace:
    """Return what the command line says."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--glob", default="**/*.h5", help="which files of the folder")
    parser.add_argument("--repeat", type=int, default=5)
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    chosen = options()
    figures: dict[Kind, dict[str, float]] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        for path in sorted(chosen.folder.glob(chosen.glob)):
            with h5py.File(path, driver="core", backing_store=False) as file:
                for kind, sample in sampled(file).items():
                    told, sums = measured(sample, pool, chosen.repeat), figures.setdefault(kind, {})
                    figures[kind] = {name: value + sums.get(name, 0) for name, value in told.items()}
    sys.stdout.write("\n".join([*table(figures), ""]))


if __name__ == "__main__":
    main()
