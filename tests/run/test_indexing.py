"""Indexes that are built ahead, on a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributed import Client

from eoscale import synthetic
from eoscale.access.endpoints import ALLOW_HOSTS
from eoscale.errors import CatalogError
from eoscale.hdf5 import store
from eoscale.hdf5.format.driver import FIRST
from eoscale.model.recipe import Recipe
from eoscale.products import ATL06, ATL08
from eoscale.run import prepare, run
from eoscale.run.indexing import index
from eoscale.run.progress import Silent
from tests.hdf5 import shared
from tests.servers.ranges import RangeServer


def test_a_run_reads_no_metadata_of_granules_that_were_indexed_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = synthetic.make(ATL08, 3, folder=tmp_path / "granules", seed=4)
    recipe = Recipe(
        product="ATL08",
        variables=["h_te_best_fit"],
        reduce={"by": [{"grid": {"crs": "EPSG:4326", "resolution": 1}}], "statistics": ["mean"]},
    )
    with (
        RangeServer(tmp_path / "granules") as server,
        Client(processes=False, dashboard_address="127.0.0.1:0") as client,
    ):
        monkeypatch.setenv(ALLOW_HOSTS, server.host)
        urls = [server.url(path.name) for path in paths]
        told = index(urls, cluster=client, watcher=Silent())
        assert told["status"].tolist() == ["indexed"] * 3
        assert told["requests"].sum() == len(server.asked) > 0
        assert told["bytes"].sum() == server.bytes
        assert (told["variables"] > 6 * 10).all()
        again = index(urls, cluster=client, watcher=Silent())
        assert again["requests"].sum() == again["bytes"].sum() == 0
        assert again["variables"].tolist() == told["variables"].tolist()
        listing = tmp_path / "urls.txt"
        listing.write_text("\n".join(urls))
        there = Recipe(product="ATL08", variables=["h_te_best_fit"], region=(-55, 60, -20, 84))
        plan = prepare(there, granules=str(listing))
        assert plan.expected is not None
        assert plan.expected.exact
        kept = [store.load(granule) for granule in plan.job.granules]
        assert [len(index.zones) for index in kept if index is not None] == [6] * 3
        asked = len(server.asked)
        result = run(
            recipe, granules=str(listing), output=tmp_path / "a.zarr", cluster=client, watcher=Silent()
        )
        # all that was read is values: every request is one that reading made
        chunks = len(server.asked) - asked
        assert result.ledger.frame["requests"].sum() == chunks > 0
        assert [part for _, *part in server.asked].count([0, FIRST]) == len(paths)  # each was opened once


def test_a_granule_that_cannot_be_indexed_is_told_and_the_others_are_indexed(
    tmp_path: Path, scheduler: str
) -> None:
    first, second, third = synthetic.make(ATL06, 3, folder=tmp_path, seed=1)
    second.write_bytes(second.read_bytes()[:1000])
    whole = third.rename(tmp_path / "whole.h5")
    shared.copied(whole, third)
    whole.unlink()
    told = index(f"{tmp_path}/*.h5", variables=["h_li"], cluster=scheduler, watcher=Silent())
    assert told["id"].tolist() == [path.stem for path in (first, second, third)]
    assert told["status"].tolist() == ["indexed", "failed", "indexed"]
    assert told["reason"][1].startswith("CorruptGranuleError: ")
    assert told["variables"].tolist() == [24, 0, 24]
    assert told["fallback"].tolist() == ["", "", "the file keeps messages in a table that objects share"]


def test_what_is_no_granule_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError):
        index(f"{tmp_path}/*.h5", watcher=Silent())
