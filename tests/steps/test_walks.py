from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from unittest.mock import patch

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.access.spans import Cost
from eoscale.errors import MissingVariableError
from eoscale.hdf5 import read
from eoscale.hdf5.index import indexes
from eoscale.hdf5.read import Reading, Wanted
from eoscale.model.chunk_index import ChunkIndex, DatasetIndex
from eoscale.steps import walks
from eoscale.steps.walks import AT_ONCE, Walk, asked, together
from tests.hdf5.files import granule

LETTERS = "abc"
EMPTY = Reading({}, Cost(0, 0))


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
    slow: Future[Reading] = Future()
    order: list[str] = []

    really = read.begin

    def begin(chunks: ChunkIndex, wanted: Wanted) -> Future[Reading]:
        return slow if chunks is found[0] else really(chunks, wanted)

    def noted(chunks: ChunkIndex, rounds: int) -> Walk[int]:
        total = yield from summed(chunks, rounds)
        order.append(chunks.granule)
        if len(order) == 2:
            slow.set_result(really(found[0], {"h": None}).result())
        return total

    with patch.object(read, "begin", begin):
        walking = together(noted(one, rounds) for one, rounds in zip(found, (1, 1, 3), strict=True))
        ended = dict(walking)
    assert ended == {0: 1, 1: 4, 2: 9 + 3 + 3}
    assert order[-1] == found[0].granule


def test_a_walk_that_asks_for_nothing_is_not_waited_for(found: list[ChunkIndex]) -> None:
    with patch.object(read, "begin", wraps=read.begin) as begun:
        assert list(together([summed(found[0], 0)])) == [(0, 0)]
    begun.assert_not_called()


def test_who_is_interrupted_leaves_nothing_running_behind(found: list[ChunkIndex]) -> None:
    begun: list[Future[Reading]] = []

    def begin(_chunks: ChunkIndex, _wanted: Wanted) -> Future[Reading]:
        begun.append(Future())
        return begun[-1]

    def interrupted(chunks: ChunkIndex) -> Walk[int]:
        if len(begun) == 2:
            raise KeyboardInterrupt
        return (yield from summed(chunks, 1))

    with patch.object(read, "begin", begin), pytest.raises(KeyboardInterrupt):
        list(together([summed(found[0], 1), summed(found[1], 1), interrupted(found[2])]))
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

    ended = dict(together([careful(found[0]), careless(found[1]), careful(found[2])]))
    assert isinstance(ended[1], MissingVariableError)
    assert [str(each) for each in (ended[0], ended[2])] == ["seen", "seen"]


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


@given(st.lists(st.integers(0, 2 * AT_ONCE) | st.just(AT_ONCE // 2)), st.data())
def test_walks_hold_no_more_values_than_memory_allows_until_what_they_came_to_is_taken(
    sizes: list[int], data: st.DataObject
) -> None:
    begun: list[Future[Reading]] = []
    held: set[int] = set()

    def begin(_chunks: ChunkIndex, _wanted: Wanted) -> Future[Reading]:
        begun.append(Future())
        return begun[-1]

    def sized(number: int) -> Walk[int]:
        for _ in range(2):
            yield from asked(of(sizes[number]), {"h": None})
            held.add(number)
        return number

    def come() -> None:
        data.draw(st.sampled_from([each for each in begun if not each.done()])).set_result(EMPTY)

    class Coming(SimpleQueue[int]):
        def get(self, block: bool = True, timeout: float | None = None) -> int:  # noqa: FBT001, FBT002
            assert block
            if self.empty():
                come()
            return super().get(timeout=timeout)

    ended: list[int] = []
    with patch.object(read, "begin", begin), patch.object(walks, "SimpleQueue", Coming):
        for number, result in together(map(sized, range(len(sizes)))):
            assert number == result
            several = [sizes[each] for each in held if sizes[each]]
            assert len(several) <= 1 or sum(several) <= AT_ONCE
            ended.append(number)
            held.remove(number)
    assert sorted(ended) == list(range(len(sizes)))
    assert len(begun) == 2 * len(sizes)
