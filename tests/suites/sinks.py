"""What every sink keeps to: inherit :class:`SinkLaws` and give its fixture."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pytest

from eoscale.errors import ConflictError, IncompleteRunError
from eoscale.model.sink import Sink

Unit: TypeAlias = Any
"""A tile of a cube or a part of a table."""
Block: TypeAlias = Any
"""What is written of it: a mapping of variables to arrays, or rows."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """How to make a sink, what goes into it, and how readers open what comes out."""

    make: Callable[[Path], Sink[Any, Any]]
    """Return a sink of one and the same job whose output lies in a folder that may not exist."""
    blocks: Mapping[Unit, Block]
    """At least two tiles or parts, one of them (not the first) without any data."""
    readers: Sequence[Callable[[Path], object]]
    """Ways to open an output, which raise FileNotFoundError where there is none."""
    check: Callable[[Path], None]
    """Compare the one published output in a folder with the blocks."""


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder, or of the one file that it is."""
    if folder.is_file():
        return {"": hashlib.sha256(folder.read_bytes()).hexdigest()}
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


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
    """The laws of :class:`eoscale.model.sink.Sink`."""

    @pytest.fixture
    def case(self) -> Case:
        raise NotImplementedError

    def fill(self, case: Case, folder: Path, order: Iterable[Unit]) -> Sink[Any, Any]:
        """Write tiles or parts in an order, each by a sink of its own: tasks share nothing but the disk."""
        sink = case.make(folder)
        sink.prepare()
        for unit in order:
            case.make(folder).write(unit, case.blocks[unit])
        return sink

    def begin(self, case: Case, folder: Path, unit: Unit) -> None:
        """Leave a tile or part half written, as a task does that dies: of a cube, one variable of many."""
        name, *others = case.blocks[unit]
        assert others
        case.make(folder).write(unit, {name: case.blocks[unit][name]})

    def test_blocks_in_any_order_leave_the_same_bytes(self, case: Case, tmp_path: Path) -> None:
        units = list(case.blocks)
        orders = [units, units[::-1] if len(units) == 2 else shuffled(units)]
        results = []
        for number, order in enumerate(orders):
            self.fill(case, tmp_path / str(number), order).publish()
            results.append(contents(tmp_path / str(number)))
        assert orders[0] != orders[1]
        assert results[0] == results[1]
        assert results[0]

    def test_writing_a_block_again_leaves_the_same_bytes(self, case: Case, tmp_path: Path) -> None:
        sink = self.fill(case, tmp_path, case.blocks)
        once = contents(tmp_path)
        for unit in [*case.blocks, *case.blocks]:
            sink.write(unit, case.blocks[unit])
        assert contents(tmp_path) == once

    def test_a_block_that_is_written_again_replaces_the_first_whole(self, case: Case, tmp_path: Path) -> None:
        unit, *_ = case.blocks
        sink = self.fill(case, tmp_path, case.blocks)
        before = contents(tmp_path)
        sink.write(unit, turned(case.blocks[unit]))
        assert contents(tmp_path) != before
        sink.write(unit, case.blocks[unit])
        sink.publish()
        case.check(tmp_path)

    def test_nothing_opens_before_it_is_published(self, case: Case, tmp_path: Path) -> None:
        sink = self.fill(case, tmp_path, case.blocks)
        (hidden,) = tmp_path.iterdir()
        assert hidden.name.startswith(".")
        for folder in (tmp_path, hidden):
            for reader in case.readers:
                with pytest.raises(FileNotFoundError):
                    reader(folder)
        sink.publish()
        (output,) = tmp_path.iterdir()
        for reader in case.readers:
            reader(output)

    def test_what_is_published_is_what_was_written(self, case: Case, tmp_path: Path) -> None:
        self.fill(case, tmp_path, case.blocks).publish()
        case.check(tmp_path)

    def test_missing_tells_what_has_not_been_written(self, case: Case, tmp_path: Path) -> None:
        sink = self.fill(case, tmp_path, [])
        left = list(case.blocks)
        assert sink.missing() == tuple(left)
        for unit in shuffled(left):
            sink.write(unit, case.blocks[unit])
            left.remove(unit)
            assert sink.missing() == tuple(left)
            assert case.make(tmp_path).missing() == tuple(left)

    def test_what_is_half_written_is_missing(self, case: Case, tmp_path: Path) -> None:
        sink = self.fill(case, tmp_path, [])
        unit, *others = case.blocks
        before = contents(tmp_path)
        self.begin(case, tmp_path, unit)
        assert contents(tmp_path) != before
        assert sink.missing() == (unit, *others)

    def test_what_did_not_fit_on_the_disk_is_missing(self, case: Case, tmp_path: Path) -> None:
        sink = self.fill(case, tmp_path, [])
        unit, *others = case.blocks
        with full_disk(16), pytest.raises(OSError, match="File too large"):
            sink.write(unit, case.blocks[unit])
        assert sink.missing() == (unit, *others)
        for each in case.blocks:
            sink.write(each, case.blocks[each])
        sink.publish()
        case.check(tmp_path)

    def test_publishing_is_refused_while_anything_is_missing(self, case: Case, tmp_path: Path) -> None:
        for unit in shuffled(case.blocks)[:2]:
            folder = tmp_path / str(unit)
            sink = self.fill(case, folder, [other for other in case.blocks if other != unit])
            with pytest.raises(IncompleteRunError, match=rf"1 of {len(case.blocks)} (tiles|parts)"):
                sink.publish()
            for reader in case.readers:
                for path in folder.iterdir():
                    with pytest.raises(FileNotFoundError):
                        reader(path)
            sink.write(unit, case.blocks[unit])
            sink.publish()
            case.check(folder)

    @pytest.mark.parametrize("thing", ["a folder", "a file", "an empty file", "a link to nowhere"])
    def test_an_output_that_came_into_being_meanwhile_is_left_alone(
        self, case: Case, tmp_path: Path, thing: str
    ) -> None:
        other = tmp_path / "other"
        self.fill(case, other, case.blocks).publish()
        (published,) = other.iterdir()
        sink = self.fill(case, tmp_path / "mine", case.blocks)
        theirs = tmp_path / "mine" / published.name
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
