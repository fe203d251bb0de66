"""Sink: where finished blocks go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from eoscale.model.columns import Array
from eoscale.model.cube import Tile


class Sink(Protocol):
    """Takes finished blocks in any order, any number of times, and shows them all at once.

    Laws: writing a block again leaves the same bytes; nobody can open the output before ``publish``;
    ``publish`` refuses while a tile is missing.
    """

    def prepare(self) -> None:
        """Lay the output out afresh, hidden from readers."""
        ...

    def write(self, tile: Tile, blocks: Mapping[str, Array]) -> None:
        """Write one tile of every variable."""
        ...

    def missing(self) -> tuple[Tile, ...]:
        """Return the tiles that have not been written."""
        ...

    def publish(self) -> None:
        """Let readers see the output, whole."""
        ...
