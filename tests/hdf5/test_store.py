from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eoscale.access import endpoints, loop
from eoscale.errors import AccessError
from eoscale.hdf5 import entry, store
from eoscale.model.chunk_index import ChunkIndex, DatasetIndex
from eoscale.model.granule import Granule
from tests.hdf5.test_entry import assert_same, holding, indexes, small
from tests.servers.buckets import BucketServer

URL = "https://data.example/ATL06/a.h5"
PROCESSES, THREADS, READERS = 4, 25, 4
"""A hundred writers, of which those of one process take turns."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep indexes in a folder of the test's own."""
    monkeypatch.setenv(endpoints.INDEX_STORE, str(tmp_path / "indexes"))
    return tmp_path / "indexes"


def granule(url: str = URL, route: str = "https") -> Granule:
    return Granule(id="a", product="ATL06", urls={route: url})


def index(*paths: str, url: str = URL, **words: object) -> ChunkIndex:
    """Return an index of some variables, each of which says by its type which one it is."""
    return replace(holding(*(small(path=path, fill=_mark(path)) for path in paths)), url=url, **words)  # type: ignore[arg-type]


def _mark(path: str) -> bytes:
    return path.encode()[-4:].rjust(4)


def kept(url: str = URL) -> ChunkIndex:
    found = store.load(granule(url))
    assert found is not None
    return found


def file(folder: Path) -> Path:
    """Return the one file of the store."""
    (only,) = (path for path in folder.rglob("*") if path.is_file())
    return only


@given(indexes())
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_saved_is_loaded(saved: ChunkIndex) -> None:
    store.forget(granule())
    saved = replace(saved, granule="a", url=URL, etag='"1"', absent=saved.absent.difference(saved.datasets))
    store.save(replace(saved, bytes_read=10**6, requests=7))
    assert_same(kept(), saved)
    assert (kept().bytes_read, kept().requests) == (0, 0)


def test_nothing_is_loaded_where_nothing_was_saved(folder: Path) -> None:
    assert store.load(granule()) is None
    assert not folder.exists()
    store.save(index("h"))
    assert store.load(granule("https://data.example/ATL06/b.h5")) is None
    both = Granule(id="a", product="ATL06", urls={"s3": "s3://bucket/a.h5", "https": URL})
    assert store.load(both) is None  # which is read by another route


def test_what_is_kept_grows_by_what_is_saved_of_the_same_version() -> None:
    store.save(index("a", "b", absent=frozenset(["x", "z"]), fallback="a fractal heap"))
    store.save(index("b", "c", absent=frozenset(["y"])))
    found = kept()
    assert set(found.datasets) == {"a", "b", "c"}
    assert found.absent == {"x", "y", "z"}
    assert found.fallback == "a fractal heap"
    store.save(index("z"))
    assert kept().absent == {"x", "y"}


def test_the_newer_description_of_a_variable_replaces_the_older_one() -> None:
    store.save(index("a", "b"))
    newer = small(path="a", attributes={"units": "feet"})
    store.save(replace(holding(newer), url=URL))
    assert kept().datasets == {**index("b").datasets, "a": newer}


def test_saving_what_is_known_writes_nothing(folder: Path) -> None:
    store.save(index("a", "b"))
    written = file(folder).stat()
    store.save(index("b"))
    assert file(folder).stat() == written


@pytest.mark.parametrize("words", [{"etag": '"2"'}, {"size": 1001}])
def test_another_version_of_the_file_replaces_what_is_kept(words: dict[str, object]) -> None:
    store.save(index("a", absent=frozenset(["x"]), fallback="a fractal heap"))
    other = replace(index("b"), **words)  # type: ignore[arg-type]
    store.save(other)
    assert_same(kept(), other)


def test_an_index_of_a_file_without_a_version_is_not_kept(folder: Path) -> None:
    store.save(index("a", etag=""))
    assert store.load(granule()) is None
    store.save(index("a"))
    # nor is one believed that somebody has put there
    file(folder).write_bytes(entry.to_bytes(index("a", etag="")))
    assert store.load(granule()) is None


def test_what_is_forgotten_is_gone() -> None:
    store.forget(granule())
    store.save(index("a"))
    store.forget(granule())
    assert store.load(granule()) is None
    store.save(index("b"))
    assert set(kept().datasets) == {"b"}


@pytest.mark.parametrize(
    "other",
    [
        "HTTPS://Data.Example/ATL06/a.h5",
        "https://data.example:443/ATL06/a.h5",
        "https://data.example/ATL06/%61.h5",
        f"{URL}?X-Amz-Signature=s3cr3t",
        "https://me:s3cr3t@data.example/ATL06/a.h5",
    ],
)
def test_one_file_has_one_entry_however_its_url_is_written(folder: Path, other: str) -> None:
    store.save(index("a", url=other))
    store.save(index("b"))
    assert b"s3cr3t" not in file(folder).read_bytes()
    found = kept(other)
    assert set(found.datasets) == {"a", "b"}
    assert found.url == other  # by which it is read


@pytest.mark.parametrize(
    "other",
    [
        "http://data.example/ATL06/a.h5",
        "https://data.example:8443/ATL06/a.h5",
        "https://data.example/atl06/a.h5",
        "https://data.example/ATL06/a%2520.h5",
        "s3://data.example/ATL06/a.h5",
        "/ATL06/a.h5",
    ],
)
def test_other_files_have_other_entries(other: str) -> None:
    store.save(index("a"))
    assert store.load(granule(other)) is None


def test_a_local_file_has_one_entry_whichever_way_leads_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "da ta").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "da ta")
    ways = ["da ta/a.h5", f"{tmp_path}/link/../da ta/a.h5", "link/a.h5", f"file://{tmp_path}/da%20ta/a.h5"]
    for number, way in enumerate(ways):
        store.save(index(str(number), url=way))
    for way in ways:
        found = store.load(granule(way, "file"))
        assert found is not None
        assert set(found.datasets) == {"0", "1", "2", "3"}


@given(st.text(max_size=150))
def test_the_name_of_an_entry_is_plain_and_short_whatever_the_url(text: str) -> None:
    try:
        canonical = store._canonical(f"https://h/{text}")
        local = store._canonical(f"/data/{text}")
    except AccessError:
        return
    for url in (canonical, local):
        assert store._canonical(url) == url
        assert re.fullmatch(r"[0-9a-f]{2}/[0-9a-f]{32}-[A-Za-z0-9._-]{1,100}\.parquet", store._key(url))


@pytest.mark.parametrize("url", ["https://[::1/a.h5", "/data/a\0.h5"])
def test_a_url_that_is_none_is_an_error(url: str) -> None:
    with pytest.raises(AccessError, match="a URL cannot be read"):
        store.load(granule(url))


POISON = {
    "outside": index("a", size=200),
    "another file": index("a", url="https://data.example/ATL06/b.h5"),
    "absurd": replace(
        index(), datasets={"a": small(path="a", shape=(2**40,), chunk_shape=(2**39,), **{
            name: np.array([1, 2]) for name in ("offsets", "sizes", "masks")})}
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "content", [*map(entry.to_bytes, POISON.values()), b"", b"PAR1"], ids=[*POISON, "empty", "torn"]
)
def test_a_poisoned_entry_is_not_used_but_reported_and_overwritten(
    folder: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    store.save(index("b"))
    file(folder).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert store.load(granule()) is None
    (record,) = caplog.records
    assert record.name == "eoscale.hdf5.store"
    assert record.getMessage().startswith("a: the entry in the index store is not used, it is built anew: '")
    store.save(index("c"))
    assert set(kept().datasets) == {"c"}


def test_a_hostile_entry_cannot_write_into_the_log(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    store.save(index("b"))
    none = np.empty(0, np.int64)
    hostile = small(path="\nCRITICAL \x1b[31m" + "x" * 999, inline=b"1", offsets=none, sizes=none, masks=none)
    file(folder).write_bytes(entry.to_bytes(replace(holding(hostile), url=URL)))
    with caplog.at_level(logging.WARNING):
        assert store.load(granule()) is None
    message = caplog.records[0].getMessage()
    assert "CRITICAL" in message
    assert message.isprintable()
    assert len(message) < 400


def test_an_entry_of_another_format_version_is_built_anew_without_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with patch.object(entry, "FORMAT", entry.FORMAT + 1):
        store.save(index("a"))
    with caplog.at_level(logging.WARNING):
        assert store.load(granule()) is None
        store.save(index("b"))
        assert set(kept().datasets) == {"b"}
    assert not caplog.records


def test_an_index_that_cannot_be_kept_is_only_reported(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = small(path="a", attributes={"units": np.array([object()])})
    with caplog.at_level(logging.WARNING):
        store.save(replace(holding(odd), url=URL))
    assert "cannot be kept" in caplog.records[0].getMessage()
    assert not folder.exists()


@pytest.mark.parametrize("place", ["/dev/null/x", "nope://me:s3cr3t@bucket/x?key=s3cr3t"])
def test_a_store_that_cannot_be_used_says_what_to_set(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv(endpoints.INDEX_STORE, place)
    for verb in (store.load, store.forget, lambda _: store.save(index("a"))):
        with pytest.raises(
            AccessError, match=r"the index store .* cannot be .*; set EOSCALE_INDEX_STORE"
        ) as raised:
            verb(granule())
        assert "s3cr3t" not in str(raised.value)


def test_a_cache_that_cannot_be_written_is_done_without_and_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(endpoints.INDEX_STORE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        for url in (URL, f"{URL}2"):
            store.save(index("a", url=url))
            assert store.load(granule(url)) is None
            store.forget(granule(url))
    (record,) = caplog.records
    assert "no indexes are kept" in record.getMessage()
    assert "set EOSCALE_INDEX_STORE" in record.getMessage()


def test_a_thousand_granules_are_loaded_at_once() -> None:
    urls = [f"https://data.example/{number}.h5" for number in range(1000)]

    async def together() -> list[ChunkIndex | None]:
        await asyncio.gather(*(store.saved(index("a", url=url)) for url in urls))
        return await asyncio.gather(*(store.loaded(granule(url)) for url in urls))

    found = loop.run(together())
    assert [None if one is None else one.url for one in found] == urls


WRITERS = """
import os, sys, threading, time
from pathlib import Path
import numpy as np
from eoscale.hdf5 import store
from eoscale.model.chunk_index import ChunkIndex, DatasetIndex

url, ready, processes, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])

def save(number):
    path = f"v{number:03}"
    tables = {name: np.full(3, number) for name in ("offsets", "masks")}
    one = DatasetIndex(path=path, shape=(10,), dtype=np.dtype("f4"), chunk_shape=(4,), fill=path.encode(),
                       sizes=np.full(3, 16), **tables)
    start.wait()
    store.save(ChunkIndex(granule="a", url=url, size=1000, etag='"1"', datasets={path: one}))

# importing takes seconds: it is done once, and no thread or store exists before the processes do
children = []
for first in range(0, processes * threads, threads):
    children.append(os.fork())
    if not children[-1]:
        start = threading.Barrier(threads + 1)
        writing = [threading.Thread(target=save, args=(first + number,)) for number in range(threads)]
        for thread in writing:
            thread.start()
        (ready / str(first)).touch()
        while not (ready / "go").exists():
            time.sleep(0.002)
        start.wait()
        for thread in writing:
            thread.join()
        os._exit(0)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


@pytest.fixture(params=["folder", "s3"])
def lossless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Set up a store of each kind, and say whether it keeps what all of several writers write."""
    if request.param == "folder":
        yield False
        return
    with BucketServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv(endpoints.INDEX_STORE, f"s3://{server.bucket}/some/where")
        yield True
        # or the writers never met, and this was no test
        assert server.answered["PUT", "412"]


def test_a_hundred_writers_of_one_entry_leave_it_whole_at_every_moment(
    lossless: bool,  # noqa: FBT001  a fixture
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    arguments = [URL, str(tmp_path), str(PROCESSES), str(THREADS)]
    writers = subprocess.Popen([sys.executable, "-c", WRITERS, *arguments])  # noqa: S603  its own text
    while len([path for path in tmp_path.iterdir() if path.name.isdigit()]) < PROCESSES:
        assert writers.poll() is None
        time.sleep(0.01)

    def read() -> list[ChunkIndex | None]:
        seen = []
        while writers.poll() is None:
            seen.append(store.load(granule()))
        return seen

    with caplog.at_level(logging.INFO), ThreadPoolExecutor(READERS) as pool:
        reading = [pool.submit(read) for _ in range(READERS)]
        (tmp_path / "go").touch()
        several = [each.result() for each in reading]
    assert writers.returncode == 0
    assert not caplog.records  # a torn entry would have been reported
    seen = [found for each in several for found in each]
    states = {frozenset(found.datasets) for found in seen if found is not None}
    assert len(states) > 10, "the readers saw too little of the writing"
    for each in several:
        existed = [found is not None for found in each]
        assert existed == sorted(existed), "an entry was gone for a moment"
    for found in seen:
        _check_whole(found)
    final = kept()
    _check_whole(final)
    names = {f"v{number:03}" for number in range(PROCESSES * THREADS)}
    assert set(final.datasets) <= names
    if lossless:
        assert set(final.datasets) == names


def _check_whole(found: ChunkIndex | None) -> None:
    """Check that every variable is as its writer wrote it."""
    datasets: dict[str, DatasetIndex] = {} if found is None else dict(found.datasets)
    for path, dataset in datasets.items():
        number = int(path[1:])
        assert dataset.fill == path.encode()
        assert dataset.offsets.tolist() == dataset.masks.tolist() == [number] * 3


@pytest.mark.parametrize("place", ["folder", "memory://"])
def test_the_threads_of_one_process_lose_nothing(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if place != "folder":
        monkeypatch.setenv(endpoints.INDEX_STORE, place)
    paths = [f"v{number:03}" for number in range(100)]
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda path: store.save(index(path)), paths))
    assert sorted(kept().datasets) == paths


def test_a_writer_who_is_never_fast_enough_gives_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def slower(*_: object) -> bool:
        return False

    monkeypatch.setattr("eoscale.access.stores.write", slower)
    monkeypatch.setattr(store, "_LONGEST_PAUSE", 0.001)
    with caplog.at_level(logging.INFO):
        store.save(index("a"))
    assert "this index is not kept" in caplog.records[0].getMessage()


def test_members_of_one_zip_have_an_index_each() -> None:
    for name in ("a.nc", "b.nc"):
        store.save(index(name, url=f"{URL}#{name}"))
    for name in ("a.nc", "b.nc"):
        assert list(kept(f"{URL}?signed=1#{name}").datasets) == [name]
    assert store.load(granule(URL)) is None
