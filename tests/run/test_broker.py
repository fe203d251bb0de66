"""Credentials of a cluster: the process of the user logs in, the workers read."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest
import xarray as xr
from distributed import Client, LocalCluster, wait

from eoscale import synthetic
from eoscale.access import keeper, loop, ranges
from eoscale.access.attempts import Patience
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.errors import RecipeError
from eoscale.model.granule import GranuleList
from eoscale.model.recipe import Recipe
from eoscale.products import ATL06
from eoscale.run import run
from eoscale.run.bind import bind
from eoscale.run.broker import brokered, connect
from eoscale.run.plan import Plan, cut
from eoscale.run.progress import Silent
from tests.run import killing
from tests.run.trials import FEW_TILES, RECIPE
from tests.servers.logins import CLIENT_SECRET, OFFLINE, Maap

CONTENT = random.Random(3).randbytes(10_000)  # noqa: S311  no secret
SECRETS = ("MAAP_OFFLINE_TOKEN", "MAAP_CLIENT_SECRET")
_MADE, _NAMES = 6, 60
"""Granules that are made, and names that each goes by."""


@contextmanager
def cluster(monkeypatch: pytest.MonkeyPatch, service: Maap, workers: int) -> Iterator[LocalCluster]:
    """Give a cluster whose processes know the services and no login; and log in here."""
    environment = service.environment()
    for name in environment.keys() - set(SECRETS):
        monkeypatch.setenv(name, environment[name])
    with LocalCluster(
        n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as made:
        for name in SECRETS:
            monkeypatch.setenv(name, environment[name])
        keeper.use(keeper.Keeper())
        yield made


def read(url: str) -> int:
    """Return how many bytes a URL has, as a task."""
    return loop.run(ranges.head(url)).size


def everywhere(client: Client, url: str) -> list[int]:
    """Return what each worker reads, in a task: what is `run` on them keeps them from hearing anything."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    futures = [client.submit(read, url, workers=[one], pure=False) for one in workers]
    return [future.result() for future in futures]


def environment() -> Mapping[str, str]:
    """Return what the process of a worker was told."""
    return dict(os.environ)


def test_workers_read_with_a_login_of_which_they_know_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Maap(CONTENT) as maap, cluster(monkeypatch, maap, 2) as made, Client(made) as client:
        connect(client)
        connect(client)  # which is nothing new
        urls = [f"{maap.url}?{number}" for number in range(20)]
        assert client.gather(client.map(read, urls)) == [len(CONTENT)] * 20
        assert not any(
            OFFLINE in str(told) or CLIENT_SECRET in str(told) for told in client.run(environment).values()
        )
        assert maap.tokens.calls == ["refresh_token"]
        # also those that begin later
        made.scale(3)
        client.wait_for_workers(3)
        assert everywhere(client, maap.url) == [len(CONTENT)] * 3
        assert maap.tokens.calls == ["refresh_token"]
        # and all get another one if it is refused, by the first that tells
        maap.tokens.issued.revoke()
        assert everywhere(client, maap.url) == [len(CONTENT)] * 3
        assert maap.tokens.calls == ["refresh_token"] * 2


def test_workers_hear_why_there_are_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    with Maap(CONTENT) as maap, cluster(monkeypatch, maap, 1) as made, Client(made) as client:
        monkeypatch.setenv("MAAP_CLIENT_SECRET", "another")
        connect(client)
        future = client.submit(read, maap.url)
        wait(future)
        assert "the offline token of the environment is refused (invalid_grant)" in str(future.exception())


def test_workers_read_what_is_public_without_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    with Maap(CONTENT) as maap, cluster(monkeypatch, maap, 1) as made, Client(made) as client:
        monkeypatch.delenv("MAAP_OFFLINE_TOKEN")
        connect(client)
        monkeypatch.setattr(maap.tokens.issued, "good", lambda token: not token)
        assert client.submit(read, maap.url).result() == len(CONTENT)


def test_threads_of_the_process_that_logs_in_use_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with Maap(CONTENT) as maap:
        for name, value in maap.environment().items():
            monkeypatch.setenv(name, value)
        mine = keeper.Keeper()
        keeper.use(mine)
        with Client(processes=False, dashboard_address="127.0.0.1:0") as client:
            connect(client)
            assert client.submit(read, maap.url).result() == len(CONTENT)
        assert keeper._holder is mine


def test_of_two_clients_of_a_cluster_one_may_end_before_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with Maap(CONTENT) as maap, cluster(monkeypatch, maap, 1) as made, Client(made) as client:
        connect(client)
        with Client(made) as other, brokered(other):
            assert other.submit(read, maap.url, pure=False).result() == len(CONTENT)
        maap.tokens.issued.revoke()
        assert client.submit(read, maap.url, pure=False).result() == len(CONTENT)


def test_an_asynchronous_client_is_refused() -> None:
    async def use() -> None:
        async with Client(processes=False, asynchronous=True, dashboard_address="127.0.0.1:0") as client:
            connect(client)

    with pytest.raises(RecipeError, match="an asynchronous client was given"):
        asyncio.run(use())


def test_a_long_job_outlives_its_tokens_its_workers_and_the_token_service(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lifetime, seconds = 3.0, 1.5
    with Maap(b"", lifetime, seconds=seconds) as maap:
        granules = _served(maap, tmp_path / "made")
        plan = _plan(tmp_path, granules)
        plain = run(
            _plan(tmp_path, Listing([str(tmp_path / "made" / "*.h5")]).search(Query(product=ATL06))),
            output=tmp_path / "plain.zarr",
            watcher=Silent(),
        )
        told = maap.environment()
        known = {name: value for name, value in told.items() if name not in SECRETS}
        with killing.cluster(4, known) as client, killing.Killer(client, seconds=8.0, seed=1) as killer:
            for name, value in told.items():
                monkeypatch.setenv(name, value)
            keeper.use(keeper.Keeper())
            monkeypatch.setattr(keeper, "PATIENCE", Patience(attempts=1000, longest_pause=0.5))
            maap.tokens.down = lambda: len(maap.tokens.calls) % 10 != 0
            began = time.monotonic()
            assert isinstance(client.cluster, LocalCluster)
            timer = threading.Timer(20.0, client.cluster.scale, [5])
            timer.start()
            result = run(plan, output=tmp_path / "out.zarr", cluster=client, watcher=Silent())
            took = time.monotonic() - began
            timer.join()
    counts = result.ledger.counts()
    assert counts["failed"] == 0
    assert counts["used"] + counts["empty"] == len(granules)
    assert took > 20 * lifetime
    # what was to go wrong did
    assert len(killer.deaths) >= 5
    given = len(maap.tokens.issued.given)
    assert len(maap.tokens.calls) >= 10 * given
    assert 8 < given <= ceil(took / (0.75 * lifetime)) + 2
    xr.testing.assert_identical(result.open().load(), plain.open().load())


def _served(maap: Maap, folder: Path) -> GranuleList:
    """Return granules that lie in a folder, and are read from the service, under many names each."""
    for path in synthetic.make(ATL06, _MADE, folder=folder, seed=4):
        name, moment, *rest = path.name.split("_")
        for second in range(_NAMES):
            other = folder / "_".join([name, f"{int(moment) // 100}{second:02d}", *rest])
            if other != path:
                other.hardlink_to(path)
    maap.content = lambda path: (folder / Path(path).name).read_bytes()
    found = Listing([str(folder / "*.h5")]).search(Query(product=ATL06))
    there = [replace(one, urls={"http": f"{maap.data.origin}/data/{one.id}.h5"}) for one in found]
    return GranuleList(granules=there)


def _plan(folder: Path, granules: GranuleList) -> Plan:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE % ("zarr", "zarr") + FEW_TILES, encoding="utf-8")
    return cut(bind(Recipe.from_file(path), granules), granules_per_batch=4)
