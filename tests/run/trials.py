"""Trials of runs: attempts in processes of their own, which tests kill, and what comes of them."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path
from time import perf_counter

import dask
import pandas as pd
import pytest
import xarray as xr
from distributed import LocalCluster
from zarr.storage import ObjectStore

from eoscale import synthetic
from eoscale.access.bucket import BucketPath
from eoscale.access.endpoints import ALLOW_HOSTS
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.model.granule import GranuleList
from eoscale.model.receipt import MEASURED
from eoscale.model.recipe import Recipe
from eoscale.products import ATL06
from eoscale.run import run
from eoscale.run.bind import bind
from eoscale.run.ledger import Ledger, beside
from eoscale.run.plan import Plan, cut
from eoscale.write import places, publish
from eoscale.write.places import Place
from eoscale.write.receipts import Finished
from eoscale.write.work import Batch, Work
from tests.run.moments import Moment, at_hand, began
from tests.servers.buckets import BucketServer
from tests.servers.ranges import RangeServer

RECIPE = """\
product: ATL06
region: [-55, 62, -25, 82]
period: [2024-04-01, 2024-07-01]
variables: [h_li]
output: {%s: out.%s}
"""
MANY_TILES = """\
reduce: {by: [{grid: {crs: EPSG:3413, resolution: 2000}}, {period: 1MS}], statistics: [count, mean]}
"""
FEW_TILES = """\
reduce: {by: [{grid: {crs: EPSG:3413, resolution: 4000}}], statistics: [mean]}
"""
WORKERS, PER_BATCH = 2, 2
_MADE, _NAMES = 4, 6
"""Granules that are made, and names that each goes by: to make one takes longer than to read it."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A cluster that outlives its clients, and a server of granules that counts."""

    granules: GranuleList
    """On the server."""
    server: RangeServer
    address: str
    """Of the cluster."""
    environment: Mapping[str, str]
    """What processes must know to read from the server, and to write into the bucket."""
    folder: Path
    """Where processes leave words."""
    buckets: BucketServer

    @property
    def bucket(self) -> BucketPath:
        """For outputs."""
        return BucketPath.of(f"s3://{self.buckets.bucket}/trials")

    def plan(self, folder: Path, kind: str, *, reduce: str = "", granules: GranuleList | None = None) -> Plan:
        """Return a plan with an output of some form; its recipe is put into a folder."""
        path = folder / "recipe.yaml"
        path.write_text(RECIPE % (kind, kind) + reduce, encoding="utf-8")
        return cut(bind(Recipe.from_file(path), granules or self.granules), granules_per_batch=PER_BATCH)


@contextmanager
def prepared(folder: Path) -> Iterator[Bench]:
    """Give a bench whose granules lie in ``folder/granules`` and are indexed."""
    local = _granules(folder / "granules")
    with at_hand(__name__), RangeServer(folder / "granules") as server, BucketServer() as buckets:
        there = [replace(one, urls={"http": server.url(f"{one.id}.h5")}) for one in local]
        environment = {
            ALLOW_HOSTS: server.host,
            "XDG_CACHE_HOME": str(folder / "cache"),
            **buckets.environment(),
        }
        # workers are forks of the process that has imported everything, too
        method = dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
        with (
            method,
            LocalCluster(
                n_workers=WORKERS,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                env=environment,
            ) as cluster,
        ):
            bench = Bench(
                granules=GranuleList(granules=there),
                server=server,
                address=str(cluster.scheduler_address),
                environment=environment,
                folder=folder,
                buckets=buckets,
            )
            Expected.of(Trial(bench=bench, plan=bench.plan(folder, "csv"), folder=folder / "first"))
            with pytest.MonkeyPatch.context() as patch:
                for name, value in buckets.environment().items():
                    patch.setenv(name, value)
                yield bench


def _granules(folder: Path) -> GranuleList:
    for path in synthetic.make(ATL06, _MADE, folder=folder, seed=4):
        name, time, *rest = path.name.split("_")
        for second in range(1, _NAMES):
            (folder / "_".join([name, f"{int(time) // 100}5{second}", *rest])).hardlink_to(path)
    return Listing([str(folder / "*.h5")]).search(Query(product=ATL06))


@dataclass(kw_only=True)
class Trial:
    """Attempts at one output, one after the other, and what they asked the server for."""

    bench: Bench
    plan: Plan
    folder: Place
    """On a disk or in a bucket; made if need be. Nothing else is put there."""
    deaths: list[str] = field(default_factory=list)
    """Where each attempt died that was killed."""
    finished: list[set[str]] = field(default_factory=list)
    """The granules that had a receipt when an attempt began."""
    marks: list[int] = field(default_factory=list)
    """How often the server had been asked by then."""
    seconds: float = 0.0
    """That the last attempt took."""
    process: int = 0
    """Id of the process of the last attempt."""

    def __post_init__(self) -> None:
        places.make(self.folder)

    @property
    def output(self) -> Place:
        stated = self.plan.job.recipe.output
        assert stated is not None
        return self.folder / Path(stated.path).name

    @property
    def work(self) -> Work:
        return Work(folder=str(publish.work_of(self.output)), digest=self.plan.job.digest)

    @property
    def read(self) -> dict[Batch, Finished]:
        """The batches that have a receipt."""
        return self.work.known() if self.work.begun() else {}

    @property
    def written(self) -> int:
        """How many tiles or parts have one."""
        made = places.sizes(publish.work_of(self.output))
        return sum(fnmatch(name, "*/*/0*.json") for name in made)

    def attempt(self, moment: Moment | None = None, *, after: float | None = None) -> bool:
        """Run until it is done, or a moment or time comes; return whether the attempt was killed."""
        self.finished.append({receipt.granule for each in self.read.values() for receipt in each.receipts})
        self.marks.append(len(self.bench.server.gets))
        moment = moment or Moment()
        moment.words = str(self.bench.folder / f"{self.folder.name}.words")
        act = partial(run, self.plan, output=self.output, cluster=self.bench.address, watcher=moment)
        start = perf_counter()
        process = began(act, moment, self.bench.environment)
        self.process = process.pid or 0  # it has not come so far as to change anything
        process.join(after)
        process.kill()
        process.join()
        self.seconds = perf_counter() - start
        assert process.exitcode in (0, -signal.SIGKILL)
        if process.exitcode and after:
            self.deaths.append(f"after {after:.3f} s")
        elif process.exitcode and Path(moment.words).exists():
            self.deaths.append(Path(moment.words).read_text("utf-8"))
        return process.exitcode != 0

    def killed_at_change(self, number: int) -> bool:
        """Run until the bucket hears of its n-th change, and return whether the attempt was killed."""
        left, before = count(number, -1), self.process

        def kill(path: str) -> None:
            # what workers still do for the attempt that died last counts from the next one's beginning on
            if self.process != before and next(left) == 1:
                os.kill(self.process, signal.SIGKILL)
                self.deaths.append(path)

        with self.bench.buckets.hearing(kill):
            return self.attempt()

    def asked(self) -> list[set[str]]:
        """Return the granules that were asked for, from the beginning of each attempt to the next one's."""
        gets = self.bench.server.gets
        ends = [*self.marks[1:], len(gets)]
        return [
            {Path(get.path).stem for get in gets[start:end]}
            for start, end in zip(self.marks, ends, strict=True)
        ]

    def redone(self) -> list[set[str]]:
        """Return the granules that were asked for after each death, and before it as well."""
        asked = self.asked()
        return [asked[number] & set().union(*asked[:number]) for number in range(1, len(asked))]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What comes of a plan if nobody interrupts."""

    plan: Plan
    files: Mapping[str, str]
    ledger: pd.DataFrame
    seconds: float

    @classmethod
    def of(cls, trial: Trial) -> Expected:
        """Return what comes of a trial in one attempt."""
        assert not trial.attempt()
        return cls(
            plan=trial.plan,
            files=contents(trial.output),
            ledger=_accounts(trial.output),
            seconds=trial.seconds,
        )

    def check(self, trial: Trial) -> None:
        """Compare what became of a trial, down to the last byte, and look for anything that was left."""
        assert opened(trial.output) == self.files
        ledger = _accounts(trial.output)
        pd.testing.assert_frame_equal(ledger, self.ledger)
        assert ledger["id"].tolist() == [granule.id for granule in self.plan.job.granules]
        left = {name.partition("/")[0] for name in places.sizes(trial.folder)}
        assert left == {trial.output.name, beside(trial.output).name}


def opened(output: Place) -> Mapping[str, str] | None:
    """Return the digest of each file where a reader finds an output; None where it finds nothing.

    Raises
    ------
    Exception
        If there is something that does not open.
    """
    try:
        match output.name.rpartition(".")[2]:
            case "zarr":
                store = ObjectStore(output.store()) if isinstance(output, BucketPath) else output
                xr.open_zarr(store, consolidated=True).load().close()
            case "parquet":
                pd.read_parquet(BytesIO(output.read_bytes()))
            case _:
                pd.read_csv(BytesIO(output.read_bytes()))
    except FileNotFoundError:
        assert isinstance(output, BucketPath) or not os.path.lexists(output)
        return None
    return contents(output)


def contents(output: Place) -> Mapping[str, str]:
    files = {name: output / name for name in places.sizes(output)} or {"": output}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}


def _accounts(output: Place) -> pd.DataFrame:
    """Return what the ledger of an output says, but for what is measured."""
    return Ledger.load(beside(output)).frame.drop(columns=list(MEASURED))
