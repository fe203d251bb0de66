"""Transports: strict byte ranges of a URL, through obstore."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, PreconditionError, UnauthenticatedError
from obstore.store import HTTPStore, LocalStore, ObjectStore

from eoscale.access import endpoints
from eoscale.errors import AccessError, ChangedError, CredentialsError, ForbiddenError, RecipeError, scrub


class Head(NamedTuple):
    """What a store says of an object."""

    size: int
    etag: str


@lru_cache(maxsize=256)
def _store(scheme: str, host: str, query: str) -> ObjectStore:
    if scheme == "file":
        return LocalStore()
    return HTTPStore.from_url(
        f"{scheme}://{host}/?{query}" if query else f"{scheme}://{host}",
        client_options={"allow_http": scheme == "http", "timeout": timedelta(seconds=60)},
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=60)},
    )


def local(url: str) -> Path | None:
    """Return the path of a URL on this machine's disks, without links and ``..``; None of any other.

    Raises
    ------
    AccessError
        If the URL is none.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise AccessError(f"a URL cannot be read: {error}") from None
    if parts.scheme not in ("", "file"):
        return None
    return Path(unquote(parts.path) if parts.scheme else url).resolve()


def _locate(url: str) -> tuple[ObjectStore, str]:
    path = local(url)
    if path is not None:
        # obstore takes no `..`, which a link on the way may lead elsewhere than the text says
        return _store("file", "", ""), path.as_posix().lstrip("/")
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        endpoints.check(url)
        # obstore encodes a path itself, and keeps the query (a signature) of its base
        return _store(parts.scheme, parts.netloc, parts.query), unquote(parts.path).lstrip("/")
    raise RecipeError(f"{scrub(url)}: reading by {parts.scheme}:// is not yet supported")


async def head(url: str) -> Head:
    """Return size and version of an object.

    Raises
    ------
    AccessError
        If it cannot be reached.
    """
    store, path = _locate(url)
    try:
        meta = await obstore.head_async(store, path)
    except (BaseError, OSError, ValueError) as error:
        raise _translated(error, url) from None
    return Head(meta["size"], meta["e_tag"] or "")


async def get(url: str, start: int, stop: int, etag: str) -> memoryview:
    """Return the bytes ``start <= position < stop`` of one version of an object.

    Parameters
    ----------
    url : str
    start, stop : int
        Not empty.
    etag : str
        The version that :func:`head` gave; empty where the store has none.

    Raises
    ------
    ChangedError
        If the object has another version by now.
    AccessError
        If it cannot be reached, or the answer holds another range than the one asked for. Nothing short,
        long or shifted is ever returned.
    """
    store, path = _locate(url)
    try:
        options: obstore.GetOptions = {"range": (start, stop)}
        if etag and not etag.startswith("W/"):  # If-Match never matches a weak tag (RFC 9110, 13.1.1)
            options["if_match"] = etag
        answer = await obstore.get_async(store, path, options=options)
        body = memoryview(await answer.bytes_async())
    except (BaseError, OSError, ValueError) as error:
        raise _translated(error, url) from None
    if answer.range != (start, stop) or len(body) != stop - start:
        raise AccessError(
            f"{scrub(url)} answered bytes {answer.range[0]} to {answer.range[1]} ({len(body)} received), "
            f"asked for {start} to {stop}: the object changed, or the server ignores ranges"
        )
    if etag and answer.meta["e_tag"] != etag:
        raise ChangedError(f"{scrub(url)} changed while it was read: it was version {etag}")
    return body


def _translated(error: Exception, url: str) -> AccessError:
    # obstore names the URL that it asked for, with its password and signature
    reason = re.sub(r"https?://\S+", lambda found: scrub(found[0]), str(error).partition("\n")[0])
    message = f"{scrub(url)} cannot be read: {reason}"
    if isinstance(error, UnauthenticatedError):
        return CredentialsError(f"{message}; log in")
    if isinstance(error, PermissionDeniedError | PermissionError):
        return ForbiddenError(f"{message}; ask for the right to read it")
    if isinstance(error, PreconditionError):
        return ChangedError(f"{scrub(url)} changed since it was indexed: run again")
    return AccessError(message)
