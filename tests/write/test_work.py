from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.model.receipt import Receipt
from eoscale.write.work import Batch, Work
from tests.write.jobs import job

RECEIPTS = st.lists(st.sets(st.integers(0, 6), max_size=4), max_size=12).map(
    lambda tiles: [
        Receipt(granule=f"g{n:02}", tiles=dict.fromkeys(sorted(found), 1)) for n, found in enumerate(tiles)
    ]
)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(folder=str(tmp_path / "out.zarr.work"), digest=job().digest)


def test_a_job_comes_back_equal_and_is_read_once_a_process(work: Work) -> None:
    saved = job()
    work.save_job(saved)
    loaded = work.job()
    assert loaded == saved
    assert loaded.granules == saved.granules
    assert loaded.granules.dropped == saved.granules.dropped
    assert [one.urls for one in loaded.granules] == [one.urls for one in saved.granules]
    assert loaded.cube == saved.cube
    assert pickle.loads(pickle.dumps(work)).job() is loaded  # noqa: S301  just made


def test_a_task_carries_next_to_nothing_however_long_the_list(tmp_path: Path) -> None:
    long = job(14)
    work = Work(folder=str(tmp_path / "out.zarr.work"), digest=long.digest)
    assert len(pickle.dumps((work, (0, 14)))) < 1000
    assert len(long.to_json()) > 5000


@given(RECEIPTS, st.integers(1, 5))
def test_the_batches_of_a_tile_are_those_that_touch_it_in_order(
    tmp_path_factory: pytest.TempPathFactory, receipts: list[Receipt], size: int
) -> None:
    work = Work(folder=str(tmp_path_factory.mktemp("work")), digest="d" * 64)
    starts = range(0, len(receipts), size)
    batches: dict[Batch, list[Receipt]] = {
        (start, min(start + size, len(receipts))): receipts[start : start + size] for start in starts
    }
    work.save_tiles(dict(reversed(batches.items())))
    for tile in range(8):
        expected = [batch for batch, some in batches.items() if any(tile in one.tiles for one in some)]
        assert work.batches(tile) == tuple(expected)


def test_tiles_that_are_put_down_anew_are_read_anew(work: Work) -> None:
    work.save_tiles({(0, 1): [Receipt(granule="a", tiles=dict.fromkeys([3], 1))]})
    assert work.batches(3) == ((0, 1),)
    work.save_tiles({(0, 2): [Receipt(granule="a", tiles=dict.fromkeys([3], 1))]})
    # as the clock of a file system does between two runs
    os.utime(work._path("tiles.json"), ns=(1, 1))
    assert work.batches(3) == ((0, 2),)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=2, max_size=9, unique=True))
def test_each_batch_has_a_file_of_its_own_and_they_sort_like_the_batches(batches: list[Batch]) -> None:
    work = Work(folder="work", digest="d" * 64)
    files = [work.partials(batch) for batch in sorted(batches)]
    assert files == sorted(files)
    assert len(set(files)) == len(batches)
    assert {file.suffix for file in files} == {".arrow"}


def test_files_are_written_whole_or_not_at_all(work: Work) -> None:
    work.save_job(job())
    work.save_tiles({})
    assert sorted(path.name for path in work._path("job.json").parent.iterdir()) == ["job.json", "tiles.json"]


def test_removing_a_job_leaves_those_of_others(work: Work) -> None:
    other = Work(folder=work.folder, digest="e" * 64)
    work.save_job(job())
    other.save_tiles({})
    work.remove()
    assert [path.name for path in Path(work.folder).iterdir()] == [other.digest[:16]]
    assert other.batches(0) == ()
    other.remove()
    assert not Path(work.folder).exists()
