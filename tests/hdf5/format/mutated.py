"""Reads 2,500 mutated files in a process of its own, and asks h5py in another one what it makes of them.

Called as ``python -m tests.hdf5.format.mutated FILE SLICE``, where the file holds the sound files that are
damaged. What happened is printed as JSON.
"""

from __future__ import annotations

import faulthandler
import json
import pickle
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from eoscale.errors import GranuleError
from eoscale.hdf5.format import Unfamiliar, datasets
from eoscale.hdf5.format.dataset import ATTRIBUTES
from eoscale.hdf5.format.driver import over
from eoscale.model.chunk_index import UNALLOCATED, DatasetIndex
from tests.hdf5.mutations import SUPERBLOCK, Anatomy, mutate

FILES = 2_500
"""In a slice."""
SECONDS = 5.0
MEMORY = 512 * 2**20
TABLE = "table"
EVERY_FILTER = 2**32 - 1
NO_DATASET = "no dataset"
_GONE = ("doesn't exist", "component not found")


class Base(NamedTuple):
    """A sound file."""

    name: str
    content: bytes
    paths: tuple[str, ...]
    """Of which tables are asked for."""
    body: Anatomy


@dataclass
class Slice:
    """What became of the files of a slice."""

    differing: int = 0
    """Files that differ from the sound ones."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """``table``, or the name of an error."""
    opinions: Counter[str] = field(default_factory=Counter)
    """What h5py said of each table: ``same``, ``other``, ``refused``, or that its process ``died``."""
    faults: list[str] = field(default_factory=list)
    """Files that were misread, or ended in another way than they may."""
    slowest: float = 0.0
    """Seconds."""
    memory: int = 0
    """Most bytes that were resident."""


class Told(NamedTuple):
    """What h5py says of one dataset."""

    shape: tuple[int, ...]
    dtype: str
    chunk_shape: tuple[int, ...] | None
    chunks: tuple[tuple[tuple[int, ...], int, int, int], ...]
    """First element, offset in the file, stored bytes and filter mask of each chunk."""
    filters: tuple[tuple[int, tuple[int, ...]], ...]
    fill: bytes
    start: int | None
    """Where the values of a contiguous dataset lie in the file."""
    inline: bytes | None
    """The values of a compact dataset."""
    attributes: dict[str, str]


class Late(BaseException):
    """A file took longer than it may: no handler of errors is to hide that."""


def read_slice(bases: list[Base], number: int) -> Slice:
    """Return what becomes of the mutated files of a slice."""
    result = Slice()
    with Oracle() as oracle:
        for seed in range(number * FILES, (number + 1) * FILES):
            base = bases[seed % len(bases)]
            content = mutate(base.content, base.body, seed)
            result.differing += content != base.content
            _read(result, oracle, base, content, seed)
    result.memory = _peak()
    return result


def _read(result: Slice, oracle: Oracle, base: Base, content: bytes, seed: int) -> None:
    begun = time.perf_counter()
    found: dict[str, DatasetIndex] | None = None
    try:
        with _alarm():
            read = over(content, datasets(len(content), base.paths))
        outcome, found = TABLE, {**read.datasets}
        absent = read.absent
    except (GranuleError, Unfamiliar) as error:
        outcome = type(error).__name__
    except BaseException as error:  # noqa: BLE001  whatever else it is, it is what this test looks for
        outcome = type(error).__name__
        trace = traceback.format_exception(error)
        result.faults.append(f"{base.name} {seed}: {''.join(trace[-4:])}")
    result.slowest = max(result.slowest, time.perf_counter() - begun)
    result.outcomes[outcome] += 1
    if found is not None:
        for path, told in oracle.ask(content, base.paths).items():
            fault = _difference(found.get(path), told, gone=path in absent)
            result.opinions["other" if fault else told if isinstance(told, str) else "same"] += 1
            if fault:
                result.faults.append(f"{base.name} {seed} {path}: {fault}")


@contextmanager
def _alarm() -> Iterator[None]:
    def late(*_: object) -> None:
        raise Late

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    faulthandler.dump_traceback_later(4 * SECONDS, exit=True)  # where no line of Python is reached
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()


def _peak() -> int:
    """Return the most bytes that this process had; rusage would count those of the one that started it."""
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


# What h5py says -------------------------------------------------------------------------------------------


class Oracle:
    """A process that asks h5py, and is replaced when it dies: libhdf5 may not survive a damaged file."""

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def _start(self) -> None:
        context = get_context("fork")  # importing eoscale anew takes seconds
        self._here, there = context.Pipe()
        self._process = context.Process(target=_answer, args=(there,), daemon=True)
        self._process.start()
        there.close()

    def ask(self, content: bytes, paths: tuple[str, ...]) -> Mapping[str, Told | str]:
        """Return what h5py says of each path: ``refused`` and ``absent`` too, or that it ``died``."""
        try:
            self._here.send((content, paths))
            answer: dict[str, Told | str] = self._here.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            died = signal.Signals(-(self._process.exitcode or 0)).name
            self._start()
            return dict.fromkeys(paths, f"died of {died}")
        return answer


def _answer(questions: Connection) -> None:
    with suppress(EOFError):
        while True:
            content, paths = questions.recv()
            signal.setitimer(signal.ITIMER_PROF, 0.25)  # ends this process when it has worked for so long
            questions.send(_told(content, paths))
            signal.setitimer(signal.ITIMER_PROF, 0)


def _told(content: bytes, paths: tuple[str, ...]) -> dict[str, Told | str]:
    answers: dict[str, Told | str] = dict.fromkeys(paths, "refused")
    with suppress(Exception), h5py.File.in_memory(content) as file:
        base = next(
            at for at in (0, *(2**power for power in range(9, 30))) if content.startswith(SUPERBLOCK, at)
        )
        for path in paths:
            try:
                answers[path] = _table(file[path], base)
            except KeyError as error:
                answers[path] = "absent" if any(text in str(error) for text in _GONE) else "refused"
            except Exception:  # noqa: BLE001  anything may be damaged
                answers[path] = "refused"
    return answers


def _table(dataset: Any, base: int) -> Told | str:  # noqa: ANN401  h5py is untyped
    if not isinstance(dataset, h5py.Dataset):
        return NO_DATASET
    if None in dataset.maxshape[1:] and dataset.maxshape.count(None) == 1:
        return (
            "refused"  # libhdf5 2.0 lists chunks at wrong places where a later dimension is the unlimited one
        )
    chunks: list[Any] = []
    if dataset.chunks is not None:
        dataset.id.chunk_iter(chunks.append)
    start = dataset.id.get_offset()
    written = dataset.chunks is None and dataset.id.get_storage_size() > 0
    pipeline = dataset.id.get_create_plist()
    filters = [pipeline.get_filter(number) for number in range(pipeline.get_nfilters())]
    return Told(
        shape=dataset.shape,
        dtype=dataset.dtype.str,
        chunk_shape=dataset.chunks,
        chunks=tuple(
            (each.chunk_offset, base + each.byte_offset, each.size, each.filter_mask) for each in chunks
        ),
        filters=tuple((code, tuple(values)) for code, _, values, _ in filters),
        fill=np.asarray(dataset.fillvalue, dataset.dtype).tobytes(),
        start=start if written else None,
        inline=dataset[()].tobytes() if start is None and written else None,
        attributes={name: _attribute(dataset.attrs[name]) for name in ATTRIBUTES if name in dataset.attrs},
    )


def _attribute(stored: object) -> str:
    """Return the values of an attribute, however its writer and reader wrap one value or a text."""
    value = np.asarray(stored)
    listed = value.reshape(-1).tolist()
    texts = [each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in listed]
    if value.dtype.kind in "SUO":
        return str([each.partition("\0")[0].rstrip(" ") for each in texts])
    return f"{value.dtype.kind}{value.dtype.itemsize} {listed}"


# Whether both say the same ----------------------------------------------------------------------------------


def _difference(found: DatasetIndex | None, told: Told | str, *, gone: bool) -> str:
    """Return what we and h5py say differently of one dataset; nothing where h5py has no opinion."""
    if (isinstance(told, str) and told != NO_DATASET) or (found and found.dtype.kind == "V"):
        return ""  # it may not find a name among others that are out of order; void is told to be unreadable
    if isinstance(told, str) or found is None:
        return "" if isinstance(told, str) and gone else f"h5py: {told}, read: {found}, absent: {gone}"
    pairs = {
        "shape": (found.shape, told.shape),
        "dtype": (found.dtype.str, told.dtype),
        "filters": (tuple((step.id, step.parameters) for step in found.filters), told.filters),
        "fill": (found.fill.rstrip(b"\0"), told.fill.rstrip(b"\0")),
        "inline": (found.inline, told.inline),
        "attributes": (
            # h5py may not find a name here either
            {name: _attribute(value) for name, value in found.attributes.items() if name in told.attributes},
            told.attributes,
        ),
    }
    for name, (ours, theirs) in pairs.items():
        if ours != theirs:
            return f"{name} {ours!r}, h5py: {theirs!r}"
    if found.inline is not None:
        return ""
    return _unchunked(found, told) if told.chunk_shape is None else _chunked(found, told, told.chunk_shape)


def _chunked(found: DatasetIndex, told: Told, chunk_shape: tuple[int, ...]) -> str:
    if found.chunk_shape != chunk_shape:
        return f"chunks of {found.chunk_shape}, h5py: {chunk_shape}"
    offsets = np.full(found.grid, UNALLOCATED)
    sizes, masks = np.zeros(found.grid, np.int64), np.zeros(found.grid, np.int64)
    for at, offset, size, mask in told.chunks:
        position = tuple(start // length for start, length in zip(at, chunk_shape, strict=True))
        if any(cell >= length for cell, length in zip(position, found.grid, strict=True)):
            continue  # no value of it is part of the dataset
        if any(start % length for start, length in zip(at, chunk_shape, strict=True)):
            return f"h5py lists a chunk at {at}, between those of {chunk_shape}"
        if offsets[position] != UNALLOCATED:
            return f"h5py lists the chunk at {at} twice"
        offsets[position], sizes[position], masks[position] = offset, size, mask
    # of chunks at an edge that skip all filters, h5py does not tell
    masks = np.where(found.masks == EVERY_FILTER, found.masks, masks)
    pairs = {
        "offsets": (found.offsets, offsets),
        "sizes": (found.sizes, sizes),
        "masks": (found.masks, masks),
    }
    return "; ".join(_first(name, *pair) for name, pair in pairs.items() if not np.array_equal(*pair))


def _first(name: str, ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> str:
    at = np.argwhere(ours != theirs)[0]
    place = tuple(at.tolist())
    return f"{name} of chunk {place}: {ours[place]}, h5py: {theirs[place]}"


def _unchunked(found: DatasetIndex, told: Told) -> str:
    offsets, sizes = found.offsets.ravel(), found.sizes.ravel()
    written = offsets != UNALLOCATED
    if told.start is None or not offsets.size:
        return f"{written.sum()} pieces are written, h5py: none" if written.any() else ""
    ends = offsets + sizes
    nbytes = int(np.prod(found.shape)) * found.dtype.itemsize
    whole = (offsets[1:] == ends[:-1]).all() and offsets[0] == told.start and ends[-1] == told.start + nbytes
    return "" if whole and not told.chunks else f"at {offsets}, h5py: {told.start}"


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (4 * MEMORY, 4 * MEMORY))
    _bases = pickle.loads(Path(sys.argv[1]).read_bytes())  # noqa: S301  the test wrote it
    sys.stdout.write(json.dumps(vars(read_slice(_bases, int(sys.argv[2])))))
