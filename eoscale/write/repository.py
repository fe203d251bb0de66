"""Icechunk repositories: where one lies, whether there is one, and what its branch main holds.

The package is an extra: it is imported here, when it is needed.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import xarray as xr
from obstore.store import S3Store
from zarr.core.buffer import default_buffer_prototype

from eoscale.access import loop
from eoscale.errors import AccessError, ConflictError, IncompleteRunError, RecipeError
from eoscale.write import places
from eoscale.write.places import Place
from eoscale.write.provenance import DIGEST

if TYPE_CHECKING:
    from icechunk import ForkSession, IcechunkStore, Repository, Storage

MAIN = "main"
ROOT = "zarr.json"
"""Key of the root group."""
_BRANCH = "refs/branch.main/ref.json"
"""What says where main stands (Icechunk specification 1, "Refs")."""
_FIRST = "snapshots/1CECHNKREP0F1RSTCMT0"
"""The empty snapshot, the first object of every repository (the same, "Snapshots")."""


def is_repository(output: Place) -> bool:
    """Return whether there is a repository.

    Examples
    --------
    >>> is_repository(Path("nowhere.icechunk"))
    False
    """
    return (output / _BRANCH).exists()


def require(output: Place, zarr_format: int) -> None:
    """Refuse an output that cannot be written, before anything is read.

    Raises
    ------
    RecipeError
        If the package is not installed, or the output is neither on a disk nor in a bucket of S3, or another
        format than Zarr 3 is wanted.
    """
    _package()
    if zarr_format != 3:
        raise RecipeError(f"output {output}: Icechunk holds Zarr 3 only; leave `zarr_format` out")
    _storage(output)


def check_free(output: Place, digest: str) -> bool:
    """Return whether main still has to be given the result of a job; False where it holds that.

    Parameters
    ----------
    output : Place
    digest : str
        Of the job.

    Raises
    ------
    ConflictError
        If something else is there than a repository with an empty main or a result of eoscale.

    Examples
    --------
    >>> check_free(Path("nowhere.icechunk"), "0123456789abcdef")
    True
    """
    if not is_repository(output):
        if _occupied(output):
            raise ConflictError(f"{output} exists and is no repository of Icechunk 1: choose another output")
        return True
    with told(output, "read"):
        found = _job(opened(output))
    if found == "":
        raise ConflictError(f"main of {output} holds what is not eoscale's: choose another output")
    return found != digest


def open_repository(output: Place) -> xr.Dataset:
    """Return what main of a repository holds now as a dataset, read lazily; it does not change any more.

    Raises
    ------
    IncompleteRunError
        If nothing has been published there.
    """
    with told(output, "read"):
        repository = opened(output)
        if _job(repository) is None:
            raise IncompleteRunError(f"{output} has not been published: run its recipe")
        store = repository.readonly_session(MAIN).store
        dataset: xr.Dataset = xr.open_zarr(store, consolidated=False, chunks=None)
        return dataset


def _package() -> ModuleType:
    try:
        return import_module("icechunk")
    except ImportError as error:
        raise RecipeError("Icechunk is not installed: pip install 'eoscale[icechunk]'") from error


def _storage(output: Place) -> Storage:
    """Return where a repository lies, with the endpoint and the keys that the environment names."""
    package = _package()
    if isinstance(output, Path):
        if "ICECHUNK_LOG" not in os.environ:
            # each process would warn that on a disk only one may commit at a time: the claim sees to that
            package.set_logs_filter("error")
        disk: Storage = package.local_filesystem_storage(str(output))
        return disk
    store = output.store()
    if not isinstance(store, S3Store):
        raise RecipeError(f"output {output}: an Icechunk repository lies on a disk or in a bucket of S3")
    endpoint = store.config.get("endpoint")
    bucket: Storage = package.s3_storage(
        bucket=store.config["bucket"],
        prefix=output.key,
        region=store.config.get("region"),
        endpoint_url=endpoint,
        allow_http=str(endpoint).startswith("http:"),
        force_path_style=endpoint is not None,
        from_env=True,
    )
    return bucket


def opened(output: Place) -> Repository:
    """Return the repository that is there."""
    repository: Repository = _package().Repository.open(_storage(output))
    return repository


def made(output: Place) -> Repository:
    """Return the repository, a new one if there is none.

    Raises
    ------
    ConflictError
        If something else is there.
    """
    if is_repository(output):
        return opened(output)
    if _occupied(output):
        raise changed(output)
    for name in places.sizes(output):  # an attempt died while it made one, which Icechunk does not go on with
        (output / name).unlink(missing_ok=True)
    places.make(output)
    repository: Repository = _package().Repository.create(_storage(output))
    return repository


def _occupied(output: Place) -> bool:
    """Return whether something is there that is not even the beginning of a repository."""
    if isinstance(output, Path) and os.path.lexists(output) and not output.is_dir():
        return True
    return not all(name.startswith(_FIRST) for name in places.sizes(output))


def _job(repository: Repository) -> str | None:
    """Return the digest of the job whose result main holds; empty for anything else, None for nothing."""
    store = repository.readonly_session(MAIN).store

    async def ask() -> str | None:
        # `get` and `is_empty` take what cannot be read for what is not there: only these two tell
        if not await store.exists(ROOT):
            return "" if [name async for name in store.list()] else None
        root = await store.get(ROOT, default_buffer_prototype())
        told = json.loads(root.to_bytes()) if root else {}
        return str(told.get("attributes", {}).get(DIGEST, ""))

    return loop.run(ask())


def put(store: IcechunkStore, objects: Mapping[str, bytes]) -> None:
    """Put objects into a session, all at once."""
    buffer = default_buffer_prototype().buffer

    async def together() -> None:
        await asyncio.gather(*(store.set(name, buffer.from_bytes(objects[name])) for name in objects))

    loop.run(together())


def packed(fork: ForkSession) -> bytes:
    """Return a fork with its changes as Icechunk's own bytes: a pickle could run anything."""
    state: Any = fork.__getstate__()
    return bytes(state["_session"])


def unpacked(changes: bytes) -> ForkSession:
    """Return a fork that :func:`packed` packed, to go on with."""
    fork: ForkSession = object.__new__(_package().ForkSession)
    fork.__setstate__({"_session": changes})
    return fork


def changed(output: Place) -> ConflictError:
    """Return what is raised where somebody else was faster."""
    return ConflictError(f"{output} came into being or changed while this was made: run again")


@contextmanager
def told(output: Place, deed: str) -> Iterator[None]:
    """Say in one sentence what Icechunk could not do.

    Raises
    ------
    ConflictError, AccessError
    """
    package = _package()
    try:
        yield
    except package.ConflictError:
        raise changed(output) from None
    except package.IcechunkError as error:
        *_, cause = str(error).strip().splitlines()  # behind a tree of all that led to it
        raise AccessError(f"{output} cannot be {deed}: {cause.strip().removeprefix('`-> ')}") from None
