"""Moments of a process: where it dies, or waits, and processes that begin at once."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from time import sleep
from typing import Any

import dask
from distributed.utils import get_mp_context

from eoscale.run.progress import Silent

_context = get_context("forkserver")


class Moment(Silent):
    """A moment at which a process dies; this one never comes. It is the watcher of an attempt, too."""

    words = ""
    """Path of the file that says where it died: the process cannot tell any more."""

    def arm(self) -> None:
        """Wait for it from now on, in this process."""

    def come(self, where: str) -> None:
        """Die as by ``kill -9``: nothing is closed or cleaned up."""
        Path(self.words).write_text(where, encoding="utf-8")
        os.kill(os.getpid(), signal.SIGKILL)


class Heard(Moment):
    """When a stage has advanced so often; 0 for its beginning."""

    def __init__(self, stage: str, times: int) -> None:
        self.stage, self.left = stage, times

    def begin(self, stage: str, total: int, *, done: int = 0) -> None:
        assert total >= done
        if stage == self.stage and not self.left:
            self.come(f"begin {stage}")

    def advance(self, stage: str, number: int) -> None:
        assert number
        self.left -= stage == self.stage
        if stage == self.stage and not self.left:
            self.come(f"advance {stage}")


class Change(Moment):
    """Before the process changes the disk for the n-th time, at a path with some text in it.

    It counts from a stage of the run on, if one is named. Python tells audit hooks of changes before it makes
    them; of a file that C++ code writes, only the renaming is heard.
    """

    def __init__(self, number: int, text: str, *, since: str = "") -> None:
        self.left, self.text, self.since = number, text, since

    def arm(self) -> None:
        if not self.since:
            sys.addaudithook(self._hear)

    def begin(self, stage: str, total: int, *, done: int = 0) -> None:
        assert total >= done
        if stage == self.since:
            sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.left or not _changes(event, arguments):
            return
        place = str(arguments[event in ("os.link", "os.rename")])
        if event in ("os.remove", "os.rmdir") and arguments[1] != -1:
            # rmtree names what is in a folder that it has open by the bare name
            place = f"{Path(f'/proc/self/fd/{arguments[1]}').readlink()}/{place}"
        if self.text in place:
            self.left -= 1
            if not self.left:
                self.come(f"{event} {place}")


class Pause(Change):
    """No death: there the process waits until it is told to go on."""

    def __init__(self, number: int, text: str, *, words: Path) -> None:
        super().__init__(number, text)
        self.words = str(words)

    def come(self, where: str) -> None:
        Path(self.words).write_text(where, encoding="utf-8")
        while Path(self.words).exists():
            sleep(0.005)

    def reached(self, process: ForkServerProcess) -> bool:
        """Return whether a process waits, as soon as it waits or is at its end."""
        while process.is_alive() and not Path(self.words).exists():
            sleep(0.002)
        return Path(self.words).exists()

    def end(self) -> None:
        """Let the process go on."""
        Path(self.words).unlink()


def _changes(event: str, arguments: tuple[Any, ...]) -> bool:
    """Return whether an audit event of Python is a change of the disk, or an attempt at one."""
    if event == "open":
        return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
    return event in ("os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir")


@contextmanager
def at_hand(*modules: str) -> Iterator[None]:
    """Have processes begin as forks of one that has imported some modules, and runs no thread of Python.

    To import takes longer than all that they do. There is one such process for all of this one's, so others
    that tests have begun meanwhile end.
    """
    _stop()
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context()  # when it is asked first, distributed names modules of its own in the place of these
    _context.set_forkserver_preload([*modules])
    try:
        yield
    finally:
        _stop()


def _stop() -> None:
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # what CPython's own tests do


def began(act: Callable[[], object], moment: Moment, environment: Mapping[str, str]) -> ForkServerProcess:
    """Return a process that has begun to do something."""
    process = _context.Process(target=_live, args=(act, moment, environment))
    process.start()
    return process


def _live(act: Callable[[], object], moment: Moment, environment: Mapping[str, str]) -> None:
    gc.freeze()  # of all that was imported nothing is garbage: to look through it takes long
    os.environ.update(environment)
    moment.arm()
    act()
