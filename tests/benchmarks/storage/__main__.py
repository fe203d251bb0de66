"""What reading granules from object storage takes: ``python -m tests.benchmarks.storage``.

Ways of today, eoscale's and the limit of all take turns on the same granules, behind a server with latency
and bandwidth of choice. Each run has a process of its own; imports, the start of a cluster and indexes from
local files lie outside the clock. Every answer is compared with what h5py reads from the disk: a wrong one
ends it all. Only ratios of one table tell something: the server works on the same processors.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.storage import report
from tests.benchmarks.storage.contest import CONTENDERS, Contender
from tests.benchmarks.storage.granules import LAYOUTS, SIZES, make
from tests.benchmarks.storage.rounds import Rounds, Run
from tests.servers.storage import Storage


def options() -> Namespace:
    """Return what the command line says."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.storage", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small", help="of the granules, and how many")
    parser.add_argument("--folder", type=Path, default=Path("benchmark-data"), help="where granules are kept")
    parser.add_argument("--layout", choices=LAYOUTS, default="v006", help="of the files")
    parser.add_argument("--latency", default="20", help="milliseconds to the first byte; or some: 0,20,50")
    parser.add_argument("--bandwidth", type=float, default=80.0, help="MB a second of a connection")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each contender")
    parser.add_argument("--only", default="", help="contenders, by patterns: W1,*/eoscale-*")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    return parser.parse_args()


def chosen(only: str, size: str) -> Iterator[Contender]:
    """Yield the contenders that some patterns name; without any all of them, slow ones at full size only."""
    patterns = [pattern for pattern in only.split(",") if pattern]
    for label, one in CONTENDERS.items():
        if patterns:
            wanted = any(fnmatch(label, pattern) or pattern == one.workload for pattern in patterns)
        else:
            wanted = size == "full" or not one.files
        if wanted:
            yield one


def measured(
    url: str, copies: list[Path], contenders: list[Contender], repeat: int
) -> tuple[dict[str, list[Run]], dict[str, str]]:
    """Return runs and failures by label, telling each run as it ends."""
    runs: dict[str, list[Run]] = {}
    for copy in copies:
        copy.read_bytes()  # so that the server waits for no disk
    with TemporaryDirectory() as scratch:
        rounds = Rounds(url=url, copies=copies, scratch=Path(scratch))
        for run in rounds.of(contenders, repeat):
            runs.setdefault(run.label, []).append(run)
            sys.stderr.write(f"{run.label} {run.taken.seconds:.3f} s, load {run.load:.1f}\n")
    return runs, rounds.failed


def main() -> int:
    """Make granules, run the contenders, print the table; return 1 if one of them failed."""
    said = options()
    home = said.folder / said.size
    names = make(home, SIZES[said.size])
    copies = [(home / said.layout / name).resolve() for name in names]
    selected = list(chosen(said.only, said.size))
    able = [one for one in selected if not one.lacking]
    about = {
        "size": said.size,
        "layout": said.layout,
        "granules": len(names),
        "MB": round(sum(copy.stat().st_size for copy in copies) / 1e6, 1),
        "bandwidth": said.bandwidth,
        "repeat": said.repeat,
        "left out": {one.label: f"no {', '.join(one.lacking)}" for one in selected if one.lacking},
    }
    told: dict[str, Any] = {**about, "machine": report.machine(), "latency": {}}
    failures: dict[str, str] = {}
    for latency in map(float, said.latency.split(",")):
        with Storage(home / said.layout, latency=latency / 1e3, bandwidth=1e6 * said.bandwidth) as storage:
            runs, failed = measured(storage.url(), copies, able, said.repeat)
        failures |= failed
        told["latency"][latency] = {**report.facts(runs), "failed": failed}
        title = ", ".join(
            f"{name} {value}" for name, value in {**about, "latency": latency}.items() if value != {}
        )
        ends = (f"{label} failed: {reason}" for label, reason in failed.items())
        sys.stdout.write("\n".join(["", title, *report.table(runs), "", *ends, ""]))
        if said.json:
            said.json.write_text(json.dumps(told, indent=1), encoding="utf-8")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
