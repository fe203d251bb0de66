"""From observations to a table of them, sorted along a Hilbert curve, and written part by part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from eoscale.errors import RunError
from eoscale.model.columns import BEAM, GRANULE, LATITUDE, LONGITUDE, TIME
from eoscale.model.curve import SPANS, Curve
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.model.vocabulary import Output
from eoscale.steps import statistics
from eoscale.steps.batches import accounted
from eoscale.steps.observe import Observations
from eoscale.write import rows
from eoscale.write.places import place
from eoscale.write.provenance import provenance
from eoscale.write.receipts import Finished
from eoscale.write.table import Part, TableSink
from eoscale.write.work import Batch, Work

ROWS_PER_PART = 2**18
"""A part ends before it has more rows, unless one stretch of the curve alone has."""
Described: TypeAlias = Mapping[str, Mapping[str, str]]
"""Of each variable: dtype, units, long name."""


def read_batch(work: Work, batch: Batch) -> Finished:
    """Read the granules of a batch, leave their rows sorted and their receipts, and return the receipts.

    A granule that cannot be used is told by its receipt, and does not stop the others.
    """
    job = work.job()

    def observed(seen: Observations) -> tuple[pa.Table, Receipt]:
        table = _rows(job, seen)
        spans, counts = np.unique(Curve.span(table[rows.DISTANCE].to_numpy()), return_counts=True)
        receipt = replace(
            seen.receipt,
            missing=dict.fromkeys(job.columns, 0),
            binned=dict.fromkeys(job.columns, seen.size),
            tiles=dict(zip(spans.tolist(), counts.tolist(), strict=True)),
        )
        return table, receipt

    results = accounted(job, batch, observed)
    ids = [receipt.granule for _, receipt in results]
    numbered = [
        table.append_column(GRANULE, pa.array(np.full(table.num_rows, number, np.int32)))
        for number, (table, _) in enumerate(results)
        if table is not None
    ]
    left = rows.save(work.left(batch), _sorted(numbered), ids)
    return work.finish(batch, (receipt for _, receipt in results), left)


def parts(_job: Job, receipts: Sequence[Receipt]) -> tuple[Part, ...]:
    """Return the parts of the table: stretches of the curve with about a million rows each, at least one."""
    counts = np.zeros(SPANS, np.int64)
    for receipt in receipts:
        np.add.at(counts, list(receipt.tiles), list(receipt.tiles.values()))
    edges, held = [0], 0
    for span, number in enumerate(counts.tolist()):
        if held and number and held + number > ROWS_PER_PART:
            edges.append(span)
            held = 0
        held += number
    return tuple((first, behind - 1) for first, behind in pairwise([*edges, SPANS]))


def writer(work: Work, output: Output, receipts: Sequence[Receipt]) -> Callable[[Part], dict[str, int]]:
    """Return the function that writes a part, which knows the types of all granules together."""
    kinds = types(receipts)
    described = {name: {**statistics.first(receipts, name), "dtype": kind} for name, kind in kinds.items()}
    return partial(write_part, work, output, described)


def write_part(work: Work, output: Output, described: Described, part: Part) -> dict[str, int]:
    """Write the rows that the batches left of a part, in the order of the curve, and return their number.

    Rows at one place are in the order of granule ids, and within a granule in that of the file.
    """
    job = work.job()
    positions = {granule.id: number for number, granule in enumerate(job.granules)}
    pieces = [
        _counted(table, [positions[name] if piece.counts(name) else -1 for name in ids])
        for piece in work.pieces(*rows.tiles(*part))
        for table, ids in rows.load(piece, part)
    ]
    table = _finished(job, _sorted(pieces), described)
    sink(work, output).write(part, table)
    counts = dict.fromkeys(job.columns, table.num_rows)
    work.wrote(part, counts)
    return counts


def sink(work: Work, output: Output, receipts: Sequence[Receipt] = ()) -> TableSink:
    """Return the sink of a job; how many parts there are, follows from the receipts."""
    job = work.job()
    return TableSink(
        output=place(output.path),
        digest=job.digest,
        stage=work.stage,
        kind=output.kind,
        parts=parts(job, receipts),
        attributes=provenance(job, statistics.excluded(receipts)) if receipts else {},
    )


def types(receipts: Sequence[Receipt]) -> dict[str, str]:
    """Return for each variable the dtype that holds the values of all granules exactly.

    Raises
    ------
    RunError
        If there is none: integers in one granule, fractions in another.

    Examples
    --------
    >>> types([Receipt(granule=name, attributes={"h": {"dtype": name}}) for name in ("int16", "uint8")])
    {'h': 'int16'}
    """
    found: dict[str, set[str]] = {}
    for receipt in receipts:
        for name, described in receipt.attributes.items():
            found.setdefault(name, set()).update({described["dtype"]} if "dtype" in described else ())
    common = {name: np.result_type(*sorted(kinds)) for name, kinds in found.items() if kinds}
    for name, dtype in common.items():
        if any((np.dtype(kind).kind == "f") != (dtype.kind == "f") for kind in found[name]):
            kinds = ", ".join(sorted(found[name]))
            raise RunError(f"{name} is of types {kinds} in different granules: no one type holds all values")
    return {name: dtype.name for name, dtype in common.items()}


def _rows(job: Job, seen: Observations) -> pa.Table:
    """Return the rows of a granule as they are kept between tasks."""
    coordinates = seen.coordinates
    distance = job.curve.distance(coordinates[LONGITUDE], coordinates[LATITUDE])
    beams = [job.product.groups.index(beam.name) for beam in seen.beams]
    columns = {
        rows.DISTANCE: distance,
        BEAM: np.repeat(np.array(beams, np.int32), [beam.rows.size for beam in seen.beams]),
        **coordinates,
    }
    for name, path in job.columns.items() if seen.beams else ():
        values = seen.values(path)
        columns[name] = pa.array(values.data, mask=values.missing)
    return pa.table(columns)


def _counted(table: pa.Table, positions: Sequence[int]) -> pa.Table:
    """Return the rows of the granules that have a position in the job's list, which they get."""
    granules = np.array(positions, np.int32)[table[GRANULE].to_numpy()]
    column = table.schema.get_field_index(GRANULE)
    return table.set_column(column, GRANULE, pa.array(granules)).filter(pa.array(granules >= 0))


def _sorted(pieces: Sequence[pa.Table]) -> pa.Table:
    """Return pieces as one table along the curve; at one place by granule, and then as they came."""
    if not pieces:
        return pa.table({rows.DISTANCE: np.empty(0, np.uint32)})
    table = pa.concat_tables(pieces, promote_options="permissive")
    return table.take(np.lexsort([table[GRANULE].to_numpy(), table[rows.DISTANCE].to_numpy()]))


def _finished(job: Job, table: pa.Table, described: Described) -> pa.Table:
    """Return rows as they are published: names for numbers, and one type for each variable."""
    granule, beam = pa.field(GRANULE, pa.int32()), pa.field(BEAM, pa.int32())
    fields = [
        pa.field(TIME, pa.timestamp("ns"), metadata={"standard_name": "time", "units": "UTC"}),
        pa.field(LONGITUDE, pa.float64(), metadata={"units": "degrees_east"}),
        pa.field(LATITUDE, pa.float64(), metadata={"units": "degrees_north"}),
        *(_field(name, described.get(name, {})) for name in job.columns),
    ]
    columns = {
        each.name: table[each.name].cast(each.type)
        if each.name in table.column_names
        else pa.nulls(table.num_rows, each.type)
        for each in (granule, beam, *fields)
    }
    granules = _named(columns.pop(GRANULE).to_numpy(), [one.id for one in job.granules])
    beams = _named(columns.pop(BEAM).to_numpy(), job.product.groups)
    named = [granule.with_type(granules.type), beam.with_type(beams.type)]
    return pa.table([granules, beams, *columns.values()], schema=pa.schema([*named, *fields]))


def _field(name: str, described: Mapping[str, str]) -> pa.Field:
    dtype = np.dtype(described.get("dtype", "float64"))
    told = {key: text for key, text in described.items() if key != "dtype"}
    return pa.field(name, pa.from_numpy_dtype(dtype), metadata=told)


def _named(numbers: NDArray[np.int32], names: Sequence[str]) -> pa.DictionaryArray:
    """Return names by their numbers, with a dictionary of those alone that occur."""
    present, codes = np.unique(numbers, return_inverse=True)
    words = pa.array([names[number] for number in present.tolist()], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), words)
