"""Partials of a batch of granules, kept tile by tile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from eoscale.model.cube import Tile
from eoscale.model.reduction import Partial
from eoscale.write import pieces
from eoscale.write.pieces import Left, Piece
from eoscale.write.places import Place


class Part(NamedTuple):
    """Whose partial it is."""

    granule: str
    variable: str


def save(at: Place, parts: Mapping[Tile, Mapping[Part, Partial]]) -> Left:
    """Write partials, whole or not at all.

    Parameters
    ----------
    at : Place
        To whose name a digest is added.
    parts : mapping
        The partials of each tile; all of one reduction, their keys the tile's own, from 0 on.
    """
    return pieces.save(
        at,
        {
            tile: [(some[part].to_arrow(), part._asdict()) for part in sorted(some)]
            for tile, some in parts.items()
        },
    )


def load(piece: Piece) -> dict[Part, Partial]:
    """Return the partials of a tile, of the granules that count."""
    found = {Part(**words): Partial.from_arrow(batch) for batch, words in pieces.load(piece)}
    return {part: each for part, each in found.items() if piece.counts(part.granule)}
