"""Rounds: contenders take turns, each run in a process of its own, and each answer is checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from tests.benchmarks.storage import answers
from tests.benchmarks.storage.contest import Contender, Task
from tests.benchmarks.storage.trial import ANSWER, TOLD, Taken, say

_PATIENCE = 900
"""Seconds for one run."""
_ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of one contender."""

    label: str
    files: int
    """That it was given."""
    total: int
    """Files that there are."""
    load: float
    """Of the machine, over the last minute, before it."""
    taken: Taken

    @property
    def share(self) -> float:
        """Of the files, that it was given."""
        return self.files / self.total


@dataclass
class Rounds:
    """Runs against one server.

    Parameters
    ----------
    url : str
        Of the server, which serves the folder that has the files.
    copies : sequence of Path
        The files on the disk.
    scratch : Path
        An empty folder.
    """

    url: str
    copies: Sequence[Path]
    scratch: Path
    failed: dict[str, str] = field(default_factory=dict)
    """Why contenders came to no answer, by their labels; they take no further turn."""
    _right: dict[tuple[str, int], pd.DataFrame] = field(default_factory=dict)
    """Answers, by workload and number of files."""

    def of(self, contenders: Sequence[Contender], repeat: int) -> Iterator[Run]:
        """Yield runs, as they end.

        Raises
        ------
        AssertionError
            If an answer is wrong.
        """
        for turn in range(repeat):
            for one in contenders:
                if one.label in self.failed or (turn and one.files):
                    continue
                try:
                    if one.beforehand and not turn:
                        self._run(one)
                    yield self._run(one)
                except subprocess.SubprocessError as error:
                    self.failed[one.label] = str(error)

    def _run(self, one: Contender) -> Run:
        load, number = os.getloadavg()[0], one.files or len(self.copies)
        with TemporaryDirectory(dir=self.scratch) as place:
            folder = Path(place)
            store = self.scratch / "known" / one.label if one.beforehand else folder / "indexes"
            store.mkdir(parents=True, exist_ok=True)
            (folder / "own").mkdir()
            copies = list(self.copies[:number])
            task = Task(
                urls=[f"{self.url}/{copy.name}" for copy in copies],
                copies=copies,
                folder=folder / "own",
                index_store=store,
            )
            say(folder, one.label, self.url, task)
            _finish(folder)
            taken = Taken.of(json.loads((folder / TOLD).read_text(encoding="utf-8")))
            self._check(one, pd.read_parquet(folder / ANSWER), copies)
        return Run(label=one.label, files=len(copies), total=len(self.copies), load=load, taken=taken)

    def _check(self, one: Contender, found: pd.DataFrame, copies: Sequence[Path]) -> None:
        key = one.workload, len(copies)
        if key not in self._right:
            self._right[key] = answers.expected(one.workload, copies)
        answers.demand(one.workload, found, self._right[key])


def _finish(folder: Path) -> None:
    """Have a process do what a folder says."""
    command = [sys.executable, "-m", "tests.benchmarks.storage.trial", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(  # noqa: S603  a module of ours
        command, check=False, capture_output=True, text=True, timeout=_PATIENCE, cwd=folder, env=environment
    )
    if done.returncode:
        raise subprocess.SubprocessError(f"{done.stdout[-1000:]}{done.stderr[-4000:]}")
