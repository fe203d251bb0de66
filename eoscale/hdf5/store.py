"""The index store: where chunk indexes of granules are kept, so that a second run reads no HDF5 metadata.

One small object for each granule, under the URL that it is read by. Many processes may keep indexes of the
same granule at once: each one adds the variables that it has read to those that are there. Object stores
compare versions, so that nothing is lost. In a folder the last of two writers at the same moment wins: what
the other one knew is read again some day, and nothing is ever torn or wrong.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit
from weakref import WeakValueDictionary

from eoscale.access import endpoints, loop, stores
from eoscale.access.stores import Kept
from eoscale.errors import AccessError
from eoscale.hdf5 import entry
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.granule import Granule

_logger = logging.getLogger(__name__)

_ATTEMPTS = 16
"""At adding to an entry that other processes change at the same time."""
_LONGEST_PAUSE = 2.0
"""Seconds between two of them."""
_turns: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, str], asyncio.Lock] = WeakValueDictionary()
"""By key: the tasks of one process take turns, so that only processes race for an entry."""
_unusable: set[str] = set()
"""Stores of which this process has complained: once is enough."""


def load(granule: Granule) -> ChunkIndex | None:
    """Return what is kept of a granule's index, or None.

    None stands for a granule, or a route to it, that is not known, and for an entry of another format
    version or one that is damaged or says what cannot be: such entries are logged, and overwritten when the
    granule has been indexed again. Whether the file has changed since is not asked: every read of it says
    which version it expects, and :func:`forget` drops the index of another one.

    Parameters
    ----------
    granule : Granule

    Returns
    -------
    ChunkIndex or None
        Of all variables that were ever saved for this version of the file; at no cost.

    Raises
    ------
    AccessError
        If the store that ``EOSCALE_INDEX_STORE`` names cannot be reached, or the granule's URL not be read.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> granule = Granule(id="a", product="ATL06", urls={"https": "https://h/a.h5"})
    >>> index = ChunkIndex(granule="a", url="https://h/a.h5", size=9, etag='"1"', datasets={})
    >>> with patch.dict("os.environ", EOSCALE_INDEX_STORE="memory://"):
    ...     save(index)
    ...     load(granule)
    <ChunkIndex of a: 0 variables, 0 absent>
    """
    return loop.run(loaded(granule))


def save(*indexes: ChunkIndex) -> None:
    """Keep indexes, each together with what is already kept of the same version of its file.

    An index of a file without a version (an empty ETag) is not kept: nothing could tell later whether the
    file is still the same.

    Parameters
    ----------
    *indexes : ChunkIndex

    Raises
    ------
    AccessError
        If the store that ``EOSCALE_INDEX_STORE`` names cannot be written. A user's cache folder that cannot
        is only logged, once.

    Examples
    --------
    See :func:`load`.
    """

    async def together() -> None:
        await asyncio.gather(*map(saved, indexes))

    if indexes:
        loop.run(together())


def forget(granule: Granule) -> None:
    """Drop what is kept of a granule's index, because its file has changed.

    Raises
    ------
    AccessError
        If the store that ``EOSCALE_INDEX_STORE`` names cannot be written.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> granule = Granule(id="a", product="ATL06", urls={"https": "https://h/a.h5"})
    >>> with patch.dict("os.environ", EOSCALE_INDEX_STORE="memory://"):
    ...     forget(granule)
    ...     load(granule) is None
    True
    """
    root, key = endpoints.index_store(), _key(_canonical(granule.url))
    with _usable(root):
        loop.run(stores.delete(root, key))


async def loaded(granule: Granule) -> ChunkIndex | None:
    """Return what :func:`load` returns, for callers on the I/O thread that load many at once."""
    root, url = endpoints.index_store(), _canonical(granule.url)
    kept = None
    with _usable(root):
        kept = await stores.read(root, _key(url))
    if kept is None:
        return None
    try:
        index = _of(url, kept)
    except entry.FormatError as error:
        _logger.info("%s: the entry in the index store %s: it is built anew", granule.id, error)
        return None
    except ValueError as error:
        # in quotes: the words of a hostile entry must not look like another line of the log
        reason = ascii(str(error)[:200])
        _logger.warning(
            "%s: the entry in the index store is not used, it is built anew: %s", granule.id, reason
        )
        return None
    # the granule's own URL may be signed, which is nothing to keep
    return replace(index, granule=granule.id, url=granule.url)


async def saved(index: ChunkIndex) -> None:
    """Do what :func:`save` does, for callers on the I/O thread."""
    if not index.etag:
        return
    root, url = endpoints.index_store(), _canonical(index.url)
    with _usable(root):
        await _add(root, replace(index, url=url))


async def offered(index: ChunkIndex) -> None:
    """Keep an index as :func:`saved` does, or do without: what it adds to the one that is kept saves time.

    A store that others have filled may be there to be read alone. That is logged, once.
    """
    try:
        await saved(index)
    except AccessError as error:
        _do_without(endpoints.index_store(), f"zone maps are not kept: {error}")


async def _add(root: str, index: ChunkIndex) -> None:
    key = _key(index.url)
    async with _turns.setdefault((asyncio.get_running_loop(), key), asyncio.Lock()):
        await _race(root, key, index)


async def _race(root: str, key: str, index: ChunkIndex) -> None:
    for attempt in range(_ATTEMPTS):
        kept = await stores.read(root, key)
        try:
            content = entry.to_bytes(index if kept is None else _united(kept, index))
        except TypeError as error:
            _logger.warning("%s: its index cannot be kept: %s", index.granule, error)
            return
        if kept is not None and kept.content == content:
            return
        if await stores.write(root, key, content, None if kept is None else kept.version):
            return
        # another writer was faster; all of those who were slower wait for different times
        await asyncio.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.01 * 2**attempt)))  # noqa: S311
    _logger.info("%s: too many write its entry in the index store: this index is not kept", index.granule)


def _united(kept: Kept, index: ChunkIndex) -> ChunkIndex:
    """Return the variables of an index and those kept of the same version of the file."""
    try:
        known = _of(index.url, kept)
    except ValueError:
        return index  # which replaces it
    if (known.size, known.etag) != (index.size, index.etag):
        return index
    datasets = {**known.datasets, **index.datasets}
    return replace(
        index,
        datasets=datasets,
        zones={**known.zones, **index.zones},
        absent=(known.absent | index.absent).difference(datasets),
        fallback=index.fallback or known.fallback,
    )


def _of(url: str, kept: Kept) -> ChunkIndex:
    index = entry.from_bytes(kept.content)
    if index.url != url or not index.etag:
        raise ValueError("it is of another file, or does not say of which version")
    return index


@contextmanager
def _usable(root: str) -> Iterator[None]:
    """Say what to do where the store cannot be used; do without it where nobody has asked for it."""
    try:
        yield
    except AccessError as error:
        if root != endpoints.default_index_store():
            advice = f"set {endpoints.INDEX_STORE} to a folder or object store that can be read and written"
            raise type(error)(f"the index store {error}; {advice}") from None
        _do_without(root, f"no indexes are kept: {error}; set {endpoints.INDEX_STORE} to another folder")


def _do_without(root: str, reason: str) -> None:
    if root not in _unusable:
        _unusable.add(root)
        _logger.warning(reason)


def _canonical(url: str) -> str:
    """Return the one way to write a URL, without user and query; a fragment names a member of a zip.

    Raises
    ------
    AccessError
        If it is none.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme in ("", "file"):
            return Path(unquote(parts.path) if parts.scheme else url).resolve().as_uri()
        host = parts.netloc.rpartition("@")[2].lower()
        port = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
        path = quote(unquote_to_bytes(parts.path))
        member = f"#{quote(unquote_to_bytes(parts.fragment))}" if parts.scheme in ("https", "http") else ""
    except (ValueError, RuntimeError, OSError) as error:
        raise AccessError(f"a URL cannot be read: {error}") from None
    return f"{parts.scheme}://{host.removesuffix(port)}{path}{member.rstrip('#')}"


def _key(url: str) -> str:
    """Return where the entry of a canonical URL lies: a name for machines, and one for people."""
    digest = hashlib.sha256(url.encode()).hexdigest()
    name = re.sub(r"[^A-Za-z0-9._-]", "_", PurePosixPath(unquote(url)).name)[:100] or "_"
    return f"{digest[:2]}/{digest[:32]}-{name}.parquet"
