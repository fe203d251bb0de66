"""Stores: small objects by key, in a folder or an object store, each read and written whole.

A writer may say which version it replaces. Object stores refuse it if that is no longer the one they
have, so of many writers none undoes another's work unseen. A folder cannot compare: there the last writer
wins. In both a reader finds one writer's object or another's, never parts of two: obstore writes a file
under a name of its own beside the target, and renames it.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit
from weakref import WeakKeyDictionary

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import LocalStore, MemoryStore, ObjectStore, S3Store, from_url

from eoscale.access import endpoints
from eoscale.access.ranges import CONNECTIONS
from eoscale.errors import AccessError, CredentialsError, ForbiddenError, scrub

if TYPE_CHECKING:
    # types only: obstore has no such names at run time
    from obstore import PutMode, UpdateVersion
    from obstore.store import ClientConfig, RetryConfig

LARGEST = 64 * 2**20
"""Bytes. A longer object is read as if it were empty: nothing that eoscale keeps is so long."""
_FAULTS = (BaseError, OSError, ValueError, NotImplementedError)
"""What obstore raises."""


class Kept(NamedTuple):
    """An object of a store."""

    content: bytes
    version: UpdateVersion
    """For :func:`write`, to replace just this one."""


async def read(root: str, key: str) -> Kept | None:
    """Return an object, or None where there is none.

    Parameters
    ----------
    root : str
        A folder, or a URL such as ``s3://bucket/prefix``, ``memory://`` (of this process) or anything
        that obstore knows. Credentials come from where the store's own tools look for them.
    key : str
        Below the root, with ``/`` between its parts.

    Raises
    ------
    AccessError
        If the store cannot be reached or refuses to answer.

    Examples
    --------
    >>> async def example():
    ...     await write("memory://", "a/b", b"first")
    ...     kept = await read("memory://", "a/b")
    ...     same = await write("memory://", "a/b", b"second", kept.version)
    ...     return kept.content, same, await write("memory://", "a/b", b"third", kept.version)
    >>> asyncio.run(example())
    (b'first', True, False)
    """
    try:
        store, path = _locate(root, key)
        async with _budget():
            answer = await obstore.get_async(store, path)
            small = answer.meta["size"] <= LARGEST
            content = bytes(await answer.bytes_async()) if small else b""
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise AccessError(f"{_name(root)} cannot be read: there is no such bucket") from None
        return None
    except _FAULTS as error:
        raise _translated(error, f"{_name(root)} cannot be read") from None
    return Kept(content, _version(answer.meta["e_tag"], answer.meta["version"]))


async def write(root: str, key: str, content: bytes, version: UpdateVersion | None = None) -> bool:
    """Write an object, and return whether it was written.

    Parameters
    ----------
    root, key : str
        As for :func:`read`.
    content : bytes
    version : UpdateVersion, optional
        Of the object that is replaced; without it there must be none yet. Folders do not look at it.

    Returns
    -------
    bool
        False if another writer was faster, so that the object is not the one that was to be replaced.

    Raises
    ------
    AccessError
        If the store cannot be reached or refuses to be written.
    """
    try:
        store, path = _locate(root, key)
        async with _budget():
            await _put(store, path, content, version)
    except (AlreadyExistsError, PreconditionError):
        return False
    except _FAULTS as error:
        raise _translated(error, f"{_name(root)} cannot be written") from None
    return True


async def delete(root: str, key: str) -> None:
    """Delete an object, if there is one.

    Raises
    ------
    AccessError
        If the store cannot be reached or refuses to delete.
    """
    try:
        store, path = _locate(root, key)
        async with _budget():
            await obstore.delete_async(store, path)
    except FileNotFoundError:
        return
    except _FAULTS as error:
        raise _translated(error, f"{_name(root)} cannot be written") from None


async def _put(store: ObjectStore, path: str, content: bytes, version: UpdateVersion | None) -> None:
    if not isinstance(store, LocalStore):
        with suppress(NotImplementedError):  # WebDAV, for one: there the last writer wins too
            mode: PutMode = "create" if version is None else version or "overwrite"
            await obstore.put_async(store, path, content, mode=mode)
            return
    await obstore.put_async(store, path, content, mode="overwrite", use_multipart=False)


def _version(e_tag: str | None, version: str | None) -> UpdateVersion:
    """Return what tells a version: S3 goes by the ETag, Google by the version."""
    told: UpdateVersion = {}
    if e_tag is not None:
        told["e_tag"] = e_tag
    if version is not None:
        told["version"] = version
    return told


def _locate(root: str, key: str) -> tuple[ObjectStore, str]:
    parts = urlsplit(root)
    if parts.scheme in ("", "file"):
        # the folder need not exist, which obstore asks of a store with a prefix
        folder = Path(unquote(parts.path) if parts.scheme else root).resolve()
        return _store("file", ""), (folder / key).as_posix().lstrip("/")
    return _store(root, endpoints.s3_endpoint() if parts.scheme in ("s3", "s3a") else ""), key


@lru_cache(maxsize=16)
def _store(root: str, endpoint: str) -> ObjectStore:
    if root == "file":
        return LocalStore()
    if root.startswith("memory:"):
        return MemoryStore()
    retries: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}
    plain = (endpoint or root).startswith("http:")
    client: ClientConfig = {"allow_http": plain, "timeout": timedelta(seconds=60)}
    if endpoint:
        return S3Store.from_url(root, endpoint=endpoint, client_options=client, retry_config=retries)
    return from_url(root, client_options=client, retry_config=retries)


_connections: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _budget() -> asyncio.Semaphore:
    """Return what bounds the requests in flight: a thousand open files are more than many systems allow."""
    return _connections.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(CONNECTIONS))


def _name(root: str) -> str:
    try:
        return scrub(root)
    except ValueError:  # no URL, so nobody can say which of its parts are secret
        return "a store"


def _translated(error: Exception, message: str) -> AccessError:
    # obstore names the URL that it asked for; services answer with a page of XML that may name the key used
    told = re.split(r"[\n<]", str(error))[0].strip(" :")
    reason = re.sub(r"\w+://[^\s\"]+", lambda found: scrub(found[0]), told)
    if isinstance(error, UnauthenticatedError):
        return CredentialsError(f"{message}: {reason}; log in")
    if isinstance(error, PermissionDeniedError | PermissionError):
        return ForbiddenError(f"{message}: {reason}; ask for the right to list, read and write there")
    return AccessError(f"{message}: {reason}")
