"""Signals: who hears Ctrl-C, and what it does."""

from __future__ import annotations

import atexit
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType

_STOPS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(SystemExit):
    """Somebody asked this process to stop.

    It is no ``KeyboardInterrupt``: libraries between the signal and the command line answer that themselves.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
        """128 and the number of the signal."""


@contextmanager
def interruptible(at_once: Callable[[], object]) -> Iterator[None]:
    """Raise :class:`Interrupted` at Ctrl-C or SIGTERM, and end the process if another comes.

    Parameters
    ----------
    at_once : callable
        What must be done even if the process ends at once.

    Raises
    ------
    Interrupted
    """
    status = 0
    # a process that ends at once leaves semaphores, and the one that tidies up after it would warn of them
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal status
        if status:
            at_once()
            os._exit(128 + number)
        status = 128 + number
        logging.disable()  # what falls over while everything is closed is no news
        raise Interrupted(status)

    before = {number: signal.signal(number, stop) for number in _STOPS}
    atexit.register(_deaf)
    try:
        yield
    except Exception:
        if status:  # likewise
            raise Interrupted(status) from None
        raise
    finally:
        if not status:  # else the process is about to end, and may still be told to hurry
            atexit.unregister(_deaf)
            for number, handler in before.items():
                signal.signal(number, handler)


def _deaf() -> None:
    """Hear no signal any more: while Python takes itself apart, one would be answered as by default."""
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def unheard() -> Iterator[None]:
    """Begin threads and processes that never hear Ctrl-C, which a terminal sends to all of a group.

    They inherit what this thread blocks, from their first moment on, and so do processes that they begin
    later. The signal itself waits until the block is over.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # multiprocessing begins this one before the first of ours, and some Pythons then unblock Ctrl-C
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
