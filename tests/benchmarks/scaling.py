"""How time and what a scheduler holds grow with the list: ``python -m tests.benchmarks.scaling``.

Statistics of small granules on a disk are made of lists of several lengths, each once with an empty index
store and once with a full one, on two threads. What one granule more costs is compared between short lists
and long ones. And a job of 100,000 granules is built, which are never read.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from distributed import Client, LocalCluster, SchedulerPlugin

import eoscale
from eoscale import synthetic
from eoscale.model.granule import Granule, GranuleList
from eoscale.products import ATL08
from eoscale.run.bind import bind
from eoscale.steps import batches
from eoscale.write.places import place
from eoscale.write.work import Work

MANY = 100_000
"""Granules of a job that is only built."""
_GROWTH = 1.1
"""At most, of what a granule more costs from the longest list to the one before it."""


@dataclass(frozen=True, kw_only=True)
class Took:
    """What a run took."""

    granules: int
    known: bool
    seconds: float
    tasks: int
    """That the scheduler held at most."""


class Holding(SchedulerPlugin):
    """Notes how many tasks a scheduler holds."""

    def __init__(self, tasks: dict[str, Any]) -> None:
        self.tasks = tasks
        self.most = 0

    def transition(self, *_what: object, **_more: object) -> None:
        held = sum(task.state not in ("released", "forgotten") for task in list(self.tasks.values()))
        self.most = max(self.most, held)


@contextmanager
def watched(threads: int) -> Iterator[tuple[Client, Holding]]:
    """Yield a client of a cluster in this process, and who watches its scheduler."""
    with (
        LocalCluster(
            processes=False, n_workers=1, threads_per_worker=threads, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        holding = Holding(cluster.scheduler.tasks)
        cluster.scheduler.add_plugin(holding)
        yield client, holding


def recipe(paths: Sequence[Path], output: Path) -> eoscale.Recipe:
    """Return the recipe of a map of canopy heights."""
    return eoscale.Recipe(
        product="ATL08",
        granules=tuple(map(str, paths)),
        variables=["h_canopy"],
        reduce={"by": [{"grid": {"crs": "EPSG:6933", "resolution": 9000}}], "statistics": ["count", "mean"]},
        output={"zarr": str(output)},
    )


def grown(paths: Sequence[Path], lengths: Sequence[int], repeat: int) -> Iterator[Took]:
    """Yield what runs of lists of some lengths took, as they end."""
    with watched(threads=2) as (client, holding), TemporaryDirectory() as scratch:
        for turn in range(repeat + 1):  # the first one imports and starts what it needs
            for granules in lengths if turn else lengths[:1]:
                os.environ["EOSCALE_INDEX_STORE"] = f"{scratch}/{turn}/{granules}"
                for known in (False, True):
                    holding.most = 0
                    output = Path(scratch) / f"{turn}-{granules}-{known}.zarr"
                    start = perf_counter()
                    eoscale.run(recipe(paths[:granules], output), cluster=client)
                    seconds = perf_counter() - start
                    if turn:
                        yield Took(granules=granules, known=known, seconds=seconds, tasks=holding.most)


def built() -> dict[str, float]:
    """Return what it takes to build a job of very many granules, and what one of its tasks carries."""
    listed = GranuleList(
        granules=tuple(
            Granule(id=f"g{number:06d}", product="ATL08", urls={"https": f"https://host/g{number:06d}.h5"})
            for number in range(MANY)
        )
    )
    start = perf_counter()
    job = bind(recipe([], Path("never.zarr")), listed)
    digest, cut = job.digest, batches.cut(job)
    seconds = perf_counter() - start
    task = pickle.dumps((Work(folder=str(place("never.work")), digest=digest), cut[-1]))
    return {"seconds": seconds, "batches": len(cut), "bytes of a task": len(task)}


def slopes(runs: Sequence[Took], lengths: Sequence[int], *, known: bool) -> list[float]:
    """Tell medians and return the seconds that a granule more costs, from each length to the next."""
    seconds = [
        median(run.seconds for run in runs if (run.granules, run.known) == (n, known)) for n in lengths
    ]
    costs = [
        (later - earlier) / (more - fewer)
        for (fewer, earlier), (more, later) in pairwise(zip(lengths, seconds, strict=True))
    ]
    took = ", ".join(f"{n} in {each:.2f} s" for n, each in zip(lengths, seconds, strict=True))
    told = ", ".join(f"{1000 * cost:.1f} ms" for cost in costs)
    sys.stdout.write(f"index {'known' if known else 'not known'}: {took}; a granule more costs {told}\n")
    return costs


def made(folder: Path, number: int) -> list[Path]:
    """Return so many granules of a folder, which are made if it has fewer."""
    there = sorted(folder.glob("*.h5"))
    return there[:number] if len(there) >= number else [*synthetic.make(ATL08, number, folder=folder)]


def main() -> int:
    """Measure, print, and return 1 if a granule more costs more in a long list than in a short one."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.scaling", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("benchmark-data"), help="where granules are kept")
    parser.add_argument("--granules", default="24,100,1000", help="lengths of lists, ascending")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    said = parser.parse_args()
    lengths = [int(length) for length in said.granules.split(",")]
    paths = made(said.folder / "scaling", lengths[-1])
    runs = []
    for took in grown(paths, lengths, said.repeat):
        sys.stderr.write(f"{took.granules} granules, known {took.known}: {took.seconds:.2f} s\n")
        runs.append(took)
    costs = [slopes(runs, lengths, known=known) for known in (False, True)]
    sys.stdout.write(f"the scheduler held {max(run.tasks for run in runs)} tasks at most\n")
    many = built()
    sys.stdout.write(f"a job of {MANY:,} granules: {json.dumps(many)}\n")
    if said.json:
        said.json.write_text(json.dumps({"runs": [asdict(run) for run in runs], "many": many}, indent=1))
    return 0 if all(each[-1] <= _GROWTH * each[0] for each in costs) else 1


if __name__ == "__main__":
    sys.exit(main())
