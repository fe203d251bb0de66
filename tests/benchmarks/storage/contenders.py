"""Eoscale, as its users write it."""

# ruff: noqa: PLC0415  a process has what its contender needs, and nothing else

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

from tests.benchmarks.storage.answers import of_eoscale, of_store
from tests.benchmarks.storage.clusters import processes
from tests.benchmarks.storage.contest import Task, Work, contender
from tests.benchmarks.storage.questions import BOX, COLUMNS, LAND, PER_DEGREE, STATISTICS, polygon

LAZILY = ("eoscale.lazy",)
"""What ``eoscale.open`` would import when it is first called."""
_RUNS = ("eoscale", "xarray", "zarr", "dask.array")
"""What the first run of a process would import, xarray's look at dask's arrays among it."""
_ROWS = ["latitude", "longitude", "time", "h_canopy", "h_te"]


@contender("W1", "eoscale-known", imports=LAZILY, answer=of_eoscale, beforehand=True)
@contender("W1", "eoscale-first", imports=LAZILY, answer=of_eoscale)
def rows(task: Task) -> Iterator[Work]:
    """Open granules and compute the columns on threads."""
    _configure(task)
    yield partial(_computed, task, _ROWS, scheduler="threads")


@contender("W1", "eoscale-geometry", imports=LAZILY, answer=of_eoscale, beforehand=True)
def rows_with_geometry(task: Task) -> Iterator[Work]:
    """Compute points too."""
    _configure(task)
    yield partial(_computed, task, [*_ROWS, "geometry"], scheduler="threads")


@contender("W1", "eoscale-cluster", imports=LAZILY, answer=of_eoscale, beforehand=True)
def rows_on_a_cluster(task: Task) -> Iterator[Work]:
    """Compute on a cluster of two processes."""
    _configure(task)
    with processes(*LAZILY):
        yield partial(_computed, task, _ROWS)


@contender("W2", "eoscale-known", imports=_RUNS, answer=of_store, beforehand=True)
@contender("W2", "eoscale-first", imports=_RUNS, answer=of_store)
def cells(task: Task) -> Iterator[Work]:
    """Run a recipe on the threads of this process."""
    from distributed import Client

    import eoscale

    _configure(task)
    recipe = eoscale.Recipe(
        product="ATL08",
        granules=tuple(task.urls),
        region=BOX,
        variables=["h_canopy"],
        reduce={
            "by": [{"grid": {"crs": "EPSG:4326", "resolution": 1 / PER_DEGREE}}],
            "statistics": list(STATISTICS),
        },
        output={"zarr": str(task.folder / "cells.zarr")},
    )
    with Client(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0"
    ) as client:
        yield lambda: Path(str(eoscale.run(recipe, cluster=client).output))


def _computed(task: Task, columns: list[str], **how: str) -> pd.DataFrame:
    import eoscale

    heights = {name: f"{LAND}/{COLUMNS[name]}" for name in ("h_canopy", "h_te")}
    opened = eoscale.open(task.urls, product="ATL08", variables=heights, region=polygon())
    computed: pd.DataFrame = opened[columns].compute(**how)
    return computed


def _configure(task: Task) -> None:
    os.environ["EOSCALE_ALLOW_HOSTS"] = urlsplit(task.urls[0]).netloc
    os.environ["EOSCALE_INDEX_STORE"] = str(task.index_store)
    os.environ["EOSCALE_WORK"] = str(task.folder / "work")
