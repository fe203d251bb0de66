from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.access.pace import Link
from eoscale.hdf5.format import Range, Walk, datasets, driver
from eoscale.hdf5.format.cursor import Cursor, File
from eoscale.hdf5.format.driver import Blocks, afar, block_size, over, pages, through
from eoscale.hdf5.format.walk import together

CONTENT = bytes(range(251)) * 11
REGION = Link(latency=0.02, bandwidth=80e6)


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
    blocks = Blocks(len(CONTENT), fetcher, block)
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


def test_nothing_keeps_the_bytes_of_a_file_when_its_walk_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        values = file.create_dataset("group/h", data=np.zeros(100), chunks=(10,))
        values.attrs.update(units="m", flag_values=np.arange(3), note="text of varying length")
        file["link"] = h5py.SoftLink("/group/h")
    content = np.fromfile(path, np.uint8)
    alive = weakref.ref(content)
    gc.disable()  # a circle would keep whole blocks until the collector finds it
    try:
        found = over(content.data, datasets(content.size, ["group/h", "link", "absent"]))
        del content
        assert len(found.datasets) == 2
        assert alive() is None
    finally:
        gc.enable()


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
    content = path.read_bytes()
    fetcher = Fetcher(content)
    near = Link(latency=1e-5, bandwidth=1e8)
    page = asyncio.run(pages(len(content), fetcher))
    block = block_size(len(content), 2, near, page)
    found = asyncio.run(afar(len(content), fetcher, datasets(len(content), ["h"]), block))
    assert found.datasets["h"].offsets.size == 64
    lengths = {length for _, length in fetcher.asked}
    assert page == paged * 2**20
    assert (block == driver._PAGED) == paged
    assert block in lengths
    assert sum(length for _, length in fetcher.asked) < len(content) / 2


@pytest.mark.parametrize("nbytes", [1, 300_000, 9_000_001])
def test_a_file_that_is_taken_whole_comes_in_few_requests_at_once(tmp_path: Path, nbytes: int) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["h"] = np.frombuffer(random.Random(nbytes).randbytes(nbytes), np.uint8)  # noqa: S311  no secret
    fetcher = Fetcher(path.read_bytes())
    size = len(fetcher.content)
    rounds: list[int] = []

    async def fetch(asked: Sequence[Range]) -> list[memoryview]:
        rounds.append(len(asked))
        return await fetcher(asked)

    def walk() -> Walk[bytes]:
        bodies = yield [(at, min(1000, size - at)) for at in range(0, size, 1000)]
        return b"".join(bodies)

    assert block_size(size, 10**6, REGION) == size
    assert asyncio.run(afar(size, fetch, walk(), size)) == fetcher.content
    assert rounds == [-(-size // (3 * 2**20))]


SIZES, PLACES = st.integers(1, 2**40), st.integers(1, 10**5)
LINKS = st.builds(Link, latency=st.floats(1e-5, 2), bandwidth=st.floats(1e4, 1e10))


@given(SIZES, PLACES, LINKS)
def test_a_block_of_another_size_would_not_take_less_time(size: int, places: int, link: Link) -> None:
    block = block_size(size, places, link)
    if block == size:
        # of what is not small, less than a tenth would be left out
        assert size <= 2**21 or 1 - np.exp(-places * 2**22 / size) > 0.9
    else:
        seconds = {other: driver._seconds(size, places, link, other) for other in driver._BLOCKS}
        assert seconds[block] == min(seconds.values())


@given(SIZES, PLACES, LINKS, st.floats(1, 100))
def test_the_longer_an_answer_is_in_coming_the_more_is_asked_for_at_once(
    size: int, places: int, link: Link, times: float
) -> None:
    slower = link._replace(latency=link.latency * times)
    assert block_size(size, places, slower) >= block_size(size, places, link)


@given(SIZES, PLACES, LINKS)
def test_pages_are_read_in_pieces_unless_the_file_is_small(size: int, places: int, link: Link) -> None:
    assert block_size(size, places, link, page=2**23) == (size if size <= 2**21 else driver._PAGED)


def test_small_files_are_taken_whole_and_large_ones_in_small_pieces() -> None:
    sizes = [block_size(size, 200, REGION) for size in (0, 1, 300_000, 36_000_000, 200_000_000, 2**31, 2**33)]
    assert sizes == [1, 1, 300_000, 36_000_000, 2**14, 2**14, 2**14]
    assert block_size(2**33, 200, REGION, page=2**23) == 2**18
    assert block_size(2**30, 200, REGION, page=4096) == 2**14
