"""What a worker holds: foretold by the plan, and the same however long the list is."""

from __future__ import annotations

import importlib
import resource
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from eoscale import synthetic
from eoscale.hdf5.index import index
from eoscale.model.recipe import Recipe
from eoscale.products import ATL06
from eoscale.run import Plan, prepare, run
from eoscale.run.progress import Silent

MADE, NAMES = 4, 20
WORDS = {
    "zarr": {
        "reduce": {
            "by": [{"grid": {"crs": "EPSG:3413", "resolution": 2000}}, {"period": "1MS"}],
            "statistics": ["count", "mean"],
        },
    },
    "parquet": {},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of a few granules, and of many names that they go by."""
    folder = tmp_path_factory.mktemp("granules")
    (folder / "many").mkdir()
    for path in synthetic.make(ATL06, MADE, folder=folder / "few", seed=4):
        name, time, *rest = path.name.split("_")
        for second in range(NAMES):
            (folder / "many" / "_".join([name, f"{int(time) // 100}{second:02}", *rest])).hardlink_to(path)
    return folder


def planned(folder: Path, kind: str, granules: str) -> Plan:
    recipe = Recipe.model_validate(
        {
            "product": "ATL06",
            "variables": ["h_li", "h_li_sigma"],
            "region": (-55, 60, -20, 84),
            "period": ("2024-04-01", "2024-07-01"),
            "granules": str(folder / granules),
            **WORDS[kind],
        }
    )
    job = prepare(recipe).job
    for granule in job.granules:
        index(granule, job.full_paths)
    return prepare(recipe)


def peak() -> int:
    """Return the most bytes that this process has ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def ready() -> int:
    """Import what tasks need, and return what that has taken."""
    for name in ("statistics", "table"):
        importlib.import_module(f"eoscale.steps.{name}")
    return peak()


def held(plan: Plan, output: Path) -> tuple[int, int]:
    """Return what a worker held before a run, and at most in it."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        (before,) = client.run(ready).values()
        ledger = run(plan, output=output, cluster=client, watcher=Silent()).ledger
        (after,) = client.run(peak).values()
    assert ledger.counts()["used"] == len(plan.job.granules)
    return before, after


@pytest.mark.parametrize("kind", WORDS)
def test_twenty_times_as_many_granules_take_no_more_memory_and_no_more_than_the_plan_says(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    few, many = (planned(folder, kind, granules) for granules in ("few/*.h5", "many/*.h5"))
    assert few.expected is not None
    assert many.expected is not None
    before, some = held(few, tmp_path / f"few.{kind}")
    _, most = held(many, tmp_path / f"many.{kind}")
    assert few.expected.memory == many.expected.memory
    assert most - before <= many.expected.memory
    # a few granules do not fill a part of a table
    assert kind == "parquet" or most <= 1.05 * some
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{kind}: {before / 1e6:,.0f} MB before, {some / 1e6:,.0f} with {len(few.batches)} batches, "
            f"{most / 1e6:,.0f} with {len(many.batches)}; foretold {few.expected.memory / 1e6:,.0f} MB"
        )
