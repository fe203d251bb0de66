"""No stalls and no leaks: many reads while garbage is collected all the time, and many granules."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import h5py
import numpy as np
import pytest

from eoscale.access import endpoints
from eoscale.errors import AccessError, CorruptGranuleError
from eoscale.hdf5.index import Indexed, indexes
from eoscale.hdf5.read import read
from tests.hdf5 import control, shared
from tests.hdf5.files import granule, same
from tests.servers.storage import Storage

LONG = "EOSCALE_LONG" in os.environ
"""Whether to take the time for what only many repetitions show; before a release."""
READS = 100_000 if LONG else 20_000
GRANULES, BATCH = (10_000 if LONG else 4_000), 20
FIRST, SETTLED = 200, 1000
"""Granules after which the process holds what it needs, and after which its memory has settled."""
MOST_GROWTH = 1500 * GRANULES
"""Bytes: keeping no more than the index of each granule would take 2,400 of each."""
VALUES = np.random.default_rng(5).normal(size=1000)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that is served; what is made of it lies elsewhere."""
    monkeypatch.setenv(endpoints.INDEX_STORE, str(tmp_path / "indexes"))
    (tmp_path / "granules").mkdir()
    return tmp_path / "granules"


@pytest.fixture
def storage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    with Storage(folder) as storage:
        monkeypatch.setenv(endpoints.ALLOW_HOSTS, storage.host)
        yield storage


class Ended(NamedTuple):
    """What became of a process that reads while garbage is collected."""

    stacks: str
    """Where its threads stood if it has stalled; empty if not."""
    took: list[float]
    """Seconds, of each call that was answered."""
    collections: int = 0
    """Of garbage; as the next one, of a process that came to its end."""
    closed: Mapping[str, int] = MappingProxyType({})
    """Files that were left open until the collector found them, by the thread that it ran on."""


def reading_by(client: str, url: str) -> Ended:
    command = [sys.executable, "-m", "tests.hdf5.control", client, url, str(READS // control.AT_ONCE)]
    done = subprocess.run(  # noqa: S603  our own
        command, capture_output=True, text=True, timeout=280, check=False, cwd=Path(__file__).parents[2]
    )
    assert f"Timeout (0:00:{control.SECONDS})!" in done.stderr or not done.returncode, done.stderr
    *calls, told = done.stdout.split("\n")
    return Ended(done.stderr, [float(call) for call in calls], *json.loads(told or "[]"))


def test_reads_in_eight_threads_do_not_stall_however_garbage_is_collected(
    folder: Path, storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    control.write(folder / "a.h5")
    url = storage.url("a.h5")
    ended = reading_by("eoscale", url)
    assert not ended.stacks
    assert len(ended.took) * control.AT_ONCE == READS <= storage.counts().gets
    assert max(ended.took) < control.SECONDS
    assert ended.collections > READS
    # on the thread that all reads wait for, and on those that read
    assert ended.closed["eoscale-io"] > 100
    readers = [number for name, number in ended.closed.items() if name.startswith("reader")]
    assert len(readers) == control.THREADS
    assert min(readers) > 0
    with capsys.disabled():
        told = f"{READS} reads by {len(ended.took)} calls, the slowest {max(ended.took):.2f} s"
        print(f"\n{told}; {ended.collections} collections")  # noqa: T201


def test_h5py_over_a_remote_file_stalls_where_eoscale_does_not(
    folder: Path, storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    control.write(folder / "a.h5")
    ended = reading_by("h5py", storage.url("a.h5"))
    assert "in sync" in ended.stacks  # where fsspec waits for its I/O thread
    assert len(ended.took) * control.AT_ONCE < READS / 2
    with capsys.disabled():
        print(f"\nh5py over fsspec stalled after {len(ended.took)} calls")  # noqa: T201


class Held(NamedTuple):
    """What this process holds."""

    files: int
    """Open, with everything else that has a descriptor but is no connection."""
    connections: int
    """As many as were ever in use at once stay open, until they have been idle for long."""
    threads: int
    """Of Python."""
    all_threads: int
    """Those too in which obstore asks a disk, which are as many as were ever busy at once."""
    temporary: int
    """Bytes of temporary files."""
    memory: int
    """Bytes."""


def held() -> Held:
    opened: list[str] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # by which the folder itself was read
            opened.append(str(descriptor.readlink()))
    connections = sum(name.startswith("socket:") for name in opened)
    return Held(
        files=len(opened) - connections,
        connections=connections,
        threads=threading.active_count(),
        all_threads=len(list(Path("/proc/self/task").iterdir())),
        temporary=sum(path.stat().st_size for path in Path(tempfile.gettempdir()).rglob("*")),
        memory=int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE"),
    )


def kind(number: int) -> str:
    """Return what is the matter with a granule: mostly nothing."""
    if number % 420 == 0:
        return "shared"
    return {33: "cut", 66: "damaged", 99: "missing"}.get(number % 100, "whole")


def link_all(source: Path, folder: Path) -> None:
    """Write a file of each kind, and a link for each granule."""
    whole = source / "whole.h5"
    with h5py.File(whole, "w") as file:
        file.create_dataset("h", data=VALUES, chunks=(100,), compression=1)
        chunk = file["h"].id.get_chunk_info(4)
    shared.copied(whole, source / "shared.h5")
    content = bytearray(whole.read_bytes())
    (source / "cut.h5").write_bytes(content[: len(content) * 2 // 3])
    content[chunk.byte_offset + chunk.size // 2] ^= 4
    (source / "damaged.h5").write_bytes(content)
    for number in range(GRANULES):
        if kind(number) != "missing":
            (folder / f"{number}.h5").hardlink_to(source / f"{kind(number)}.h5")


def found(index: Indexed) -> str:
    """Return what turned out to be the matter with a granule when it was read."""
    if isinstance(index, AccessError):
        return "missing"
    if isinstance(index, CorruptGranuleError):
        return "cut"
    assert not isinstance(index, Exception)
    try:
        values = read(index, {"h": None}).columns["h"]
    except CorruptGranuleError:
        return "damaged"
    assert same(values, VALUES)
    return "shared" if index.fallback else "whole"


@pytest.fixture
def frozen() -> Iterator[None]:
    """Keep what other tests made out of the way of the collector, which would go through all of it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen")
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not tell what is open")
def test_thousands_of_granules_leave_no_file_thread_or_memory_behind(
    tmp_path: Path,
    folder: Path,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    link_all(tmp_path, folder)
    outcomes: list[str] = []
    after: dict[int, Held] = {}
    for start in range(0, GRANULES, BATCH):
        names = [f"{number}.h5" for number in range(start, start + BATCH)]
        near = start // BATCH % 2
        places = [folder / name if near else storage.url(name) for name in names]
        outcomes += map(found, indexes([granule(place) for place in places], ["h"]))
        after[len(outcomes)] = held()
    assert outcomes == [kind(number) for number in range(GRANULES)]
    first, settled, last = (after[number] for number in (FIRST, SETTLED, GRANULES))
    most = Held(*(max(column) for column in zip(*(after[n] for n in after if n > FIRST), strict=True)))
    assert most.files <= first.files + 5
    assert most.connections <= first.connections + BATCH
    assert most.threads <= first.threads + 2
    # each granule of a batch asks a disk, and its pool may begin more threads than it needs
    assert most.all_threads <= first.all_threads + 3 * BATCH
    assert {state.temporary for state in after.values()} == {0}
    assert last.memory - settled.memory < MOST_GROWTH
    with capsys.disabled():
        print(f"\nafter {FIRST}, {SETTLED} and all granules:", first, settled, last, sep="\n")  # noqa: T201
