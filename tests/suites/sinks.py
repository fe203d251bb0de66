"""What every sink keeps to: inherit :class:`SinkLaws` and give its fixture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from eoscale.errors import ConflictError, IncompleteRunError
from eoscale.model.columns import Array
from eoscale.model.cube import Tile
from eoscale.model.sink import Sink


@dataclass(frozen=True, kw_only=True)
class Case:
    """How to make a sink, what goes into it, and how readers open what comes out."""

    make: Callable[[Path], Sink]
    """Return a sink of one and the same job whose output lies in a folder that may not exist."""
    blocks: Mapping[Tile, Mapping[str, Array]]
    """At least two tiles, one of them without any data."""
    readers: Sequence[Callable[[Path], object]]
    """Ways to open a store, which raise FileNotFoundError where there is none."""
    check: Callable[[Path], None]
    """Compare the one published store in a folder with the blocks."""


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def shuffled(tiles: Iterable[Tile]) -> list[Tile]:
    """Return tiles in another order, always the same."""
    return sorted(tiles, key=lambda tile: hashlib.sha256(str(tile).encode()).digest())


class SinkLaws:
    """The laws of :class:`eoscale.model.sink.Sink`."""

    @pytest.fixture
    def case(self) -> Case:
        raise NotImplementedError

    def fill(self, case: Case, folder: Path, order: Iterable[Tile]) -> Sink:
        """Write tiles in an order, each by a sink of its own: tasks share nothing but the disk."""
        sink = case.make(folder)
        sink.prepare()
        for tile in order:
            case.make(folder).write(tile, case.blocks[tile])
        return sink

    def test_blocks_in_any_order_leave_the_same_bytes(self, case: Case, tmp_path: Path) -> None:
        tiles = list(case.blocks)
        orders = [tiles, tiles[::-1] if len(tiles) == 2 else shuffled(tiles)]
        results = []
        for number, order in enumerate(orders):
            self.fill(case, tmp_path / str(number), order).publish()
            results.append(contents(tmp_path / str(number)))
        assert results[0] == results[1]
        assert len(results[0]) > len(case.blocks)

    def test_writing_a_block_again_leaves_the_same_bytes(self, case: Case, tmp_path: Path) -> None:
        sink = self.fill(case, tmp_path, case.blocks)
        once = contents(tmp_path)
        for tile in [*case.blocks, *case.blocks]:
            sink.write(tile, case.blocks[tile])
        assert contents(tmp_path) == once

    def test_a_block_that_is_written_again_replaces_the_first_whole(self, case: Case, tmp_path: Path) -> None:
        tile, *_ = case.blocks
        sink = self.fill(case, tmp_path, case.blocks)
        before = contents(tmp_path)
        sink.write(tile, {name: np.flip(block) + 1 for name, block in case.blocks[tile].items()})
        assert contents(tmp_path) != before
        sink.write(tile, case.blocks[tile])
        sink.publish()
        case.check(tmp_path)

    def test_nothing_opens_before_it_is_published(self, case: Case, tmp_path: Path) -> None:
        sink = self.fill(case, tmp_path, case.blocks)
        folders = [tmp_path, *(path for path in tmp_path.iterdir() if path.is_dir())]
        assert len(folders) > 1
        for folder in folders:
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

    def test_missing_tells_the_tiles_that_have_not_been_written(self, case: Case, tmp_path: Path) -> None:
        sink = self.fill(case, tmp_path, [])
        left = list(case.blocks)
        assert sink.missing() == tuple(left)
        for tile in shuffled(left):
            sink.write(tile, case.blocks[tile])
            left.remove(tile)
            assert sink.missing() == tuple(left)
            assert case.make(tmp_path).missing() == tuple(left)

    def test_a_tile_of_which_a_variable_lacks_is_missing(self, case: Case, tmp_path: Path) -> None:
        sink = self.fill(case, tmp_path, [])
        tile, *others = case.blocks
        name, *_ = case.blocks[tile]
        sink.write(tile, {name: case.blocks[tile][name]})
        assert sink.missing() == (tile, *others)

    def test_publishing_is_refused_while_any_tile_is_missing(self, case: Case, tmp_path: Path) -> None:
        for tile in shuffled(case.blocks)[:2]:
            folder = tmp_path / str(tile)
            sink = self.fill(case, folder, [other for other in case.blocks if other != tile])
            with pytest.raises(IncompleteRunError, match=f"1 of {len(case.blocks)} tiles"):
                sink.publish()
            for reader in case.readers:
                for path in folder.iterdir():
                    with pytest.raises(FileNotFoundError):
                        reader(path)
            sink.write(tile, case.blocks[tile])
            sink.publish()
            case.check(folder)

    def test_an_output_that_came_into_being_meanwhile_is_left_alone(self, case: Case, tmp_path: Path) -> None:
        other = tmp_path / "other"
        self.fill(case, other, case.blocks).publish()
        (published,) = other.iterdir()
        sink = self.fill(case, tmp_path / "mine", case.blocks)
        theirs = tmp_path / "mine" / published.name
        theirs.mkdir()
        (theirs / "precious.txt").write_text("theirs")
        with pytest.raises(ConflictError):
            sink.publish()
        assert contents(theirs) == {"precious.txt": hashlib.sha256(b"theirs").hexdigest()}
