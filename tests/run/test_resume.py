"""A run that is killed goes on where it stopped, and ends as one that nobody killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from shutil import copytree
from time import monotonic, perf_counter, sleep
from typing import Any

import pytest
from distributed import Client

from eoscale.errors import IncompleteRunError
from eoscale.model.granule import Granule, GranuleList
from eoscale.model.receipt import Receipt
from eoscale.run import run, target
from eoscale.run.plan import cut
from eoscale.run.progress import Silent
from eoscale.steps import statistics, table
from eoscale.steps.batches import GRANULES_PER_BATCH
from eoscale.write import partials
from tests.run.moments import Change, Heard, Pause, began
from tests.run.trials import (
    FEW_TILES,
    MANY_TILES,
    PER_BATCH,
    WORKERS,
    Bench,
    Expected,
    Trial,
    opened,
    prepared,
)

IN_HAND = 2 * WORKERS * PER_BATCH
"""Granules of the tasks that workers have: each does one, and has the next one waiting."""
READ, WRITTEN = "granules read", {"zarr": "tiles written", "csv": "parts written", "parquet": "parts written"}
MANY = 10_000


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with prepared(tmp_path_factory.mktemp("bench")) as made:
        yield made


@pytest.fixture
def expected(bench: Bench, kind: str, tmp_path: Path) -> Expected:
    """Return what comes of four granules, in two batches, if nobody interrupts."""
    few = GranuleList(granules=bench.granules.granules[:4])
    plan = bench.plan(tmp_path, kind, reduce=FEW_TILES if kind == "zarr" else "", granules=few)
    return Expected.of(Trial(bench=bench, plan=plan, folder=tmp_path / "undisturbed"))


@pytest.mark.parametrize(("kind", "reduce", "kills"), [("zarr", MANY_TILES, 30), ("parquet", "", 5)])
def test_killed_at_moments_of_chance_it_ends_the_same_and_reads_nothing_twice_but_what_was_in_hand(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, reduce: str, kills: int
) -> None:
    plan = bench.plan(tmp_path, kind, reduce=reduce)
    expected = Expected.of(Trial(bench=bench, plan=plan, folder=tmp_path / "undisturbed"))
    dice = random.Random(7)  # noqa: S311  no secret
    deaths: list[tuple[int, int]] = []
    twice: list[int] = []
    for number in count():
        trial = Trial(bench=bench, plan=plan, folder=tmp_path / f"{number}")
        while trial.attempt(**_at_chance(dice, kind, expected.seconds)):
            deaths.append((len(trial.read), trial.written))
            assert opened(trial.output) in (None, expected.files)
        expected.check(trial)
        for finished, asked in zip(trial.finished, trial.asked(), strict=True):
            assert not finished & asked
        twice += map(len, trial.redone())
        if len(deaths) >= kills:
            break
    assert max(twice) <= IN_HAND
    # the moments were all over the run
    assert {0 < read < len(plan.batches) for read, _ in deaths} == {True, False}
    assert kind == "parquet" or any(0 < written < plan.job.cube.tiles for _, written in deaths)
    with capsys.disabled():
        print(f"\n{kind}: {len(deaths)} kills, at most {max(twice)} granules read again after one")  # noqa: T201


def _at_chance(dice: random.Random, kind: str, seconds: float) -> dict[str, Any]:
    """Return a moment: by the clock, or while it reads or writes, which may be over in no time."""
    stage = dice.choice(["", READ, WRITTEN[kind]])
    return {"moment": Heard(stage, dice.randint(1, 11))} if stage else {"after": dice.uniform(0, seconds)}


@pytest.mark.parametrize("kind", ["zarr", "csv"])
def test_killed_before_its_first_change_of_the_disk_its_second_and_so_on_it_ends_the_same(
    bench: Bench, expected: Expected, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = Trial(bench=bench, plan=expected.plan, folder=tmp_path / "trial")
    for number in count(1):
        if not trial.attempt(Change(number, "/trial/")):
            break
        assert opened(trial.output) in (None, expected.files)
    expected.check(trial)
    places = " ".join(trial.deaths)
    assert number > 12
    assert all(name in places for name in (".claim", ".work/", "ledger.parquet", "tiles.json", "/.out."))
    with capsys.disabled():
        print(f"\n{len(trial.deaths)} kills, one change of the disk after the other")  # noqa: T201


@pytest.mark.parametrize("kind", ["zarr"])
def test_killed_anywhere_around_publication_it_ends_the_same(
    bench: Bench, expected: Expected, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = Trial(bench=bench, plan=expected.plan, folder=tmp_path / "start")
    assert start.attempt(Heard(WRITTEN["zarr"], expected.plan.job.cube.tiles))
    before: list[str] = []
    after: list[str] = []
    for number in count(1):
        folder = copytree(str(start.folder), tmp_path / f"{number}")
        trial = Trial(bench=bench, plan=expected.plan, folder=folder)
        if not trial.attempt(Change(number, f"/{number}/", since=WRITTEN["zarr"])):
            break
        found = opened(trial.output)
        assert found in (None, expected.files)
        (before if found is None else after).extend(trial.deaths)
        assert not trial.attempt()
        expected.check(trial)
    assert len(before) >= 3
    # first it is renamed, then the ledger is finished, and what is not needed any more is removed
    assert before[-1] == f"os.rename {tmp_path / str(len(before)) / 'out.zarr'}"
    assert "ledger.parquet" in after[0]
    assert after[-1].endswith(".claim")
    with capsys.disabled():
        print(f"\n{len(before)} kills before publication, {len(after)} after it")  # noqa: T201


def late(trial: Trial, task: str) -> Callable[[], object]:
    """Return what a worker has in hand for an attempt that was killed: its first batch, tile or part."""
    job = trial.plan.job
    if task == "batch":
        return partial(statistics.read_batch, trial.work, trial.plan.batches[0])
    step = statistics if task == "tile" else table
    receipts = [receipt for each in trial.read.values() for receipt in each.receipts]
    unit = 0 if task == "tile" else table.parts(job, receipts)[0]
    write = step.writer(trial.work.staged(trial.read.values()), target(job.recipe, trial.output), receipts)
    return partial(write, unit)


@pytest.mark.parametrize(("kind", "task"), [("zarr", "batch"), ("zarr", "tile"), ("csv", "part")])
def test_what_workers_do_for_a_dead_client_changes_nothing_however_late_it_comes(
    bench: Bench, expected: Expected, tmp_path: Path, kind: str, task: str
) -> None:
    start = Trial(bench=bench, plan=expected.plan, folder=tmp_path / "start")
    units = expected.plan.job.cube.tiles if kind == "zarr" else 1
    assert start.attempt(Heard(READ, 0) if task == "batch" else Heard(WRITTEN[kind], units))
    for number in count(1):
        folder = copytree(str(start.folder), tmp_path / f"{number}")
        trial = Trial(bench=bench, plan=expected.plan, folder=folder)
        pause = Pause(number, f"/{number}/", words=tmp_path / f"{number}.late")
        process = began(late(trial, task), pause, bench.environment)
        if not pause.reached(process):
            break
        assert not trial.attempt()
        # a worker that is killed there leaves the same behind
        expected.check(trial)
        pause.end()
        process.join()
        expected.check(trial)
    assert process.exitcode == 0
    assert number > 3, "the task never waited"


@pytest.mark.parametrize("kind", ["zarr"])
def test_a_late_tile_is_not_taken_for_one_of_a_store_whose_layout_was_interrupted(
    bench: Bench, expected: Expected, tmp_path: Path
) -> None:
    trial = Trial(bench=bench, plan=expected.plan, folder=tmp_path / "trial")
    assert trial.attempt(Heard(WRITTEN["zarr"], 0))
    pause = Pause(1, "/h_li_mean/c/", words=tmp_path / "late")  # the array is open by then
    process = began(late(trial, "tile"), pause, bench.environment)
    assert pause.reached(process)
    assert trial.attempt(Change(1, "/x/c/0"))
    pause.end()
    process.join()
    assert (process.exitcode, trial.written) == (0, 1)
    assert not trial.attempt()
    expected.check(trial)


def living(group: int) -> bool:
    """Return whether a process of a group is alive."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            state, _, its = path.read_text(encoding="utf-8").rpartition(")")[2].split()[:3]
            if int(its) == group and state != "Z":
                return True
    return False


def until(reached: Callable[[], bool], *, seconds: float = 60) -> None:
    """Wait."""
    limit = monotonic() + seconds
    while not reached():
        assert monotonic() < limit
        sleep(0.01)


@pytest.mark.parametrize("kind", ["zarr"])
def test_the_command_killed_with_and_without_its_workers_goes_on_when_it_is_given_again(
    bench: Bench, expected: Expected, tmp_path: Path
) -> None:
    plan = cut(expected.plan.job, granules_per_batch=1)
    trial = Trial(bench=bench, plan=plan, folder=tmp_path / "trial")
    recipe, told = tmp_path / "recipe.yaml", tmp_path / "told"
    with recipe.open("a", encoding="utf-8") as file:
        places = [str(bench.server.folder / f"{granule.id}.h5") for granule in plan.job.granules]
        file.write(f"batch_bytes: 1\ngranules: {json.dumps(places)}\n")

    def command() -> subprocess.Popen[bytes]:
        words = ["run", str(recipe), "--output", str(trial.output), "--workers", "1", "--json"]
        with told.open("wb") as errors:
            return subprocess.Popen(  # noqa: S603  its own words
                [sys.executable, "-m", "eoscale", *words],
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    def killed(kill: Callable[[int, int], None], reached: Callable[[], bool]) -> None:
        process = command()
        until(lambda: reached() or process.poll() is not None)
        kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, told.read_text(encoding="utf-8")
        until(lambda: not living(process.pid))
        assert opened(trial.output) in (None, expected.files)

    def known() -> tuple[str, int]:
        """Return what the command has said first."""
        first = json.loads(told.read_text(encoding="utf-8").partition("\n")[0])
        return first["stage"], first["done"]

    killed(os.kill, lambda: len(trial.read) >= 2)
    assert known() == (READ, 0)
    read = len(trial.read)
    killed(os.killpg, lambda: trial.written >= 1)
    assert known() == (READ, read)
    assert command().wait() == 0, told.read_text(encoding="utf-8")
    expected.check(trial)


class Stopwatch(Silent):
    """A watcher that hears how far an earlier attempt had come, and when."""

    def __init__(self) -> None:
        self.done = 0
        self.at: list[float] = []

    def begin(self, stage: str, total: int, *, done: int = 0) -> None:
        assert (stage, total) == (READ, MANY)
        self.done = done
        self.at.append(perf_counter())


def test_a_run_of_ten_thousand_granules_goes_on_within_five_seconds(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    granules = [
        Granule(id=f"ATL06_{number:05d}", product="ATL06", urls={"file": f"/nowhere/{number}.h5"})
        for number in range(MANY)
    ]
    job = bench.plan(tmp_path, "zarr", reduce=FEW_TILES, granules=GranuleList(granules=granules)).job
    plan = cut(job)
    trial = Trial(bench=bench, plan=plan, folder=tmp_path / "trial")
    trial.work.save_job(job)
    *done, (left, end) = plan.batches
    tiles = dict.fromkeys(range(job.cube.tiles), 500)
    told = Receipt(
        granule="", read=6000, outside=4000, binned={"h_li": 2000}, tiles=tiles, requests=20, process=9
    )
    for batch in done:
        receipts = (replace(told, granule=granules[number].id) for number in range(*batch))
        trial.work.finish(batch, receipts, partials.save(trial.work.left(batch), {}))
    with Client(bench.address) as client:
        watch = Stopwatch()
        start = perf_counter()
        with pytest.raises(IncompleteRunError, match=f"{end - left} of 10,000 granules failed"):
            run(plan, output=trial.output, cluster=client, watcher=watch)
    assert watch.done == left == MANY - GRANULES_PER_BATCH
    seconds = watch.at[0] - start
    with capsys.disabled():
        print(f"\n{MANY:,} granules, {left:,} of them read: goes on after {seconds:.2f} s")  # noqa: T201
    assert seconds < 5
