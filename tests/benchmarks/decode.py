"""How fast chunks are decoded: ``python -m tests.benchmarks.decode FOLDER``.

Ways to the values of the same variables, each the fastest of some rounds that take turns:

- by name: ``file[name][()]`` of h5py, as its users read, from a file that the system has in memory;
- pipeline: libhdf5's filters with as little else as h5py allows: datasets are open, the file lies in the
  memory of the process, no chunk is kept, and the array to fill is there;
- decode: ``decode_many``, from the bytes of the chunks to an array that is there, on one thread and on two;
- inflate: no more than ``deflate.zlib_decompress`` of each chunk, on one thread and on two. No way that uses
  this codec can be faster.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import h5py
import numpy as np
from deflate import zlib_decompress
from h5py import h5d, h5p
from numpy.typing import NDArray

from eoscale.hdf5.filters import TOGETHER, decode_many
from eoscale.model.chunk_index import DatasetIndex
from eoscale.model.columns import Array
from tests.hdf5.stored import described, step

_THREADS, _TASK = 2, 8
"""Threads, and calls that one of them makes in turn."""
_MOST = 24_000_000
"""Bytes of one kind of variable that are decoded of each file."""


class Variable(NamedTuple):
    """An open dataset, the bytes of its chunks, and what they are read into by either side."""

    dataset: h5py.Dataset
    packed: DatasetIndex
    raws: list[bytes]
    masks: list[int]
    read: Array
    decoded: Array
    """Of whole chunks."""


class Kind(NamedTuple):
    """What a row of the table is about."""

    product: str
    dtype: str
    chunks: tuple[int, ...]


class Call(NamedTuple):
    """What one call decodes."""

    raws: list[bytes]
    packed: DatasetIndex
    masks: list[int]
    values: NDArray[np.uint8]


def variables(file: h5py.File) -> Iterator[tuple[Kind, Variable]]:
    """Yield the variables that hold packed values in at least one whole chunk."""
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
        if packed and dataset.shape[0] >= dataset.chunks[0] and dataset.shape[1:] == dataset.chunks[1:]:
            yield Kind(product, dataset.dtype.str, dataset.chunks), variable(dataset)


def variable(dataset: h5py.Dataset) -> Variable:
    """Return a dataset with the bytes of its chunks."""
    creation = dataset.id.get_create_plist()
    told = [creation.get_filter(number) for number in range(creation.get_nfilters())]
    index = described(dataset.dtype, dataset.chunks, [step(code, *values) for code, _, values, _ in told])
    count = dataset.id.get_num_chunks()
    starts = [dataset.id.get_chunk_info(number).chunk_offset for number in range(count)]
    masks, raws = zip(*map(dataset.id.read_direct_chunk, starts), strict=True)
    decoded = np.empty((count * dataset.chunks[0], *dataset.chunks[1:]), dataset.dtype)
    read = np.empty(dataset.shape, dataset.dtype)
    return Variable(dataset, index, list(raws), list(masks), read, decoded)


def calls(one: Variable) -> Iterator[Call]:
    """Yield what decodes a variable."""
    nbytes = one.packed.chunk_nbytes
    count, flat = max(1, TOGETHER // nbytes), one.decoded.reshape(-1).view(np.uint8)
    for start in range(0, len(one.raws), count):
        some = slice(start, start + count)
        target = flat[start * nbytes : (start + count) * nbytes]
        yield Call(one.raws[some], one.packed, one.masks[some], target)


def fill(some: Sequence[Call]) -> None:
    """Decode chunks to where their values go."""
    for call in some:
        decode_many(*call)


def inflate(some: Sequence[Call]) -> None:
    """Inflate chunks, and forget what they hold."""
    for call in some:
        for raw in call.raws:
            zlib_decompress(raw, call.packed.chunk_nbytes)


def measured(
    sample: Sequence[Variable], file: h5py.File, pool: ThreadPoolExecutor, repeat: int
) -> dict[str, float]:
    """Return seconds of each way for some variables, and demand that their values agree."""
    whole = [call for one in sample for call in calls(one)]
    tasks = [whole[start : start + _TASK] for start in range(0, len(whole), _TASK)]
    ways: dict[str, Callable[[], object]] = {
        "name": lambda: [file[one.dataset.name][()] for one in sample],
        "pipeline": lambda: [one.dataset.read_direct(one.read) for one in sample],
        "decode 1": lambda: fill(whole),
        "decode 2": lambda: list(pool.map(fill, tasks)),
        "inflate 1": lambda: inflate(whole),
        "inflate 2": lambda: list(pool.map(inflate, tasks)),
    }
    seconds = dict.fromkeys(ways, np.inf)
    for _ in range(repeat):
        for way, run in ways.items():
            start = perf_counter()
            run()
            seconds[way] = min(seconds[way], perf_counter() - start)
    for one in sample:
        assert one.read.tobytes() == one.decoded[: len(one.read)].tobytes(), one.dataset.name
    return {**seconds, "bytes": float(sum(one.read.nbytes for one in sample))}


def sampled(file: h5py.File) -> dict[Kind, list[Variable]]:
    """Return some variables of each kind of a file."""
    found: dict[Kind, list[Variable]] = defaultdict(list)
    for kind, one in variables(file):
        if sum(each.read.nbytes for each in found[kind]) < _MOST:
            found[kind].append(one)
    return found


def table(figures: Mapping[Kind, Mapping[str, float]]) -> Iterator[str]:
    """Yield the lines of the table."""
    shown = ("name", "pipeline", "decode 1", "decode 2")
    ratios = [(peer, way) for peer in ("name", "pipeline") for way in ("decode 1", "decode 2")]
    ratios += [("pipeline", "inflate 1"), ("pipeline", "inflate 2")]
    yield f"MB of values a second: {', '.join(shown)}. How many times as fast as a way of h5py: the rest.\n"
    titles = ("chunks", "MB", *shown, *(f"{peer}: {way}" for peer, way in ratios))
    yield f"| {' | '.join(titles)} |"
    yield "|---|" + "---:|" * (len(titles) - 1)
    rows = {f"{kind.product} {kind.dtype[1:]} {kind.chunks}": told for kind, told in sorted(figures.items())}
    rows["all"] = {name: sum(told[name] for told in figures.values()) for name in rows[next(iter(rows))]}
    for label, told in rows.items():
        cells = [f"{told['bytes'] / 1e6:.0f}", *(f"{told['bytes'] / 1e6 / told[way]:.0f}" for way in shown)]
        cells += [f"{told[peer] / told[way]:.1f}" for peer, way in ratios]
        yield f"| {label} | {' | '.join(cells)} |"


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
            with h5py.File(path, driver="core", backing_store=False) as held, h5py.File(path) as file:
                for kind, sample in sampled(held).items():
                    told, sums = measured(sample, file, pool, chosen.repeat), figures.setdefault(kind, {})
                    figures[kind] = {name: value + sums.get(name, 0) for name, value in told.items()}
    sys.stdout.write("\n".join([*table(figures), ""]))


if __name__ == "__main__":
    main()
