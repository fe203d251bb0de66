"""Sink: where finished blocks go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

Unit_contra = TypeVar("Unit_contra", contravariant=True)
Block_contra = TypeVar("Block_contra", contravariant=True)


class Sink(Protocol[Unit_contra, Block_contra]):
    """Takes finished blocks in any order, any number of times, and shows them all at once.

    A cube is written tile by tile, each a mapping of variables to arrays; a table part by part.

    Laws: writing a block again leaves the same bytes; nobody can open the output before ``publish``;
    ``publish`` refuses while a block is missing.
    """

    def prepare(self) -> None:
        """Lay the output out, hidden from readers; what an earlier attempt wrote of the same stays."""
        ...

    def write(self, unit: Unit_contra, block: Block_contra, /) -> None:
        """Write one tile of every variable, or one part of a table."""
        ...

    def missing(self) -> Sequence[Any]:
        """Return the tiles or parts that have not been written."""
        ...

    def publish(self) -> None:
        """Let readers see the output, whole."""
        ...
