"""What a batch leaves for the tasks that write: one object, in which each tile's rows are one stretch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from eoscale.write import places
from eoscale.write.places import Place

Words = Mapping[str, str]
"""What is said of a record batch."""


class Left(NamedTuple):
    """An object that a batch left."""

    name: str
    """Of the object; it tells its content, so that another attempt leaves the same or another object."""
    nbytes: int
    pieces: Mapping[int, tuple[int, int]]
    """First byte of each tile, and the one behind its last; tiles and bytes ascend."""


NOTHING = Left("", 0, {})


class Piece(NamedTuple):
    """Where a batch left what belongs to some neighbouring tiles."""

    at: Place
    start: int
    stop: int
    """First byte and the one behind the last."""
    counted: frozenset[str] | None = None
    """Ids of the granules that count, where others that it holds do not."""
    first: str = ""
    """Id that none of its granules comes before."""

    def counts(self, granule: str) -> bool:
        """Return whether a granule counts."""
        return self.counted is None or granule in self.counted


def save(at: Place, tiles: Mapping[int, Sequence[tuple[pa.RecordBatch, Words]]]) -> Left:
    """Write an Arrow IPC stream for each tile, one behind the other.

    Parameters
    ----------
    at : Place
        To whose name a digest is added.
    tiles : mapping
        Tile, or stretch of a curve, to record batches of one schema, each with some words.
    """
    sink = pa.BufferOutputStream()
    pieces = {}
    for tile in sorted(tiles):
        start = sink.tell()
        with pa.ipc.new_stream(sink, tiles[tile][0][0].schema) as writer:
            for batch, words in tiles[tile]:
                writer.write_batch(batch, custom_metadata=dict(words))
        pieces[tile] = (start, sink.tell())
    content = sink.getvalue().to_pybytes()
    name = f"{at.name}-{hashlib.sha256(content).hexdigest()[:32]}.arrow"
    places.put(at.with_name(name), content)
    return Left(name, len(content), pieces)


def load(piece: Piece) -> Iterator[tuple[pa.RecordBatch, Words]]:
    """Yield the record batches of a piece of an object that :func:`save` wrote."""
    source = pa.BufferReader(places.part(piece.at, piece.start, piece.stop))
    while source.tell() < piece.stop - piece.start:
        stream = pa.ipc.open_stream(source)
        while True:
            try:
                batch, words = stream.read_next_batch_with_custom_metadata()
            except StopIteration:
                break
            yield batch, {key.decode(): value.decode() for key, value in (words or {}).items()}
