"""One version of a granule's file, for walks over its metadata."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self, TypeVar

from eoscale.access import budgets, disks, objects, ranges
from eoscale.access.head import Head
from eoscale.access.spans import Cost, Span
from eoscale.hdf5.format import Range, Walk, driver

T = TypeVar("T")

AT_HAND = 2**22
"""Bytes of a file that are kept when it has been taken whole, at most."""


class File:
    """One version of a file, and what reading it has cost so far.

    Parameters
    ----------
    url : str
    head : Head
        Size and version; another version is never read.
    first : memoryview, optional
        Bytes of its beginning.
    """

    def __init__(self, url: str, head: Head, first: memoryview | None = None) -> None:
        self.url = url
        self.head = head
        self.first = first or memoryview(b"")
        self.cost = Cost(1, len(self.first)) if self.first else Cost(0, 0)
        self.at_hand: dict[int, bytes] = {}
        """By offset: what came with a file that was taken whole, and will be read next."""

    @classmethod
    async def opened(cls, url: str) -> Self:
        """Return the version of a file that there is now.

        Raises
        ------
        AccessError
            If it cannot be reached.
        """
        return cls(url, *await ranges.opening(url, driver.FIRST))

    async def walk(
        self, walk: Walk[T], places: int, *, then: Callable[[T], Sequence[Range]] | None = None
    ) -> T:
        """Return what a walk makes of the file.

        Parameters
        ----------
        walk : Walk
        places : int
            About how many it will read that lie apart.
        then : callable, optional
            From the result to the ranges that will be read next. Of a file that is taken whole they are kept
            :attr:`at_hand`, unless they are too long.

        Raises
        ------
        AccessError
            If a range cannot be read exactly; and whatever the walk raises.
        """
        path = objects.local(self.url)
        if path is not None:
            return await self._walk_on_disk(path, walk)
        size = self.head.size
        page = await driver.pages(size, self._fetch)
        block = driver.block_size(size, places, ranges.link(self.url), page)
        if then is not None and block >= size:
            walk = self._keeping(walk, then)
        async with budgets.here().held.of(driver.held(size, places, block, page)):
            return await driver.afar(size, self._fetch, walk, block)

    def _keeping(self, walk: Walk[T], then: Callable[[T], Sequence[Range]]) -> Walk[T]:
        found = yield from walk
        asked = list(then(found))
        if sum(length for _, length in asked) <= AT_HAND:
            bodies = yield asked
            # copies, which do not keep the rest of the file
            self.at_hand = {offset: bytes(body) for (offset, _), body in zip(asked, bodies, strict=True)}
        return found

    async def _walk_on_disk(self, path: Path, walk: Walk[T]) -> T:
        """Return what a walk makes of a local file, in no blocks: the system keeps those of a disk."""
        found: list[T] = []

        def work(read: disks.Read) -> None:
            def counted(asked: Range) -> memoryview:
                self.cost += Cost(1, asked[1])
                return read(*asked)

            found.append(driver.driven(walk, counted))

        await disks.reading(self.url, self.head.etag, path, work)
        return found[0]

    async def _fetch(self, asked: Sequence[Range]) -> list[memoryview]:
        far = [(offset, length) for offset, length in asked if offset + length > len(self.first)]
        self.cost += Cost(len(far), sum(length for _, length in far))
        spans = [Span(offset, offset + length, ()) for offset, length in far]
        bodies = dict(zip(far, await ranges.fetch(self.url, self.head.etag, spans), strict=True))
        return [bodies.get(each, self.first[each[0] : sum(each)]) for each in asked]
