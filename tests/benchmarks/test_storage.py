from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.benchmarks.storage import answers, tutorial
from tests.benchmarks.storage.contest import CONTENDERS
from tests.benchmarks.storage.granules import LAYOUTS, Size, make
from tests.benchmarks.storage.rounds import Rounds
from tests.servers.storage import Storage

SIZE = Size(3, 700)


@pytest.fixture(scope="module", name="data")
def _data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of granules in both layouts."""
    folder = tmp_path_factory.mktemp("data")
    assert len(make(folder, SIZE)) == SIZE.granules
    return folder


def test_both_layouts_have_the_same_chunks_in_other_places(data: Path) -> None:
    scattered, paged = (sorted((data / layout).iterdir()) for layout in LAYOUTS)
    path = "gt2r/land_segments/canopy/h_canopy"
    for one, other in zip(scattered, paged, strict=True):
        with h5py.File(one) as left, h5py.File(other) as right:
            chunks = [file[path].id.read_direct_chunk((0,)) for file in (left, right)]
            places = [file[path].id.get_chunk_info(0).byte_offset for file in (left, right)]
            strategies = [file.id.get_create_plist().get_file_space_strategy()[0] for file in (left, right)]
        assert chunks[0] == chunks[1]
        assert places[0] != places[1]
        assert strategies == [h5py.h5f.FSPACE_STRATEGY_FSM_AGGR, h5py.h5f.FSPACE_STRATEGY_PAGE]


def test_granules_are_made_once_and_from_one_seed_alike(data: Path, tmp_path: Path) -> None:
    files = [file for layout in LAYOUTS for file in sorted((data / layout).iterdir())]
    moments = [file.stat().st_mtime_ns for file in files]
    make(data, SIZE)
    assert [file.stat().st_mtime_ns for file in files] == moments
    make(tmp_path, SIZE)
    assert [(tmp_path / file.relative_to(data)).read_bytes() for file in files] == [
        file.read_bytes() for file in files
    ]


@pytest.mark.parametrize("label", ["W1/eoscale-known", "W1/limit", "W2/eoscale-first"])
def test_an_answer_is_that_of_the_tutorials(data: Path, tmp_path: Path, label: str) -> None:
    copies = sorted((data / "v006").iterdir())
    with Storage(data / "v006", latency=0.001) as storage:
        rounds = Rounds(url=storage.url(), copies=copies, scratch=tmp_path)
        (run,) = rounds.of([CONTENDERS[label]], repeat=1)
    assert not rounds.failed
    assert 0 < run.taken.counts.gets <= run.taken.counts.bytes
    assert run.taken.seconds > 0
    assert run.taken.peak_bytes > 2**20


def test_an_answer_that_lacks_a_row_or_has_another_value_is_wrong(data: Path) -> None:
    copies = sorted((data / "v006").iterdir())
    right = answers.expected("W1", copies)
    answers.demand("W1", right.sample(frac=1, random_state=1), right)
    with pytest.raises(AssertionError, match="rows, expected"):
        answers.demand("W1", right[1:], right)
    with pytest.raises(AssertionError, match="lat differs"):
        answers.demand("W1", right.assign(lat=np.nextafter(right["lat"], np.float32(90))), right)


def test_cells_survive_the_store(data: Path, tmp_path: Path) -> None:
    right = answers.expected("W2", sorted((data / "v006").iterdir()))
    store = tutorial.write(right.set_index(["row", "column"]), tmp_path / "cells.zarr")
    answers.demand("W2", answers.of_store(store), right)
    assert right["count"].sum() > 0
