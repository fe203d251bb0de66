from __future__ import annotations

import json
import pickle
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.access.bucket import BucketPath
from eoscale.errors import RunError
from eoscale.model.receipt import Receipt
from eoscale.write import places, publish, receipts
from eoscale.write.pieces import Left, Piece
from eoscale.write.places import Place, place
from eoscale.write.receipts import Finished
from eoscale.write.work import Batch, Work
from tests.write.forgetful import ForgetfulServer
from tests.write.jobs import job

SOURCES = ["a" * 16, "b" * 16]


@pytest.fixture
def work(folder: Place) -> Work:
    return Work(folder=str(folder / "out.zarr.work"), digest=job().digest)


def test_a_job_comes_back_equal_and_is_read_once_a_process(work: Work) -> None:
    saved = job()
    assert not work.begun()
    work.save_job(saved)
    assert work.begun()
    loaded = work.job()
    assert loaded == saved
    assert loaded.granules == saved.granules
    assert loaded.granules.dropped == saved.granules.dropped
    assert [one.urls for one in loaded.granules] == [one.urls for one in saved.granules]
    assert loaded.cube == saved.cube
    assert pickle.loads(pickle.dumps(work)).job() is loaded  # noqa: S301  just made


def test_a_job_that_is_not_there_says_what_to_do(work: Work) -> None:
    with pytest.raises(RunError, match=r"job\.json is not there: set EOSCALE_WORK"):
        work.job()


def test_another_job_under_the_same_name_is_refused(work: Work) -> None:
    other = job(2)
    work.save_job(other)
    with pytest.raises(RunError, match=f"is job {other.digest[:16]} here: .* different versions"):
        work.job()


def test_a_task_carries_next_to_nothing_however_long_the_list(folder: Place) -> None:
    long = job(14)
    work = Work(folder=str(folder / "out.zarr.work"), digest=long.digest)
    assert len(pickle.dumps((work, (0, 14)))) < 1000
    assert len(long.to_json()) > 5000


# what batches left, tile by tile


@st.composite
def batches(draw: st.DrawFn) -> list[Finished]:
    """Return batches of this job and of another one, which may lie later and of which some may not count."""
    made = []
    for number in draw(st.lists(st.integers(0, 99), max_size=8, unique=True)):
        edges = iter(sorted(draw(st.sets(st.integers(0, 999), min_size=2, max_size=8))))
        tiles = iter(sorted(draw(st.sets(st.integers(0, 6), max_size=4))))
        cut = dict(zip(tiles, zip(edges, edges, strict=False), strict=False))
        source = draw(st.sampled_from(SOURCES))
        made.append(
            Finished(
                (Receipt(granule=f"g{number:02}"),),
                Left(f"{99 - number:07}-x.arrow", 999, cut),
                source,
                draw(st.integers(0, 3)) if source == SOURCES[1] else 0,
                draw(st.none() | st.just(frozenset({f"g{number:02}"}))),
            )
        )
    return made


def expected(work: Work, finished: Iterable[Finished], first: int, last: int) -> list[Piece]:
    """Return what the batches left of some tiles, by looking at each of them."""
    found = []
    for each in finished:
        ends = [ends for tile, ends in each.left.pieces.items() if first <= tile + each.later <= last]
        if ends:
            at = place(work.folder) / f"{each.source}/{each.left.name}"
            granule = each.receipts[0].granule
            found.append(Piece(at, ends[0][0], ends[-1][1], each.counted, granule))
    return sorted(found, key=lambda piece: piece.first)


@given(batches(), st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted))
def test_the_pieces_of_tiles_are_what_the_batches_left_of_them_in_the_order_of_granules(
    tmp_path_factory: pytest.TempPathFactory, finished: list[Finished], tiles: list[int]
) -> None:
    work = Work(folder=str(tmp_path_factory.mktemp("work")), digest="a" * 64)
    staged = work.staged(reversed(finished))
    assert staged == work.staged(finished)
    assert staged.pieces(*tiles) == expected(work, finished, *tiles)
    for tile in range(10):
        assert staged.pieces(tile) == expected(work, finished, tile, tile)


def test_the_pieces_of_a_tile_are_asked_of_a_bucket_once_a_process(
    bucket: BucketPath, server: ForgetfulServer
) -> None:
    finished = Finished((Receipt(granule="a"),), Left("x.arrow", 9, {3: (0, 9)}), SOURCES[0])
    staged = Work(folder=str(bucket), digest="a" * 64).staged([finished])
    before = server.answered.copy()
    for _ in range(3):
        assert [staged.pieces(tile) != [] for tile in (2, 3, 4)] == [False, True, False]
    assert server.answered - before == {("GET", "200"): 1}


def test_what_is_written_of_other_leftovers_or_receipts_is_kept_apart(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = Receipt(granule="a", tiles={3: 1})
    left = Left("content.arrow", 9, {3: (0, 9)})
    base = Finished((receipt,), left, SOURCES[0])
    others = [
        base._replace(left=left._replace(name="other content.arrow")),
        base._replace(receipts=(replace(receipt, read=1),)),
        base._replace(source=SOURCES[1]),
        base._replace(later=1),
    ]
    stages = {work.staged([each]).stage for each in (base, *others)} | {work.staged([]).stage}
    assert len(stages) == 6
    # what is measured decides nothing
    again = base._replace(receipts=(replace(receipt, seconds=2.0, requests=3, process=4),))
    assert work.staged([again]).stage == work.staged([base]).stage
    monkeypatch.setattr(receipts, "versions", lambda: {"zarr": "another"})
    assert work.staged([base]).stage not in stages


# units


def test_a_unit_is_written_once_its_counts_are_put_down(work: Work) -> None:
    some = Finished((Receipt(granule="a"),), Left("x", 0, {}), SOURCES[0])
    staged, other = work.staged([]), work.staged([some])
    assert staged.written() == {}
    assert staged.counts(2) is None
    staged.wrote(2, {"h_li": 5})
    staged.wrote((0, 17), {"h_li": 7})
    assert staged.written() == {2: {"h_li": 5}, (0, 17): {"h_li": 7}}
    assert [staged.counts(unit) for unit in (1, 2, (0, 17), (0, 18))] == [
        None,
        {"h_li": 5},
        {"h_li": 7},
        None,
    ]
    assert other.written() == {}
    assert other.counts(2) is None
    staged.forget([0, 2])
    assert staged.written() == {(0, 17): {"h_li": 7}}


def test_a_unit_that_is_written_again_has_the_last_counts(work: Work) -> None:
    staged = work.staged([])
    for number in (1, 2):
        staged.wrote(0, {"h_li": number})
    assert staged.written() == {0: {"h_li": 2}}


# batches


def leave(work: Work, batch: Batch, *granules: Receipt, content: bytes = b"partials") -> Finished:
    """Leave what a task does."""
    places.make(work._mine)
    at = work.left(batch)
    left = Left(f"{at.name}-digest.arrow", len(content), {7: (0, len(content))})
    places.put(at.with_name(left.name), content)
    return work.finish(batch, granules, left)


def test_batches_that_are_finished_come_back_with_all_that_their_receipts_say(work: Work) -> None:
    full = Receipt(
        granule="a", absent=("gt1l",), fallback="odd", read=9, outside=1, quality=2, undecided=1, where=1,
        off_axis=1, missing={"h": 1}, binned={"h": 2}, tiles={7: 2}, attributes={"h": {"units": "m"}},
        requests=3, bytes=4, seconds=0.5, finished=1.25, process=6,
    )  # fmt: skip
    made = {
        (1, 3): leave(work, (1, 3), Receipt(granule="b"), Receipt(granule="c")),
        (0, 1): leave(work, (0, 1), full),
    }
    assert work.known() == made
    assert list(work.known()) == [(0, 1), (1, 3)]
    assert made[0, 1].receipts == (full,)
    assert made[0, 1].source == work.digest[:16]
    assert [work.finished(batch) for batch in ((0, 1), (1, 3), (3, 4))] == [made[0, 1], made[1, 3], None]


def test_only_batches_are_known_as_such(work: Work) -> None:
    work.save_job(job())
    assert work.known() == {}
    made = leave(work, (0, 1), Receipt(granule="a"))
    staged = work.staged([made])
    staged.wrote(0, {})
    staged.wrote((0, 1), {})
    assert staged.known() == work.known() == {(0, 1): made}


def test_a_batch_says_whether_one_of_its_granules_failed(work: Work) -> None:
    leave(work, (0, 2), Receipt(granule="a"), Receipt(granule="b", failure="AccessError: late"))
    leave(work, (2, 3), Receipt(granule="c"))
    assert {batch: each.failed for batch, each in work.known().items()} == {(0, 2): True, (2, 3): False}


@pytest.mark.parametrize(
    "damage", ["cut", "gone", "grown", "empty", "no JSON", "no pieces", "other format", "other numpy"]
)
def test_a_receipt_that_does_not_hold_is_none(work: Work, damage: str) -> None:
    batch, kept = (0, 1), (1, 2)
    left = leave(work, batch, Receipt(granule="a")).left
    other = leave(work, kept, Receipt(granule="b"))
    assert list(work.known()) == [batch, kept]
    receipt, object_ = work._mine / f"{work.left(batch).name}.json", work._mine / left.name
    text = receipt.read_bytes()
    told = json.loads(text)
    match damage:
        case "cut":
            places.put(object_, b"part")
        case "gone":
            places.remove(object_)
        case "grown":
            places.put(object_, b"partials and more")
        case "empty":
            places.put(receipt, b"")
        case "no JSON":
            places.put(receipt, text[:-9])
        case "no pieces":
            places.put(receipt, json.dumps({**told, "pieces": None}).encode())
        case "other format":
            places.put(receipt, json.dumps({**told, "format": 0}).encode())
        case _:
            versions = {**told["versions"], "numpy": "1.0"}
            places.put(receipt, json.dumps({**told, "versions": versions}).encode())
    assert work.finished(batch) is None
    assert work.known() == {kept: other}


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=2, max_size=9, unique=True))
def test_each_batch_has_a_name_of_its_own_and_they_sort_like_the_batches(some: list[Batch]) -> None:
    work = Work(folder="/work", digest="d" * 64)
    names = [work.left(batch).name for batch in sorted(some)]
    assert names == sorted(names)
    assert len(set(names)) == len(some)


# the folder


def test_objects_are_written_whole_or_not_at_all(work: Work) -> None:
    work.save_job(job())
    staged = work.staged([])
    assert sorted(places.sizes(work._mine)) == [f"{staged.stage[:16]}/tiles.json", "job.json"]


def test_other_jobs_in_the_same_folder_are_found_and_nothing_else(work: Work) -> None:
    assert list(work.others()) == []
    work.save_job(job())
    others = [Work(folder=work.folder, digest=digit * 64) for digit in "ea"]
    for other in others:
        other.save_job(job())
        leave(other, (0, 1), Receipt(granule=other.digest[:1]))
    for name in (f".{'c' * 24}", "mine", "c" * 15, f"{'c' * 17}"):
        places.make(place(work.folder) / name)
        places.put(place(work.folder) / name / "x", b"x")
    found = list(work.others())
    assert [other.digest for other in found] == ["a" * 16, "e" * 16]
    assert [each.receipts[0].granule for other in found for each in other.known().values()] == ["a", "e"]


def test_removing_a_job_leaves_those_of_others(work: Work) -> None:
    other = Work(folder=work.folder, digest="e" * 64)
    work.save_job(job())
    staged = other.staged([])
    work.remove()
    assert not work.begun()
    assert places.folders(place(work.folder)) == {other.digest[:16]}
    assert staged.pieces(0) == []
    other.remove()
    assert places.sizes(place(work.folder)) == {}
    assert not Path(work.folder).exists()


def test_parts_of_a_table_in_a_bucket_lie_beside_the_jobs_and_are_none(bucket: BucketPath) -> None:
    output = bucket / "out.csv"
    work = Work(folder=str(publish.work_of(output)), digest=job().digest)
    work.save_job(job())
    staging = publish.staging(output, work.digest, "5" * 64)
    places.put(staging / "0000-0009", b"x")
    assert list(work.others()) == []
    work.remove()
    assert places.sizes(staging) == {"0000-0009": 1}
