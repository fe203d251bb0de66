"""Rows of a batch of granules: one file, sorted along a curve, so that a stretch of it is a slice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from eoscale.write.whole import whole

DISTANCE = "distance along the curve"
"""Column of the file, ascending; in words, so that no variable has its name."""


def save(path: Path, rows: pa.Table) -> None:
    """Write rows as an Arrow IPC file, whole or not at all.

    Parameters
    ----------
    path : Path
        Replaced if it exists: another attempt at the same batch has the same content.
    rows : pyarrow.Table
        With an ascending uint32 column :data:`DISTANCE`.
    """
    with (
        whole(path) as hidden,
        pa.OSFile(str(hidden), "wb") as target,
        pa.ipc.new_file(target, rows.schema) as writer,
    ):
        writer.write_table(rows.combine_chunks())


def load(path: Path, start: int, stop: int) -> pa.Table:
    """Return the rows with ``start <= distance < stop`` from a file that :func:`save` wrote."""
    with pa.memory_map(str(path)) as source:
        rows = pa.ipc.open_file(source).read_all()
    first, behind = np.searchsorted(rows[DISTANCE].to_numpy(), [start, stop])
    return rows.slice(first, behind - first)
