"""Tables as output: GeoParquet, CSV or JSON, in parts that any task may write, published as one file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import shapely
from pyproj import CRS

from eoscale.errors import IncompleteRunError
from eoscale.model.columns import BBOX, GEOMETRY, LATITUDE, LONGITUDE
from eoscale.model.region import LONGITUDE_LATITUDE
from eoscale.write import places, publish
from eoscale.write.places import Place
from eoscale.write.provenance import DIGEST, FACTS

ROWS_PER_GROUP = 65_536
"""Of a row group: a reader that wants a small area skips the groups whose bounding box is elsewhere."""
_CORNERS = {"xmin": LONGITUDE, "ymin": LATITUDE, "xmax": LONGITUDE, "ymax": LATITUDE}

Part: TypeAlias = tuple[int, int]
"""First and last stretch of the curve that a part of the table covers."""


@dataclass(frozen=True, kw_only=True)
class TableSink:
    """One file of rows on a disk or in a bucket, hidden until it is complete.

    Parameters
    ----------
    output : Place
        Where readers will find it.
    digest : str
        Of the job.
    kind : {'parquet', 'csv', 'json'}
        GeoParquet 1.1 with a bbox column that covers the geometry, comma-separated text with a line of
        names, or one JSON array with an object a line. Times are UTC.
    parts : sequence of (first, last)
        In the order in which they follow one another in the file.
    attributes : mapping
        Of the file; only Parquet has a place for them.
    """

    output: Place
    digest: str
    kind: Literal["zarr", "parquet", "csv", "json"]
    parts: Sequence[Part] = ()
    attributes: Mapping[str, Any]
    stage: str = ""
    """Digest of what the parts are made of: what was made of something else is not mixed with it."""

    @property
    def hidden(self) -> Place:
        """The folder in which the parts are made."""
        return publish.staging(self.output, self.digest, self.stage)

    def prepare(self) -> None:
        """Make room for the parts; those of an earlier attempt at the same stage stay."""
        places.make(self.hidden)

    def write(self, part: Part, rows: pa.Table) -> None:
        """Write one part, whole or not at all."""
        with BytesIO() as target:
            _WRITERS[self.kind](target, rows)
            places.put(self._path(part), target.getvalue())

    def missing(self) -> tuple[Part, ...]:
        """Return the parts that have not been written."""
        there = places.sizes(self.hidden)
        return tuple(part for part in self.parts if self._path(part).name not in there)

    def publish(self) -> None:
        """Join the parts, then give the file its name.

        Raises
        ------
        IncompleteRunError
            If a part has not been written.
        ConflictError
            If something has come into being at the output.
        """
        missing = self.missing()
        if missing:
            raise IncompleteRunError(f"{len(missing)} of {len(self.parts)} parts are missing: run again")
        with ExitStack() as stack:
            files = [stack.enter_context(places.near(self._path(part))) for part in self.parts]
            whole = files[0].with_name("whole")
            _JOINERS[self.kind](whole, files, self._described())
            publish.reveal(whole, self.output)
        places.remove(self.hidden)

    def _path(self, part: Part) -> Place:
        first, last = part
        return self.hidden / f"{first:04d}-{last:04d}"

    def _described(self) -> dict[bytes, bytes]:
        attributes = {**self.attributes, DIGEST: self.digest}
        return {FACTS: json.dumps(attributes, sort_keys=True).encode()}


def _write_parquet(target: BytesIO, rows: pa.Table) -> None:
    """Write rows with their points and boxes as GeoParquet wants them, metadata apart."""
    longitude, latitude = rows[LONGITUDE].to_numpy(), rows[LATITUDE].to_numpy()
    points = pa.array(shapely.to_wkb(shapely.points(longitude, latitude)), pa.binary())
    corners = [rows[name].combine_chunks() for name in _CORNERS.values()]
    boxes = pa.StructArray.from_arrays(corners, names=list(_CORNERS))
    table = rows.append_column(GEOMETRY, points).append_column(BBOX, boxes)
    pq.write_table(table, target, row_group_size=ROWS_PER_GROUP, compression="zstd")


def _join_parquet(path: Path, parts: Sequence[Path], described: Mapping[bytes, bytes]) -> None:
    schema = pq.read_schema(parts[0])
    metadata = {**described, b"geo": json.dumps(_geo(parts)).encode()}
    with pq.ParquetWriter(path, schema.with_metadata(metadata), compression="zstd") as writer:
        for part in parts:
            # one part after the other: thousands of open files are more than a process may have
            with pq.ParquetFile(part) as file:
                for number in range(file.num_row_groups):
                    group = file.read_row_group(number)
                    writer.write_table(group.replace_schema_metadata(metadata), row_group_size=ROWS_PER_GROUP)


def _geo(parts: Sequence[Path]) -> dict[str, Any]:
    """Return what GeoParquet 1.1 says of a file: encoding, CRS, and which column covers the geometry."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["Point"],
        "crs": CRS.from_user_input(LONGITUDE_LATITUDE).to_json_dict(),
        "covering": {BBOX: {corner: [BBOX, corner] for corner in _CORNERS}},
    }
    described = [pq.read_metadata(part) for part in parts]
    groups = [each.row_group(i) for each in described for i in range(each.num_row_groups)]
    boxes = [_bounds(group) for group in groups if group.num_rows]
    if boxes:
        west, south, east, north = zip(*boxes, strict=True)
        column["bbox"] = [min(west), min(south), max(east), max(north)]
    return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}


def _bounds(group: Any) -> tuple[float, float, float, float]:  # noqa: ANN401  pyarrow is untyped
    columns = [group.column(i) for i in range(group.num_columns)]
    found = {column.path_in_schema: column.statistics for column in columns}
    longitude, latitude = found[LONGITUDE], found[LATITUDE]
    return longitude.min, latitude.min, longitude.max, latitude.max


def _write_csv(target: BytesIO, rows: pa.Table) -> None:
    pa.csv.write_csv(_in_words(rows), target, pa.csv.WriteOptions(quoting_style="needed"))


def _join_csv(path: Path, parts: Sequence[Path], _described: Mapping[bytes, bytes]) -> None:
    with path.open("wb") as target:
        for number, part in enumerate(parts):
            with part.open("rb") as source:
                if number:
                    source.readline()  # every part begins with the names
                shutil.copyfileobj(source, target)


def _write_json(target: BytesIO, rows: pa.Table) -> None:
    for batch in _finite(_in_words(rows)).to_batches(max_chunksize=ROWS_PER_GROUP):
        target.writelines(f"{json.dumps(row, allow_nan=False)}\n".encode() for row in batch.to_pylist())


def _join_json(path: Path, parts: Sequence[Path], _described: Mapping[bytes, bytes]) -> None:
    with path.open("w", encoding="utf-8") as target:
        separator = "[\n"
        for line in _lines(parts):
            target.write(separator + line.rstrip("\n"))
            separator = ",\n"
        target.write("\n]\n" if separator == ",\n" else "[]\n")


def _lines(parts: Sequence[Path]) -> Iterator[str]:
    for part in parts:
        with part.open(encoding="utf-8") as source:
            yield from source


def _in_words(rows: pa.Table) -> pa.Table:
    """Return rows as text formats show them: ISO 8601 times, short decimals of float32."""
    columns = {}
    for name in rows.column_names:
        column = rows[name]
        if pa.types.is_timestamp(column.type):
            column = pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
        elif pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        elif pa.types.is_float32(column.type):
            # 0.1 and not 0.10000000149011612: by way of the shortest text that means the same float32
            column = column.cast(pa.string()).cast(pa.float64())
        columns[name] = column
    return pa.table(columns)


def _finite(rows: pa.Table) -> pa.Table:
    """Return rows without infinities, which JSON cannot say."""
    columns = {
        name: pc.if_else(pc.is_finite(rows[name]), rows[name], None)
        if pa.types.is_floating(rows[name].type)
        else rows[name]
        for name in rows.column_names
    }
    return pa.table(columns)


_WRITERS: Mapping[str, Callable[[BytesIO, pa.Table], None]] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "json": _write_json,
}
_JOINERS: Mapping[str, Callable[[Path, Sequence[Path], Mapping[bytes, bytes]], None]] = {
    "parquet": _join_parquet,
    "csv": _join_csv,
    "json": _join_json,
}
