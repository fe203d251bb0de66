from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.model.receipt import Receipt
from eoscale.write.receipts import Finished
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


def finished(receipts: list[Receipt], size: int) -> dict[Batch, Finished]:
    """Return receipts as those of batches of a size."""
    starts = range(0, len(receipts), size)
    cut = [(start, min(start + size, len(receipts))) for start in starts]
    return {batch: Finished(tuple(receipts[slice(*batch)]), "content") for batch in cut}


@given(RECEIPTS, st.integers(1, 5))
def test_the_batches_of_a_tile_are_those_that_touch_it_in_order(
    tmp_path_factory: pytest.TempPathFactory, receipts: list[Receipt], size: int
) -> None:
    work = Work(folder=str(tmp_path_factory.mktemp("work")), digest="d" * 64)
    batches = finished(receipts, size)
    staged = work.staged(dict(reversed(batches.items())))
    assert staged == work.staged(batches)
    for tile in range(8):
        expected = [b for b, each in batches.items() if any(tile in one.tiles for one in each.receipts)]
        assert staged.batches(tile) == tuple(expected)


def test_what_is_written_of_other_partials_or_receipts_is_kept_apart(work: Work) -> None:
    receipt = Receipt(granule="a", tiles={3: 1})
    stages = {
        work.staged({(0, 1): each}).stage
        for each in (
            Finished((receipt,), "content"),
            Finished((receipt,), "other content"),
            Finished((replace(receipt, read=1),), "content"),
        )
    }
    assert len(stages) == 3
    # what is measured decides nothing
    again = Finished((replace(receipt, seconds=2.0, requests=3, process=4),), "content")
    assert work.staged({(0, 1): again}).stage in stages


def test_a_unit_is_written_once_its_counts_are_put_down(work: Work) -> None:
    staged, other = work.staged({}), work.staged({(0, 1): Finished((Receipt(granule="a"),), "")})
    assert staged.written(range(3)) == {}
    staged.wrote(2, {"h_li": 5})
    staged.wrote((0, 17), {"h_li": 7})
    assert staged.written([0, 1, 2, (0, 17), (0, 18)]) == {2: {"h_li": 5}, (0, 17): {"h_li": 7}}
    assert other.written([2]) == {}
    staged.forget([0, 2])
    assert staged.written([0, 1, 2, (0, 17)]) == {(0, 17): {"h_li": 7}}


def leave(work: Work, batch: Batch, *receipts: Receipt) -> None:
    """Leave what a task does."""
    work.partials(batch).parent.mkdir(parents=True, exist_ok=True)
    work.partials(batch).write_bytes(b"partials")
    work.finish(batch, receipts)


def test_batches_that_are_finished_come_back_with_all_that_their_receipts_say(work: Work) -> None:
    full = Receipt(
        granule="a", absent=("gt1l",), fallback="odd", read=9, outside=1, quality=2, undecided=1, where=1,
        off_axis=1, missing={"h": 1}, binned={"h": 2}, tiles={7: 2}, attributes={"h": {"units": "m"}},
        requests=3, bytes=4, seconds=0.5, finished=1.25, process=6,
    )  # fmt: skip
    leave(work, (0, 1), full)
    leave(work, (1, 3), Receipt(granule="b"), Receipt(granule="c"))
    found = work.finished([(0, 1), (1, 3), (3, 4)])
    assert {batch: each.receipts for batch, each in found.items()} == {
        (0, 1): (full,),
        (1, 3): (Receipt(granule="b"), Receipt(granule="c")),
    }
    assert found[0, 1].content == hashlib.sha256(b"partials").hexdigest()


def test_a_batch_says_whether_one_of_its_granules_failed(work: Work) -> None:
    leave(work, (0, 2), Receipt(granule="a"), Receipt(granule="b", failure="AccessError: late"))
    leave(work, (2, 3), Receipt(granule="c"))
    found = work.finished([(0, 2), (2, 3)])
    assert {batch: each.failed for batch, each in found.items()} == {(0, 2): True, (2, 3): False}


@pytest.mark.parametrize(
    "damage", ["cut", "gone", "grown", "empty", "no JSON", "other format", "other numpy"]
)
def test_a_receipt_that_does_not_hold_is_none(work: Work, damage: str) -> None:
    batch = (0, 1)
    leave(work, batch, Receipt(granule="a"))
    assert list(work.finished([batch])) == [batch]
    receipt, partials = work.partials(batch).with_suffix(".json"), work.partials(batch)
    told = json.loads(receipt.read_text())
    match damage:
        case "cut":
            partials.write_bytes(b"part")
        case "gone":
            partials.unlink()
        case "grown":
            partials.write_bytes(b"partials and more")
        case "empty":
            receipt.write_text("")
        case "no JSON":
            receipt.write_text(receipt.read_text()[:-9])
        case "other format":
            receipt.write_text(json.dumps({**told, "format": 0}))
        case _:
            receipt.write_text(json.dumps({**told, "versions": {**told["versions"], "numpy": "1.0"}}))
    assert work.finished([batch]) == {}


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=2, max_size=9, unique=True))
def test_each_batch_has_a_file_of_its_own_and_they_sort_like_the_batches(batches: list[Batch]) -> None:
    work = Work(folder="work", digest="d" * 64)
    files = [work.partials(batch) for batch in sorted(batches)]
    assert files == sorted(files)
    assert len(set(files)) == len(batches)
    assert {file.suffix for file in files} == {".arrow"}


def test_files_are_written_whole_or_not_at_all(work: Work) -> None:
    work.save_job(job())
    staged = work.staged({})
    folder = work._path("job.json").parent
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) == [
        staged.stage[:16],
        f"{staged.stage[:16]}/tiles.json",
        "job.json",
    ]


def test_removing_a_job_leaves_those_of_others(work: Work) -> None:
    other = Work(folder=work.folder, digest="e" * 64)
    work.save_job(job())
    staged = other.staged({})
    work.remove()
    assert [path.name for path in Path(work.folder).iterdir()] == [other.digest[:16]]
    assert staged.batches(0) == ()
    other.remove()
    assert not Path(work.folder).exists()
