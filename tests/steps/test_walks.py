from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from unittest.mock import patch

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.errors import AccessError, CorruptGranuleError, GranuleError, MissingVariableError
from eoscale.hdf5 import read
from eoscale.hdf5.index import Indexed, indexes
from eoscale.hdf5.read import Read, Wanted
from eoscale.model.chunk_index import ChunkIndex, DatasetIndex
from eoscale.steps import walks
from eoscale.steps.walks import AT_ONCE, Walk, asked, lots, together
from tests.hdf5.files import granule

LETTERS = "abc"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[ChunkIndex]:
    """Return the indexes of three files, each of as many numbers as its place says."""
    folder = tmp_path_factory.mktemp("files")
    for number, name in enumerate(LETTERS, 1):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["h"] = np.full(number, number)
    return [one for one in indexes(list(map(granule, files(folder))), "h") if isinstance(one, ChunkIndex)]


def files(folder: Path) -> Iterator[Path]:
    yield from (folder / f"{name}.h5" for name in LETTERS)


def summed(chunks: ChunkIndex, rounds: int) -> Walk[int]:
    """Read all numbers, and then the first of them again, some times; return the sum of what was read."""
    total = 0
    for number in range(rounds):
        rows = np.array([0]) if number else None
        reading = yield from asked(chunks, {"h": rows})
        total += int(reading.columns["h"].sum())
    return total


def test_a_walk_goes_on_when_its_own_values_have_come_whatever_the_others_wait_for(
    found: list[ChunkIndex],
) -> None:
    slow: Future[Read] = Future()
    order: list[str] = []

    def begin(chunks: ChunkIndex, wanted: Wanted) -> Future[Read]:
        return slow if chunks is found[0] else read.begin(chunks, wanted)

    def noted(chunks: ChunkIndex, rounds: int) -> Walk[int]:
        total = yield from summed(chunks, rounds)
        order.append(chunks.granule)
        if len(order) == 2:
            slow.set_result(read.begin(found[0], {"h": None}).result())
        return total

    with patch.object(walks, "begin", begin):
        ended = together([noted(one, rounds) for one, rounds in zip(found, (1, 1, 3), strict=True)])
    assert ended == [1, 4, 9 + 3 + 3]
    assert order[-1] == found[0].granule


def test_a_walk_that_asks_for_nothing_is_not_waited_for(found: list[ChunkIndex]) -> None:
    with patch.object(walks, "begin", wraps=read.begin) as begun:
        assert together([summed(found[0], 0)]) == [0]
    begun.assert_not_called()


def test_who_is_interrupted_leaves_nothing_running_behind(found: list[ChunkIndex]) -> None:
    begun: list[Future[Read]] = []

    def begin(_chunks: ChunkIndex, _wanted: Wanted) -> Future[Read]:
        begun.append(Future())
        return begun[-1]

    def interrupted(chunks: ChunkIndex) -> Walk[int]:
        if len(begun) == 2:
            raise KeyboardInterrupt
        return (yield from summed(chunks, 1))

    with patch.object(walks, "begin", begin), pytest.raises(KeyboardInterrupt):
        together([summed(found[0], 1), summed(found[1], 1), interrupted(found[2])])
    assert [each.cancelled() for each in begun] == [True, True]


def test_an_error_ends_its_own_walk_alone_and_the_walk_may_look_at_it(found: list[ChunkIndex]) -> None:
    def careful(chunks: ChunkIndex) -> Walk[str]:
        try:
            yield from asked(chunks, {"nothing": None})
        except MissingVariableError:
            yield from asked(chunks, {"h": None})
            return "seen"
        return "not reached"

    def careless(chunks: ChunkIndex) -> Walk[str]:
        yield from asked(chunks, {"nothing": None})
        return "not reached"

    first = AccessError("none of it")
    begun: list[Walk[str] | AccessError | GranuleError] = [
        first,
        careful(found[0]),
        careless(found[1]),
        careful(found[2]),
    ]
    ended = together(begun)
    assert ended[0] is first
    assert isinstance(ended[2], MissingVariableError)
    assert [str(each) for each in (ended[1], ended[3])] == ["seen", "seen"]


def of(nbytes: int) -> ChunkIndex:
    table = np.zeros(1 if nbytes else 0, np.int64)
    dataset = DatasetIndex(
        path="h",
        shape=(nbytes,),
        dtype=np.dtype("u1"),
        chunk_shape=(max(1, nbytes),),
        offsets=table,
        sizes=table,
        masks=table,
    )
    return ChunkIndex(granule="a", url="a", size=1, etag="1", datasets={"h": dataset})


@given(st.lists(st.integers(0, 2 * AT_ONCE) | st.just(AT_ONCE // 2) | st.none()))
def test_lots_are_all_granules_in_order_and_hold_what_memory_allows(sizes: list[int | None]) -> None:
    found: list[Indexed] = [CorruptGranuleError("torn") if size is None else of(size) for size in sizes]
    cut = list(lots(found))
    assert [number for start, stop in cut for number in range(start, stop)] == list(range(len(sizes)))
    held = [sum(size or 0 for size in sizes[start:stop]) for start, stop in cut]
    for (start, stop), nbytes in zip(cut, held, strict=True):
        assert stop - start == 1 or nbytes <= AT_ONCE
    # none could have taken the first one of the next
    for (start, _), nbytes in zip(cut[1:], held[:-1], strict=True):
        assert nbytes + (sizes[start] or 0) > AT_ONCE
