from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import pytest

from eoscale.access import keeper
from eoscale.access.attempts import Transient
from eoscale.access.credentials import Credential
from eoscale.access.keeper import Keeper
from eoscale.errors import AccessError, CredentialsError

pytestmark = pytest.mark.usefixtures("hasty")
DOWN = Transient(AccessError("the service is down"))


class Source:
    """Gives credentials one after another, and errors in between, each as late as it is told."""

    def __init__(self, *lifetimes: float | Exception, late: float = 0.0) -> None:
        self.left = list(lifetimes)
        self.late = late
        self.asked: list[Credential | None] = []

    async def __call__(self, name: str, previous: Credential | None) -> Credential | None:
        self.asked.append(previous)
        await asyncio.sleep(self.late)
        found = self.left.pop(0)
        if isinstance(found, Exception):
            raise found
        return Credential(name=name, token=f"t{len(self.asked)}", lifetime=found)


def kept(source: Source, use: Callable[[Keeper], Any]) -> Any:  # noqa: ANN401
    """Return what a keeper is used for."""
    return asyncio.run(use(Keeper(source)))


def tokens(found: Sequence[Credential | None]) -> list[str]:
    return [one.token if one else "" for one in found]


def test_all_that_ask_at_once_ask_the_service_once() -> None:
    source = Source(inf, late=0.02)

    async def use(one: Keeper) -> list[Credential | None]:
        return [*await asyncio.gather(*(one.get("maap") for _ in range(100))), await one.get("maap")]

    assert tokens(kept(source, use)) == ["t1"] * 101
    assert len(source.asked) == 1


def test_it_is_renewed_before_it_is_over_and_nobody_waits() -> None:
    source = Source(0.2, inf, late=0.03)

    async def use(one: Keeper) -> list[Credential | None]:
        clock = asyncio.get_running_loop().time
        found = [await one.get("maap")]
        await asyncio.sleep(0.16)
        began = clock()
        found += await asyncio.gather(*(one.get("maap") for _ in range(5)))
        assert clock() - began < 0.02
        await asyncio.sleep(0.06)
        return [*found, await one.get("maap")]

    assert tokens(kept(source, use)) == [*["t1"] * 6, "t2"]
    assert len(source.asked) == 2


def test_what_failed_replaces_nothing_that_still_works() -> None:
    source = Source(0.4, CredentialsError("no more"))

    async def use(one: Keeper) -> list[Credential | None]:
        found = [await one.get("maap")]
        await asyncio.sleep(0.32)
        return found + [await one.get("maap") for _ in range(3) if await asyncio.sleep(0.01, result=True)]

    assert tokens(kept(source, use)) == ["t1"] * 4
    assert len(source.asked) == 2  # a service that refuses is left alone for a while


def test_all_wait_for_a_service_that_comes_back() -> None:
    source = Source(0.05, *[DOWN] * 60, inf)

    async def use(one: Keeper) -> list[Credential | None]:
        await one.get("maap")
        await asyncio.sleep(0.06)
        return list(await asyncio.gather(*(one.get("maap") for _ in range(5))))

    assert tokens(kept(source, use)) == ["t62"] * 5


def test_what_is_over_and_refused_is_an_error_for_a_while_and_asked_again_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper, "_REST", 0.05)
    source = Source(CredentialsError("no such user"), inf)

    async def use(one: Keeper) -> Credential | None:
        for _ in range(3):
            with pytest.raises(CredentialsError, match="no such user"):
                await one.get("maap")
        assert len(source.asked) == 1
        await asyncio.sleep(0.06)
        return await one.get("maap")

    assert kept(source, use).token == "t2"


def test_of_what_a_server_refused_there_is_another_one_for_all_who_had_it() -> None:
    source = Source(inf, inf, inf, late=0.01)

    async def use(one: Keeper) -> list[Credential | None]:
        first = await one.get("maap")
        found = await asyncio.gather(*(one.get("maap", first) for _ in range(20)))
        # who comes late with it is given what there is
        return [*found, await one.get("maap", first), await one.get("maap")]

    assert tokens(kept(source, use)) == ["t2"] * 22
    assert [one and one.token for one in source.asked] == [None, "t1"]


def test_a_login_that_is_not_there_is_looked_for_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_REST", 0.05)
    found: list[Credential | None] = [None, Credential(name="maap", token="t")]

    async def look(_name: str, _previous: Credential | None) -> Credential | None:
        return found.pop(0)

    async def use() -> list[Credential | None]:
        one = Keeper(look)
        told = [await one.get("maap"), await one.get("maap")]
        await asyncio.sleep(0.06)
        return [*told, await one.get("maap"), await one.get("maap")]

    assert tokens(asyncio.run(use())) == ["", "", "t", "t"]


def test_names_do_not_mix() -> None:
    source = Source(inf, inf)

    async def use(one: Keeper) -> list[Credential | None]:
        return [await one.get("maap"), await one.get("cdse"), await one.get("maap")]

    assert [one.name for one in kept(source, use)] == ["maap", "cdse", "maap"]
    assert len(source.asked) == 2
