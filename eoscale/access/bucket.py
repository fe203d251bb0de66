"""Paths in buckets: objects of an object store, with those methods of a path that runs use."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eoscale.access import loop, objects, stores
from eoscale.access.stores import Kept
from eoscale.errors import AccessError, scrub

if TYPE_CHECKING:
    # a type only: obstore has no such name at run time
    from obstore import UpdateVersion
    from obstore.store import ObjectStore

_LARGEST = 2**40
"""Bytes: what a run makes is read whole."""


@dataclass(frozen=True, order=True)
class BucketPath:
    """An object of a bucket, or all objects whose keys begin with the same folders.

    Parameters
    ----------
    root : str
        The bucket, such as ``s3://bucket``.
    key : str
        Without a ``/`` at either end.

    Examples
    --------
    >>> output = BucketPath.of("s3://bucket/2024/greenland.zarr/")
    >>> str(output / "zarr.json"), str(output.with_name("a.claim")), output.name
    ('s3://bucket/2024/greenland.zarr/zarr.json', 's3://bucket/2024/a.claim', 'greenland.zarr')
    >>> one = BucketPath.of("memory://tests/one")
    >>> one.create(b"first"), one.create(b"second"), one.read_bytes()
    (True, False, b'first')
    """

    root: str
    key: str

    @classmethod
    def of(cls, url: str) -> BucketPath:
        """Return the path of a URL.

        Raises
        ------
        ForbiddenError
            If its bucket has a name that no bucket has.
        AccessError
            If it names no key.
        """
        scheme, _, path = url.rstrip("/").partition("://")
        if scheme == "memory":
            return cls("memory://", path)
        objects.locate(url.rstrip("/"))  # says what is wrong with it
        bucket, _, key = path.partition("/")
        if not {"", ".", ".."}.isdisjoint(key.split("/")):
            raise AccessError(f"{scrub(url)} names no object: a part of its path is empty or dots")
        return cls(f"{scheme}://{bucket}", key)

    def __str__(self) -> str:
        return f"{self.root}{self.key}" if self.root.endswith("/") else f"{self.root}/{self.key}"

    def __truediv__(self, below: str) -> BucketPath:
        return BucketPath(self.root, f"{self.key}/{below}" if below else self.key)

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> BucketPath:
        """The path without its last part."""
        return BucketPath(self.root, self.key.rpartition("/")[0])

    def with_name(self, name: str) -> BucketPath:
        """Return the path with another last part."""
        folder, slash, _ = self.key.rpartition("/")
        return BucketPath(self.root, f"{folder}{slash}{name}")

    def read_bytes(self) -> bytes:
        """Return the object.

        Raises
        ------
        FileNotFoundError
            If there is none.
        AccessError
            If the bucket cannot be reached.
        """
        kept = self.kept()
        if kept is None:
            raise FileNotFoundError(str(self))
        return kept.content

    def kept(self) -> Kept | None:
        """Return the object with its version, or None where there is none."""
        return loop.run(stores.read(self.root, self.key, largest=_LARGEST))

    def read_part(self, start: int, stop: int) -> bytes:
        """Return the bytes ``start <= position < stop`` of the object."""
        return loop.run(stores.part(self.root, self.key, start, stop))

    def write_bytes(self, content: bytes) -> None:
        """Write the object, whatever was there."""
        loop.run(stores.replace(self.root, self.key, content))

    def create(self, content: bytes) -> bool:
        """Write the object where there is none, and return whether it is there now as it was given."""
        return loop.run(stores.create(self.root, self.key, content))

    def update(self, content: bytes, version: UpdateVersion) -> bool:
        """Write the object if it still is of some version, and return whether it was written."""
        return loop.run(stores.write(self.root, self.key, content, version))

    def sizes(self) -> dict[str, int]:
        """Return the size in bytes of each object below, by what its key adds."""
        found = loop.run(stores.listed(self.root, self.key))
        return {key.removeprefix(f"{self.key}/"): size for key, size in found.items() if key != self.key}

    def read_below(self, names: Sequence[str]) -> list[bytes]:
        """Return some objects below, all asked for at once; empty where there is none."""

        async def together() -> list[bytes]:
            found = await asyncio.gather(*(stores.read(self.root, f"{self.key}/{name}") for name in names))
            return [b"" if kept is None else kept.content for kept in found]

        return loop.run(together())

    def store(self) -> ObjectStore:
        """Return what lies below as a store of obstore's."""
        return objects.opened(str(self))

    def unlink(self, *, missing_ok: bool = True) -> None:
        """Delete the object."""
        del missing_ok  # a bucket does not tell
        loop.run(stores.delete(self.root, self.key))

    def remove(self) -> None:
        """Delete the object and all below it."""
        keys = [self.key, *(f"{self.key}/{name}" for name in self.sizes())]
        loop.run(stores.delete(self.root, *keys))

    def size(self) -> int | None:
        """Return how many bytes the object has, or None where there is none."""
        return loop.run(stores.size(self.root, self.key))

    def exists(self) -> bool:
        """Return whether there is such an object."""
        return self.size() is not None
