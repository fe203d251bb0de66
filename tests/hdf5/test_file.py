from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from eoscale.access import loop, ranges
from eoscale.access.head import Head
from eoscale.errors import AccessError, ChangedError
from eoscale.hdf5.file import File
from eoscale.hdf5.format import Walk, datasets


def write(path: Path, rows: int) -> str:
    with h5py.File(path, "w") as file:
        file["h"] = np.arange(rows)
    return str(path)


def test_a_local_file_that_changes_while_it_is_walked_is_an_error(tmp_path: Path) -> None:
    url = write(tmp_path / "a.h5", 10)
    head = loop.run(ranges.head(url))

    def walk() -> Walk[int]:
        (body,) = yield [(0, 8)]
        write(tmp_path / "b.h5", 20)
        (tmp_path / "b.h5").replace(url)
        return len(body)

    with pytest.raises(ChangedError, match="changed while it was read"):
        loop.run(File(url, head).walk(walk(), 1))


def test_a_local_file_that_is_gone_is_an_error_that_names_it(tmp_path: Path) -> None:
    url = str(tmp_path / "gone.h5")
    with pytest.raises(AccessError, match=r"gone\.h5 cannot be read: No such file"):
        loop.run(File(url, Head(100, "")).walk(datasets(100, ["h"]), 1))


def test_what_a_walk_of_a_local_file_reads_is_counted(tmp_path: Path) -> None:
    url = write(tmp_path / "a.h5", 10)
    file = File(url, loop.run(ranges.head(url)))

    def walk() -> Walk[int]:
        bodies = yield [(0, 8), (100, 50)]
        return sum(map(len, bodies))

    assert loop.run(file.walk(walk(), 1)) == 58
    assert file.cost == (2, 58)
