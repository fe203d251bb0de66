"""One version of a granule's file, for walks over its metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from eoscale.access import budgets, ranges
from eoscale.access.head import Head
from eoscale.access.ranges import Cost, Span
from eoscale.hdf5.format import Range, Walk, driver

T = TypeVar("T")


class File:
    """One version of a file, and what reading it has cost so far.

    Parameters
    ----------
    url : str
    head : Head
        Size and version; another version is never read.
    """

    def __init__(self, url: str, head: Head) -> None:
        self.url = url
        self.head = head
        self.cost = Cost(0, 0)

    async def walk(self, walk: Walk[T], places: int) -> T:
        """Return what a walk makes of the file.

        Parameters
        ----------
        walk : Walk
        places : int
            About how many it will read that lie apart.

        Raises
        ------
        AccessError
            If a range cannot be read exactly; and whatever the walk raises.
        """
        size, link = self.head.size, ranges.link(self.url)
        async with budgets.here().held.of(driver.held(size, places, link)):
            return await driver.afar(size, self._fetch, walk, places, link)

    async def _fetch(self, asked: Sequence[Range]) -> list[memoryview]:
        self.cost += Cost(len(asked), sum(length for _, length in asked))
        spans = [Span(offset, offset + length, ()) for offset, length in asked]
        return await ranges.fetch(self.url, self.head.etag, spans)
