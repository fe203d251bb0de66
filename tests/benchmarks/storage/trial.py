"""One run of one contender, in a process of its own: ``python -m tests.benchmarks.storage.trial FOLDER``.

The folder tells what to do, and receives the answer and what it took.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil

from tests.benchmarks.storage import contenders, limit, local, peers  # noqa: F401  these fill the list
from tests.benchmarks.storage.contest import CONTENDERS, Task
from tests.servers import storage

SAID, TOLD, ANSWER = "said.json", "told.json", "answer.parquet"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a run took."""

    seconds: float
    cpu_seconds: float
    """Of the process and those that it started."""
    peak_bytes: int
    """Of memory; of several processes, the sum of their peaks."""
    bytes_before: int
    """Of memory: interpreters and imports."""
    counts: storage.Counts

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Taken:
        return cls(**{**told, "counts": storage.Counts(**told["counts"])})


def say(folder: Path, label: str, url: str, task: Task) -> None:
    """Write what the process is to do."""
    said = {"label": label, "url": url, "task": asdict(task)}
    (folder / SAID).write_text(json.dumps(said, default=str), encoding="utf-8")


def main() -> None:
    """Do what the folder says."""
    folder = Path(sys.argv[1])
    said = json.loads((folder / SAID).read_text(encoding="utf-8"))
    told = said["task"]
    task = Task(
        urls=told["urls"],
        copies=[Path(copy) for copy in told["copies"]],
        folder=Path(told["folder"]),
        index_store=Path(told["index_store"]),
    )
    chosen = CONTENDERS[said["label"]]
    for name in chosen.imports:
        import_module(name)
    with chosen.prepare(task) as work:
        gc.collect()  # what imports left is theirs
        storage.reset(said["url"])
        _forget_peaks()
        bytes_before = _peak_bytes()
        begun, start = _cpu_seconds(), perf_counter()
        result = work()
        seconds = perf_counter() - start
        taken = Taken(
            seconds=seconds,
            cpu_seconds=_cpu_seconds() - begun,
            peak_bytes=_peak_bytes(),
            bytes_before=bytes_before,
            counts=storage.counts(said["url"]),
        )
        chosen.answer(result).reset_index(drop=True).to_parquet(folder / ANSWER)
    (folder / TOLD).write_text(json.dumps(asdict(taken)), encoding="utf-8")


def _processes() -> list[psutil.Process]:
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def _cpu_seconds() -> float:
    return sum(sum(process.cpu_times()[:2]) for process in _processes())


def _forget_peaks() -> None:
    """Have the kernel count the peaks of memory from here (proc(5), clear_refs)."""
    for process in _processes():
        Path(f"/proc/{process.pid}/clear_refs").write_text("5", encoding="ascii")


def _peak_bytes() -> int:
    """Return the sum of the peaks of all processes: no sample misses one, and none takes time."""
    status = "\n".join(Path(f"/proc/{one.pid}/status").read_text(encoding="ascii") for one in _processes())
    peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return 1024 * sum(map(int, peaks))


if __name__ == "__main__":
    main()
