"""The broker: gives the workers of a cluster the credentials that they ask for, and renews them in time.

The process of the user logs in, and nobody else. A worker asks by an event that holds a name. What is handed
out is short-lived, unless a provider has nothing short-lived. It is sealed for each process by a key of its
own: neither the scheduler nor any log has it. Passwords and offline tokens stay here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from uuid import uuid4
from weakref import WeakKeyDictionary

from distributed import Client, Worker, WorkerPlugin
from nacl.encoding import HexEncoder
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from eoscale.access import keeper, loop, quota
from eoscale.access.credentials import Credential
from eoscale.errors import AccessError, CredentialsError, RecipeError
from eoscale.run.permits import Shared

_logger = logging.getLogger(__name__)

TOPIC = "eoscale-credentials"
"""Of the events by which workers ask."""
_ASK_AGAIN = 2.0
"""Seconds after which a worker asks again: an event may be lost."""
_PATIENCE = 300.0
"""Seconds for which a worker waits, as the client waits for the services that give credentials."""
_LONGEST_LOOK = 5.0
"""Seconds between looks at a credential that is being renewed."""
_PROCESS = uuid4().hex
"""Tells this process from others."""


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
        self._key = PrivateKey.generate()
        self._given: dict[str, _Given] = {}
        self._held: dict[str, Credential | None] = {}
        self._came = asyncio.Event()

    async def put(self, sealed: Mapping[str, bytes]) -> None:
        """Take what is sealed for this process, and wake who waits for it."""
        mine = sealed.get(self.public)
        if mine is None:
            return
        name, *told = json.loads(SealedBox(self._key).decrypt(mine))
        given = _Given(*told)
        if given != self._given.get(name):
            self._given[name] = given
            self._held[name] = Credential(**given.told) if given.told else None
        came, self._came = self._came, asyncio.Event()
        came.set()

    async def forget(self) -> None:
        """Have nothing any more."""
        self._given, self._held = {}, {}

    @property
    def public(self) -> str:
        """The key by which others seal what is for this process."""
        return self._key.public_key.encode(HexEncoder).decode()

    async def get(self, name: str, refused: Credential | None = None) -> Credential | None:
        """Return the credential of a name, as :class:`~eoscale.access.keeper.Holder` says."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            given = self._given.get(name, _Given(0, {}))
            if given.error:
                raise CredentialsError(given.error)
            if name in self._held and (refused is None or self._held[name] is not refused):
                return self._held[name]
            self._ask(name, given.serial if refused else 0)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._came.wait(), _ASK_AGAIN)
        raise CredentialsError(
            f"no credentials for {name} came within {_PATIENCE:.0f} s from the process that began this: "
            "if it has ended, run again, and it goes on where it stopped"
        )

    def _ask(self, name: str, refused: int) -> None:
        self.workers = [worker for worker in self.workers if worker.status.name != "closed"]
        for worker in self.workers[:1]:
            told = {"name": name, "refused": refused, "key": self.public, "worker": worker.address}
            worker.log_event(TOPIC, told)


_holder = _Holder()
_asking: set[tuple[str, str]] = set()
"""Plugins that were set up in this process, each with its worker."""


def _put(sealed: Mapping[str, bytes]) -> None:
    """Hand a worker what is sealed for it."""
    loop.start(_holder.put(sealed))


class _Asks(WorkerPlugin):
    """Has the processes of workers ask for credentials and permits, unless it is the one that logs in.

    Each client has one of its own: of several on one cluster one may end before the others.
    """

    def __init__(self, client: Client) -> None:
        self.name = f"eoscale-{client.id}"
        self._process = _PROCESS

    def setup(self, worker: Worker) -> None:
        """Begin with the worker."""
        if self._process != _PROCESS:
            _asking.add((self.name, worker.address))
            _holder.workers.append(worker)
            keeper.use(_holder)
            quota.use(Shared(worker))

    def teardown(self, worker: Worker) -> None:
        """Have the process know nothing any more when the last client has ended."""
        _asking.discard((self.name, worker.address))
        if self._process != _PROCESS and not _asking:
            loop.start(_holder.forget())
            keeper.use(keeper.Keeper())
            quota.use(quota.Own())


class _Broker:
    """Gives the workers of one client what they ask for. Its coroutines run on the I/O thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._given: dict[str, _Given] = {}
        self._askers: defaultdict[str, dict[str, str]] = defaultdict(dict)
        """Of a name: address and public key of each worker."""
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._plugin = _Asks(client)
        self._refused: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def begin(self) -> None:
        """Hear workers, and have those that there are, and those that come, ask."""
        self._client.subscribe_topic(TOPIC, self._heard)
        self._client.register_plugin(self._plugin)

    def end(self) -> None:
        """Take back what was given."""
        loop.run(self._stop())
        with suppress(Exception):  # the cluster may be gone
            self._client.unsubscribe_topic(TOPIC)
            self._client.unregister_worker_plugin(self._plugin.name)

    def _heard(self, event: tuple[float, Mapping[str, Any]]) -> None:
        _, told = event
        loop.start(self._asked(**told))

    async def _asked(self, name: str, refused: int, key: str, worker: str) -> None:
        self._askers[name][worker] = key
        if name not in self._watches:
            self._watches[name] = asyncio.ensure_future(self._watch(name))
        elif name in self._given and refused == self._given[name].serial:
            self._refused[name].set()
        elif name in self._given:
            await self._send(name, {worker: key})

    async def _watch(self, name: str) -> None:
        """Give what is good for a name, again and again."""
        held: Credential | None = None
        event = self._refused[name]
        while self._client.status in ("running", "connecting"):
            last, error = self._given.get(name, _Given(0, {})), ""
            try:
                held = await keeper.get(name, held if event.is_set() else None)
            except AccessError as failed:
                error = str(failed)
            event.clear()  # what was refused meanwhile is what there was before
            given = _Given(last.serial, held.told() if held and not error else {}, error)
            if name not in self._given or given != last:
                self._given[name] = given._replace(serial=last.serial + 1)
                await self._send(name, self._askers[name])
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), _until_next_look(held))

    async def _send(self, name: str, askers: Mapping[str, str]) -> None:
        """Give workers what there is for a name, sealed for each: Dask logs all messages when it debugs."""
        content = json.dumps([name, *self._given[name]]).encode()
        try:
            living = await asyncio.to_thread(self._client.nthreads)
            here = {worker: key for worker, key in askers.items() if worker in living}
            boxes = {key: SealedBox(PublicKey(key.encode(), HexEncoder)) for key in here.values()}
            sealed = {key: box.encrypt(content) for key, box in boxes.items()}
            await asyncio.to_thread(self._client.run, _put, sealed, workers=list(here), on_error="ignore")
        except (OSError, RuntimeError, CryptoError, ValueError) as error:
            _logger.info("credentials did not reach workers, who ask again: %s", type(error).__name__)

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

    Raises
    ------
    RecipeError
        If the client is asynchronous.

    Examples
    --------
    >>> from distributed import Client
    >>> with Client(processes=False, dashboard_address="127.0.0.1:0") as client:
    ...     connect(client)
    """
    if client.asynchronous:
        raise RecipeError("an asynchronous client was given: connect one that is not, of the same scheduler")
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
