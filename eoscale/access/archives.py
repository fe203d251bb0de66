"""Archives: buckets of providers, who give keys for them for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from eoscale.access import keeper, objects, providers, region
from eoscale.access.credentials import Credential
from eoscale.access.head import Head
from eoscale.access.objects import ExpiredError
from eoscale.errors import CredentialsError, ForbiddenError, scrub

T = TypeVar("T")


def owns(url: str) -> bool:
    """Return whether a URL is of a bucket for which a provider gives keys."""
    return bool(_keys(url))


async def ready(url: str) -> None:
    """Wait until there are keys for the bucket of a URL, if the user has a login for it.

    Raises
    ------
    CredentialsError
        If there are none that are good.
    """
    await keeper.get(_keys(url))


async def opening(url: str, nbytes: int) -> tuple[Head, memoryview]:
    """Return size and version of an object, and its first bytes.

    Raises
    ------
    AccessError, Transient
        If it cannot be reached, or there are no keys that are good.
    """
    return await asked(url, lambda keys: objects.opening(url, nbytes, keys))


async def get(url: str, start: int, stop: int, etag: str) -> memoryview:
    """Return the bytes ``start <= position < stop`` of one version of an object.

    Raises
    ------
    AccessError, Transient
        As :func:`transports.get`.
    """
    return await asked(url, lambda keys: objects.get(url, start, stop, etag, keys))


async def asked(url: str, ask: Callable[[Credential | None], Awaitable[T]]) -> T:
    """Return what a request to a bucket gives, made again with other keys where these are no longer good.

    Parameters
    ----------
    url : str
    ask : callable
        Makes the request with keys; with None as whoever the environment says that this is.

    Raises
    ------
    AccessError, Transient
        If it cannot be reached, or there are no keys that are good.
    """
    name = _keys(url)
    if not name:
        return await ask(None)
    keys = await keeper.get(name)
    if keys is None and name == providers.CDSE_KEYS:
        raise CredentialsError(f"{scrub(url)} cannot be read: {providers.how_to_log_in(name)}")
    try:
        try:
            return await ask(keys)  # without a login, as whoever the platform says that this is
        except ExpiredError:
            renewed = keys and await keeper.get(name, keys)
            if not renewed:
                raise
            return await ask(renewed)
    except ForbiddenError as error:
        here = await asyncio.to_thread(region.here)
        why = providers.why_forbidden(_bucket(url), name, here)
        raise ForbiddenError(f"{error}: {why}" if why else str(error)) from None
    except ExpiredError:
        raise
    except CredentialsError as error:
        raise CredentialsError(f"{error}: {providers.how_to_log_in(providers.EARTHDATA)}") from None


def _bucket(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def _keys(url: str) -> str:
    return providers.keys(_bucket(url)) if url.startswith(("s3://", "s3a://")) else ""
