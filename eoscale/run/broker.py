"""The broker: gives the workers of a cluster the credentials that they ask for, and renews them in time.

The process of the user logs in, and nobody else. A worker asks by an event that holds a name. What is handed
out is short-lived, unless a provider has nothing short-lived, and goes over the connections of the cluster to
all workers, those that begin later among them. Passwords and offline tokens stay here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from uuid import uuid4
from weakref import WeakKeyDictionary

from distributed import Client, Worker, WorkerPlugin

from eoscale.access import keeper, loop
from eoscale.access.credentials import Credential
from eoscale.errors import AccessError, CredentialsError
from eoscale.run.permits import Permits

_logger = logging.getLogger(__name__)

TOPIC = "eoscale-credentials"
"""Of the events by which workers ask."""
_ASK_AGAIN = 2.0
"""Seconds after which a worker asks again: an event may be lost."""
_PATIENCE = 300.0
"""Seconds for which a worker waits, as the client waits for the services that give credentials."""
_LONGEST_LOOK = 5.0
"""Seconds between looks at a credential that is being renewed."""
_here = uuid4().hex
"""Of this process."""


class _Given(NamedTuple):
    """What workers are told of a name."""

    serial: int
    """One more with each that differs."""
    told: Mapping[str, Any]
    """Empty where the user has no login."""
    error: str = ""


class _Holder:
    """Has the credentials of a worker's process: what the broker gives it."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self._given: Mapping[str, _Given] = {}
        self._held: dict[str, Credential | None] = {}
        self._came = asyncio.Event()

    async def put(self, given: Mapping[str, _Given]) -> None:
        """Take all that the broker has, and wake who waits for it."""
        same = {name for name, each in given.items() if self._given.get(name) == each}
        self._held = {name: self._held[name] for name in same & set(self._held)}
        for name in set(given) - same:
            if not given[name].error:
                self._held[name] = Credential(**given[name].told) if given[name].told else None
        self._given = given
        came, self._came = self._came, asyncio.Event()
        came.set()

    async def get(self, name: str, refused: Credential | None = None) -> Credential | None:
        """Return the credential of a name, as :class:`~eoscale.access.keeper.Holder` says."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            given = self._given.get(name, _Given(0, {}))
            if given.error:
                raise CredentialsError(given.error)
            if name in self._held and (refused is None or self._held[name] is not refused):
                return self._held[name]
            self._ask({"name": name, "refused": given.serial if refused else 0})
            with suppress(TimeoutError):
                await asyncio.wait_for(self._came.wait(), _ASK_AGAIN)
        raise CredentialsError(
            f"no credentials for {name} came within {_PATIENCE:.0f} s from the process that began this: "
            "if it has ended, run again, and it goes on where it stopped"
        )

    def _ask(self, event: dict[str, str | int]) -> None:
        self.workers = [worker for worker in self.workers if worker.status.name != "closed"]
        for worker in self.workers[:1]:
            worker.log_event(TOPIC, event)


_holder = _Holder()


class _Credentials(WorkerPlugin):
    """Carries what workers are given; the scheduler keeps it for workers that begin later."""

    name = "eoscale-credentials"

    def __init__(self, given: Mapping[str, _Given]) -> None:
        self._given = dict(given)
        self._from = _here

    def setup(self, worker: Worker) -> None:
        """Have the process of a worker use these, unless it is the one that logs in."""
        if self._from == _here:
            return
        if worker not in _holder.workers:
            _holder.workers.append(worker)
        keeper.use(_holder)
        loop.start(_holder.put(self._given))


class _Broker:
    """Gives the workers of one client what they ask for. Its coroutines run on the I/O thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._given: dict[str, _Given] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._refused: dict[str, asyncio.Event] = {}
        self._turn = asyncio.Lock()

    def begin(self) -> None:
        """Hear workers, and have those that there are, and those that come, ask."""
        self._client.register_plugin(Permits())
        self._client.subscribe_topic(TOPIC, self._heard)
        self._client.register_plugin(_Credentials({}))

    def end(self) -> None:
        """Take back what was given."""
        loop.run(self._stop())
        with suppress(Exception):  # the cluster may be gone
            self._client.unsubscribe_topic(TOPIC)
            self._client.register_plugin(_Credentials({}))
            for name in (_Credentials.name, Permits.name):
                self._client.unregister_worker_plugin(name)

    def _heard(self, event: tuple[float, Mapping[str, Any]]) -> None:
        _, told = event
        loop.start(self._asked(str(told["name"]), int(told["refused"])))

    async def _asked(self, name: str, refused: int) -> None:
        if name not in self._watches:
            self._refused[name] = asyncio.Event()
            self._watches[name] = asyncio.ensure_future(self._watch(name))
        elif name in self._given and refused == self._given[name].serial:
            self._refused[name].set()

    async def _watch(self, name: str) -> None:
        """Give what is good for a name, again and again."""
        held: Credential | None = None
        while self._client.status in ("running", "connecting"):
            event = self._refused[name]
            refused = held if event.is_set() else None
            event.clear()
            try:
                held = await keeper.get(name, refused)
            except AccessError as error:
                await self._give(name, {}, str(error))
            else:
                await self._give(name, held.told() if held else {})
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), _until_next_look(held))

    async def _give(self, name: str, told: Mapping[str, str], error: str = "") -> None:
        last = self._given.get(name, _Given(0, {}))
        given = _Given(last.serial, told, error)
        if name in self._given and given == last:
            return
        self._given[name] = given._replace(serial=last.serial + 1)
        async with self._turn:
            while self._client.status in ("running", "connecting"):
                try:
                    await asyncio.to_thread(self._client.register_plugin, _Credentials(self._given))
                except Exception as failed:  # noqa: BLE001  a worker died of which the scheduler did not know
                    _logger.info("credentials are handed out again: %s", type(failed).__name__)
                    await asyncio.sleep(0.1)
                else:
                    return

    async def _stop(self) -> None:
        for watch in self._watches.values():
            watch.cancel()
        await asyncio.gather(*self._watches.values(), return_exceptions=True)


def _until_next_look(held: Credential | None) -> float | None:
    """Return seconds until a credential may be another one; None where it stays as it is."""
    if held is None:
        return 30.0  # the user may log in meanwhile
    if held.lifetime == float("inf"):
        return None
    return max(held.due_in, min(_LONGEST_LOOK, held.lifetime / 40))


_brokers: WeakKeyDictionary[Client, _Broker] = WeakKeyDictionary()


def connect(client: Client) -> None:
    """Have the workers of a cluster read with your logins, for as long as the client lives.

    Runs do so by themselves. In a notebook, call this before lazy frames are computed on a cluster.

    Parameters
    ----------
    client : distributed.Client

    Examples
    --------
    >>> from distributed import Client
    >>> with Client(processes=False, dashboard_address="127.0.0.1:0") as client:
    ...     connect(client)
    """
    if client not in _brokers:
        _brokers[client] = _Broker(client)
        _brokers[client].begin()


@contextmanager
def brokered(client: Client) -> Iterator[None]:
    """Have the workers of a cluster read with the logins of this process for a while."""
    if client in _brokers:
        yield
        return
    connect(client)
    try:
        yield
    finally:
        _brokers.pop(client).end()
