"""Rows of a batch of granules, kept along a curve."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from eoscale.model.curve import SPANS, Curve
from eoscale.write import pieces
from eoscale.write.pieces import Left, Piece
from eoscale.write.places import Place

DISTANCE = "distance along the curve"
"""Column of rows as they are kept, ascending; in words, so that no variable has its name."""
_IDS = "granules"
_SPANS_PER_TILE = 64
"""Each tile of rows is read by itself, and has a header of a kilobyte."""


def tiles(first: int, last: int) -> tuple[int, int]:
    """Return the first and the last of the tiles of rows that some spans of the curve lie in."""
    return first // _SPANS_PER_TILE, last // _SPANS_PER_TILE


def save(at: Place, rows: pa.Table, granules: Sequence[str]) -> Left:
    """Write rows, whole or not at all.

    Parameters
    ----------
    at : Place
        To whose name a digest is added.
    rows : pyarrow.Table
        With an ascending uint32 column :data:`DISTANCE`, and an integer column ``granule``: whose row it is.
    granules : sequence of str
        Ids of the granules that the column counts.
    """
    whole = rows.combine_chunks()
    of_rows = Curve.span(whole[DISTANCE].to_numpy()) // _SPANS_PER_TILE
    found, starts = np.unique(of_rows, return_index=True)
    edges = [*starts.tolist(), whole.num_rows]
    words = {_IDS: json.dumps(list(granules))}
    return pieces.save(
        at,
        {
            tile: [(batch, words) for batch in whole.slice(start, stop - start).to_batches()]
            for tile, (start, stop) in zip(found.tolist(), pairwise(edges), strict=True)
        },
    )


def load(piece: Piece, spans: tuple[int, int]) -> list[tuple[pa.Table, list[str]]]:
    """Return the rows of some spans of the curve, in tables with the ids that their ``granule`` counts.

    They may be of granules that do not count.

    Parameters
    ----------
    piece : Piece
        Of the tiles of rows that they lie in.
    spans : (first, last)
    """
    edges = np.array([spans[0], spans[1] + 1], np.int64) * (2**32 // SPANS)
    found = []
    for batch, words in pieces.load(piece):
        start, stop = np.searchsorted(batch[DISTANCE].to_numpy(), edges)
        found.append((pa.Table.from_batches([batch.slice(start, stop - start)]), json.loads(words[_IDS])))
    return found
