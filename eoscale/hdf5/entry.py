"""Entry: the bytes of one chunk index, to keep it or to send it to another process (pure).

One Parquet file: a row for each chunk of all variables, and a JSON text in its metadata that describes the
variables and says where their rows lie on the Earth. Nothing in it is ever executed, and nothing is believed:
where entries are shared, somebody else may have written them, or only half of them. A digest over text and
rows finds damage; then every size, place and type is checked as if it came from a hostile granule.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from math import prod
from operator import index as integer
from types import MappingProxyType
from typing import Any, SupportsIndex, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from eoscale.hdf5 import plain, safety
from eoscale.model.chunk_index import UNALLOCATED, ChunkIndex, DatasetIndex, Filter
from eoscale.model.columns import Array
from eoscale.model.zone_map import ZoneMap

T = TypeVar("T")

FORMAT = 3
"""Version of the file; written into it, and checked on reading."""
_DESCRIPTION, _DIGEST = b"eoscale", b"blake2"
_TABLES = ("offsets", "sizes", "masks")
_COLUMNS = pa.schema(
    [
        pa.field("dataset", pa.int32(), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in _TABLES),
    ]
)
_FACTS = {"granule": str, "url": str, "size": int, "etag": str, "fallback": str, "plain": bool}
"""Fields of the index that are kept as they are."""
_ZONES = {"starts": "<i8", "boxes": "<f4", "times": "<i8"}
"""Arrays of a zone map and their types, times as nanoseconds."""
_FAULTS = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    OSError,
    pa.ArrowException,
)
"""What reading damaged or hostile bytes raises."""


class FormatError(ValueError):
    """An entry is of another format version: no damage, only an older or a newer eoscale."""


def to_bytes(index: ChunkIndex) -> bytes:
    """Return an index as the content of a file; what building it cost is left out.

    Parameters
    ----------
    index : ChunkIndex

    Returns
    -------
    bytes
        The same for the same index and version of pyarrow, in whichever order its variables are.

    Raises
    ------
    TypeError
        If a variable is of a type, or an attribute of a value, that holds Python objects other than text.

    Examples
    --------
    >>> index = ChunkIndex(granule="a", url="https://h/a.h5", size=9, etag='"1"', datasets={}, requests=3)
    >>> from_bytes(to_bytes(index)) == index
    True
    """
    datasets = [index.datasets[path] for path in sorted(index.datasets)]
    kinds: dict[str, int] = {}  # in the order of their first variable
    stated = {
        "format": FORMAT,
        **{name: getattr(index, name) for name in _FACTS},
        "absent": sorted(index.absent),
        "datasets": [_described(dataset, kinds) for dataset in datasets],
        "kinds": list(kinds),
        "zones": {path: _mapped(index.zones[path]) for path in sorted(index.zones)},
    }
    text = _text(stated).encode()
    columns: list[Array] = [
        _numbers([dataset.offsets.size for dataset in datasets]),
        *(_joined(getattr(dataset, name) for dataset in datasets) for name in _TABLES),
    ]
    rows = pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=_COLUMNS)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        _COLUMNS,
        compression="zstd",
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
        store_schema=False,  # it would hold the text a second time
    ) as writer:
        writer.write_batch(rows)
        writer.add_key_value_metadata({_DESCRIPTION: text, _DIGEST: _digest(text, columns)})
    content: bytes = sink.getvalue().to_pybytes()
    return content


@lru_cache(maxsize=64)  # a graph is built and computed, and computed again
def from_bytes(content: bytes) -> ChunkIndex:
    """Return the index whose :func:`to_bytes` some bytes are.

    Raises
    ------
    FormatError
        If they are of another format version.
    ValueError
        If they are damaged, or say what no granule may say: :class:`UnsafeGranuleError` is one.

    Examples
    --------
    >>> from_bytes(b"PAR1 but not quite")
    Traceback (most recent call last):
    ValueError: no index: ...
    """
    try:
        return _index(content)
    except FormatError:
        raise
    except _FAULTS as error:
        raise ValueError(f"no index: {error}") from error


def _index(content: bytes) -> ChunkIndex:
    file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    text = file.metadata.metadata[_DESCRIPTION]
    stated = json.loads(text)
    if _a(int, stated["format"]) != FORMAT:
        raise FormatError(f"is of format {stated['format']}, expected {FORMAT}")
    facts: dict[str, Any] = {name: _a(kind, stated[name]) for name, kind in _FACTS.items()}
    kinds = {number: _kind(_a(str, text)) for number, text in enumerate(stated["kinds"])}
    layouts = [_layout(each, kinds) for each in stated["datasets"]]
    grids = [_grid(layout) for layout in layouts]
    counts = [prod(grid) for grid in grids]
    columns = _columns(file, sum(counts))
    if file.metadata.metadata[_DIGEST] != _digest(text, columns):
        raise ValueError("its digest differs: it is damaged")
    longest = [2 * prod(layout["chunk_shape"]) * layout["dtype"].itemsize + 1024 for layout in layouts]
    _check_places(columns, counts, longest, facts["size"])
    return ChunkIndex(
        **facts,
        absent=frozenset(_a(str, path) for path in stated["absent"]),
        zones=_zones(stated["zones"], {layout["path"]: layout["shape"] for layout in layouts}),
        datasets={dataset.path: dataset for dataset in _datasets(layouts, grids, columns)},
    )


def _text(stated: object) -> str:
    return json.dumps(stated, default=integer, separators=(",", ":"))


def _described(dataset: DatasetIndex, kinds: dict[str, int]) -> dict[str, object]:
    """Return what is a variable's own, and the number of its kind: beams repeat the others."""
    kind = {
        "dtype": plain.state_dtype(dataset.dtype),
        "chunk_shape": list(dataset.chunk_shape),
        "filters": [[step.id, step.name, *step.parameters] for step in dataset.filters],
        "fill": b64encode(dataset.fill).decode(),
        "clipped": bool(dataset.clipped),
        "in_heap": bool(dataset.in_heap),
        "attributes": {name: plain.state_value(each) for name, each in dataset.attributes.items()},
    }
    return {
        "path": dataset.path,
        "shape": list(dataset.shape),
        "inline": None if dataset.inline is None else b64encode(dataset.inline).decode(),
        "kind": kinds.setdefault(_text(kind), len(kinds)),
    }


def _mapped(zones: ZoneMap) -> dict[str, object]:
    arrays = {name: plain.state_value(getattr(zones, name).view(kind)) for name, kind in _ZONES.items()}
    return {"rows": zones.rows, **arrays}


def _zones(stated: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, ZoneMap]:
    """Return zone maps, which check themselves, if they are of as many rows as their variables have."""
    zones = {}
    for path, each in stated.items():
        arrays = {name: plain.value(each[name]) for name in _ZONES}
        types = {name: array.dtype.str for name, array in arrays.items()}
        rows = shapes[path][0]
        if types != _ZONES or each["rows"] != rows:
            raise ValueError(f"{path} has {rows} rows, its zone map {each['rows']}, in arrays of {types}")
        arrays["times"] = arrays["times"].view("M8[ns]")
        zones[path] = ZoneMap(rows=rows, **arrays)
    return zones


def _layout(stated: Mapping[str, Any], kinds: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what describes a variable, without its tables, checked."""
    path, shape, kind = _a(str, stated["path"]), _integers(stated["shape"]), kinds[stated["kind"]]
    chunk_shape, itemsize = kind["chunk_shape"], kind["dtype"].itemsize
    if min(shape, default=0) < 0:
        raise ValueError(f"{path} has the shape {shape}")
    safety.check_shape(path, shape, chunk_shape, itemsize)
    inline = None if stated["inline"] is None else b64decode(stated["inline"])
    if inline is not None and len(inline) != prod(shape) * itemsize:
        raise ValueError(f"{path} has {len(inline)} bytes, expected {shape} of {kind['dtype']}")
    return {**kind, "path": path, "shape": shape, "inline": inline}


@lru_cache(maxsize=1024)
def _kind(text: str) -> Mapping[str, Any]:
    """Return what variables of a kind share, checked: the same in all beams of all granules, as a rule."""
    stated = json.loads(text)
    dtype, chunk_shape = plain.dtype(stated["dtype"]), _integers(stated["chunk_shape"])
    fill = b64decode(stated["fill"])
    if not dtype.itemsize or min(chunk_shape, default=1) < 1 or len(fill) not in (0, dtype.itemsize):
        raise ValueError(f"chunks of {chunk_shape}, of {dtype}, filled with {len(fill)} bytes")
    attributes = {name: plain.value(each) for name, each in stated["attributes"].items()}
    return {
        "dtype": dtype,
        "chunk_shape": chunk_shape,
        "filters": tuple(_filter(code, name, *values) for code, name, *values in stated["filters"]),
        "fill": fill,
        "clipped": _a(bool, stated["clipped"]),
        "in_heap": _a(bool, stated["in_heap"]),
        "attributes": MappingProxyType(attributes),
    }


def _filter(code: SupportsIndex, name: str, *parameters: SupportsIndex) -> Filter:
    return Filter(id=integer(code), name=_a(str, name), parameters=_integers(parameters))


def _grid(layout: Mapping[str, Any]) -> tuple[int, ...]:
    if layout["inline"] is not None:
        return (0,)
    return tuple(-(-n // c) for n, c in zip(layout["shape"], layout["chunk_shape"], strict=True))


def _columns(file: pq.ParquetFile, chunks: int) -> list[Array]:
    """Return the columns of the file, if it has as many rows as there should be."""
    rows = file.metadata.num_rows
    if rows != chunks or chunks > safety.MOST_CHUNKS or not file.schema_arrow.equals(_COLUMNS):
        raise ValueError(f"{rows} rows of {file.schema_arrow.names}, expected {chunks} of {_COLUMNS.names}")
    return [column.to_numpy() for column in file.read(use_threads=False).columns]


def _check_places(columns: list[Array], counts: list[int], longest: list[int], size: int) -> None:
    """Refuse chunks outside the file, or longer than any filter leaves a chunk of their variable."""
    numbers, offsets, sizes, masks = columns
    written = offsets != UNALLOCATED
    places, lengths = offsets[written], sizes[written]
    inside = (places >= 0) & (lengths > 0) & (lengths <= size) & (places <= size - lengths)
    short = lengths <= np.repeat(np.array(longest, np.int64), counts)[written]
    if not (inside & short).all() or (sizes < 0).any() or (masks < 0).any() or (masks >> 32).any():
        raise ValueError(f"some chunks are not inside the file of {size} bytes")
    if not np.array_equal(numbers, _numbers(counts)):
        raise ValueError("its rows are not in the order of its variables")


def _datasets(
    layouts: list[dict[str, Any]], grids: list[tuple[int, ...]], columns: list[Array]
) -> Iterator[DatasetIndex]:
    start = 0
    for layout, grid in zip(layouts, grids, strict=True):
        stop = start + prod(grid)
        offsets, sizes, masks = (column[start:stop].reshape(grid) for column in columns[1:])
        yield DatasetIndex(**layout, offsets=offsets, sizes=sizes, masks=masks)
        start = stop


def _numbers(counts: list[int]) -> NDArray[np.int32]:
    return np.repeat(np.arange(len(counts), dtype=np.int32), counts)


def _joined(tables: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *(table.reshape(-1) for table in tables)])


def _digest(text: bytes, columns: Iterable[Array]) -> bytes:
    state = hashlib.blake2b(text, digest_size=32)
    for column in columns:
        state.update(np.ascontiguousarray(column).data)
    return state.hexdigest().encode()


def _a(kind: type[T], value: object) -> T:
    """Return a value of JSON if it is of the type expected."""
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _integers(values: Iterable[SupportsIndex]) -> tuple[int, ...]:
    return tuple(map(integer, values))
