"""The chunk index of a granule: from the index store, or read from the file's metadata and kept there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TypeAlias

from eoscale.access import loop, objects, transports
from eoscale.access.head import Head
from eoscale.errors import AccessError, ChangedError, GranuleError
from eoscale.hdf5 import fallback, store
from eoscale.hdf5.file import File
from eoscale.hdf5.format import Contents, Range, Unfamiliar, datasets, names
from eoscale.model.chunk_index import UNALLOCATED, ChunkIndex
from eoscale.model.granule import Granule

_logger = logging.getLogger(__name__)

_PLACES = 7
"""In a file that the metadata of a variable lie in, with its share of those of its groups."""

Indexed: TypeAlias = ChunkIndex | AccessError | GranuleError
"""An index, or why there is none."""


def index(granule: Granule, paths: Iterable[str]) -> ChunkIndex:
    """Return where the chunks of some variables of a granule lie.

    What the index store knows is not read again; what it does not is added to it.

    Parameters
    ----------
    granule : Granule
    paths : iterable of str
        Full paths in the file. Those that it does not hold are listed as absent.

    Returns
    -------
    ChunkIndex
        Whether the file has changed since it was indexed shows when it is read (:class:`ChangedError`):
        :func:`store.forget` the index then.

    Raises
    ------
    AccessError
        If the file, or the index store, cannot be reached.
    GranuleError
        If it is no HDF5 file (:class:`NotHDF5Error`), is damaged (:class:`CorruptGranuleError`), has no
        values at a path (:class:`UnsupportedFilterError`), or would make a reader touch other files or
        exhaust the machine (:class:`UnsafeGranuleError`).
    """
    (found,) = indexes([granule], paths)
    if not isinstance(found, ChunkIndex):
        raise found
    return found


def begin(granule: Granule, paths: Iterable[str]) -> Future[ChunkIndex]:
    """Begin to look for the index of a granule, and return where it, or an error, will be found.

    Parameters and errors as of :func:`index`. One that was read from the file, so that it tells of requests,
    has not been kept yet (see :func:`store.saved`), and may have chunks at hand.
    """
    return loop.start(_found(granule, list(dict.fromkeys(paths))))


def indexes(granules: Sequence[Granule], paths: Iterable[str]) -> list[Indexed]:
    """Return the indexes of some granules, all read at once; an error in the place of one that has none.

    Parameters
    ----------
    granules : sequence of Granule
    paths : iterable of str
        As of :func:`index`.
    """
    wanted = list(dict.fromkeys(paths))

    async def attempt(granule: Granule) -> Indexed:
        try:
            return await _index(granule, wanted)
        except (AccessError, GranuleError) as error:
            return error

    async def together() -> list[Indexed]:
        return await asyncio.gather(*(attempt(granule) for granule in granules))

    return loop.run(together())


def known(granules: Sequence[Granule], paths: Iterable[str]) -> list[ChunkIndex | None]:
    """Return the indexes of some granules as far as the index store has them; no server is asked.

    Parameters
    ----------
    granules : sequence of Granule
    paths : iterable of str
        As of :func:`index`. An index that lacks one of them is none.
    """
    wanted = list(dict.fromkeys(paths))

    async def look(granule: Granule) -> ChunkIndex | None:
        try:
            kept = await _kept(granule)
        except AccessError:
            return None  # who reads it will hear of it
        if kept is None or not kept.absent.union(kept.datasets).issuperset(wanted):
            return None
        return _only(kept, wanted)

    async def together() -> list[ChunkIndex | None]:
        return await asyncio.gather(*map(look, granules))

    return loop.run(together())


def siblings(granule: Granule, path: str) -> tuple[str, ...]:
    """Return the names that lie beside a path in a granule; none if none do or it cannot be read."""

    async def read() -> tuple[str, ...]:
        file = await File.opened(granule.url)
        return await file.walk(names(file.head.size, path.rpartition("/")[0]), _PLACES)

    try:
        return loop.run(read())
    except (AccessError, GranuleError, Unfamiliar):
        return ()  # only a suggestion depends on it


async def _index(granule: Granule, paths: Sequence[str]) -> ChunkIndex:
    found = await _found(granule, paths)
    if found.requests:
        await store.saved(found)
    return replace(found, at_hand={})


async def _found(granule: Granule, paths: Sequence[str]) -> ChunkIndex:
    kept = await _kept(granule)
    present = kept.datasets.keys() | kept.absent if kept else frozenset[str]()
    lacking = [path for path in paths if path not in present]
    if kept and not lacking:
        return _only(kept, paths)
    if kept:
        try:
            fresh = await _read(granule, File(granule.url, Head(kept.size, kept.etag)), lacking)
        except ChangedError:
            kept = None
    if not kept:
        return await _read(granule, await File.opened(granule.url), paths)
    united = {**kept.datasets, **fresh.datasets}
    absent = kept.absent | fresh.absent
    return _only(replace(fresh, datasets=united, zones=kept.zones, absent=absent), paths)


async def _kept(granule: Granule) -> ChunkIndex | None:
    """Return what the index store has, unless the file is seen to be another one by now."""
    kept = await store.loaded(granule)
    path = objects.local(granule.url) if kept else None
    if kept and path:
        # asking a disk costs nothing; elsewhere the first read tells
        return kept if await objects.version(path) == (kept.size, kept.etag) else None
    return kept


def _only(found: ChunkIndex, paths: Sequence[str]) -> ChunkIndex:
    """Return an index of some of its variables."""
    return replace(
        found,
        datasets={path: found.datasets[path] for path in paths if path in found.datasets},
        zones={path: found.zones[path] for path in paths if path in found.zones},
        absent=found.absent.intersection(paths),
    )


def _chunks(contents: Contents) -> list[Range]:
    """Return the ranges of all chunks of all variables."""
    tables = [(each.offsets.reshape(-1), each.sizes.reshape(-1)) for each in contents.datasets.values()]
    return [
        each
        for offsets, sizes in tables
        for each in zip(offsets.tolist(), sizes.tolist(), strict=True)
        if each[0] != UNALLOCATED
    ]


async def _read(granule: Granule, file: File, paths: Sequence[str]) -> ChunkIndex:
    """Return an index that is read from the metadata of one version of a file."""
    head = file.head
    reason = ""
    try:
        try:
            contents = await file.walk(datasets(head.size, paths), _PLACES * len(paths), then=_chunks)
        except Unfamiliar as construct:
            reason = str(construct)
            _logger.info("%s is indexed by libhdf5: %s", granule.id, reason)
            contents, cost = await fallback.datasets(granule.url, head, paths)
            file.cost += cost
    except GranuleError as error:
        raise type(error)(error.message, granule=granule.id, url=granule.url) from error
    return ChunkIndex(
        granule=granule.id,
        url=granule.url,
        size=head.size,
        etag=head.etag,
        datasets=contents.datasets,
        absent=contents.absent,
        requests=file.cost.requests,
        bytes_read=file.cost.bytes,
        at_hand=file.at_hand,
        fallback=reason,
        plain=transports.plain(granule.url),
    )
