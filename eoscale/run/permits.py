"""Permits of a cluster: the quota of a provider holds for all workers together."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, cast

from distributed import Semaphore, Worker
from tornado.platform.asyncio import BaseAsyncIOLoop

_WAIT = 2.0
"""Seconds after which a worker asks again: the scheduler gives permits to the dead who wait for one, too."""


class Shared:
    """Permits that the scheduler keeps. Those of a worker that died are free again after half a minute."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._semaphores: dict[str, Semaphore] = {}

    async def take(self, name: str, number: int) -> None:
        """Wait for a permit."""
        taking = asyncio.run_coroutine_threadsafe(self._acquire(name, number), self._loop)
        try:
            await asyncio.shield(asyncio.wrap_future(taking))
        except asyncio.CancelledError:
            # it may be given after all, and nobody would return it
            taking.add_done_callback(lambda _: self._there(self._release(name)))
            raise

    async def give(self, name: str) -> None:
        """Return one."""
        await asyncio.wrap_future(self._there(self._release(name)))

    @property
    def _loop(self) -> AbstractEventLoop:
        return cast("BaseAsyncIOLoop", self._worker.loop).asyncio_loop

    def _there(self, coroutine: Coroutine[Any, Any, None]) -> Future[None]:
        """Have something done on the loop of the worker."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _acquire(self, name: str, number: int) -> None:
        if name not in self._semaphores:
            self._semaphores[name] = Semaphore(
                number, f"eoscale-{name}", scheduler_rpc=self._worker.scheduler, loop=self._worker.loop
            )
        while not await self._semaphores[name].acquire(timeout=_WAIT):
            pass

    async def _release(self, name: str) -> None:
        with suppress(OSError):  # the scheduler is gone, and all permits with it
            await self._semaphores[name].release()
