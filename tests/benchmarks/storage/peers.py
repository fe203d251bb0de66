"""Today's ways, each as those who use it write it."""

# ruff: noqa: PLC0415  a process has what its contender needs, and nothing else

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from tests.benchmarks.storage.answers import of_store
from tests.benchmarks.storage.clusters import processes
from tests.benchmarks.storage.contest import Task, Work, contender
from tests.benchmarks.storage.questions import BEAMS, COLUMNS, LAND, polygon

if TYPE_CHECKING:
    import xarray as xr

_TUTORIAL = ("tests.benchmarks.storage.tutorial", "aiohttp")
_READAHEAD = {"block_size": 50 * 2**20, "cache_type": "readahead"}
"""What s3fs does unless told otherwise."""
_BLOCKS = {"block_size": 2**23, "cache_type": "blockcache"}
_SMALL_BLOCKS = {"block_size": 2**20, "cache_type": "blockcache"}
_THREADS = 8
_FEW = 4
"""Files for those that take minutes for all."""


@contender("W1", "tutorial-50MiB", imports=_TUTORIAL)
def tutorial_readahead(task: Task) -> Iterator[Work]:
    """One file after the other, by the cache that s3fs has by default."""
    from tests.benchmarks.storage.tutorial import rows

    yield lambda: _together(rows(url, **_READAHEAD) for url in task.urls)


@contender("W1", "tutorial-8MiB", imports=_TUTORIAL)
def tutorial_blocks(task: Task) -> Iterator[Work]:
    """One file after the other, by the cache that guides to cloud access recommend."""
    from tests.benchmarks.storage.tutorial import rows

    yield lambda: _together(rows(url, **_BLOCKS) for url in task.urls)


@contender("W1", "tutorial-dask", imports=(*_TUTORIAL, "distributed"))
def tutorial_dask(task: Task) -> Iterator[Work]:
    """A task for each file."""
    from dask.base import compute
    from dask.delayed import delayed

    from tests.benchmarks.storage.tutorial import rows

    with processes(*_TUTORIAL):
        yield lambda: _together(compute(*[delayed(rows)(url, **_BLOCKS) for url in task.urls]))


@contender("W1", "xarray-dask", imports=("xarray", "h5netcdf", "aiohttp", "distributed"), files=_FEW)
def xarray_dask(task: Task) -> Iterator[Work]:
    """A task for each file, opened group by group."""
    from dask.base import compute
    from dask.delayed import delayed

    with processes("xarray", "h5netcdf", "aiohttp"):
        yield lambda: _together(compute(*[delayed(_by_xarray)(url) for url in task.urls]))


def _by_xarray(url: str) -> pd.DataFrame:
    import fsspec
    import xarray as xr

    with fsspec.open(url, **_BLOCKS) as opened:
        return _by_groups(partial(xr.open_dataset, opened, engine="h5netcdf", decode_times=False))


@contender("W1", "h5coro", imports=("h5coro", "requests"))
def h5coro(task: Task) -> Iterator[Work]:
    """Eight files at once; of the heights only the rows between the first and the last inside."""
    yield lambda: _in_threads(_by_h5coro, task.urls)


def _by_h5coro(url: str) -> pd.DataFrame:
    from h5coro import h5coro, webdriver

    file = h5coro.H5Coro(url, webdriver.HTTPDriver)
    places = file.readDatasets([_path(beam, name) for beam in BEAMS for name in ("lat", "lon")])
    rows = {}
    for beam in BEAMS:
        found = np.flatnonzero(_inside(places[_path(beam, "lat")], places[_path(beam, "lon")]))
        if found.size:
            rows[beam] = found
    wanted = [
        {"dataset": _path(beam, name), "hyperslice": [(int(found[0]), int(found[-1]) + 1)]}
        for beam, found in rows.items()
        for name in ("time", "h_canopy", "h_te")
    ]
    values = file.readDatasets(wanted) if wanted else {}
    tables = []
    for beam, found in rows.items():
        columns = [places[_path(beam, name)][found] for name in ("lat", "lon")]
        columns += [
            np.asarray(values[_path(beam, name)])[found - found[0]] for name in ("time", "h_canopy", "h_te")
        ]
        tables.append(_table(columns))
    file.close()
    return _together(tables)


@contender("W1", "hidefix", imports=("h5coro_hidefix", "obstore.store"))
def hidefix(task: Task) -> Iterator[Work]:
    """Indexes built beforehand from local files; ranges by obstore, eight files at once."""
    import obstore
    from h5coro_hidefix import Index
    from obstore.store import HTTPStore

    host = "http://" + urlsplit(task.urls[0]).netloc
    store = HTTPStore.from_url(host, client_options={"allow_http": True})
    indexes = dict(zip(task.urls, (Index(str(copy)) for copy in task.copies), strict=True))

    def read(url: str, paths: list[str]) -> dict[str, NDArray[Any]]:
        index = indexes[url]
        plans = [index.read_plan(f"/{path}")[:2] for path in paths]
        starts, sizes = (np.concatenate(each) for each in zip(*plans, strict=True))
        key = urlsplit(url).path.lstrip("/")
        found = obstore.get_ranges(store, key, starts=starts.tolist(), lengths=sizes.tolist(), coalesce=2**14)
        bodies = iter(bytes(each) for each in found)
        return {
            path: index.read_from_buffers(f"/{path}", [next(bodies) for _ in plan[0]])
            for path, plan in zip(paths, plans, strict=True)
        }

    def one(url: str) -> pd.DataFrame:
        values = read(url, [_path(beam, name) for beam in BEAMS for name in ("lat", "lon")])
        inside = {beam: _inside(values[_path(beam, "lat")], values[_path(beam, "lon")]) for beam in BEAMS}
        hit = [beam for beam in BEAMS if inside[beam].any()]
        if not hit:
            return _together([])
        values |= read(url, [_path(beam, name) for beam in hit for name in ("time", "h_canopy", "h_te")])
        return _together(_table(values[_path(beam, name)][inside[beam]] for name in COLUMNS) for beam in hit)

    yield lambda: _in_threads(one, task.urls)


@contender("W1", "pyfive", imports=("pyfive", "fsspec", "aiohttp"))
def pyfive(task: Task) -> Iterator[Work]:
    """Eight files at once."""
    yield lambda: _in_threads(_by_pyfive, task.urls)


def _by_pyfive(url: str) -> pd.DataFrame:
    import fsspec
    import pyfive

    tables = []
    with fsspec.open(url, **_SMALL_BLOCKS) as opened, pyfive.File(opened) as file:
        for beam in BEAMS:
            inside = _inside(file[_path(beam, "lat")][:], file[_path(beam, "lon")][:])
            if inside.any():
                tables.append(_table(file[_path(beam, name)][:][inside] for name in COLUMNS))
    return _together(tables)


@contender(
    "W1", "virtualizarr", imports=("virtualizarr.parsers", "obstore.store", "obspec_utils"), files=_FEW
)
def virtualizarr(task: Task) -> Iterator[Work]:
    """Parse a file once, then read its groups by xarray."""
    import xarray as xr
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import HTTPStore
    from virtualizarr.parsers import HDFParser

    host = "http://" + urlsplit(task.urls[0]).netloc
    store = HTTPStore.from_url(host, client_options={"allow_http": True})
    registry = ObjectStoreRegistry({host: store})
    told: Mapping[str, Any] = {"consolidated": False, "zarr_format": 3, "decode_times": False}

    def one(url: str) -> pd.DataFrame:
        manifests = HDFParser()(url, registry)
        return _by_groups(lambda group: xr.open_zarr(manifests, group=group, **told))

    yield lambda: _together(map(one, task.urls))


@contender("W2", "tutorial-dask", imports=(*_TUTORIAL, "distributed", "zarr"), answer=of_store)
def cells(task: Task) -> Iterator[Work]:
    """A task for each file, pandas to group its rows, and xarray to write the result."""
    from dask.base import compute
    from dask.delayed import delayed

    from tests.benchmarks.storage.tutorial import merged, sums, write

    def work() -> Path:
        parts = compute(*[delayed(sums)(url, **_BLOCKS) for url in task.urls])
        return write(merged(parts), task.folder / "cells.zarr")

    with processes(*_TUTORIAL):
        yield work


def _by_groups(group: Callable[..., xr.Dataset]) -> pd.DataFrame:
    """Return the rows of a file whose groups xarray opens; of the heights no more than a slice is read."""
    tables = []
    for beam in BEAMS:
        land = group(group=f"{beam}/{LAND}")
        found = np.flatnonzero(_inside(land["latitude"].to_numpy(), land["longitude"].to_numpy()))
        if found.size:
            canopy, terrain = (group(group=f"{beam}/{LAND}/{name}") for name in ("canopy", "terrain"))
            columns = [land[name] for name in ("latitude", "longitude", "delta_time")]
            columns += [canopy["h_canopy"], terrain["h_te_best_fit"]]
            rows = slice(found[0], found[-1] + 1)
            tables.append(_table(column[rows].to_numpy()[found - found[0]] for column in columns))
    return _together(tables)


def _path(beam: str, name: str) -> str:
    return f"{beam}/{LAND}/{COLUMNS[name]}"


def _inside(latitude: NDArray[Any], longitude: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(shapely.contains_xy(polygon(), longitude, latitude))


def _table(columns: Iterable[NDArray[Any]]) -> pd.DataFrame:
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def _together(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    some = [table for table in tables if len(table)]
    return pd.concat(some) if some else pd.DataFrame(columns=[*COLUMNS])


def _in_threads(one: Callable[[str], pd.DataFrame], urls: list[str]) -> pd.DataFrame:
    with ThreadPoolExecutor(_THREADS) as pool:
        return _together(pool.map(one, urls))
