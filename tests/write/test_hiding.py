"""Stores that are made in a bucket, where nothing is renamed: attempts, strangers, and lost answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import xarray as xr

from eoscale.access.bucket import BucketPath
from eoscale.errors import ConflictError, IncompleteRunError, RunError
from eoscale.model.columns import Array
from eoscale.model.cube import Tile
from eoscale.write.claims import claim_of, claimed
from eoscale.write.places import Place
from eoscale.write.zarr import ZarrSink, open_store
from tests.suites.sinks import contents, turned
from tests.write.forgetful import LOSSES, ForgetfulServer, Loss
from tests.write.test_zarr import CUBES, DIGEST_OF_JOB, Format, blocks, case_of, fill, readable, sink


@pytest.fixture(params=[3, 2], ids=["v3", "v2"])
def zarr_format(request: pytest.FixtureRequest) -> Format:
    return 3 if request.param == 3 else 2


@dataclass(frozen=True)
class Attempts:
    """Two attempts at one output in a bucket, of different stages, the second one under way."""

    early: ZarrSink
    now: ZarrSink

    @property
    def output(self) -> Place:
        return self.now.output

    @property
    def blocks(self) -> dict[Tile, dict[str, Array]]:
        return blocks(self.now.cube)


@pytest.fixture
def attempts(bucket: BucketPath, zarr_format: Format) -> Iterator[Attempts]:
    early, now = (sink(CUBES["y x"], zarr_format, bucket, stage=number * 64) for number in "12")
    with claimed(now.output, DIGEST_OF_JOB):
        early.prepare()
        for tile, block in blocks(early.cube).items():
            if tile:  # one tile is left to the second attempt
                early.write(tile, turned(block))
        now.prepare()
        yield Attempts(early, now)


def test_an_attempt_replaces_what_an_earlier_stage_left(attempts: Attempts, zarr_format: Format) -> None:
    assert len(contents(attempts.output)) > 9
    fill(attempts.now)
    attempts.now.publish()
    case_of(attempts.now.cube, zarr_format).check(attempts.output)


def test_an_attempt_of_another_stage_that_comes_late_replaces_nothing(attempts: Attempts) -> None:
    fill(attempts.now)
    before = contents(attempts.output)
    for tile, block in attempts.blocks.items():
        with pytest.raises(RunError, match="belongs to a later attempt: nothing was written"):
            attempts.early.write(tile, turned(block))
    assert contents(attempts.output) == before
    attempts.early.write(0, attempts.blocks[0])  # what is there already
    assert contents(attempts.output) == before


def test_what_an_attempt_that_comes_late_put_first_is_replaced(
    attempts: Attempts, zarr_format: Format
) -> None:
    attempts.early.write(0, turned(attempts.blocks[0]))
    assert attempts.now.missing() == ()
    fill(attempts.now)
    attempts.now.publish()
    case_of(attempts.now.cube, zarr_format).check(attempts.output)


def test_no_chunk_changes_after_publication(attempts: Attempts, zarr_format: Format) -> None:
    fill(attempts.now)
    attempts.now.publish()
    before = contents(attempts.output)
    claim_of(attempts.output).unlink()
    for late in (attempts.early, attempts.now):
        for tile, block in attempts.blocks.items():
            with pytest.raises(RunError, match="nothing was written"):
                late.write(tile, turned(block))
    assert contents(attempts.output) == before
    case_of(attempts.now.cube, zarr_format).check(attempts.output)


@pytest.mark.parametrize("name", ["readme.txt", "h_li_mean/c/9/9", "deep/er/x", "h_li_mean/.zarr.json.0123"])
def test_objects_of_somebody_else_are_a_conflict_at_publication_and_stay(
    attempts: Attempts, name: str
) -> None:
    fill(attempts.now)
    (attempts.output / name).write_bytes(b"theirs")
    before = contents(attempts.output)
    with pytest.raises(ConflictError, match=rf"out\.zarr/{re.escape(name)} is not of this run"):
        attempts.now.publish()
    assert contents(attempts.output) == before
    with pytest.raises(IncompleteRunError, match="has not been published"):
        open_store(attempts.output)


def test_a_store_that_somebody_else_opens_meanwhile_is_a_conflict_and_stays(
    attempts: Attempts, zarr_format: Format
) -> None:
    fill(attempts.now)
    theirs = ["zarr.json"] if zarr_format == 3 else [".zattrs", ".zmetadata", ".zgroup"]
    for root in theirs:
        (attempts.output / root).write_bytes(b'{"theirs": 1}')
    before = contents(attempts.output)
    with pytest.raises(ConflictError, match="came into being while it was made"):
        attempts.now.publish()
    assert contents(attempts.output) == before


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("zarr_format", "root"),
    [(3, "zarr.json"), (2, ".zattrs"), (2, ".zmetadata"), (2, ".zgroup")],
    indirect=["zarr_format"],
)
def test_a_store_is_published_though_the_answers_to_its_roots_were_lost(
    attempts: Attempts, root: str, server: ForgetfulServer, loss: Loss
) -> None:
    fill(attempts.now)
    with server.losing(loss, answers=2, ending=f"out.zarr/{root}") as lost:
        attempts.now.publish()
    assert len(lost) == 2
    case_of(attempts.now.cube, attempts.now.zarr_format).check(attempts.output)


@pytest.mark.parametrize("loss", LOSSES)
def test_chunks_are_written_and_replaced_though_answers_were_lost(
    attempts: Attempts, zarr_format: Format, server: ForgetfulServer, loss: Loss
) -> None:
    everything = []
    for tile, block in attempts.blocks.items():
        for name, values in block.items():
            with server.losing(loss, answers=1 + tile % 3) as lost:
                attempts.now.write(tile, {name: values})
            assert len(lost) == 1 + tile % 3
            everything += lost
    assert len({*everything}) == 3 * attempts.now.cube.tiles
    attempts.now.publish()
    case_of(attempts.now.cube, zarr_format).check(attempts.output)


@pytest.mark.parametrize("zarr_format", [2], indirect=True)
@pytest.mark.parametrize("number", [1, 2])
def test_an_attempt_replaces_the_roots_that_an_earlier_stage_left_when_it_was_killed_between_them(
    attempts: Attempts, number: int
) -> None:
    earlier = replace(attempts.early, attributes={"title": "an earlier stage"})._documents()
    for root in (".zattrs", ".zmetadata")[:number]:
        (attempts.output / root).write_bytes(earlier[root])
    fill(attempts.now)
    attempts.now.publish()
    for flag in (True, False):
        with xr.open_zarr(readable(attempts.output), consolidated=flag, chunks=None) as opened:
            assert opened.attrs["title"] == "a test"
