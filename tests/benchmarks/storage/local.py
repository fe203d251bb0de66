"""W1 on local files, which no server serves: eoscale beside h5py in its quickest use."""

# ruff: noqa: PLC0415  a process has what its contender needs, and nothing else

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from tests.benchmarks.storage.answers import of_eoscale
from tests.benchmarks.storage.contenders import LAZILY, rows
from tests.benchmarks.storage.contest import Task, Work, contender
from tests.benchmarks.storage.questions import BEAMS, COLUMNS, LAND, polygon


@contender("W1", "local-eoscale-known", imports=LAZILY, answer=of_eoscale, beforehand=True)
@contender("W1", "local-eoscale-first", imports=LAZILY, answer=of_eoscale)
def local_rows(task: Task) -> Iterator[Work]:
    """Open local granules and compute the columns on threads."""
    yield from rows(replace(task, urls=[str(copy) for copy in task.copies]))


@contender("W1", "local-h5py", imports=("h5py", "shapely", "pandas"))
def h5py_rows(task: Task) -> Iterator[Work]:
    """Read coordinates whole, and the other columns of beams with rows inside; one file after another."""
    yield partial(_rows, task.copies)


def _rows(copies: Sequence[Path]) -> pd.DataFrame:
    import h5py
    import shapely

    area = polygon()
    shapely.prepare(area)
    tables = []
    for copy in copies:
        with h5py.File(copy) as file:
            for land in (file[beam][LAND] for beam in BEAMS):
                inside = shapely.contains_xy(area, land["longitude"][:], land["latitude"][:])
                if inside.any():
                    columns = {name: land[path][:][inside] for name, path in COLUMNS.items()}
                    tables.append(pd.DataFrame(columns))
    return pd.concat(tables)
