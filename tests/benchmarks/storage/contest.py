"""Contenders: ways to the answer of one question, each told by a function.

The function is given a :class:`Task` and is a generator: what it does before it yields is not measured, what
it yields is called with the clock running, and what comes after it tidies up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a contender is given."""

    urls: list[str]
    copies: list[Path]
    """The same files on the disk: for what may be prepared from them outside the clock."""
    folder: Path
    """Empty, and for this run alone."""
    index_store: Path
    """Of eoscale: empty in a first run."""


Work: TypeAlias = Callable[[], Any]
"""What the clock is about; returns its result."""
Prepare: TypeAlias = Callable[[Task], Iterator[Work]]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A way to the answer of one question."""

    workload: str
    name: str
    prepare: Callable[[Task], AbstractContextManager[Work]]
    answer: Callable[[Any], pd.DataFrame]
    """Makes a table of the result, after the clock."""
    imports: tuple[str, ...]
    """Modules that are there when the clock starts."""
    files: int | None
    """So slow that it is given no more than these, once; what it took is scaled to all."""
    beforehand: bool
    """A run in another process has filled the index store."""

    @property
    def label(self) -> str:
        """Workload and name."""
        return f"{self.workload}/{self.name}"

    @property
    def lacking(self) -> list[str]:
        """Modules that are not installed."""
        return [name for name in self.imports if find_spec(name.partition(".")[0]) is None]


CONTENDERS: dict[str, Contender] = {}
"""By label, in the order in which they take turns."""


def _itself(result: pd.DataFrame) -> pd.DataFrame:
    return result


def contender(
    workload: str,
    name: str,
    *,
    imports: tuple[str, ...],
    answer: Callable[[Any], pd.DataFrame] = _itself,
    files: int | None = None,
    beforehand: bool = False,
) -> Callable[[Prepare], Prepare]:
    """Register a function as a contender."""

    def register(prepare: Prepare) -> Prepare:
        one = Contender(
            workload=workload,
            name=name,
            prepare=contextmanager(prepare),
            answer=answer,
            imports=imports,
            files=files,
            beforehand=beforehand,
        )
        CONTENDERS[one.label] = one
        return prepare

    return register
