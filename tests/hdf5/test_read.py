from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eoscale.access.spans import Cost, coalesce
from eoscale.errors import (
    AccessError,
    CorruptGranuleError,
    MissingVariableError,
    RecipeError,
    UnsafeGranuleError,
)
from eoscale.hdf5.index import index
from eoscale.hdf5.read import begin, read
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.columns import Rows
from tests.hdf5.files import MAKERS, VERSIONS, granule, noise, oracle, same, write
from tests.servers.ranges import RangeServer

PATHS = tuple(f"gt1l/{name}" for name in MAKERS)
ROWED = tuple(path for path in PATHS if "scalar" not in path)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        for version in VERSIONS:
            write(Path(name) / f"{version}.h5", version)
        yield Path(name)


@pytest.fixture(scope="module")
def indexes(folder: Path) -> dict[str, ChunkIndex]:
    return {version: index(granule(folder / f"{version}.h5"), PATHS) for version in VERSIONS}


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    with RangeServer(folder) as server:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        yield server


def subset(data: st.DataObject, rows: int) -> Rows:
    """Draw row numbers, ascending: some, none or all."""
    chosen = data.draw(st.sets(st.integers(0, max(rows - 1, 0)), max_size=min(rows, 40)))
    return np.array(sorted(chosen), np.int64)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("version", VERSIONS)
def test_all_rows_are_what_h5py_reads(
    folder: Path, indexes: dict[str, ChunkIndex], version: str, path: str
) -> None:
    values = read(indexes[version], {path: None}).columns[path]
    assert same(values, oracle(folder / f"{version}.h5", path))


@pytest.mark.parametrize("path", ROWED)
@pytest.mark.parametrize("version", VERSIONS)
@given(data=st.data())
@settings(max_examples=8)
def test_any_rows_are_those_of_h5py(
    folder: Path, indexes: dict[str, ChunkIndex], version: str, path: str, data: st.DataObject
) -> None:
    whole = oracle(folder / f"{version}.h5", path)
    rows = subset(data, len(whole))
    assert same(read(indexes[version], {path: rows}).columns[path], whole[rows])


def test_some_granules_are_read_at_once_and_one_that_fails_stops_no_other(
    folder: Path, server: RangeServer, tmp_path: Path
) -> None:
    paths = {path: None for path in PATHS if "text" not in path}
    places = [str(folder / f"{VERSIONS[0]}.h5"), server.url(f"{VERSIONS[1]}.h5"), str(tmp_path / "a.h5")]
    (tmp_path / "a.h5").write_bytes((folder / f"{VERSIONS[0]}.h5").read_bytes())
    tables = [index(granule(place), PATHS) for place in places]
    (tmp_path / "a.h5").unlink()
    begun = [begin(table, paths) for table in tables]
    for version, reading in zip(VERSIONS, begun, strict=False):
        for path in paths:
            assert same(reading.result().columns[path], oracle(folder / f"{version}.h5", path)), path
    assert type(begun[2].exception()) is AccessError


def test_a_variable_that_is_not_in_the_index_is_missing_in_its_granule(
    indexes: dict[str, ChunkIndex],
) -> None:
    with pytest.raises(MissingVariableError) as caught:
        read(indexes[VERSIONS[0]], {"gt9l/h": None})
    assert caught.value.granule == indexes[VERSIONS[0]].granule


@pytest.mark.parametrize("rows", [[0, 0], [1, 0], [-1, 0], [0, 10**9]])
def test_rows_that_are_not_those_of_the_variable_are_refused(
    indexes: dict[str, ChunkIndex], rows: list[int]
) -> None:
    path = ROWED[0]
    with pytest.raises(RecipeError, match=f"ascending, each once|{path} has .* rows: row 1000000000 is none"):
        read(indexes[VERSIONS[0]], {path: np.array(rows)})


def test_more_than_fits_in_memory_is_refused_though_the_file_holds_nothing_of_it(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in "abc":
            file.create_dataset(name, (2**30,), "f8", chunks=(2**24,))
    table = index(granule(tmp_path / "a.h5"), "abc")
    with pytest.raises(UnsafeGranuleError, match=r"takes 26 GB of memory.*read it in blocks of rows"):
        read(table, dict.fromkeys("abc"))
    rows = np.array([5, 2**30 - 1])
    assert read(table, dict.fromkeys("abc", rows)).columns["c"].tolist() == [0, 0]


@given(st.data())
def test_several_variables_are_read_together_each_with_its_rows(
    folder: Path, indexes: dict[str, ChunkIndex], data: st.DataObject
) -> None:
    version = data.draw(st.sampled_from(VERSIONS))
    paths = data.draw(st.lists(st.sampled_from(ROWED), unique=True, max_size=8))
    wholes = {path: oracle(folder / f"{version}.h5", path) for path in paths}
    wanted = {
        path: None if data.draw(st.booleans()) else subset(data, len(whole)) for path, whole in wholes.items()
    }
    columns = read(indexes[version], wanted).columns
    assert list(columns) == paths
    for path, rows in wanted.items():
        assert same(columns[path], wholes[path] if rows is None else wholes[path][rows])


@given(st.data())
def test_only_the_chunks_that_hold_the_rows_are_asked_for(
    folder: Path, indexes: dict[str, ChunkIndex], data: st.DataObject
) -> None:
    version = data.draw(st.sampled_from(VERSIONS))
    path = data.draw(st.sampled_from(["gt1l/line", "gt1l/plane", "gt1l/volume", "gt1l/sparse", "gt1l/grown"]))
    with h5py.File(folder / f"{version}.h5") as file:
        dataset = file[path]
        rows = subset(data, dataset.shape[0])
        stored = [dataset.id.get_chunk_info(i) for i in range(dataset.id.get_num_chunks())]
        touched = set((rows // dataset.chunks[0] * dataset.chunks[0]).tolist())
    needed = [chunk for chunk in stored if chunk.chunk_offset[0] in touched]
    offsets = np.array([chunk.byte_offset for chunk in needed], np.int64)
    spans = coalesce(offsets, np.array([chunk.size for chunk in needed], np.int64))
    expected = Cost(len(spans), sum(span.stop - span.start for span in spans))
    assert read(indexes[version], {path: rows}).cost == expected


def test_chunks_far_apart_cost_exactly_their_bytes_on_the_wire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = noise("<f8", 40_000)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        # 32 KB that do not shrink: more than the longest gap that is read over
        file.create_dataset("h", data=values, chunks=(4000,), compression=1)
        sizes = [file["h"].id.get_chunk_info(i).size for i in range(10)]
    with RangeServer(tmp_path) as server:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        found = index(granule(server.url("a.h5")), ["h"])
        server.gets.clear()
        before = server.bytes
        rows = np.array([1, 3999, 12_000, 39_999])
        reading = read(found, {"h": rows})
        assert same(reading.columns["h"], values[rows])
        assert reading.cost == Cost(3, sizes[0] + sizes[3] + sizes[9])
        assert (len(server.asked), server.bytes - before) == reading.cost
        assert read(found, {"h": np.empty(0, np.int64)}).cost == Cost(0, 0)


def test_over_http_everything_is_what_h5py_reads(folder: Path, server: RangeServer) -> None:
    for version in VERSIONS:
        sent, asked = server.bytes, len(server.asked)
        found = index(granule(server.url(f"{version}.h5")), PATHS)
        size = (folder / f"{version}.h5").stat().st_size
        assert (found.requests, found.bytes_read) == (len(server.asked) - asked, server.bytes - sent)
        assert found.bytes_read <= found.size + 2**16  # of the block that tells whether it is in pages
        assert found.size == size
        sent, asked = server.bytes, len(server.asked)
        reading = read(found, dict.fromkeys(PATHS))
        assert reading.cost == (len(server.asked) - asked, server.bytes - sent)
        for path in PATHS:
            assert same(reading.columns[path], oracle(folder / f"{version}.h5", path)), path


def test_indexes_of_one_file_by_path_and_by_server_agree(
    indexes: dict[str, ChunkIndex], server: RangeServer
) -> None:
    for version in VERSIONS:
        remote = index(granule(server.url(f"{version}.h5")), PATHS)
        assert remote.datasets == indexes[version].datasets


def test_a_file_url_is_read_as_the_path(folder: Path) -> None:
    found = index(granule((folder / "latest.h5").as_uri()), ["gt1l/plane"])
    assert same(
        read(found, {"gt1l/plane": None}).columns["gt1l/plane"], oracle(folder / "latest.h5", "gt1l/plane")
    )


@pytest.mark.parametrize("remote", [False, True])
def test_a_file_that_was_replaced_since_it_was_indexed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, remote: bool
) -> None:
    for name, first in (("a.h5", 0), ("b.h5", 1000)):
        with h5py.File(tmp_path / name, "w") as file:
            file["h"] = np.arange(first, first + 100)
    with ExitStack() as stack:
        place = str(tmp_path / "a.h5")
        if remote:
            server = stack.enter_context(RangeServer(tmp_path))
            monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
            place = server.url("a.h5")
        found = index(granule(place), ["h"])
        assert read(found, {"h": None}).columns["h"][0] == 0
        (tmp_path / "b.h5").replace(tmp_path / "a.h5")
        with pytest.raises(AccessError, match=r"changed (since it was indexed|while it was read)"):
            read(found, {"h": None})


def test_a_variable_that_is_not_in_the_index_is_missing(indexes: dict[str, ChunkIndex]) -> None:
    with pytest.raises(MissingVariableError, match=r"granule_007 at .*: has no gt1l/none"):
        read(indexes["latest"], {"gt1l/none": None})


def test_nothing_wanted_costs_nothing(indexes: dict[str, ChunkIndex]) -> None:
    assert read(indexes["latest"], {}) == ({}, Cost(0, 0))


def test_a_damaged_chunk_is_an_error_with_granule_and_place(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("h", data=np.arange(1000), chunks=(100,), compression=4)
        where = file["h"].id.get_chunk_info(4)
    content = bytearray(path.read_bytes())
    content[where.byte_offset + where.size // 2] ^= 4
    path.write_bytes(content)
    found = index(granule(path), ["h"])
    with pytest.raises(CorruptGranuleError, match=r"granule_007 at .*a\.h5: h: ") as raised:
        read(found, {"h": None})
    assert (raised.value.granule, raised.value.url) == ("granule_007", str(path))
    rows = np.r_[0:400, 500:1000]
    assert same(read(found, {"h": rows}).columns["h"], rows)
