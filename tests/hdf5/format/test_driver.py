from __future__ import annotations

import asyncio
from collections.abc import Sequence

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.hdf5.format import Range, Walk, datasets, driver
from eoscale.hdf5.format.cursor import Cursor, File
from eoscale.hdf5.format.driver import Blocks, afar, over, through
from eoscale.hdf5.format.walk import together

CONTENT = bytes(range(251)) * 11


class Fetcher:
    """A file that remembers what was asked of it."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.asked: list[Range] = []

    async def __call__(self, asked: Sequence[Range]) -> list[memoryview]:
        self.asked += asked
        return [memoryview(self.content)[offset : offset + length] for offset, length in asked]


@st.composite
def rounds(draw: st.DrawFn) -> list[list[Range]]:
    def asked() -> Range:
        offset = draw(st.integers(0, len(CONTENT)))
        return offset, draw(st.integers(0, len(CONTENT) - offset))

    return [[asked() for _ in range(draw(st.integers(0, 4)))] for _ in range(draw(st.integers(1, 4)))]


def walk(asked: list[list[Range]]) -> Walk[list[bytes]]:
    found: list[bytes] = []
    for ranges in asked:
        found += [bytes(body) for body in (yield ranges)]
    return found


@given(rounds(), st.sampled_from([1, 7, 64, 1000, 5000]))
def test_blocks_give_the_bytes_of_the_file_and_fetch_each_once(asked: list[list[Range]], block: int) -> None:
    fetcher = Fetcher(CONTENT)
    blocks = Blocks(len(CONTENT), fetcher)
    blocks.block = block
    expected = [CONTENT[offset : offset + length] for ranges in asked for offset, length in ranges]
    assert asyncio.run(through(blocks, walk(asked))) == expected == over(CONTENT, walk(asked))
    touched = [n for offset, length in fetcher.asked for n in range(offset, offset + length)]
    assert len(touched) == len(set(touched))
    assert all(offset % block == 0 and length > 0 for offset, length in fetcher.asked)


@given(st.lists(rounds(), max_size=5))
def test_walks_side_by_side_end_as_they_do_alone_and_ask_in_as_many_rounds_as_the_longest(
    several: list[list[list[Range]]],
) -> None:
    count = 0

    def counted() -> Walk[list[list[bytes]]]:
        nonlocal count
        joined = together(walk(asked) for asked in several)
        try:
            ranges = next(joined)
            while True:
                count += 1
                ranges = joined.send((yield ranges))
        except StopIteration as end:
            result: list[list[bytes]] = end.value
            return result

    assert over(CONTENT, counted()) == [over(CONTENT, walk(asked)) for asked in several]
    assert count == max((len(asked) for asked in several), default=0)


def test_what_several_walks_need_is_read_once() -> None:
    file = File(len(CONTENT))
    reads = 0

    def slow(space: File, address: int) -> Walk[int]:
        nonlocal reads
        reads += 1
        first: Cursor = yield from space.read(address, 1)
        return (yield from space.read(first.uint(1), 1)).uint(1)

    found = over(CONTENT, together(file.once(5, slow) for _ in range(7)))
    assert (found, reads) == ([5] * 7, 1)


@pytest.mark.parametrize("paged", [False, True])
def test_a_block_is_as_long_as_suits_the_file(
    tmp_path_factory: pytest.TempPathFactory, *, paged: bool
) -> None:
    path = tmp_path_factory.mktemp("paged") / "a.h5"
    options = {"fs_strategy": "page", "fs_page_size": 2**20} if paged else {}
    with h5py.File(path, "w", **options) as file:
        file.create_dataset("h", data=np.zeros(2**22, np.uint8), chunks=(2**16,))
    fetcher = Fetcher(path.read_bytes())
    found = asyncio.run(afar(len(fetcher.content), fetcher, datasets(len(fetcher.content), ["h"])))
    assert found.datasets["h"].offsets.size == 64
    lengths = {length for _, length in fetcher.asked}
    assert (driver._PAGED in lengths) == paged
    assert driver._SCATTERED in lengths
    assert sum(length for _, length in fetcher.asked) < len(fetcher.content) / 2


def test_small_files_are_taken_whole_and_large_ones_in_small_pieces() -> None:
    sizes = [driver.block_size(size) for size in (0, 1, 2**21, 2**21 + 1, 2**28 - 1, 2**28, 2**33)]
    assert sizes == [1, 1, 2**21, 2**17, 2**17, 2**14, 2**14]
    assert driver.block_size(2**33, page=2**23) == 2**18
    assert driver.block_size(2**30, page=4096) == 2**14
