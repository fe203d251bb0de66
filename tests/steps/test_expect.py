from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from distributed import Client

from eoscale import synthetic
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.hdf5.index import index, known
from eoscale.model.granule import GranuleList
from eoscale.model.recipe import Recipe
from eoscale.products import ATL06
from eoscale.run import prepare, run
from eoscale.run.plan import Plan
from eoscale.run.progress import Silent

NUMBER = 5


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> GranuleList:
    paths = synthetic.make(ATL06, NUMBER, folder=tmp_path_factory.mktemp("granules"))
    return Listing([str(path) for path in paths]).search(Query(product=ATL06))


@pytest.fixture
def client() -> Iterator[Client]:
    # threads of this process: they share its environment, and so its index store
    with Client(processes=False, dashboard_address="127.0.0.1:0") as connected:
        yield connected


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EOSCALE_INDEX_STORE", str(tmp_path / "indexes"))


def planned(
    granules: GranuleList, words: Mapping[str, Any] = MappingProxyType({}), *, indexed: int = NUMBER
) -> Plan:
    """Return the plan of a recipe when so many granules are indexed."""
    recipe = Recipe(product="ATL06", variables=["h_li", "h_li_sigma"], quality="best", **words)
    job = prepare(recipe, granules=granules).job
    for granule in list(granules)[:indexed]:
        index(granule, job.full_paths)
    return prepare(job.recipe, granules=granules)


def measured(plan: Plan, folder: Path, client: Client) -> tuple[int, int]:
    ledger = run(plan, output=folder / "out.parquet", cluster=client, watcher=Silent()).ledger
    assert ledger.counts()["failed"] == 0
    return int(ledger.frame["requests"].sum()), int(ledger.frame["bytes"].sum())


def test_a_run_takes_what_its_plan_says_where_all_granules_are_indexed(
    granules: GranuleList, tmp_path: Path, client: Client
) -> None:
    plan = planned(granules)
    assert plan.expected is not None
    assert plan.expected.exact
    assert measured(plan, tmp_path, client) == (plan.expected.requests, plan.expected.bytes)
    assert plan.expected.requests > NUMBER
    assert "at most" not in plan.facts()["reads"]


@pytest.mark.parametrize(
    "words",
    [
        {"region": (-55, 60, -40, 84)},
        {"period": ("2024-04-01", "2024-04-12")},
        {"region": (0, -10, 1, -9), "allow_empty": True},
        {"where": "h_li > 0"},
    ],
    ids=["region", "period", "nothing", "where"],
)
def test_a_run_never_takes_more_than_its_plan_says(
    granules: GranuleList, tmp_path: Path, client: Client, words: dict[str, Any]
) -> None:
    plan = planned(granules, words)
    assert plan.expected is not None
    assert plan.expected.exact == ("where" in words)
    requests, nbytes = measured(plan, tmp_path, client)
    assert 0 < requests <= plan.expected.requests
    assert 0 < nbytes <= plan.expected.bytes


@pytest.mark.parametrize(
    "words",
    [
        {"region": (-55, 62, -40, 75)},
        {"region": (-55, 60, -20, 84), "period": ("2024-04-01", "2024-05-12")},
        {"region": (0, -10, 1, -9), "allow_empty": True},
    ],
    ids=["region", "region and period", "nothing"],
)
def test_a_run_takes_what_its_plan_says_where_zone_maps_are_known(
    granules: GranuleList, tmp_path: Path, client: Client, words: dict[str, Any]
) -> None:
    first = planned(granules, words)
    assert first.expected is not None
    assert not first.expected.exact
    before = measured(first, tmp_path / "first", client)
    plan = prepare(first.job.recipe, granules=granules)
    assert plan.expected is not None
    assert plan.expected.exact
    assert "at most" not in plan.facts()["reads"]
    requests, nbytes = measured(plan, tmp_path / "second", client)
    assert (requests, nbytes) == (plan.expected.requests, plan.expected.bytes)
    assert requests < before[0]


def test_granules_that_are_not_indexed_count_twice_for_metadata_and_chunks(
    granules: GranuleList, tmp_path: Path, client: Client
) -> None:
    plan = planned(granules, indexed=2)
    assert plan.expected is not None
    assert plan.expected.unknown == NUMBER - 2
    assert not plan.expected.exact
    assert "without the requests of 3 granules that are not indexed" in plan.facts()["reads"]
    _, nbytes = measured(plan, tmp_path, client)
    assert nbytes <= plan.expected.bytes
    assert plan.expected.bytes > 2 * sum(granule.size for granule in list(granules)[2:])


def test_nothing_is_foretold_where_nothing_is_indexed(granules: GranuleList) -> None:
    plan = planned(granules, indexed=0)
    assert plan.expected is not None
    assert (plan.expected.requests, plan.expected.unknown) == (0, NUMBER)
    assert "the granules weigh" in plan.facts()["reads"]
    assert "memory" not in plan.facts()


def test_an_index_of_fewer_variables_or_of_a_file_that_is_gone_is_none(
    granules: GranuleList, tmp_path: Path
) -> None:
    some = [f"{ATL06.groups[0]}/land_ice_segments/h_li"]
    first = granules[0]
    assert known([first], some) == [None]
    index(first, some)
    (found,) = known([first], some)
    assert found is not None
    assert list(found.datasets) == some
    assert known([first], [*some, f"{ATL06.groups[0]}/land_ice_segments/h_li_sigma"]) == [None]
    copy = tmp_path / Path(first.url).name
    copy.write_bytes(Path(first.url.removeprefix("file://")).read_bytes())
    (moved,) = Listing([str(copy)]).search(Query(product=ATL06))
    index(moved, some)
    copy.unlink()
    assert known([moved], some) == [None]
