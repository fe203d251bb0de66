"""Stores: small objects by key, in a folder or an object store, each read and written whole.

A writer may say which version it replaces. Object stores refuse it if that is no longer the one they
have, so of many writers none undoes another's work unseen. A folder cannot compare: there the last writer
wins. In both a reader finds one writer's object or another's, never parts of two: obstore writes a file
under a name of its own beside the target, and renames it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import LocalStore, ObjectStore

from eoscale.access import budgets, objects
from eoscale.access.attempts import insist
from eoscale.errors import scrub

if TYPE_CHECKING:
    # types only: obstore has no such names at run time
    from obstore import PutMode, UpdateVersion

T = TypeVar("T")

LARGEST = 64 * 2**20
"""Bytes. A longer object is read as if it were empty: no index is so long."""


class Kept(NamedTuple):
    """An object of a store."""

    content: bytes
    version: UpdateVersion
    """For :func:`write`, to replace just this one."""


async def read(root: str, key: str, *, largest: int | None = None) -> Kept | None:
    """Return an object, or None where there is none.

    Parameters
    ----------
    root : str
        A folder, or a URL such as ``s3://bucket/prefix``, ``memory://`` (of this process) or anything
        that obstore knows. Credentials come from where the store's own tools look for them.
    key : str
        Below the root, with ``/`` between its parts.
    largest : int, optional
        Bytes; a longer object comes without its content. :data:`LARGEST` unless given.

    Raises
    ------
    AccessError
        If the store cannot be reached or refuses to answer.

    Examples
    --------
    >>> import asyncio
    >>> async def example():
    ...     await write("memory://", "a/b", b"first")
    ...     kept = await read("memory://", "a/b")
    ...     same = await write("memory://", "a/b", b"second", kept.version)
    ...     return kept.content, same, await write("memory://", "a/b", b"third", kept.version)
    >>> asyncio.run(example())
    (b'first', True, False)
    """

    async def ask() -> Kept | None:
        store, path = _locate(root, key)
        try:
            answer = await obstore.get_async(store, path)
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise
            return None
        small = answer.meta["size"] <= (LARGEST if largest is None else largest)
        content = bytes(await answer.bytes_async()) if small else b""
        return Kept(content, _version(answer.meta["e_tag"], answer.meta["version"]))

    return await _asked(root, "read", ask)


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

    async def ask() -> bool:
        store, path = _locate(root, key)
        try:
            await _put(store, path, content, version)
        except (AlreadyExistsError, PreconditionError):
            return False
        return True

    return await _asked(root, "written", ask)


async def replace(root: str, key: str, content: bytes) -> None:
    """Write an object, whatever was there.

    Raises
    ------
    AccessError
        If the store cannot be reached or refuses to be written.
    """

    async def ask() -> None:
        store, path = _locate(root, key)
        await obstore.put_async(store, path, content, mode="overwrite")

    await _asked(root, "written", ask)


async def create(root: str, key: str, content: bytes) -> bool:
    """Write an object where there is none, and return whether it is there now as it was given.

    An answer may be lost on its way, and the second try then finds what the first has written.

    Raises
    ------
    AccessError
        If the store cannot be reached or refuses to be written.
    """
    if await write(root, key, content):
        return True
    kept = await read(root, key)
    return kept is not None and kept.content == content


async def part(root: str, key: str, start: int, stop: int) -> bytes:
    """Return the bytes ``start <= position < stop`` of an object.

    Raises
    ------
    AccessError
        If it is not there, or shorter, or the store cannot be reached.
    """

    async def ask() -> bytes:
        store, path = _locate(root, key)
        found = bytes(await obstore.get_range_async(store, path, start=start, end=stop))
        if len(found) != stop - start:
            raise OSError(f"{key} has {start + len(found)} bytes, expected at least {stop}")
        return found

    return await _asked(root, "read", ask)


async def listed(root: str, prefix: str = "") -> dict[str, int]:
    """Return the size in bytes of each object by key, of those below a prefix that ends at a ``/``.

    Raises
    ------
    AccessError
        If the store cannot be reached or refuses to list.
    """

    async def ask() -> dict[str, int]:
        store, path = _locate(root, prefix)
        found: dict[str, int] = {}
        async for page in obstore.list(store, path or None, chunk_size=1000):
            found |= {each["path"]: each["size"] for each in page}
        return found

    return await _asked(root, "listed", ask)


async def size(root: str, key: str) -> int | None:
    """Return how many bytes an object has, or None where there is none.

    Raises
    ------
    AccessError
        If the store cannot be reached or refuses to answer.
    """

    async def ask() -> int | None:
        store, path = _locate(root, key)
        try:
            return (await obstore.head_async(store, path))["size"]
        except FileNotFoundError:
            return None

    return await _asked(root, "read", ask)


async def delete(root: str, *keys: str) -> None:
    """Delete objects, as far as they are there.

    Raises
    ------
    AccessError
        If the store cannot be reached or refuses to delete.
    """

    async def ask() -> None:
        located = [_locate(root, key) for key in keys]
        with suppress(FileNotFoundError):
            for store, _ in located[:1]:
                await obstore.delete_async(store, [path for _, path in located])

    await _asked(root, "written", ask)


async def _asked(root: str, deed: str, ask: Callable[[], Awaitable[T]]) -> T:
    """Return what a store answers, within the budget of connections, asked again while that may help."""

    async def attempt() -> T:
        try:
            async with budgets.here().connections:
                return await ask()
        except objects.FAULTS as error:
            raise objects.translated(error, f"{_name(root)} cannot be {deed}") from None

    return await insist(attempt, budgets.PATIENCE, _name(root))


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
    folder = objects.local(root)
    if folder is None:
        return objects.opened(root), key
    # it need not exist, which obstore asks of a store with a prefix
    return objects.disk(), (folder / key).as_posix().lstrip("/")


def _name(root: str) -> str:
    try:
        return scrub(root)
    except ValueError:  # no URL, so nobody can say which of its parts are secret
        return "a store"
