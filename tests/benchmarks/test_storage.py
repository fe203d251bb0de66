from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.storage import answers, server, tutorial
from tests.benchmarks.storage.contest import CONTENDERS
from tests.benchmarks.storage.granules import LAYOUTS, Size, make
from tests.benchmarks.storage.rounds import Rounds
from tests.benchmarks.storage.server import Server

SIZE = Size(3, 700)
CONTENT = bytes(range(256)) * 4


@pytest.fixture(scope="module", name="data")
def _data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of granules in both layouts."""
    folder = tmp_path_factory.mktemp("data")
    assert len(make(folder, SIZE)) == SIZE.granules
    return folder


@pytest.fixture(scope="module", name="served")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "file").write_bytes(CONTENT)
    with Server(folder) as running:
        yield running.url


def ask(
    url: str, path: str = "/file", method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection(url.removeprefix("http://"))
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    told = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return told


@given(start=st.integers(0, len(CONTENT) - 1), length=st.integers(1, 2 * len(CONTENT)))
def test_a_range_is_what_was_asked_for_as_far_as_the_file_goes(served: str, start: int, length: int) -> None:
    status, headers, body = ask(served, Range=f"bytes={start}-{start + length - 1}")
    assert (status, body) == (206, CONTENT[start : start + length])
    assert headers["Content-Range"] == f"bytes {start}-{start + len(body) - 1}/{len(CONTENT)}"


def test_ranges_may_be_open_and_count_from_the_end(served: str) -> None:
    assert ask(served, Range="bytes=1000-")[2] == CONTENT[1000:]
    assert ask(served, Range="bytes=-10")[2] == CONTENT[-10:]


def test_what_is_not_there_is_refused(served: str) -> None:
    tag = ask(served)[1]["ETag"]
    assert ask(served, path="/other")[0] == 404
    assert ask(served, path="/../../etc/hosts")[0] == 404
    assert ask(served, Range=f"bytes={len(CONTENT)}-")[0] == 416
    assert ask(served, **{"If-Match": '"another"'})[0] == 412
    assert ask(served, **{"If-Match": tag})[0] == 200


def test_what_is_asked_is_counted_and_logged(served: str) -> None:
    server.reset(served)
    assert ask(served, method="HEAD")[1]["Content-Length"] == str(len(CONTENT))
    for start in (10, 20):
        ask(served, Range=f"bytes={start}-{start + 4}")
    told = server.counts(served)
    assert (told.heads, told.gets, told.bytes, told.connections, told.most_at_once) == (1, 2, 10, 3, 1)
    assert server.log(served) == [("file", 10, 5), ("file", 20, 5)]


def test_both_layouts_have_the_same_chunks_in_other_places(data: Path) -> None:
    scattered, paged = (sorted((data / layout).iterdir()) for layout in LAYOUTS)
    path = "gt2r/land_segments/canopy/h_canopy"
    for one, other in zip(scattered, paged, strict=True):
        with h5py.File(one) as left, h5py.File(other) as right:
            chunks = [file[path].id.read_direct_chunk((0,)) for file in (left, right)]
            places = [file[path].id.get_chunk_info(0).byte_offset for file in (left, right)]
            strategies = [file.id.get_create_plist().get_file_space_strategy()[0] for file in (left, right)]
        assert chunks[0] == chunks[1]
        assert places[0] != places[1]
        assert strategies == [h5py.h5f.FSPACE_STRATEGY_FSM_AGGR, h5py.h5f.FSPACE_STRATEGY_PAGE]


def test_granules_are_made_once_and_from_one_seed_alike(data: Path, tmp_path: Path) -> None:
    files = [file for layout in LAYOUTS for file in sorted((data / layout).iterdir())]
    moments = [file.stat().st_mtime_ns for file in files]
    make(data, SIZE)
    assert [file.stat().st_mtime_ns for file in files] == moments
    make(tmp_path, SIZE)
    assert [(tmp_path / file.relative_to(data)).read_bytes() for file in files] == [
        file.read_bytes() for file in files
    ]


@pytest.mark.parametrize("label", ["W1/eoscale-known", "W1/limit", "W2/eoscale-first"])
def test_an_answer_is_that_of_the_tutorials(data: Path, tmp_path: Path, label: str) -> None:
    copies = sorted((data / "v006").iterdir())
    with Server(data / "v006", latency=0.001) as running:
        rounds = Rounds(url=running.url, copies=copies, scratch=tmp_path)
        (run,) = rounds.of([CONTENDERS[label]], repeat=1)
    assert not rounds.failed
    assert 0 < run.taken.counts.gets <= run.taken.counts.bytes
    assert run.taken.seconds > 0
    assert run.taken.peak_bytes > 2**20


def test_an_answer_that_lacks_a_row_or_has_another_value_is_wrong(data: Path) -> None:
    copies = sorted((data / "v006").iterdir())
    right = answers.expected("W1", copies)
    answers.demand("W1", right.sample(frac=1, random_state=1), right)
    with pytest.raises(AssertionError, match="rows, expected"):
        answers.demand("W1", right[1:], right)
    with pytest.raises(AssertionError, match="lat differs"):
        answers.demand("W1", right.assign(lat=np.nextafter(right["lat"], np.float32(90))), right)


def test_cells_survive_the_store(data: Path, tmp_path: Path) -> None:
    right = answers.expected("W2", sorted((data / "v006").iterdir()))
    store = tutorial.write(right.set_index(["row", "column"]), tmp_path / "cells.zarr")
    answers.demand("W2", answers.of_store(store), right)
    assert right["count"].sum() > 0
