from __future__ import annotations

import errno
import json
import resource
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from eoscale.access.bucket import BucketPath
from eoscale.errors import ConflictError
from eoscale.write import places
from eoscale.write.places import Place, near
from eoscale.write.provenance import DIGEST, FACTS
from eoscale.write.publish import is_file, published
from eoscale.write.table import ROWS_PER_GROUP, Part, TableSink
from tests.suites.sinks import BucketLaws, Case, DiskLaws, SinkLaws, contents
from tests.write.forgetful import LOSSES, ForgetfulServer, Loss

Kind = Literal["parquet", "csv", "json"]
KINDS: tuple[Kind, ...] = ("parquet", "csv", "json")
JOB = "0123456789abcdef" * 4
NAME = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    {
        "granule": NAME,
        "beam": NAME,
        "time": pa.timestamp("ns"),
        "longitude": pa.float64(),
        "latitude": pa.float64(),
        "h_li": pa.float32(),
        "dem_h": pa.float64(),
        "flag": pa.int8(),
        "segment_id": pa.int64(),
        "shot_number": pa.uint64(),
        "good": pa.bool_(),
    }
)
COORDINATES = ["longitude", "latitude"]
VARIABLES = SCHEMA.names[5:]
FLOATS = {"longitude": "f8", "latitude": "f8", "h_li": "f4", "dem_h": "f8"}

NAMES = st.text("ATL06_\"',;é \n", min_size=1, max_size=6).filter(str.strip)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "granule": NAMES,
            "beam": st.sampled_from(["gt1l", "gt3r"]),
            "time": st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
            "longitude": st.floats(-180, 180),
            "latitude": st.floats(-90, 90),
            "h_li": st.none() | st.floats(width=32, allow_nan=False),
            "dem_h": st.none() | st.floats(allow_nan=False),
            "flag": st.none() | st.integers(-128, 127),
            "segment_id": st.none() | st.integers(-(2**63), 2**63 - 1),
            "shot_number": st.none() | st.integers(0, 2**64 - 1),
            "good": st.none() | st.booleans(),
        }
    ),
    max_size=6,
)
PIECES = st.lists(ROWS, min_size=1, max_size=3)
Row = dict[str, Any]


def table(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), SCHEMA)


def many(number: int, seed: int = 5) -> pa.Table:
    """Return many rows from west to east, with a gap in every variable."""
    random = np.random.default_rng(seed)
    longitude = np.sort(random.uniform(-180, 180, number))
    columns: dict[str, Any] = {
        "granule": pa.array(np.repeat("a", number)).dictionary_encode(),
        "beam": pa.array(np.repeat("gt1l", number)).dictionary_encode(),
        "time": np.datetime64("2024-04-01T00:00:00.000000007") + np.arange(number).astype("m8[ns]"),
        "longitude": longitude,
        "latitude": random.uniform(-90, 90, number),
    }
    for name in VARIABLES:
        values = random.integers(0, 100, number).astype(SCHEMA.field(name).type.to_pandas_dtype())
        columns[name] = pa.array(values, mask=random.random(number) < 0.1)
    return pa.table(columns).cast(SCHEMA)


def parts(number: int) -> tuple[Part, ...]:
    return tuple((10 * n, 10 * n + 9) for n in range(number))


def sink(kind: Kind, number: int, folder: Place) -> TableSink:
    places.make(folder)
    return TableSink(
        output=folder / f"out.{kind}",
        digest=JOB,
        kind=kind,
        parts=parts(number),
        attributes={"title": "a test", "eoscale_granules": ["a", "b"]},
    )


def publish(made: TableSink, pieces: Sequence[pa.Table]) -> None:
    """Publish pieces as the parts of one table, the last one written first."""
    made.prepare()
    for part, piece in reversed(list(zip(made.parts, pieces, strict=True))):
        made.write(part, piece)
    made.publish()


def write(kind: Kind, folder: Path, pieces: Sequence[pa.Table]) -> Path:
    """Publish pieces on a disk."""
    made = sink(kind, len(pieces), folder)
    publish(made, pieces)
    assert isinstance(made.output, Path)
    return made.output


@contextmanager
def output(kind: Kind, pieces: Sequence[Sequence[Row]]) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield write(kind, Path(folder), [table(rows) for rows in pieces])


def read(output: Place) -> object:
    """Open a table of any kind as pandas does; a folder is none."""
    if not is_file(output):
        raise FileNotFoundError(output)
    with near(output) as path:
        return _read(path)


def _read(path: Path) -> object:
    match path.suffix:
        case ".parquet":
            return gpd.read_parquet(path)
        case ".csv":
            return pd.read_csv(path)
    return pd.read_json(path, precise_float=True, dtype=False)


def lost(start: Barrier, made: TableSink, rows: pa.Table) -> ConflictError | None:
    """Publish a table of one part when the other is ready too, and return the error if there is one."""
    (part,) = made.parts
    made.prepare()
    made.write(part, rows)
    start.wait()
    try:
        made.publish()
    except ConflictError as error:
        return error
    return None


BLOCKS = dict(zip(parts(3), (many(40), table([]), many(30, seed=6)), strict=True))


def check(output: Place) -> None:
    frame = read(output)
    assert isinstance(frame, pd.DataFrame)
    assert frame["shot_number"].isna().tolist() == [
        each is None for rows in BLOCKS.values() for each in rows["shot_number"].to_pylist()
    ]
    assert frame["longitude"].tolist() == [
        each for rows in BLOCKS.values() for each in rows["longitude"].to_pylist()
    ]


class _TableLaws(SinkLaws):
    @pytest.fixture(params=KINDS)
    def kind(self, request: pytest.FixtureRequest) -> Kind:
        found: Kind = request.param
        return found

    @pytest.fixture
    def case(self, kind: Kind) -> Case:
        return Case(
            make=partial(sink, kind, len(BLOCKS)),
            output=f"out.{kind}",
            job=JOB,
            blocks=BLOCKS,
            readers=[read],
            check=check,
        )

    def begin(self, case: Case, folder: Place, unit: Part) -> None:
        """Leave what a writer leaves that is killed: bytes under another name than the part's."""
        made = case.make(folder)
        assert isinstance(made, TableSink)
        target = made._path(unit)
        target.with_name(f".{target.name}.4711").write_bytes(b"PAR1")


class TestTableSinkInABucket(_TableLaws, BucketLaws):
    def test_a_table_in_a_bucket_has_the_very_bytes_of_one_on_a_disk(
        self, kind: Kind, bucket: BucketPath, tmp_path: Path
    ) -> None:
        pieces = list(BLOCKS.values())
        made = sink(kind, len(pieces), bucket)
        publish(made, pieces)
        assert contents(made.output) == contents(write(kind, tmp_path, pieces))
        assert bucket.sizes().keys() == {made.output.name}

    @pytest.mark.parametrize("loss", LOSSES)
    def test_a_table_is_published_though_answers_were_lost(
        self, case: Case, bucket: BucketPath, server: ForgetfulServer, loss: Loss
    ) -> None:
        made = self.fill(case, bucket, [])
        for part, rows in BLOCKS.items():
            with server.losing(loss) as lost_of_part:
                made.write(part, rows)
            assert len(lost_of_part) == 1
        with server.losing(loss, answers=2) as lost:
            made.publish()
        assert lost == [f"/{server.bucket}/{bucket.key}/{case.output}"] * 2
        check(bucket / case.output)

    def test_of_two_jobs_that_publish_at_once_in_a_bucket_one_wins_and_keeps_its_bytes(
        self, kind: Kind, bucket: BucketPath, server: ForgetfulServer, tmp_path: Path
    ) -> None:
        rivals = [many(3), many(3, seed=6)]
        alone = [contents(write(kind, tmp_path / str(n), [rows])) for n, rows in enumerate(rivals)]
        refused = server.answered["PUT", "412"]
        for race in range(5):
            folder, start = bucket / str(race), Barrier(2)
            sinks = [replace(sink(kind, 1, folder), digest=f"{number}" * 64) for number in range(2)]
            with ThreadPoolExecutor(2) as pool:
                ended = list(pool.map(partial(lost, start), sinks, rivals))
            (winner,) = [number for number, error in enumerate(ended) if error is None]
            if kind == "parquet":  # its bytes tell the job, too
                with near(folder / f"out.{kind}") as made:
                    assert published(made) == f"{winner}" * 64
            else:
                assert contents(folder / f"out.{kind}") == alone[winner]
        assert server.answered["PUT", "412"] == refused + 5


class TestTableSink(_TableLaws, DiskLaws):
    def test_of_two_jobs_that_publish_at_once_one_wins_and_keeps_its_bytes(
        self, kind: Kind, tmp_path: Path
    ) -> None:
        rivals = [many(3), many(3, seed=6)]
        alone = [contents(write(kind, tmp_path / f"alone-{n}", [rows])) for n, rows in enumerate(rivals)]
        races = by_a_hair = 0
        # in some races at least, both have looked and found nothing there before either publishes
        while races < 50 or (not by_a_hair and races < 2000):
            races += 1
            folder, start = tmp_path / f"race-{races}", Barrier(2)
            sinks = [replace(sink(kind, 1, folder), digest=f"{number}" * 64) for number in range(2)]
            with ThreadPoolExecutor(2) as pool:
                ended = list(pool.map(partial(lost, start), sinks, rivals))
            (winner,) = [number for number, error in enumerate(ended) if error is None]
            (error,) = [error for error in ended if error is not None]
            by_a_hair += isinstance(error.__cause__, FileExistsError)
            made = folder / f"out.{kind}"
            if kind == "parquet":  # its bytes tell the job, too
                assert published(made) == f"{winner}" * 64
                assert pq.read_table(made)["longitude"].equals(rivals[winner]["longitude"])
            else:
                assert contents(made) == alone[winner]
        assert by_a_hair


def test_parts_of_different_stages_are_kept_apart(folder: Place) -> None:
    first, second = (replace(sink("csv", 3, folder), stage=number * 64) for number in "12")
    for made in (first, second):
        made.prepare()
    for part, rows in BLOCKS.items():
        first.write(part, rows)
    assert (first.missing(), second.missing()) == ((), tuple(BLOCKS))
    first.publish()
    check(first.output)
    second.write(parts(3)[0], BLOCKS[parts(3)[0]])
    assert second.missing() == tuple(BLOCKS)[1:]


# GeoParquet


@given(PIECES)
def test_geoparquet_keeps_every_value_and_type_and_the_order_of_the_parts(pieces: list[list[Row]]) -> None:
    with output("parquet", pieces) as path:
        found = pq.read_table(path)
    rows = [row for piece in pieces for row in piece]
    assert found.select(SCHEMA.names).schema.equals(SCHEMA)
    assert found.select(SCHEMA.names).to_pylist() == table(rows).to_pylist()
    for name in COORDINATES:
        assert found[name].to_numpy().tobytes() == np.array([row[name] for row in rows]).tobytes()


@given(PIECES)
def test_geoparquet_is_read_by_geopandas_as_points_of_longitude_and_latitude(pieces: list[list[Row]]) -> None:
    with output("parquet", pieces) as path:
        frame = gpd.read_parquet(path)
    rows = [row for piece in pieces for row in piece]
    assert isinstance(frame, gpd.GeoDataFrame)
    assert frame.crs == CRS("EPSG:4326")
    assert frame.geometry.name == "geometry"
    assert frame.geometry.x.tolist() == [row["longitude"] for row in rows]
    assert frame.geometry.y.tolist() == [row["latitude"] for row in rows]


@given(PIECES.filter(any), st.data())
def test_a_box_gives_the_rows_that_geopandas_finds_in_it(
    pieces: list[list[Row]], data: st.DataObject
) -> None:
    numbers = count()
    numbered = [[row | {"segment_id": next(numbers)} for row in rows] for rows in pieces]
    edges = []
    for name in COORDINATES:
        degrees = st.sampled_from([row[name] for rows in pieces for row in rows]) | st.floats(-90, 90)
        edges.append(sorted(data.draw(st.tuples(degrees, degrees))))
    (west, east), (south, north) = edges
    with output("parquet", numbered) as path:
        whole, within = gpd.read_parquet(path), gpd.read_parquet(path, bbox=(west, south, east, north))
    expected = whole[whole.intersects(shapely.box(west, south, east, north))]
    assert within["segment_id"].tolist() == expected["segment_id"].tolist()
    assert within.geometry.tolist() == expected.geometry.tolist()


@given(PIECES)
def test_the_geo_metadata_are_those_of_geoparquet_1_1(pieces: list[list[Row]]) -> None:
    with output("parquet", pieces) as path:
        schema = pq.read_schema(path)
    geo = json.loads(schema.metadata[b"geo"])
    assert geo.keys() == {"version", "primary_column", "columns"}
    assert geo["version"] == "1.1.0"
    assert geo["columns"].keys() == {geo["primary_column"]} == {"geometry"}
    column = geo["columns"]["geometry"]
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["Point"]
    assert CRS.from_json_dict(column["crs"]) == CRS("EPSG:4326")
    covering = column["covering"]["bbox"]
    assert covering == {corner: ["bbox", corner] for corner in ("xmin", "ymin", "xmax", "ymax")}
    assert schema.field("geometry").type == pa.binary()
    assert schema.field("bbox").type == pa.struct(dict.fromkeys(covering, pa.float64()))
    rows = [row for piece in pieces for row in piece]
    if rows:
        longitude, latitude = ([row[name] for row in rows] for name in COORDINATES)
        assert column["bbox"] == [min(longitude), min(latitude), max(longitude), max(latitude)]
    else:
        assert "bbox" not in column


def test_the_job_is_told_by_the_file_itself(tmp_path: Path) -> None:
    path = write("parquet", tmp_path, [many(3)])
    assert published(path) == JOB
    told = json.loads(pq.read_schema(path).metadata[FACTS])
    assert told == {"title": "a test", "eoscale_granules": ["a", "b"], DIGEST: JOB}


def test_the_statistics_of_each_row_group_bound_its_points(tmp_path: Path) -> None:
    pieces = [many(ROWS_PER_GROUP + 5), many(7), many(ROWS_PER_GROUP)]
    with pq.ParquetFile(write("parquet", tmp_path, pieces)) as file:
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        points = [file.read_row_group(number, columns=COORDINATES) for number in range(file.num_row_groups)]
    assert [group.num_rows for group in groups] == [ROWS_PER_GROUP, 5, 7, ROWS_PER_GROUP]
    for group, rows in zip(groups, points, strict=True):
        columns = [group.column(number) for number in range(group.num_columns)]
        told = {column.path_in_schema: column.statistics for column in columns}
        for axis, name in zip("xy", COORDINATES, strict=True):
            degrees = rows[name].to_numpy()
            for corner in (f"bbox.{axis}min", f"bbox.{axis}max"):
                assert told[corner].has_min_max
                assert (told[corner].min, told[corner].max) == (degrees.min(), degrees.max())


def test_a_reader_of_a_small_box_leaves_other_row_groups_alone(tmp_path: Path) -> None:
    rows = many(1000)
    path = write("parquet", tmp_path, [rows[:400], rows[400:]])
    with pq.ParquetFile(path) as file:
        group = file.metadata.row_group(1)
    first = group.column(0)
    start = first.dictionary_page_offset or first.data_page_offset
    stop = start + sum(group.column(number).total_compressed_size for number in range(group.num_columns))
    content = bytearray(path.read_bytes())
    content[start:stop] = b"\xff" * (stop - start)
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"\w"):
        gpd.read_parquet(path)
    longitude = rows["longitude"].to_numpy()
    assert len(gpd.read_parquet(path, bbox=(-180, -90, longitude[399], 90))) == 400


def test_more_parts_are_joined_than_a_process_may_have_open_files(tmp_path: Path) -> None:
    made = sink("parquet", 100, tmp_path)
    made.prepare()
    for part in made.parts:
        made.write(part, many(2))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as limited:
        limited.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        while _may_open([Path(str(made._path(part))) for part in made.parts]):
            # what earlier tests left is closed at any time, and makes room
            opened = len(list(Path("/dev/fd").iterdir()))
            resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 30, hard))
        made.publish()
    assert len(gpd.read_parquet(made.output)) == 2 * len(made.parts)


def _may_open(paths: Sequence[Path]) -> bool:
    """Return whether this process may have all of some files open."""
    try:
        with ExitStack() as files:
            deque(files.enter_context(path.open("rb")) for path in paths)
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        return False
    return True


# CSV and JSON


def times(rows: Sequence[Row]) -> list[str]:
    """Return times as ISO 8601 to the nanosecond, empty where there is none."""
    return ["" if row["time"] is None else f"{np.datetime64(row['time'], 'ns')}Z" for row in rows]


def same(found: pd.Series[Any], expected: Sequence[float | None], dtype: str) -> bool:
    """Return whether floats agree to the last bit, and miss where they should."""
    bits = [b"" if value is None else np.dtype(dtype).type(value).tobytes() for value in expected]
    return bits == [b"" if pd.isna(value) else np.dtype(dtype).type(value).tobytes() for value in found]


@given(PIECES)
def test_csv_gives_pandas_every_bit_back(pieces: list[list[Row]]) -> None:
    rows = [row for piece in pieces for row in piece]
    whole = {"flag": "Int8", "segment_id": "Int64", "shot_number": "UInt64", "good": "boolean"}
    words = dict.fromkeys(["granule", "beam", "time"], "str")
    with output("csv", pieces) as path:
        frame = pd.read_csv(path, dtype={**whole, **words, **dict.fromkeys(FLOATS, "float64")})
    assert list(frame.columns) == SCHEMA.names
    assert frame["granule"].tolist() == [row["granule"] for row in rows]
    assert frame["time"].fillna("").tolist() == times(rows)
    for name, dtype in FLOATS.items():
        assert same(frame[name], [row[name] for row in rows], dtype)
    for name in whole:
        assert [None if pd.isna(each) else each for each in frame[name]] == [row[name] for row in rows]


def spoken(value: Any) -> Any:  # noqa: ANN401  of any type
    """Return what JSON can say of a value: there is no infinity."""
    return None if isinstance(value, float) and np.isinf(value) else value


@given(PIECES)
def test_json_gives_every_bit_back_and_infinities_as_null(pieces: list[list[Row]]) -> None:
    rows = [row for piece in pieces for row in piece]
    with output("json", pieces) as path:
        lines = path.read_text(encoding="utf-8").splitlines()
        found = json.loads(path.read_bytes(), parse_constant=pytest.fail)
    assert len(lines) == len(rows) + 2 if rows else lines == ["[]"]
    assert [[*row] for row in found] == [SCHEMA.names] * len(rows)
    assert [row["time"] or "" for row in found] == times(rows)
    for told, row in zip(found, rows, strict=True):
        assert told | {"time": 0, "h_li": 0} == {name: spoken(row[name]) for name in row} | {
            "time": 0,
            "h_li": 0,
        }
    for name, dtype in FLOATS.items():
        assert same(pd.Series([row[name] for row in found]), [spoken(row[name]) for row in rows], dtype)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False), min_size=1))
def test_json_gives_pandas_every_bit_back(heights: list[float]) -> None:
    places = {"longitude": 1.5, "latitude": -2.5}
    with output(
        "json", [[dict.fromkeys(SCHEMA.names) | places | {"dem_h": each} for each in heights]]
    ) as path:
        frame = pd.read_json(path, precise_float=True, dtype=False)
    assert same(frame["dem_h"], heights, "f8")
    assert (frame[COORDINATES] == places).all(axis=None)


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_text_says_floats_of_32_bits_as_short_as_they_are_meant(kind: Kind, tmp_path: Path) -> None:
    rows = table([dict.fromkeys(SCHEMA.names) | {"h_li": 0.1, "longitude": 0.1, "latitude": 1.0}])
    text = write(kind, tmp_path, [rows]).read_text(encoding="utf-8")
    assert "0.10000000149" not in text
    assert text.count("0.1") == 2


def test_times_have_nanoseconds_and_are_utc(tmp_path: Path) -> None:
    moment = "2024-04-01T23:59:59.000000007"
    rows = [
        dict.fromkeys(SCHEMA.names)
        | {"time": int(np.datetime64(moment, "ns").astype(int)), "longitude": 0.0, "latitude": 0.0}
    ]
    frame = pd.read_csv(write("csv", tmp_path, [table(rows)]))
    (time,) = pd.to_datetime(frame["time"])
    assert time == pd.Timestamp(moment, tz="UTC")
    assert time.nanosecond == 7
    (stored,) = gpd.read_parquet(write("parquet", tmp_path, [table(rows)]))["time"]
    assert stored == pd.Timestamp(moment)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [1, 3])
def test_an_empty_table_is_a_valid_file(kind: Kind, number: int, tmp_path: Path) -> None:
    path = write(kind, tmp_path, [table([])] * number)
    frame = read(path)
    assert isinstance(frame, pd.DataFrame)
    assert frame.empty
    if kind == "json":
        assert path.read_text(encoding="utf-8") == "[]\n"
    else:
        assert list(frame.columns)[: len(SCHEMA.names)] == SCHEMA.names


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"])
def test_variables_of_every_type_can_be_written(kind: Kind, dtype: str, tmp_path: Path) -> None:
    coordinates = {"longitude": np.zeros(3), "latitude": np.zeros(3)}
    rows = pa.table(
        coordinates | {"x": pa.array(np.array([1, 0, 1], dtype), mask=np.array([False, False, True]))}
    )
    frame = read(write(kind, tmp_path, [rows]))
    assert isinstance(frame, pd.DataFrame)
    assert [bool(each) for each in frame["x"][:2]] == [True, False]
    assert pd.isna(frame["x"][2])
