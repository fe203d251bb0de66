"""Partials of a batch of granules: one file, with a table of which tile is where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from eoscale.model.cube import Tile
from eoscale.model.reduction import Partial
from eoscale.write.whole import whole

_TABLE = b"eoscale"
FORMAT = 1
"""Version of the file; written into it, and checked on reading."""


class Part(NamedTuple):
    """Which partial a record batch of the file holds."""

    granule: int
    """Position in the job's list."""
    variable: str
    tile: Tile


def save(path: Path, parts: Mapping[Part, Partial]) -> None:
    """Write partials as an Arrow IPC file, whole or not at all.

    Parameters
    ----------
    path : Path
        Replaced if it exists: another attempt at the same batch has the same content.
    parts : mapping of Part to Partial
        Partials of one reduction; a file of none is written too.
    """
    order = sorted(parts)
    table = {"format": FORMAT, "parts": order}
    batches = [parts[part].to_arrow() for part in order]
    schema = batches[0].schema if batches else pa.schema([])
    described = schema.with_metadata({_TABLE: json.dumps(table).encode()})
    with (
        whole(path) as hidden,
        pa.OSFile(str(hidden), "wb") as target,
        pa.ipc.new_file(target, described) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch.cast(described))


def load(path: Path, tile: Tile) -> dict[Part, Partial]:
    """Return the partials of one tile from a file that :func:`save` wrote.

    Raises
    ------
    ValueError
        If the file is of another format version.
    """
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        table = json.loads(reader.schema.metadata[_TABLE])
        if table["format"] != FORMAT:
            raise ValueError(f"{path} is of format {table['format']}, expected {FORMAT}: run with --restart")
        parts = [Part(*row) for row in table["parts"]]
        return {
            part: Partial.from_arrow(reader.get_batch(number))
            for number, part in enumerate(parts)
            if part.tile == tile
        }
