"""The same job gives the same bytes, whatever workers, batches, tiles and orders."""

from __future__ import annotations

import hashlib
import importlib
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.model.granule import GranuleList
from eoscale.model.recipe import Recipe
from eoscale.products import ATL06
from eoscale.run import run
from eoscale.run.bind import bind
from eoscale.run.ledger import Ledger
from eoscale.run.plan import Plan, cut
from eoscale.run.progress import Silent
from eoscale.write.places import Place

RECIPE = Path(__file__).parents[2] / "recipes" / "greenland-land-ice.yaml"


@pytest.fixture(scope="module")
def granules(real_data: Path) -> GranuleList:
    places = [str(path) for path in (real_data / "icesat2" / "atl06_greenland_v002").glob("*.h5")]
    random.Random(5).shuffle(places)  # noqa: S311  no secret
    return Listing(places).search(Query(product=ATL06))


@pytest.fixture(scope="module", params=[1, 2, 4])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    workers: int = request.param
    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as connected,
    ):
        connected.run(ready)  # else the first to have imported everything takes all tasks
        yield connected


def ready() -> None:
    """Import what tasks need."""
    importlib.import_module("eoscale.steps.statistics")


def files(output: Place) -> dict[str, str]:
    """Return the digest of every file of a store."""
    store = Path(str(output))
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }


def shuffled(granules: GranuleList, *, granules_per_batch: int, seed: int) -> Plan:
    """Return a plan whose batches are handed out in another order."""
    plan = cut(bind(Recipe.from_file(RECIPE), granules), granules_per_batch=granules_per_batch)
    batches = list(plan.batches)
    random.Random(seed).shuffle(batches)  # noqa: S311  no secret
    return replace(plan, batches=tuple(batches))


def order(ledger: Ledger) -> tuple[str, ...]:
    """Return the granules as they were finished."""
    return tuple(ledger.frame.sort_values("finished")["id"])


@pytest.fixture(scope="module")
def reference(granules: GranuleList, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    plan = cut(bind(Recipe.from_file(RECIPE), granules))
    output = tmp_path_factory.mktemp("reference") / "out.zarr"
    return files(run(plan, output=output, workers=1, watcher=Silent()).output)


@pytest.mark.real
def test_workers_batches_and_orders_change_no_byte(
    client: Client, granules: GranuleList, reference: dict[str, str], tmp_path: Path
) -> None:
    orders = set()
    for number, granules_per_batch in enumerate((1, 1, 2, 3)):
        plan = shuffled(granules, granules_per_batch=granules_per_batch, seed=number)
        result = run(plan, output=tmp_path / f"{number}.zarr", cluster=client, watcher=Silent())
        assert files(result.output) == reference
        if granules_per_batch == 1:
            orders.add(order(result.ledger))
            workers = set(client.run(os.getpid).values())
            assert set(result.ledger.frame["process"]) == workers
    assert len(orders) == 2, "both runs finished in the same order, so nothing was tested"
