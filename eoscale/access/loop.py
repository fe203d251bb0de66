"""The I/O thread: one asyncio loop per process, shared by all its tasks.

Tasks are ordinary functions; they hand coroutines to :func:`run` and wait. One loop keeps connections
open between tasks, and lets budgets hold for the whole process.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

if sys.platform == "win32":
    from asyncio import new_event_loop
else:
    # where hundreds of small answers come at once, the loop itself is what takes time
    from uvloop import new_event_loop

T = TypeVar("T")

_SETTLE_SECONDS = 0.02
"""After the last task the Rust runtime under obstore still drops its handles to Python objects. Exiting
at once aborts some processes: the test of fifty shows it."""

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None
_closing: list[Callable[[], Coroutine[Any, Any, None]]] = []


def run(coroutine: Coroutine[Any, Any, T], *, timeout: float | None = None) -> T:
    """Run a coroutine on the process's I/O thread and return its result.

    Parameters
    ----------
    coroutine : coroutine
    timeout : float, optional
        Seconds, after which the coroutine is cancelled.

    Raises
    ------
    TimeoutError
        If the time is over.
    RuntimeError
        If called on the I/O thread itself, which would wait for itself.

    Examples
    --------
    >>> run(asyncio.sleep(0, result=42))
    42
    """
    future = start(coroutine)
    try:
        return future.result(timeout)
    except BaseException:
        # an interrupted or overdue caller leaves nothing running behind
        future.cancel()
        raise


def start(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Start a coroutine on the process's I/O thread; who does not wait for its result cancels it.

    Raises
    ------
    RuntimeError
        If called on the I/O thread itself, which would wait for itself.
    """
    loop = _running()
    if threading.current_thread() is _thread:
        coroutine.close()
        raise RuntimeError("the I/O thread cannot wait for itself: await the coroutine")
    return asyncio.run_coroutine_threadsafe(coroutine, loop)


def _running() -> asyncio.AbstractEventLoop:
    global _loop, _thread  # noqa: PLW0603  one loop per process is what this module is
    with _lock:
        if _loop is None:
            _loop = new_event_loop()
            _thread = threading.Thread(target=_loop.run_forever, name="eoscale-io", daemon=True)
            _thread.start()
        return _loop


def at_stop(close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Have a coroutine run on the I/O thread before it ends."""
    _closing.append(close)


async def _drain() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.gather(*(close() for close in _closing), return_exceptions=True)
    _closing.clear()
    await asyncio.sleep(_SETTLE_SECONDS)


def _stop() -> None:
    """Cancel what still runs, let the runtimes below settle, and end the thread."""
    global _loop, _thread
    with _lock:
        loop, thread, _loop, _thread = _loop, _thread, None, None
    if loop is None or thread is None:
        return
    asyncio.run_coroutine_threadsafe(_drain(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def _forget() -> None:
    """Drop a loop whose thread stayed in the parent process."""
    global _loop, _thread, _lock
    _loop, _thread, _lock = None, None, threading.Lock()
    _closing.clear()


atexit.register(_stop)
os.register_at_fork(after_in_child=_forget)
