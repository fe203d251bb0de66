"""Every recipe of the folder runs, and says what it is for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from distributed import Client

from eoscale import synthetic
from eoscale.access import keeper, loop, stores
from eoscale.errors import IncompleteRunError
from eoscale.model.recipe import Recipe
from eoscale.model.region import Region
from eoscale.model.vocabulary import Synthetic
from eoscale.products import ATL06
from eoscale.run import Result, prepare, run
from eoscale.run.indexing import index
from eoscale.run.ledger import Ledger, beside
from eoscale.run.progress import Silent
from eoscale.write import places
from tests.servers.buckets import BucketServer
from tests.servers.logins import Earthdata

FOLDER = Path(__file__).parents[1] / "recipes"
RECIPES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_short_and_stands_in_the_table(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=recipe.schema.json\n")
    assert len(text.splitlines()) <= 40
    assert Recipe.from_file(path).title
    assert f"[{path.name}]({path.name})" in (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path",
    [path for path in RECIPES if isinstance(Recipe.from_file(path).granules, Synthetic)],
    ids=lambda path: path.stem,
)
def test_a_recipe_that_makes_its_granules_runs(
    path: Path, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # outputs and made granules are relative to where one is
    recipe = Recipe.from_file(path, {"granules.synthetic": "3"})
    result = run(recipe, cluster=scheduler, watcher=Silent())
    assert result.ledger.counts()["failed"] == 0
    for column in recipe.columns:
        if recipe.reduce is None:
            rows = len(result.table()[column])
        else:
            rows = int(result.open()[f"{column}_count"].sum())
        assert rows == result.ledger.binned(column) > 0


def test_granules_in_an_archive_are_read_with_the_login_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe.from_file(FOLDER / "greenland-with-a-login.yaml")
    bucket, _, glob = str(recipe.granules).removeprefix("s3://").partition("/")
    folder = glob.partition("*")[0]
    area = Region.from_bbox(-51.0, 68.0, -47.0, 71.0)
    paths = synthetic.make(ATL06, 3, folder=tmp_path / "granules", region=area, period=recipe.span)
    with (
        Earthdata(b"") as nasa,
        BucketServer(nasa.refuses) as server,
        Client(processes=False, dashboard_address="127.0.0.1:0") as client,
    ):
        server.create(bucket)
        for path in paths:
            server.put(bucket, f"{folder}{path.name[12:14]}/{path.name}", path.read_bytes())
        told = {"EOSCALE_S3_ENDPOINT": server.address, "EARTHDATA_TOKEN": nasa.tokens.new("edl")}
        for name, value in (nasa.environment() | told | {"AWS_REGION": "us-west-2"}).items():
            monkeypatch.setenv(name, value)
        keeper.use(keeper.Keeper())
        result = run(recipe, output=tmp_path / "may.zarr", cluster=client, watcher=Silent())
    assert result.ledger.counts()["used"] == len(paths)
    assert int(result.open()["h_li_count"].sum()) == result.ledger.binned("h_li") > 0
    assert len(nasa.keys.given) == 1
    assert server.answered["GET", "206"] > 0


def test_granules_in_a_bucket_give_to_the_last_bit_what_they_give_from_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = synthetic.make(ATL06, 3, folder=tmp_path / "granules")
    recipe = Recipe.from_file(FOLDER / "greenland-in-a-bucket.yaml")
    root, _, glob = str(recipe.granules).rpartition("/")
    # threads of this process: they share its environment
    with BucketServer() as server, Client(processes=False, dashboard_address="127.0.0.1:0") as client:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        server.create(root.split("/")[2])
        for path in paths:
            assert loop.run(stores.write(root, path.name, path.read_bytes()))
        far = run(recipe, cluster=client, watcher=Silent())
        assert str(far.output) == "s3://eoscale-demo/results/greenland.zarr"
        cube = far.open().load()
        left = {name.partition("/")[0] for name in places.sizes(far.output.parent)}
        assert left == {"greenland.zarr", "greenland.zarr.ledger.parquet"}
        granules = f"{tmp_path}/granules/{glob}"
        near = run(recipe, granules=granules, output=tmp_path / "near.zarr", cluster=client, watcher=Silent())
    same = near.open()
    assert far.ledger.frame["requests"].sum() > 0
    assert int(cube["h_li_count"].sum()) == far.ledger.binned("h_li") > 0
    assert cube.variables.keys() == same.variables.keys()
    for each, array in cube.variables.items():
        assert array.to_numpy().tobytes() == same[each].to_numpy().tobytes(), each


def test_of_granules_that_were_indexed_before_a_run_asks_what_the_plan_says_and_only_of_those_that_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EOSCALE_INDEX_STORE", str(tmp_path / "indexes"))
    synthetic.make(ATL06, 8, folder=tmp_path / "granules")
    file, granules = FOLDER / "greenland-one-spring.yaml", f"{tmp_path}/granules/*.h5"
    # threads of this process: they share its environment
    with Client(processes=False, dashboard_address="127.0.0.1:0") as client:
        told = index(granules, cluster=client, watcher=Silent())
        assert set(told["status"]) == {"indexed"}
        plan = prepare(file, granules=granules)
        assert plan.expected is not None
        assert plan.expected.exact
        ledger = run(plan, output=tmp_path / "rows.parquet", cluster=client, watcher=Silent()).ledger
    asked = ledger.frame["requests"]
    assert (asked.sum(), ledger.frame["bytes"].sum()) == (plan.expected.requests, plan.expected.bytes)
    assert 0 < (asked > 0).sum() < len(asked)  # not of those elsewhere
    assert ledger.binned("h_li") > 0


def test_granules_that_cannot_be_read_are_left_out_and_named_as_far_as_the_recipe_allows(
    scheduler: str, tmp_path: Path
) -> None:
    paths = synthetic.make(ATL06, 20, folder=tmp_path / "granules")
    for path in paths[3:6]:
        path.write_bytes(bytes(100) + path.read_bytes()[100:])  # of the same size: it is the same job
    file = FOLDER / "greenland-despite-failures.yaml"
    output, granules = tmp_path / "out.zarr", f"{tmp_path}/granules/*.h5"

    def attempt() -> Result:
        return run(file, granules=granules, output=output, cluster=scheduler, watcher=Silent())

    with pytest.raises(IncompleteRunError, match="3 of 20 granules failed, 2 may"):
        attempt()
    read = Ledger.load(beside(output)).frame.set_index("id")["finished"]
    synthetic.make(ATL06, 20, folder=tmp_path / "mended")
    (tmp_path / "mended" / paths[4].name).replace(paths[4])
    found = attempt()
    assert found.ledger.counts() == {"found": 20, "used": 18, "empty": 0, "skipped": 0, "failed": 2}
    excluded = json.loads(found.open().attrs["eoscale_excluded"])
    assert [*excluded] == [paths[3].stem, paths[5].stem]
    assert all("expected an HDF5 file" in reason for reason in excluded.values())
    # those that had been read were not read again
    again = found.ledger.frame.set_index("id")["finished"]
    assert again.index[(again != read) & (again > 0)].tolist() == [paths[4].stem]
