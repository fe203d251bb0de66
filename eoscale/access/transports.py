"""Transports: one version of an object, by exact ranges, over whatever its URL says.

A transport tries once. It returns the bytes that were asked for, or raises an :class:`AccessError`, or
:class:`~eoscale.access.attempts.Transient` where asking again may help.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import lru_cache, partial
from typing import NamedTuple

from eoscale.access import archives, endpoints, filesystems, https, keeper, objects, quota, redirects, spool
from eoscale.access.attempts import Transient
from eoscale.access.head import Head
from eoscale.errors import ThrottledError


class Transport(NamedTuple):
    """What reads a kind of URLs."""

    opening: Callable[[str, int], Awaitable[tuple[Head, memoryview]]]
    """Returns size and version of an object, and at most so many of its first bytes, or none."""
    get: Callable[[str, int, int, str], Awaitable[memoryview]]
    """Returns a range of that version."""


OBJECTS = Transport(objects.opening, objects.get)
ARCHIVES = Transport(archives.opening, archives.get)
WEB = Transport(partial(https.opening, sign=keeper.sign), partial(https.get, sign=keeper.sign))
MEMBERS = Transport(spool.opening, spool.get)
OTHERS = Transport(filesystems.opening, filesystems.get)


@lru_cache(maxsize=1024)  # each request asks for it
def host(url: str) -> str:
    """Return the host or bucket of a URL, with its port; nothing for this machine's disks.

    Raises
    ------
    AccessError
        If the URL is none.
    """
    parts = objects.parsed(url)
    return "" if parts.scheme in objects.DISKS else parts.netloc


def transport(url: str) -> Transport:
    """Return what reads a URL.

    A URL is first asked by the https client, which follows redirects one by one; one that has answered
    without any is read by obstore from then on, until its host asks for fewer requests.

    Raises
    ------
    AccessError
        If the URL is none, or its host must not be asked.
    """
    scheme = objects.parsed(url).scheme
    if scheme in (*objects.DISKS, *objects.BUCKETS):
        return ARCHIVES if archives.owns(url) else OBJECTS
    if scheme in ("http", "https"):
        endpoints.check(url)
        if spool.names(url):
            return MEMBERS
        return OBJECTS if redirects.plain(url) else WEB
    return OTHERS


def plain(url: str) -> bool:
    """Return whether a URL of a web server has answered without redirects, so that obstore reads it."""
    return objects.parsed(url).scheme in ("http", "https") and redirects.plain(url)


async def admitted(url: str) -> AbstractAsyncContextManager[None] | None:
    """Wait until a URL may be asked, as long as a login takes, and return what to hold while it is.

    Returns
    -------
    async context manager or None
        A permit where the provider has a quota.

    Raises
    ------
    CredentialsError
        If the user has a login for it that is no longer good.
    """
    if url.startswith("http") and redirects.plain(url):
        return None  # as most requests are
    chosen = transport(url)
    if chosen is ARCHIVES:
        await archives.ready(url)
    elif chosen is WEB:
        await keeper.sign(url, None)
    elif chosen is MEMBERS:
        await spool.ready(url)
        return None
    else:
        return None
    return quota.permit(url) if quota.quota(url) else None


async def opening(url: str, nbytes: int) -> tuple[Head, memoryview]:
    """Return size and version of an object, and at most so many of its first bytes, or none.

    Raises
    ------
    AccessError, Transient
        If it cannot be reached.
    """
    return await transport(url).opening(url, nbytes)


async def get(url: str, start: int, stop: int, etag: str) -> memoryview:
    """Return the bytes ``start <= position < stop`` of one version of an object.

    Parameters
    ----------
    url : str
    start, stop : int
        Not empty.
    etag : str
        The version that :func:`opening` gave; empty where the store has none.

    Raises
    ------
    ChangedError
        If the object has another version by now.
    AccessError, Transient
        If it cannot be reached, or the answer holds another range than the one asked for. Nothing short,
        long or shifted is ever returned.
    """
    chosen = transport(url)
    try:
        return await chosen.get(url, start, stop, etag)
    except Transient as failure:
        if chosen is OBJECTS and isinstance(failure.error, ThrottledError) and redirects.plain(url):
            redirects.watch(url)  # which sees for how long, as obstore does not
        raise
