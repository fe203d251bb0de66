"""One version of a granule's file, for walks over its metadata."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from eoscale.access import budgets, objects, ranges
from eoscale.access.head import Head
from eoscale.access.ranges import Cost, Span
from eoscale.errors import AccessError, ChangedError, GranuleError, scrub
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
        path = objects.local(self.url)
        if path is not None:
            return await self._walk_on_disk(path, walk)
        size = self.head.size
        page = await driver.pages(size, self._fetch)
        block = driver.block_size(size, places, ranges.link(self.url), page)
        async with budgets.here().held.of(driver.held(size, places, block, page)):
            return await driver.afar(size, self._fetch, walk, block)

    async def _walk_on_disk(self, path: Path, walk: Walk[T]) -> T:
        """Return what a walk makes of a local file, in no blocks: the system keeps those of a disk."""
        found: list[T] = []

        def work() -> None:
            with path.open("rb", buffering=0) as file:

                def read(asked: Range) -> memoryview:
                    offset, length = asked
                    self.cost += Cost(1, length)
                    return memoryview(os.pread(file.fileno(), length, offset))

                found.append(driver.driven(walk, read))

        try:
            await budgets.here().crew.do(work)
        except GranuleError:  # some are errors of the system's kind, too
            raise
        except OSError as error:
            raise AccessError(f"{scrub(self.url)} cannot be read: {error.strerror}") from None
        if await ranges.head(self.url) != self.head:
            raise ChangedError(
                f"{scrub(self.url)} changed while it was read: it was version {self.head.etag}"
            )
        return found[0]

    async def _fetch(self, asked: Sequence[Range]) -> list[memoryview]:
        self.cost += Cost(len(asked), sum(length for _, length in asked))
        spans = [Span(offset, offset + length, ()) for offset, length in asked]
        return await ranges.fetch(self.url, self.head.etag, spans)
