"""A run whose scheduler dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from eoscale.errors import RunError
from eoscale.run import run
from eoscale.run.progress import Silent
from tests.run.trials import FEW_TILES, Bench, Expected, Trial, prepared

READ = "granules read"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with prepared(tmp_path_factory.mktemp("bench")) as made:
        yield made


@contextmanager
def scheduler(folder: Path, environment: Mapping[str, str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Give address and process of a scheduler that has one worker."""
    told = folder / "scheduler.json"
    words = {
        "dask_scheduler": ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"],
        "dask_worker": ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "20"],
    }
    processes = [
        subprocess.Popen(  # noqa: S603  its own words
            [sys.executable, "-m", f"distributed.cli.{name}", "--scheduler-file", str(told), *some],
            env={**os.environ, **environment},
            cwd=folder,
            stderr=subprocess.DEVNULL,
        )
        for name, some in words.items()
    ]
    try:
        while not told.exists():
            time.sleep(0.05)
        yield json.loads(told.read_text(encoding="utf-8"))["address"], processes[0]
    finally:
        for process in processes:
            process.kill()
            process.wait()


class Kills(Silent):
    """A watcher that kills a process as soon as a stage has advanced."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def advance(self, stage: str, number: int) -> None:
        assert (stage, number > 0) == (READ, True)
        self.process.kill()
        self.process.wait()


def test_a_run_whose_scheduler_dies_says_so_and_goes_on_on_another(bench: Bench, tmp_path: Path) -> None:
    plan = bench.plan(tmp_path, "zarr", reduce=FEW_TILES)
    expected = Expected.of(Trial(bench=bench, plan=plan, folder=tmp_path / "undisturbed"))
    trial = Trial(bench=bench, plan=plan, folder=tmp_path / "trial")
    with scheduler(tmp_path, bench.environment) as (address, process):
        began = time.monotonic()
        with pytest.raises(RunError, match="run again"):
            run(plan, output=trial.output, cluster=address, watcher=Kills(process))
        assert time.monotonic() - began < 120
    read = {receipt.granule for each in trial.read.values() for receipt in each.receipts}
    assert read
    assert not trial.attempt()
    assert not read & trial.asked()[-1]
    expected.check(replace(trial))
