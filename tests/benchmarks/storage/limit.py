"""What no way can beat: the chunks that W1 needs, fetched in one round and decoded on two cores."""

# ruff: noqa: PLC0415  a process has what its contender needs, and nothing else

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from tests.benchmarks.storage.contest import Task, Work, contender
from tests.benchmarks.storage.questions import BEAMS, COLUMNS, LAND, polygon

if TYPE_CHECKING:
    from eoscale.model.chunk_index import DatasetIndex

_GAP = 2**14
"""Bytes between two chunks that are fetched together."""
_CORES, _TOGETHER = 2, 8
"""Threads that decode, and chunks that one of them decodes by one call."""


class _Chunk(NamedTuple):
    """One that is needed."""

    key: str
    """Of its file."""
    start: int
    stop: int
    beam: str
    name: str
    number: int
    dataset: DatasetIndex


Decoded: TypeAlias = list[tuple[_Chunk, NDArray[Any]]]


def table(decoded: Decoded) -> pd.DataFrame:
    """Return the rows inside the polygon: they show that these chunks are enough."""
    beams: dict[tuple[str, str], dict[str, list[NDArray[Any]]]] = {}
    for chunk, values in sorted(decoded, key=lambda each: each[0].number):
        columns = beams.setdefault((chunk.key, chunk.beam), {name: [] for name in COLUMNS})
        rows = chunk.dataset.shape[0] - chunk.number * chunk.dataset.chunk_shape[0]
        columns[chunk.name].append(values[:rows])
    tables = []
    for columns in beams.values():
        whole = pd.DataFrame({name: np.concatenate(pieces) for name, pieces in columns.items()})
        tables.append(whole[shapely.contains_xy(polygon(), whole["lon"], whole["lat"])])
    return pd.concat(tables)


@contender("W1", "limit", imports=("h5py", "obstore.store", "eoscale"), answer=table)
def limit(task: Task) -> Iterator[Work]:
    """All is known, and connections are open: bytes and decoding remain."""
    import obstore
    from obstore.store import HTTPStore

    host = urlsplit(task.urls[0]).netloc
    os.environ["EOSCALE_ALLOW_HOSTS"], os.environ["EOSCALE_INDEX_STORE"] = host, str(task.index_store)
    store = HTTPStore.from_url(f"http://{host}", client_options={"allow_http": True})
    spans = list(_spans(chain.from_iterable(map(_needed, task.urls, task.copies))))
    groups = list(_groups(spans))

    async def fetched() -> list[memoryview]:
        ranges = [(span[0].key, span[0].start, max(chunk.stop for chunk in span)) for span in spans]
        asked = [obstore.get_range_async(store, key, start=start, end=stop) for key, start, stop in ranges]
        return [memoryview(body) for body in await asyncio.gather(*asked)]

    with ThreadPoolExecutor(_CORES) as pool:

        def work() -> Decoded:
            bodies = asyncio.run(fetched())
            raws = {
                id(chunk): body[chunk.start - span[0].start : chunk.stop - span[0].start]
                for span, body in zip(spans, bodies, strict=True)
                for chunk in span
            }
            parts = pool.map(lambda some: _decoded(some, [raws[id(chunk)] for chunk in some]), groups)
            return list(chain.from_iterable(parts))

        work()
        yield work


def _needed(url: str, copy: Path) -> Iterator[_Chunk]:
    """Yield the chunks of a file that hold a row inside the polygon."""
    import h5py

    from eoscale.hdf5.index import index
    from eoscale.model.granule import Granule

    paths = {(beam, name): f"{beam}/{LAND}/{path}" for beam in BEAMS for name, path in COLUMNS.items()}
    found = index(Granule(id=copy.stem, product="ATL08", urls={"http": url}), paths.values()).datasets
    with h5py.File(copy) as file:
        for beam in BEAMS:
            (size,) = found[paths[beam, "lat"]].chunk_shape
            longitude, latitude = (file[paths[beam, name]][:] for name in ("lon", "lat"))
            inside = np.flatnonzero(shapely.contains_xy(polygon(), longitude, latitude))
            for number in np.unique(inside // size).tolist():
                for name in COLUMNS:
                    dataset = found[paths[beam, name]]
                    assert dataset.chunk_shape == (size,), f"{dataset.path} is cut otherwise than latitude"
                    start, length = int(dataset.offsets[number]), int(dataset.sizes[number])
                    key = urlsplit(url).path.lstrip("/")
                    yield _Chunk(key, start, start + length, beam, name, number, dataset)


def _spans(chunks: Iterable[_Chunk]) -> Iterator[list[_Chunk]]:
    """Yield chunks that lie near one another, in the order of their places."""
    span: list[_Chunk] = []
    for chunk in sorted(chunks, key=lambda each: each[:3]):
        if span and (chunk.key != span[-1].key or chunk.start - span[-1].stop > _GAP):
            yield span
            span = []
        span.append(chunk)
    yield span


def _groups(spans: Iterable[Sequence[_Chunk]]) -> Iterator[list[_Chunk]]:
    """Yield chunks of one type."""
    chunks = sorted(chain.from_iterable(spans), key=lambda chunk: chunk.dataset.dtype.itemsize)
    for _, members in groupby(chunks, lambda chunk: chunk.dataset.dtype.itemsize):
        alike = list(members)
        yield from (alike[start : start + _TOGETHER] for start in range(0, len(alike), _TOGETHER))


def _decoded(chunks: Sequence[_Chunk], raws: Sequence[memoryview]) -> Decoded:
    from eoscale.hdf5.filters import decode_many

    dataset = chunks[0].dataset
    values = np.empty((len(chunks), *dataset.chunk_shape), dataset.dtype)
    masks = [int(chunk.dataset.masks[chunk.number]) for chunk in chunks]
    decode_many(raws, dataset, masks, values.reshape(-1).view(np.uint8))
    return list(zip(chunks, values, strict=True))
