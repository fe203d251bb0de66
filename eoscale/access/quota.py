"""Quotas: how much a provider lets a user ask for at once, and how often, from all processes together.

A request holds one of a few permits, and keeps it for a while even if it is answered sooner. So the number
of permits bounds the connections, and both bound the requests of a minute. A process has permits of its own,
unless a run has put in place those of a whole cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakKeyDictionary

from eoscale.access import providers

_MARGIN = 1.05
"""By which permits are kept longer than they need be: requests are repeated where a bearer is over."""
_CLOSING = 0.02
"""Seconds after an answer until its connection is closed for the server too."""


@dataclass(frozen=True, kw_only=True)
class Quota:
    """What a provider allows a user."""

    connections: int
    requests_a_minute: int

    @property
    def seconds(self) -> float:
        """How long a request holds its permit at least.

        Examples
        --------
        >>> round(Quota(connections=4, requests_a_minute=2000).seconds, 3)
        0.126
        """
        return _MARGIN * 60 * self.connections / self.requests_a_minute


QUOTAS: Mapping[str, Quota] = {providers.CDSE: Quota(connections=4, requests_a_minute=2000)}
"""By provider (https://documentation.dataspace.copernicus.eu/Quotas.html)."""


class Permits(Protocol):
    """Gives permits, never more at once than there are."""

    async def take(self, name: str, number: int) -> None:
        """Wait for a permit of a provider who has so many."""

    async def give(self, name: str) -> None:
        """Return one."""


class Own:
    """Permits of this process alone."""

    def __init__(self) -> None:
        self._rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]]
        self._rooms = WeakKeyDictionary()

    async def take(self, name: str, number: int) -> None:
        """Wait for a permit."""
        rooms = self._rooms.setdefault(asyncio.get_running_loop(), {})
        await rooms.setdefault(name, asyncio.Semaphore(number)).acquire()

    async def give(self, name: str) -> None:
        """Return one."""
        self._rooms[asyncio.get_running_loop()][name].release()


_permits: Permits = Own()
_giving: set[asyncio.Task[None]] = set()


def use(permits: Permits) -> None:
    """Have permits of others in this process."""
    global _permits  # noqa: PLW0603  a process has one kind
    _permits = permits


def quota(url: str) -> Quota | None:
    """Return the quota that a request to a URL counts for; None where there is none.

    Examples
    --------
    >>> quota("https://download.dataspace.copernicus.eu/odata/v1/Products(1)/$value").connections
    4
    >>> quota("https://data.nsidc.earthdatacloud.nasa.gov/a.h5")
    """
    return QUOTAS.get(providers.owner(url))


@asynccontextmanager
async def permit(url: str) -> AsyncIterator[None]:
    """Hold a permit for a request to a URL, if its provider has a quota."""
    name, clock, permits = providers.owner(url), asyncio.get_running_loop().time, _permits
    allowed = QUOTAS.get(name)
    if allowed is None:
        yield
        return
    await permits.take(name, allowed.connections)
    until = clock() + allowed.seconds
    try:
        yield
    finally:
        # who has its answer need not wait until others may ask
        giving = asyncio.ensure_future(_give(permits, name, max(until - clock(), _CLOSING)))
        _giving.add(giving)
        giving.add_done_callback(_giving.discard)


async def _give(permits: Permits, name: str, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await permits.give(name)
