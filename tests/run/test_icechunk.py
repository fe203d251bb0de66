"""Runs into an Icechunk repository: one commit each, whatever dies, and readers see one state or the next."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import pytest
import xarray as xr
from distributed import Client

from eoscale.errors import ConflictError, RecipeError
from eoscale.model.granule import GranuleList
from eoscale.model.recipe import Recipe
from eoscale.run import Result, prepare, run, target
from eoscale.run.ledger import Ledger, beside
from eoscale.run.plan import Plan
from eoscale.run.progress import Silent
from eoscale.write import places, publish, repository
from eoscale.write.claims import claimed
from eoscale.write.places import Place
from tests.run.moments import Change, Heard
from tests.run.trials import FEW_TILES, MANY_TILES, Bench, Trial, prepared
from tests.write.test_icechunk import history

READ, WRITTEN = "granules read", "tiles written"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with prepared(tmp_path_factory.mktemp("bench")) as made:
        yield made


@pytest.fixture(scope="module")
def client(bench: Bench) -> Iterator[Client]:
    with Client(bench.address) as client:
        yield client


@pytest.fixture(params=["disk", "bucket"])
def folder(request: pytest.FixtureRequest, bench: Bench, tmp_path: Path) -> Place:
    """Return an empty folder."""
    return tmp_path if request.param == "disk" else bench.bucket / tmp_path.name


def plan(bench: Bench, folder: Path, reduce: str = FEW_TILES, *, number: int = 4) -> Plan:
    """Return the plan of some granules; of another reduction, it is another job."""
    some = GranuleList(granules=bench.granules.granules[:number])
    return bench.plan(folder, "icechunk", reduce=reduce, granules=some)


def seen(opened: xr.Dataset) -> Mapping[str, str]:
    """Return the digest of each variable, with its attributes."""
    arrays = {str(name): array.to_numpy().tobytes() for name, array in opened.variables.items()}
    told = {name: hashlib.sha256(content).hexdigest() for name, content in arrays.items()}
    return {"": str(opened.attrs), **told}


def made(client: Client, planned: Plan, output: Place) -> Result:
    return run(planned, output=str(output), cluster=client, watcher=Silent())


def test_a_run_is_one_commit_with_the_values_of_a_zarr_store_and_the_second_does_nothing(
    bench: Bench, client: Client, folder: Place, tmp_path: Path
) -> None:
    planned = plan(bench, tmp_path)
    output = folder / "out.icechunk"
    first = made(client, planned, output)
    assert first.fresh
    assert history(output) == [planned.job.digest, ""]
    store = made(client, planned, tmp_path / "out.zarr")
    assert seen(first.open()) == seen(store.open())
    assert int(first.open()["h_li_mean"].count()) > 0
    assert {name.partition("/")[0] for name in places.sizes(folder)} >= {output.name, beside(output).name}
    assert publish.leftovers(output) == []
    again = made(client, planned, output)
    assert not again.fresh
    assert again.ledger.counts() == first.ledger.counts()
    assert history(output) == [planned.job.digest, ""]


class Reader(Thread):
    """Looks every 10 ms at what main holds, whole."""

    def __init__(self, output: Place) -> None:
        super().__init__()
        self.output, self.over = output, Event()
        self.states: list[Mapping[str, str]] = []
        self.errors: list[Exception] = []

    def run(self) -> None:
        while not self.over.is_set():
            try:
                with repository.open_repository(self.output) as opened:
                    self.states.append(seen(opened))
            except Exception as error:  # noqa: BLE001  whatever a reader meets
                self.errors.append(error)
            sleep(0.01)


def until(reached: Callable[[], bool], *, seconds: float = 60) -> None:
    """Wait."""
    limit = monotonic() + seconds
    while not reached():
        assert monotonic() < limit
        sleep(0.01)


@contextmanager
def reading(output: Place) -> Iterator[Reader]:
    reader = Reader(output)
    reader.start()
    try:
        yield reader
    finally:
        reader.over.set()
        reader.join()


def test_a_reader_sees_one_job_or_the_next_whole_while_it_is_replaced(
    bench: Bench, client: Client, folder: Place, tmp_path: Path
) -> None:
    output = folder / "out.icechunk"
    (tmp_path / "other").mkdir()
    coarse = FEW_TILES.replace("4000", "50000").replace("[mean]", "[count, max]")
    first, second = plan(bench, tmp_path, coarse), plan(bench, tmp_path / "other", coarse.replace("5", "6"))
    before = seen(made(client, first, output).open())
    with reading(output) as reader:
        until(lambda: len(reader.states) > 2)
        began = len(reader.states)
        after = seen(made(client, second, output).open())
        until(lambda: reader.states[-1] == after)
    assert reader.errors == []
    assert before != after
    turn = reader.states.index(after)
    assert turn > began
    assert reader.states == turn * [before] + (len(reader.states) - turn) * [after]
    assert history(output) == [second.job.digest, first.job.digest, ""]


ANYWHERE = [Heard(READ, 2), Heard(WRITTEN, 0), Heard(WRITTEN, 1), Heard(WRITTEN, 1)]
ON_A_DISK = [
    ANYWHERE[0],
    Change(1, "layout-"),
    Change(2, "layout-"),
    *ANYWHERE[1:],
    Change(1, "ledger.parquet", since=WRITTEN),
    Change(3, "ledger.parquet", since=WRITTEN),  # it has been committed
    Change(1, "layout-"),
    Change(1, ".claim"),
]


def test_killed_at_any_moment_it_goes_on_and_is_one_commit(
    bench: Bench, client: Client, folder: Place, tmp_path: Path
) -> None:
    planned = plan(bench, tmp_path, MANY_TILES)
    expected = made(client, planned, tmp_path / "peace.icechunk")
    trial = Trial(bench=bench, plan=planned, folder=folder / "trial")
    done = [planned.job.digest, ""]
    states: list[tuple[int, list[str]]] = []
    for moment in ON_A_DISK if isinstance(folder, Path) else ANYWHERE:
        assert trial.attempt(moment), states
        there = repository.is_repository(trial.output)
        states.append((trial.written, history(trial.output) if there else []))
    assert not trial.attempt()
    assert any(0 < written < planned.job.cube.tiles for written, _ in states)
    assert {len(commits) for _, commits in states} >= ({0, 1, 2} if isinstance(folder, Path) else {0, 1})
    assert all(commits in ([], [""], done) for _, commits in states)
    assert history(trial.output) == done
    assert seen(repository.open_repository(trial.output)) == seen(expected.open())
    assert not any(trial.redone()[1:])
    assert publish.leftovers(trial.output) == []


def test_killed_after_others_committed_it_begins_its_tiles_anew(
    bench: Bench, client: Client, tmp_path: Path
) -> None:
    planned = plan(bench, tmp_path)
    trial = Trial(bench=bench, plan=planned, folder=tmp_path / "trial")
    assert trial.attempt(Heard(WRITTEN, planned.job.cube.tiles))
    (tmp_path / "other").mkdir()
    other = plan(bench, tmp_path / "other", FEW_TILES.replace("4000", "50000"))
    with pytest.raises(ConflictError, match=f"claimed by job {planned.job.digest[:12]}"):
        made(client, other, trial.output)
    (trial.output.with_name("out.icechunk.claim")).unlink()
    made(client, other, trial.output)
    assert not trial.attempt()
    assert history(trial.output) == [planned.job.digest, other.job.digest, ""]
    expected = made(client, planned, tmp_path / "peace.icechunk")
    assert seen(repository.open_repository(trial.output)) == seen(expected.open())


def test_of_two_jobs_at_once_the_second_is_told_who_has_the_output(
    bench: Bench, client: Client, folder: Place, tmp_path: Path
) -> None:
    output = folder / "out.icechunk"
    with claimed(output, "f" * 64), pytest.raises(ConflictError, match="claimed by job ffffffffffff"):
        made(client, plan(bench, tmp_path), output)
    assert not repository.is_repository(output)


def test_a_job_whose_ledger_another_attempt_replaced_is_made_again(
    bench: Bench, client: Client, tmp_path: Path
) -> None:
    planned = plan(bench, tmp_path)
    output = tmp_path / "out.icechunk"
    made(client, planned, output)
    trial = Trial(bench=bench, plan=plan(bench, tmp_path, number=2), folder=tmp_path)
    assert trial.attempt(Heard(WRITTEN, 0))
    assert len(Ledger.load(beside(output)).frame) == 2
    for left in publish.leftovers(output):
        places.remove(left)
    again = made(client, planned, output)
    assert again.fresh
    assert len(again.ledger.frame) == 4
    assert history(output) == [planned.job.digest, planned.job.digest, ""]


def test_the_ending_of_a_path_names_the_form_that_it_is_given() -> None:
    recipe = Recipe(
        product="ATL06", variables=["h_li"], reduce={"by": [{"period": "1MS"}], "statistics": ["mean"]}
    )
    assert target(recipe, "a.icechunk").icechunk == str(Path("a.icechunk").absolute())
    assert target(recipe, "a").zarr == str(Path("a").absolute())
    stated = Recipe(**recipe.words(), output={"icechunk": "b"})
    assert target(stated).icechunk == str(Path("b").absolute())
    assert target(stated, "s3://bucket/a").icechunk == "s3://bucket/a"
    assert target(stated, "a.zarr").icechunk is None


def test_a_missing_package_is_told_before_anything_is_read_or_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = Recipe.from_file(Path(__file__).parents[2] / "recipes" / "greenland-icechunk.yaml")
    monkeypatch.setitem(sys.modules, "icechunk", None)
    with pytest.raises(RecipeError, match=r"pip install 'eoscale\[icechunk\]'"):
        prepare(recipe)
    assert [*tmp_path.iterdir()] == []
