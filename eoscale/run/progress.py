"""Progress: how far a run is, for a person at a terminal, for a log, and for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text


@dataclass(frozen=True, kw_only=True)
class Stage:
    """How far a stage of a run is, at one moment.

    Parameters
    ----------
    name : str
    total, done : int
        Units, such as granules.
    earlier : int
        How many of those done an earlier attempt had finished: they are no part of the rate.
    seconds : float
        Since this attempt began with the stage.

    Examples
    --------
    >>> stage = Stage(name="granules read", total=300, done=120, earlier=20, seconds=8.0)
    >>> stage.rate, stage.left
    (12.5, 14.4)
    >>> print(stage)
    granules read: 120 of 300, 12.5/s, 14 s left
    """

    name: str
    total: int
    done: int = 0
    earlier: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float | None:
        """Units a second of this attempt; None until there are some."""
        units = self.done - self.earlier
        return units / self.seconds if units > 0 and self.seconds > 0 else None

    @property
    def left(self) -> float | None:
        """Seconds to the end at this rate; None as long as there is no rate."""
        missing = max(0, self.total - self.done)
        if not missing:
            return 0.0
        return missing / self.rate if self.rate else None

    @property
    def pace(self) -> str:
        """Rate and time left, as far as they are known."""
        if self.rate is None or self.left is None:
            return f"{self.earlier:,} of an earlier attempt" if self.earlier else ""
        return f"{_speed(self.rate)}, {_span(self.left)} left" if self.left else f"in {_span(self.seconds)}"

    def __str__(self) -> str:
        return f"{self.name}: {self.done:,} of {self.total:,}" + (f", {self.pace}" if self.pace else "")


def _speed(rate: float) -> str:
    """Return a rate in the unit of time that shows some digits of it.

    >>> _speed(14.24), _speed(0.1), _speed(0.001)
    ('14.2/s', '6.0/min', '3.6/h')
    """
    seconds, unit = next(((s, u) for s, u in ((1, "s"), (60, "min")) if rate * s >= 1), (3600, "h"))
    return f"{rate * seconds:,.1f}/{unit}"


def _span(seconds: float) -> str:
    """Return a time as a person says it.

    >>> _span(13.4), _span(250), _span(7500)
    ('13 s', '4 min 10 s', '2 h 5 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Watcher(Protocol):
    """Anything that wants to know how far a run is."""

    def begin(self, stage: str, total: int, *, done: int = 0) -> None:
        """Hear that a stage of so many units begins, of which an earlier attempt had done some."""
        ...

    def advance(self, stage: str, number: int) -> None:
        """Hear that so many more units of a stage are done."""
        ...


class Silent:
    """A watcher that says nothing."""

    def begin(self, stage: str, total: int, *, done: int = 0) -> None:
        """Say nothing."""

    def advance(self, stage: str, number: int) -> None:
        """Say nothing."""


class Bars:
    """A watcher that draws one bar a stage, on a terminal.

    Parameters
    ----------
    console : rich.console.Console, optional
        Of standard error unless given. What else is printed by it stands above the bars.
    clock : callable, optional
        Gives seconds.
    """

    def __init__(self, console: Console | None = None, *, clock: Callable[[], float] = monotonic) -> None:
        self._progress = Progress(
            TextColumn("{task.description:>18}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Pace(),
            console=console or Console(stderr=True),
            get_time=clock,
        )
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, stage: str, total: int, *, done: int = 0) -> None:
        """Draw a bar."""
        self._bars[stage] = self._progress.add_task(stage, total=total, completed=done, earlier=done)

    def advance(self, stage: str, number: int) -> None:
        """Lengthen it."""
        self._progress.advance(self._bars[stage], number)


class _Pace(ProgressColumn):
    """Rate and time left of a bar."""

    def render(self, task: Task) -> Text:
        done, total, earlier = int(task.completed), int(task.total or 0), int(task.fields["earlier"])
        seconds = task.finished_time if task.finished_time is not None else task.elapsed
        stage = Stage(name=task.description, total=total, done=done, earlier=earlier, seconds=seconds or 0.0)
        return Text(stage.pace)


class Lines:
    """A watcher that writes a line when a stage begins and ends, and now and then between: for a log.

    Parameters
    ----------
    stream : text stream, optional
        Standard error unless given.
    seconds : float
        The least between two lines, but for the first and the last of a stage.
    clock : callable, optional
        Gives seconds.

    Examples
    --------
    >>> lines = Lines(sys.stdout, clock=iter([0.0, 4.0, 12.0, 15.0]).__next__)
    >>> lines.begin("granules read", 300)
    granules read: 0 of 300
    >>> lines.advance("granules read", 100)
    >>> lines.advance("granules read", 20)
    granules read: 120 of 300, 10.0/s, 18 s left
    >>> lines.advance("granules read", 180)
    granules read: 300 of 300, in 15 s
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        seconds: float = 10.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._stream = stream or sys.stderr
        self._seconds = seconds
        self._clock = clock
        self._said = 0.0
        self._begun: dict[str, float] = {}
        self._stages: dict[str, Stage] = {}

    def begin(self, stage: str, total: int, *, done: int = 0) -> None:
        """Write a line."""
        self._begun[stage] = now = self._clock()
        self._stages[stage] = Stage(name=stage, total=total, done=done, earlier=done)
        self._say(self._stages[stage], now)

    def advance(self, stage: str, number: int) -> None:
        """Write a line if the last one was long ago, or the stage is at its end."""
        now, before = self._clock(), self._stages[stage]
        after = replace(before, done=before.done + number, seconds=now - self._begun[stage])
        self._stages[stage] = after
        if before.done < after.total <= after.done or now - self._said >= self._seconds:
            self._say(after, now)

    def _say(self, stage: Stage, now: float) -> None:
        self._said = now
        print(self._line(stage), file=self._stream, flush=True)

    def _line(self, stage: Stage) -> str:
        return str(stage)


class Records(Lines):
    """A watcher that writes JSON objects, one a line, as often as :class:`Lines` writes.

    Each has ``time`` (UTC, ISO 8601), ``stage``, ``done``, ``total``, ``rate`` (units a second of this
    attempt) and ``left_seconds``; the last two are null until they are known.
    """

    def _line(self, stage: Stage) -> str:
        facts = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "stage": stage.name,
            "done": stage.done,
            "total": stage.total,
            "rate": stage.rate,
            "left_seconds": stage.left,
        }
        return json.dumps(facts)


@contextmanager
def shown(console: Console | None = None, *, as_json: bool = False) -> Iterator[Watcher]:
    """Give the watcher that suits standard error: bars, lines, or records for machines.

    Parameters
    ----------
    console : rich.console.Console, optional
        Of standard error unless given.
    as_json : bool
        Whether machines read it.
    """
    place = console or Console(stderr=True)
    if as_json:
        yield Records()
    elif place.file.isatty() and not place.is_dumb_terminal:
        with Bars(place) as bars:
            yield bars
    else:
        yield Lines()
