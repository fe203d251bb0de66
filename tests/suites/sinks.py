"""What every sink keeps to: inherit the laws of disks or of buckets, and give the fixture ``case``."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pytest

from eoscale.access.bucket import BucketPath
from eoscale.errors import ConflictError, IncompleteRunError, RunError
from eoscale.model.sink import Sink
from eoscale.write import claims, places, publish
from eoscale.write.places import Place

Unit: TypeAlias = Any
"""A tile of a cube or a part of a table."""
Block: TypeAlias = Any
"""What is written of it: a mapping of variables to arrays, or rows."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """How to make a sink, what goes into it, and how readers open what comes out."""

    make: Callable[[Place], Sink[Any, Any]]
    """Return a sink of one and the same job whose output lies in a folder that may not exist."""
    output: str
    """Name of the output in that folder."""
    job: str
    """Digest of the job."""
    blocks: Mapping[Unit, Block]
    """At least two tiles or parts, one of them (not the first) without any data."""
    readers: Sequence[Callable[[Place], object]]
    """Ways to open an output, which raise FileNotFoundError where there is none."""
    check: Callable[[Place], None]
    """Compare a published output with the blocks."""


def contents(at: Place) -> dict[str, str]:
    """Return the digest of every object below a folder, or of the one object that it is."""
    if publish.is_file(at):
        return {"": hashlib.sha256(at.read_bytes()).hexdigest()}
    names = sorted(places.sizes(at))
    found = places.contents(at, names)  # without those of a bucket that are empty
    return {name: hashlib.sha256(found.get(name, b"")).hexdigest() for name in names}


@contextmanager
def full_disk(left: int) -> Iterator[None]:
    """Let no file grow beyond some bytes: who writes more gets an error, as from a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def shuffled(units: Iterable[Unit]) -> list[Unit]:
    """Return tiles or parts in another order, always the same."""
    return sorted(units, key=lambda unit: hashlib.sha256(str(unit).encode()).digest())


def turned(block: Block) -> Block:
    """Return other data of the same shape."""
    if isinstance(block, pa.Table):
        return block.take(np.arange(block.num_rows)[::-1])
    return {name: np.flip(values) + 1 for name, values in block.items()}


class SinkLaws:
    """The laws of :class:`eoscale.model.sink.Sink`, wherever the output lies."""

    @pytest.fixture
    def case(self) -> Case:
        raise NotImplementedError

    @pytest.fixture
    def folder(self) -> Place:
        """Return an empty folder."""
        raise NotImplementedError

    def fill(self, case: Case, folder: Place, order: Iterable[Unit]) -> Sink[Any, Any]:
        """Write tiles or parts in an order, each by a sink of its own: tasks share nothing but the place."""
        sink = case.make(folder)
        sink.prepare()
        for unit in order:
            case.make(folder).write(unit, case.blocks[unit])
        return sink

    def begin(self, case: Case, folder: Place, unit: Unit) -> None:
        """Leave a tile or part half written, as a task does that dies: of a cube, one variable of many."""
        name, *others = case.blocks[unit]
        assert others
        case.make(folder).write(unit, {name: case.blocks[unit][name]})

    def is_closed(self, case: Case, folder: Place) -> bool:
        """Return whether no reader opens an output, or anything beside it."""
        for at in (folder, folder / case.output, *(folder / name for name in places.folders(folder))):
            for reader in case.readers:
                with pytest.raises(FileNotFoundError):
                    reader(at)
        return publish.published(folder / case.output) is None

    def test_blocks_in_any_order_leave_the_same_bytes(self, case: Case, folder: Place) -> None:
        units = list(case.blocks)
        orders = [units, units[::-1] if len(units) == 2 else shuffled(units)]
        results = []
        for number, order in enumerate(orders):
            each = folder / str(number)
            with claims.claimed(each / case.output, case.job):
                self.fill(case, each, order).publish()
            results.append(contents(each))  # with whatever was left beside
        assert orders[0] != orders[1]
        assert results[0] == results[1]
        assert {name.partition("/")[0] for name in results[0]} == {case.output}

    def test_writing_a_block_again_leaves_the_same_bytes(self, case: Case, folder: Place) -> None:
        sink = self.fill(case, folder, case.blocks)
        once = contents(folder)
        for unit in [*case.blocks, *case.blocks]:
            sink.write(unit, case.blocks[unit])
        assert contents(folder) == once

    def test_a_block_that_is_written_again_replaces_the_first_whole(self, case: Case, folder: Place) -> None:
        unit, *_ = case.blocks
        sink = self.fill(case, folder, case.blocks)
        before = contents(folder)
        sink.write(unit, turned(case.blocks[unit]))
        assert contents(folder) != before
        sink.write(unit, case.blocks[unit])
        sink.publish()
        case.check(folder / case.output)

    def test_nothing_opens_before_it_is_published(self, case: Case, folder: Place) -> None:
        sink = self.fill(case, folder, case.blocks)
        assert self.is_closed(case, folder)
        sink.publish()
        for reader in case.readers:
            reader(folder / case.output)

    def test_what_is_published_is_what_was_written(self, case: Case, folder: Place) -> None:
        self.fill(case, folder, case.blocks).publish()
        case.check(folder / case.output)

    def test_missing_tells_what_has_not_been_written(self, case: Case, folder: Place) -> None:
        sink = self.fill(case, folder, [])
        left = list(case.blocks)
        assert sink.missing() == tuple(left)
        for unit in shuffled(left):
            sink.write(unit, case.blocks[unit])
            left.remove(unit)
            assert sink.missing() == tuple(left)
            assert case.make(folder).missing() == tuple(left)

    def test_what_an_earlier_attempt_wrote_of_the_same_stays(self, case: Case, folder: Place) -> None:
        first, *others = case.blocks
        self.fill(case, folder, [first])
        again = self.fill(case, folder, [])
        assert again.missing() == tuple(others)
        for unit in others:
            again.write(unit, case.blocks[unit])
        again.publish()
        case.check(folder / case.output)

    def test_what_is_half_written_is_missing(self, case: Case, folder: Place) -> None:
        sink = self.fill(case, folder, [])
        unit, *others = case.blocks
        before = contents(folder)
        self.begin(case, folder, unit)
        assert contents(folder) != before
        assert sink.missing() == (unit, *others)

    def test_publishing_is_refused_while_anything_is_missing(self, case: Case, folder: Place) -> None:
        for unit in shuffled(case.blocks)[:2]:
            each = folder / str(unit)
            sink = self.fill(case, each, [other for other in case.blocks if other != unit])
            with pytest.raises(IncompleteRunError, match=rf"1 of {len(case.blocks)} (tiles|parts)"):
                sink.publish()
            assert self.is_closed(case, each)
            sink.write(unit, case.blocks[unit])
            sink.publish()
            case.check(each / case.output)


class DiskLaws(SinkLaws):
    """And those of sinks on a disk, where an output appears as a whole."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Place:
        return tmp_path

    def test_until_it_is_published_there_is_one_hidden_sibling_of_it(
        self, case: Case, tmp_path: Path
    ) -> None:
        sink = self.fill(case, tmp_path, case.blocks)
        (hidden,) = tmp_path.iterdir()
        assert hidden.name.startswith(".")
        sink.publish()
        assert [path.name for path in tmp_path.iterdir()] == [case.output]

    def test_what_did_not_fit_on_the_disk_is_missing(self, case: Case, tmp_path: Path) -> None:
        sink = self.fill(case, tmp_path, [])
        unit, *others = case.blocks
        before = contents(tmp_path)
        with full_disk(16), pytest.raises(OSError, match="File too large"):
            sink.write(unit, case.blocks[unit])
        assert contents(tmp_path) == before
        assert sink.missing() == (unit, *others)
        for each in case.blocks:
            sink.write(each, case.blocks[each])
        sink.publish()
        case.check(tmp_path / case.output)

    @pytest.mark.parametrize("thing", ["a folder", "a file", "an empty file", "a link to nowhere"])
    def test_an_output_that_came_into_being_meanwhile_is_left_alone(
        self, case: Case, tmp_path: Path, thing: str
    ) -> None:
        sink = self.fill(case, tmp_path / "mine", case.blocks)
        theirs = tmp_path / "mine" / case.output
        if thing == "a folder":
            theirs.mkdir()
            (theirs / "precious.txt").write_text("theirs")
        elif thing == "a link to nowhere":
            theirs.symlink_to(tmp_path / "nowhere")
        else:
            theirs.write_text("theirs" * (thing == "a file"))
        before = theirs.lstat().st_ino, contents(theirs)
        with pytest.raises(ConflictError, match="came into being while it was made"):
            sink.publish()
        assert (theirs.lstat().st_ino, contents(theirs)) == before


class BucketLaws(SinkLaws):
    """And those of sinks in a bucket, where each object appears by itself."""

    @pytest.fixture
    def folder(self, bucket: BucketPath) -> Place:
        return bucket

    @pytest.mark.parametrize("thing", ["an object", "an empty object"])
    def test_an_output_that_came_into_being_meanwhile_is_left_alone(
        self, case: Case, bucket: BucketPath, thing: str
    ) -> None:
        sink = self.fill(case, bucket, case.blocks)
        theirs = bucket / case.output
        theirs.write_bytes(b"theirs" * (thing == "an object"))
        before = contents(bucket)
        with pytest.raises(ConflictError, match="came into being while it was made"):
            sink.publish()
        assert contents(bucket) == before

    def test_what_is_published_does_not_change_any_more(self, case: Case, bucket: BucketPath) -> None:
        output = bucket / case.output
        with claims.claimed(output, case.job):
            late = self.fill(case, bucket, case.blocks)
            late.publish()
        before = contents(output)
        for unit in shuffled(case.blocks)[:3]:
            with suppress(RunError):
                late.write(unit, turned(case.blocks[unit]))
        assert contents(output) == before
        case.check(output)
