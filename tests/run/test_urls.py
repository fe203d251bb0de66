"""A list of URLs gives the same cube as the files themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributed import Client

from eoscale import synthetic
from eoscale.access.endpoints import ALLOW_HOSTS
from eoscale.errors import IncompleteRunError
from eoscale.model.recipe import Recipe
from eoscale.products import ATL08
from eoscale.run import run
from eoscale.run.ledger import Ledger, beside
from eoscale.run.progress import Silent
from tests.servers.ranges import RangeServer

RECIPE = Recipe(
    product="ATL08",
    variables=("h_te_best_fit", "land_segments/canopy/n_ca_photons"),
    reduce={"by": [{"grid": {"crs": "EPSG:4326", "resolution": 1}}], "statistics": ["count", "mean", "max"]},
    region=(-60, 58, -20, 85),
    output={"zarr": "out.zarr"},
)


def test_granules_behind_urls_give_the_same_cube_as_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = synthetic.make(ATL08, 2, folder=tmp_path / "granules", seed=4)
    with (
        RangeServer(tmp_path / "granules") as server,
        # threads of this process: they share its environment
        Client(processes=False, dashboard_address="127.0.0.1:0") as client,
    ):
        monkeypatch.setenv(ALLOW_HOSTS, server.host)
        urls = tmp_path / "urls.txt"
        urls.write_text("# two granules\n" + "\n".join(server.url(path.name) for path in paths))
        near, far = (
            run(RECIPE, granules=given, output=tmp_path / name, cluster=client, watcher=Silent())
            for given, name in ((f"{tmp_path}/granules/*.h5", "near.zarr"), (str(urls), "far.zarr"))
        )
        assert server.asked
    assert far.open().equals(near.open())
    assert far.open().n_ca_photons_count.sum() == far.ledger.binned("n_ca_photons") > 0
    # nothing came from anywhere else
    assert server.bytes == far.ledger.frame["bytes"].sum() > 0


def test_an_unreadable_url_is_the_failure_of_its_granule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = synthetic.make(ATL08, 1, folder=tmp_path / "granules")
    absent = "ATL08_20240401000000_02770303_006_01.h5"
    with (
        RangeServer(tmp_path / "granules") as server,
        Client(processes=False, dashboard_address="127.0.0.1:0") as client,
    ):
        monkeypatch.setenv(ALLOW_HOSTS, server.host)
        urls = tmp_path / "urls.txt"
        urls.write_text("\n".join(server.url(name) for name in (paths[0].name, absent)))
        output = tmp_path / "out.zarr"
        with pytest.raises(IncompleteRunError, match="1 of 2 granules failed"):
            run(RECIPE, granules=str(urls), output=output, cluster=client, watcher=Silent())
        assert server.answers[404] > 0
    assert not output.exists()
    failed = Ledger.load(beside(output)).frame.set_index("status").loc["failed"]
    assert failed["id"] == absent.removesuffix(".h5")
    assert str(failed["reason"]).startswith("AccessError: ")
