"""Ctrl-C in a terminal, which all processes of a run hear, and the SIGTERM of a batch system."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import pytest
from distributed import Client

from eoscale import synthetic
from eoscale.access.endpoints import ALLOW_HOSTS
from eoscale.products import ATL06
from eoscale.run import run
from eoscale.run.progress import Silent
from tests.servers.ranges import Fault, RangeServer

RECIPE = """\
product: ATL06
granules: urls.txt
duplicates: keep
region: [-55, 62, -25, 82]
variables: [h_li]
reduce:
  by: [{grid: {crs: EPSG:3413, resolution: 100000}}]
  statistics: [count, mean]
output: {zarr: out.zarr}
"""
GRANULES = 96
READING = "granules read"
HOW = "run the same recipe again and it goes on where it stopped"
ENDS_SECONDS = 60.0
"""Much more than anything here takes."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RangeServer]:
    """Return a server of granules, under many names each, all of whose answers are late."""
    folder = tmp_path_factory.mktemp("served")
    made = synthetic.make(ATL06, 2, folder=tmp_path_factory.mktemp("made"), seed=2)
    for path in made:
        for revision in range(GRANULES // len(made)):
            os.link(path, folder / path.name.replace("_006_01", f"_006_{revision:02}"))
    with RangeServer(folder, plan=lambda _path, _number: Fault.DELAYED) as server:
        yield server


@pytest.fixture
def folder(server: RangeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a recipe that reads them."""
    monkeypatch.setenv(ALLOW_HOSTS, server.host)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    urls = [server.url(path.name) for path in sorted(server.folder.iterdir())]
    (tmp_path / "urls.txt").write_text("\n".join(urls), encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


@dataclass
class Running:
    """The command line, in a session of its own: a group of processes, as a terminal has one."""

    process: subprocess.Popen[str]
    err: str = ""

    @classmethod
    def begin(cls, folder: Path, *words: str) -> Self:
        command = [sys.executable, "-m", "eoscale", "run", "recipe.yaml", "--workers", "2", *words]
        return cls(
            subprocess.Popen(  # noqa: S603  our own command line
                command,
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    @property
    def stderr(self) -> IO[str]:
        assert self.process.stderr is not None
        return self.process.stderr

    def until_reading(self) -> None:
        while READING not in self.err:
            line = self.stderr.readline()
            assert line, self.err
            self.err += line

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the group."""
        os.killpg(self.process.pid, number)

    def ended(self) -> tuple[int, str]:
        """Return exit status and standard output."""
        out, err = self.process.communicate(timeout=ENDS_SECONDS)
        self.err += err
        return self.process.returncode, out

    def nobody_is_left(self) -> bool:
        """Return whether all processes of the group end."""
        end = time.monotonic() + ENDS_SECONDS
        while self._alive() and time.monotonic() < end:
            time.sleep(0.05)
        return not self._alive()

    def _alive(self) -> list[str]:
        command = ["ps", "-A", "-o", "pgid=,stat=,args="]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
        rows = [row.split(maxsplit=2) for row in told.splitlines()]
        return [row[-1] for row in rows if row[0] == str(self.process.pid) and not row[1].startswith("Z")]


def test_an_interrupted_run_leaves_nothing_half_done_and_succeeds_when_it_runs_again(
    folder: Path, server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(7)  # noqa: S311  no secret
    server.delay = 0.2
    for number, words in ((signal.SIGINT, []), (signal.SIGTERM, ["--json"])):
        with Running.begin(folder, *words) as running:
            running.until_reading()
            time.sleep(dice.uniform(0, 1.5))
            running.send(number)
            status, out = running.ended()
            assert running.nobody_is_left()
        *others, last = running.err.splitlines()
        assert status == 128 + number, running.err
        assert "Traceback" not in running.err + out
        if words:
            assert {json.loads(line)["stage"] for line in others} == {READING}
            error = json.loads(last)
            assert (error["error"], error["status"]) == ("Interrupted", status)
            assert HOW in error["message"]
            assert out == ""
        else:
            assert {line.partition(":")[0] for line in others} == {READING}
            assert last.startswith("interrupted: ")
            assert HOW in last
        assert not (folder / "out.zarr").exists()
    assert server.misbehaved[Fault.DELAYED] > 0
    server.delay = 0
    monkeypatch.chdir(folder)
    # in threads of this process, because starting others takes long
    with Client(processes=False, dashboard_address="127.0.0.1:0") as client:
        result = run("recipe.yaml", cluster=client, watcher=Silent())
    assert result.fresh
    assert result.ledger.counts()["used"] == GRANULES


def test_a_second_interrupt_does_not_wait_for_what_is_being_closed(folder: Path, server: RangeServer) -> None:
    server.delay = 10  # no worker ends soon what it is at
    with Running.begin(folder) as running:
        running.until_reading()
        running.send(signal.SIGINT)
        time.sleep(0.5)
        assert running.process.poll() is None
        running.send(signal.SIGINT)
        again = time.monotonic()
        status, out = running.ended()
        assert time.monotonic() - again < server.delay / 3
        assert running.nobody_is_left()
    assert status == 130, running.err
    # what is being closed may be closed by then, and have been told
    assert {line.partition(":")[0] for line in running.err.splitlines()} <= {READING, "interrupted"}
    assert "Traceback" not in out
    assert not (folder / "out.zarr").exists()
