"""Workers die all the while, and a run gives the bytes that it gives in peace; plain Dask gives nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Timer

import h5py
import pandas as pd
import pytest
from distributed import Client, Future, KilledWorker

from eoscale import synthetic
from eoscale.access.endpoints import ALLOW_HOSTS, INDEX_STORE
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.model.cube import Tile
from eoscale.model.receipt import MEASURED
from eoscale.model.recipe import Recipe
from eoscale.model.reduction import Partial
from eoscale.products import ATL06
from eoscale.reduce.moments import Moments
from eoscale.run import Result, run
from eoscale.run.bind import bind
from eoscale.run.plan import Plan, cut
from eoscale.run.progress import Silent
from eoscale.steps.batches import each
from eoscale.steps.observe import Observations
from eoscale.steps.statistics import Summary
from eoscale.write.work import Batch, Work
from tests.run.killing import Killer, cluster
from tests.run.test_invariance import files
from tests.servers.ranges import Fault, RangeServer

GRANULES, MADE, PER_BATCH = 300, 12, 4
"""To make a granule takes longer than to read it: each that is made goes by many names."""
WORKERS = 3
PATIENCE = 150.0
"""Seconds after which a run that does not end is ended."""
RECIPE = Recipe(
    product="ATL06",
    variables=["h_li"],
    period=["2024-04-01", "2024-07-01"],
    quality="best",
    reduce={
        "by": [{"grid": {"crs": "EPSG:3413", "resolution": 20_000}}, {"period": "7D"}],
        "statistics": ["count", "mean", "std", "min", "max"],
    },
)


@dataclass(frozen=True, kw_only=True)
class Stand:
    """A plan for granules behind a server that takes its time, and what a run in peace made of it."""

    plan: Plan
    server: RangeServer
    environment: Mapping[str, str]
    files: Mapping[str, str]
    ledger: pd.DataFrame

    @contextmanager
    def client(self, *, delay: float) -> Iterator[Client]:
        """Give a client of a new cluster, which is closed if it lives too long."""
        self.server.delay = delay
        self.server.gets.clear()
        with cluster(WORKERS, self.environment) as client:
            watch = Timer(PATIENCE, client.close)
            watch.start()
            yield client
            watch.cancel()


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("stand")
    named(synthetic.make(ATL06, MADE, folder=folder / "made", seed=1), folder / "granules")
    with (
        RangeServer(folder / "granules", plan=lambda _path, _number: Fault.DELAYED) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        environment = {ALLOW_HOSTS: server.host, INDEX_STORE: str(folder / "indexes")}
        for name, value in environment.items():
            patch.setenv(name, value)
        urls = [server.url(path.name) for path in sorted((folder / "granules").iterdir())]
        listed = Listing(urls).search(Query(product=ATL06))
        plan = cut(bind(RECIPE, listed), granules_per_batch=PER_BATCH)
        server.delay = 0.0
        with cluster(WORKERS, environment) as client:
            result = run(plan, output=folder / "out.zarr", cluster=client, watcher=Silent())
        yield Stand(
            plan=plan,
            server=server,
            environment=environment,
            files=files(result.output),
            ledger=result.ledger.frame.drop(columns=[*MEASURED]),
        )


def named(paths: tuple[Path, ...], folder: Path) -> None:
    """Give granules more names, by the second of the start, until they are enough; two beams of each are."""
    folder.mkdir()
    for path in paths:
        with h5py.File(path, "r+") as file:
            for beam in {*file} & {*ATL06.groups} - {"gt2l", "gt2r"}:
                del file[beam]
        product, start, *rest = path.name.split("_")
        for second in range(GRANULES // MADE):
            (folder / "_".join([product, f"{start[:-2]}{second:02}", *rest])).hardlink_to(path)


@pytest.fixture(autouse=True)
def _in_silence(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("distributed", "distributed.client"):
        caplog.set_level(logging.CRITICAL, name)


@dataclass(frozen=True, kw_only=True)
class Disturbed:
    """A run in which workers died."""

    result: Result
    killer: Killer
    seconds: float
    asked: int
    """GETs of the server."""
    workers: int
    """That lived once nobody died any more: none had been given up meanwhile."""

    def check(self, stand: Stand) -> None:
        """Compare what came of it, and how it came, with a run in peace."""
        deaths, ledger = self.killer.deaths, self.result.ledger.frame
        assert self.killer.gone == len(deaths) >= 10
        assert self.workers == WORKERS
        assert sum(death.tasks > 0 for death in deaths) > len(deaths) / 2
        assert files(self.result.output) == stand.files
        pd.testing.assert_frame_equal(ledger.drop(columns=[*MEASURED]), stand.ledger)
        assert self.result.ledger.counts()["failed"] == 0
        assert len(ledger) == GRANULES
        assert ledger["id"].is_unique
        # what those that died had read was used
        assert {*ledger["process"]} & {death.process for death in deaths}
        # a death costs what its worker was at, and no more
        needed, most = ledger["requests"].sum(), ledger["requests"].max()
        assert needed < self.asked <= needed + len(deaths) * PER_BATCH * most

    def __str__(self) -> str:
        again = self.asked / self.result.ledger.frame["requests"].sum() - 1
        busy = sum(death.tasks > 0 for death in self.killer.deaths)
        return (
            f"{len(self.killer.deaths)} workers killed, {busy} of them at work, in {self.seconds:.0f} s; "
            f"{again:.0%} of all reading was done twice"
        )


def disturbed(stand: Stand, output: Path, *, seconds: float, delay: float) -> Disturbed:
    """Run while a worker dies every so many seconds."""
    with stand.client(delay=delay) as client:
        with Killer(client, seconds=seconds, seed=1) as killer:
            began = time.perf_counter()
            result = run(stand.plan, output=output, cluster=client, watcher=Silent())
            took = time.perf_counter() - began
            asked = len(stand.server.gets)
        workers = killer.living(WORKERS, seconds=60)
    return Disturbed(result=result, killer=killer, seconds=took, asked=asked, workers=workers)


def test_a_worker_killed_every_two_seconds_changes_no_byte(
    stand: Stand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = disturbed(stand, tmp_path / "out.zarr", seconds=2.0, delay=0.85)
    made.check(stand)
    with capsys.disabled():
        print(f"\n{made}")  # noqa: T201


Merged = dict[tuple[str, Tile], Partial]


def partials(work: Work, batch: Batch) -> Merged:
    """Read and reduce the granules of a batch."""
    job = work.job()
    summary = Summary.of(job)

    def reduced(seen: Observations) -> Merged:
        values = {name: seen.values(job.columns[name]) for name in job.columns}
        return summary.reduce(seen.coordinates, values).partials

    return merged(*(reduced(seen) for _, seen in sorted(each(job, batch)) if isinstance(seen, Observations)))


def merged(*some: Merged) -> Merged:
    """Return the partials of some granules as one of each variable and tile."""
    places = {place for one in some for place in one}
    return {place: Moments().merge([one[place] for one in some if place in one]) for place in places}


def plainly(client: Client, stand: Stand, folder: Path) -> Future[Merged]:
    """Hand out the same reading as people do: one graph, whose values are merged in memory, two by two."""
    work = Work(folder=str(folder), digest=stand.plan.job.digest)
    work.save_job(stand.plan.job)
    left = client.map(partial(partials, work), stand.plan.batches)
    while len(left) > 1:
        pairs = [left[start : start + 2] for start in range(0, len(left), 2)]
        left = [client.submit(merged, *pair) for pair in pairs]
    return left[0]


def test_at_a_death_a_second_a_run_ends_where_plain_dask_does_not(
    stand: Stand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = disturbed(stand, tmp_path / "out.zarr", seconds=1.0, delay=0.5)
    made.check(stand)
    with stand.client(delay=0.5) as client:
        began = time.perf_counter()
        plain = plainly(client, stand, tmp_path / "peace").result()
        in_peace = time.perf_counter() - began
    counts = [each.columns["count"].sum() for each in plain.values()]
    assert sum(counts) == made.result.ledger.binned("h_li")
    with stand.client(delay=0.5) as client, Killer(client, seconds=1.0, seed=1) as killer:
        began = time.perf_counter()
        with pytest.raises((KilledWorker, TimeoutError)) as caught:
            plainly(client, stand, tmp_path / "deaths").result(timeout=2 * made.seconds)
        gave_up = time.perf_counter() - began
    assert killer.gone == len(killer.deaths) > 0
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{made}; plain Dask {in_peace:.0f} s in peace, "
            f"{caught.type.__name__} after {gave_up:.0f} s and {len(killer.deaths)} deaths"
        )
