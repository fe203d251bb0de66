"""What tests of access share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from eoscale.access import budgets, keeper, loop, redirects
from eoscale.access.attempts import Patience
from tests.access.remote import CONTENT, Allow
from tests.servers.redirects import Archive, Host, archive


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing that no server asks for."""
    monkeypatch.setattr(budgets, "PATIENCE", Patience(pause_seconds=0.001))
    monkeypatch.setattr(keeper, "PATIENCE", Patience(attempts=200, pause_seconds=0.001, longest_pause=0.01))


@pytest.fixture
def fresh(hasty: None) -> None:  # noqa: ARG001  what it does is wanted
    """Begin with an https client that knows nothing, and without credentials."""
    keeper.use(keeper.Keeper())

    async def forget() -> None:
        client = redirects._clients.pop(asyncio.get_running_loop(), None)
        if client:
            await client.session.close()
            await client.unkept.close()

    loop.run(forget())


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> Allow:
    """Return what allows some hosts."""

    def allowed(*hosts: Host) -> None:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", ",".join(host.host for host in hosts))

    return allowed


@pytest.fixture
def earthdata(allow: Allow) -> Iterator[Archive]:
    """Return an archive with a login, whose granules lie behind signed URLs of a third host."""
    with archive(CONTENT) as made:
        allow(*made.hosts)
        yield made
