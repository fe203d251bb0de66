"""Miniature granules of ICESat-2 land products."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from eoscale.synthetic import atl06, atl08, atl08_tables
from eoscale.synthetic.columns import Packed, Table
from eoscale.synthetic.metadata import beam_attributes, write_metadata
from eoscale.synthetic.passes import Pass
from eoscale.synthetic.writing import (
    create_table,
    fill_table,
    group,
    image_of,
    in_memory,
    publish,
    write_scale,
)


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a product is made."""

    tables: tuple[Table, ...]
    """Of every beam."""
    observe: Callable[[Pass, str], Iterator[tuple[Table, Packed]]]
    """Gives the rows of these tables for one beam of a pass."""
    scales: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Of second dimensions, at the root of the file."""


FORMS = {
    "ATL06": Form(tables=atl06.TABLES, observe=atl06.observe),
    "ATL08": Form(tables=atl08_tables.TABLES, observe=atl08.observe, scales=atl08_tables.SCALES),
}
"""By product."""


def write_granule(product: str, one: Pass, folder: Path) -> Path:
    """Write the granule of a pass and return its path.

    Parameters
    ----------
    product : str
        A key of :data:`FORMS`.
    one : Pass
    folder : Path
        Exists.
    """
    path = folder / f"{one.granule(product)}.h5"
    with in_memory(_empty(product, one.beams)) as file:
        root = group(file.id, ".")
        write_metadata(root, product, one)
        for beam in one.beams:
            parent = group(root, beam, beam_attributes(one, beam))
            for table, values in FORMS[product].observe(one, beam):
                fill_table(parent, table, values)
        publish(image_of(file), path)
    return path


@cache
def _empty(product: str, beams: tuple[str, ...]) -> bytes:
    """Return the bytes of a granule without rows.

    All granules begin as copies of it: to describe hundreds of datasets takes longer than to fill them.
    """
    form = FORMS[product]
    with in_memory() as file:
        root = group(file.id, ".")
        scales = {name: write_scale(root, name, values) for name, values in form.scales.items()}
        for beam in beams:
            parent = group(root, beam)
            for table in form.tables:
                create_table(parent, table, scales)
        return image_of(file)
