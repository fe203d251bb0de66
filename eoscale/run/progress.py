"""Progress: how far a run is, for a person."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Watcher(Protocol):
    """Anything that wants to know how far a run is."""

    def begin(self, stage: str, total: int) -> None:
        """Hear that a stage of so many units begins."""
        ...

    def advance(self, stage: str, number: int) -> None:
        """Hear that so many more units of a stage are done."""
        ...


class Silent:
    """A watcher that says nothing."""

    def begin(self, stage: str, total: int) -> None:
        """Say nothing."""

    def advance(self, stage: str, number: int) -> None:
        """Say nothing."""


class Bars:
    """A watcher that draws one bar a stage."""

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(
            TextColumn("{task.description:>18}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console or Console(stderr=True),
        )
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, stage: str, total: int) -> None:
        """Draw a bar."""
        self._bars[stage] = self._progress.add_task(stage, total=total)

    def advance(self, stage: str, number: int) -> None:
        """Lengthen it."""
        self._progress.advance(self._bars[stage], number)
