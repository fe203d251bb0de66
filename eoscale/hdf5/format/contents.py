"""The contents of a file: from wanted paths to the chunk indexes of what lies there.

All paths advance side by side, a link at a time; an object that several lead to is read once. Nothing
beside them is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from eoscale.errors import GranuleError, UnsafeGranuleError
from eoscale.hdf5 import safety
from eoscale.hdf5.format import groups, heaps
from eoscale.hdf5.format.cursor import File
from eoscale.hdf5.format.dataset import dataset, is_dataset
from eoscale.hdf5.format.groups import Link
from eoscale.hdf5.format.messages import paged
from eoscale.hdf5.format.objects import CACHE_IMAGE, DRIVER, FILE_SPACE, SHARED_TABLE, Message, messages, only
from eoscale.hdf5.format.superblock import superblock
from eoscale.hdf5.format.walk import Unfamiliar, Walk, together
from eoscale.model.chunk_index import DatasetIndex

_UNFAMILIAR = {
    SHARED_TABLE: "the file keeps messages in a table that objects share",
    DRIVER: "the file is one of several (driver information)",
    CACHE_IMAGE: "current metadata lie in an image of the cache of who wrote the file",
}
"""What a superblock extension may announce."""


class Contents(NamedTuple):
    """What lies at wanted paths."""

    datasets: dict[str, DatasetIndex]
    absent: frozenset[str]
    """Paths at which there is no dataset."""


def datasets(size: int, paths: Iterable[str]) -> Walk[Contents]:
    """Return where the chunks of the variables at some paths lie.

    Parameters
    ----------
    size : int
        Bytes of the file.
    paths : iterable of str
        Full paths. Soft links are followed inside the file.

    Raises
    ------
    GranuleError
        If the file is no HDF5 file, damaged, or a path leads out of it.
    Unfamiliar
        If the file uses what this reader leaves to libhdf5.
    """
    wanted = list(dict.fromkeys(paths))
    tree = yield from _opened(size)
    addresses = yield from tree.follow(wanted)
    found = yield from tree.read(address for address in addresses.values() if address is not None)
    present = {
        path: address
        for path, address in addresses.items()
        if address is not None and is_dataset(found[address])
    }
    indexes = yield from together(_told(tree.file, path, found[address]) for path, address in present.items())
    return Contents(dict(zip(present, indexes, strict=True)), frozenset(wanted) - set(present))


def names(size: int, path: str) -> Walk[tuple[str, ...]]:
    """Return the names in the group at a path; none if there is no group.

    Parameters and errors as :func:`datasets`.
    """
    tree = yield from _opened(size)
    address = (yield from tree.follow([path or "/"]))[path or "/"]
    if address is None:
        return ()
    found = (yield from tree.read([address]))[address]
    if not groups.is_group(found):
        return ()
    return tuple(sorted((yield from groups.links(tree.file, found, None))))


def texts(size: int, elements: bytes) -> Walk[list[str]]:
    """Return the texts of varying length that elements of a variable refer to.

    Parameters
    ----------
    size : int
        Bytes of the file.
    elements : bytes
        Of a variable whose values lie in heaps, one after another.

    Raises
    ------
    GranuleError
        If a text does not lie where it should.
    """
    block = yield from superblock(size)
    return (yield from heaps.texts(block.file, elements))


def page_size(size: int) -> Walk[int]:
    """Return the bytes of the pages that a file keeps its metadata in; 0 where it has none.

    Parameters and errors as :func:`datasets`.
    """
    block = yield from superblock(size)
    if block.extension is None:
        return 0
    space = only((yield from messages(block.file, block.extension)), FILE_SPACE)
    return 0 if space is None else paged(space.read(block.file))


def _told(file: File, path: str, found: list[Message]) -> Walk[DatasetIndex]:
    """Return the index of a dataset; what is wrong with it names it."""
    try:
        return (yield from dataset(file, path, found))
    except GranuleError as error:
        if error.message.startswith(f"{path}:"):
            raise
        raise type(error)(f"{path}: {error.message}") from error


def _opened(size: int) -> Walk[_Tree]:
    block = yield from superblock(size)
    if block.extension is not None:
        extension = yield from messages(block.file, block.extension)
        for message in extension:
            if message.type in _UNFAMILIAR:
                raise Unfamiliar(_UNFAMILIAR[message.type])
    return _Tree(block.file, block.root)


class _Step(NamedTuple):
    """How far a path has been followed."""

    address: int
    rest: tuple[str, ...]
    """Names that are still to go, the next one first."""
    links: int = 0
    """Soft links on the way so far."""


class _Tree:
    """The groups of a file, as far as they have been read."""

    def __init__(self, file: File, root: int) -> None:
        self.file = file
        self.root = root
        self._links: dict[tuple[int, str], Link | None] = {}
        """By group and name; None where the group has no such name."""

    def read(self, addresses: Iterable[int]) -> Walk[dict[int, list[Message]]]:
        """Return the object headers at some addresses, each read once."""
        wanted = list(dict.fromkeys(addresses))
        headers = yield from together(self.file.once(address, messages) for address in wanted)
        return dict(zip(wanted, headers, strict=True))

    def follow(self, paths: Iterable[str]) -> Walk[dict[str, int | None]]:
        """Return the address that each path leads to, or None."""
        ways: dict[str, _Step | None] = {path: _Step(self.root, _names(path)) for path in paths}
        while going := {path: step for path, step in ways.items() if step and step.rest}:
            yield from self._look_up((step.address, step.rest[0]) for step in going.values())
            for path, step in going.items():
                ways[path] = self._next(path, step, self._links[step.address, step.rest[0]])
        return {path: step.address if step else None for path, step in ways.items()}

    def _look_up(self, places: Iterable[tuple[int, str]]) -> Walk[None]:
        """Read the links of some names in some groups, each once."""
        lacking: dict[int, list[str]] = {}
        for address, name in dict.fromkeys(places):
            if (address, name) not in self._links:
                lacking.setdefault(address, []).append(name)
        found = yield from self.read(lacking)
        listed = yield from together(
            groups.links(self.file, found[address], wanted) for address, wanted in lacking.items()
        )
        for (address, wanted), links in zip(lacking.items(), listed, strict=True):
            self._links.update({(address, name): links.get(name) for name in wanted})

    def _next(self, path: str, step: _Step, link: Link | None) -> _Step | None:
        if link is None:
            return None
        if link.file is not None:
            raise UnsafeGranuleError(f"{path} leads into another file, {link.file!r}")
        if link.address is not None:
            return step._replace(address=link.address, rest=step.rest[1:])
        if link.path is None:
            raise Unfamiliar(f"{path} goes through a link of its writer's own making")
        rest = (*_names(link.path), *step.rest[1:])
        if step.links >= safety.MOST_LINKS or len(rest) > safety.MOST_LINKS:
            raise UnsafeGranuleError(f"{path} follows more than {safety.MOST_LINKS} links")
        start = self.root if link.path.startswith("/") else step.address
        return _Step(start, rest, step.links + 1)


def _names(path: str) -> tuple[str, ...]:
    """Return the names on a path; ``.`` is where it stands."""
    return tuple(step for step in path.split("/") if step not in ("", "."))
