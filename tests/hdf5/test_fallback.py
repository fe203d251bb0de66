"""Files that only libhdf5 reads: in a process of its own, from a complete copy, and told about."""

from __future__ import annotations

import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from eoscale.errors import CorruptGranuleError, UnsafeGranuleError, UnsupportedFilterError
from eoscale.hdf5 import fallback
from eoscale.hdf5.index import index
from eoscale.hdf5.read import read
from eoscale.model.chunk_index import UNALLOCATED
from tests.hdf5 import shared
from tests.hdf5.files import MAKERS, granule, oracle, same
from tests.servers.ranges import RangeServer

REASON = "the file keeps messages in a table that objects share"
PATHS = [f"gt1l/{name}" for name in MAKERS]


@pytest.fixture(scope="module", name="path")
def _path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shared") / "a.h5"
    with shared.create(path) as file:
        group = file.create_group("gt1l")
        for name, make in MAKERS.items():
            make(group, name)
    return path


def test_everything_is_what_h5py_reads_and_the_index_says_who_read_it(path: Path) -> None:
    found = index(granule(path), PATHS)
    assert found.fallback == REASON
    assert not found.absent
    columns = read(found, dict.fromkeys(PATHS)).columns
    for name in PATHS:
        assert same(columns[name], oracle(path, name)), name
    again = index(granule(path), PATHS)
    assert (again, again.fallback, again.requests) == (found, REASON, 0)


def test_far_away_a_complete_copy_is_made_and_removed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = path.parent / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with RangeServer(path.parent) as server:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        found = index(granule(server.url(path.name)), PATHS)
        assert found.bytes_read == server.bytes > path.stat().st_size
        assert found.requests == len(server.asked)
        assert found.datasets == index(granule(path), PATHS).datasets
    assert list(folder.iterdir()) == []


def test_attributes_fill_and_unwritten_chunks_are_told(tmp_path: Path) -> None:
    with shared.create(tmp_path / "a.h5") as file:
        dataset = file.create_dataset("h", (10, 3), ">f4", chunks=(4, 3), fillvalue=-9999, fletcher32=True)
        dataset[5] = 2
        dataset.attrs.update(
            units="m", _FillValue=np.float32(-9999), flag_values=np.arange(3), long_name=np.bytes_(b"height")
        )
        dataset.attrs["flag_meanings"] = ["a", "b"]
        file.create_dataset("text", data=["a", "b"])
    found = index(granule(tmp_path / "a.h5"), ["h", "none"])
    told = found.datasets["h"]
    assert (told.offsets != UNALLOCATED).tolist() == [[False], [True], [False]]
    assert np.frombuffer(told.fill, ">f4") == -9999
    assert told.attributes["_FillValue"] == np.float32(-9999)
    assert told.attributes["flag_values"].tolist() == [0, 1, 2]
    assert told.attributes["flag_meanings"].tolist() == ["a", "b"]
    assert (told.attributes["units"], told.attributes["long_name"]) == ("m", "height")
    assert [step.name for step in told.filters] == ["fletcher32"]
    assert found.absent == {"none"}
    with pytest.raises(UnsupportedFilterError, match="text is of type object"):
        index(granule(tmp_path / "a.h5"), ["h", "text"])


@pytest.mark.parametrize("leak", ["external link", "external storage", "virtual dataset", "circle"])
def test_what_would_read_another_file_is_refused_here_too(tmp_path: Path, leak: str) -> None:
    canary = tmp_path / "canary.h5"
    with h5py.File(canary, "w") as file:
        file["secret"] = np.arange(3.0)
    with shared.create(tmp_path / "a.h5") as file:
        match leak:
            case "external link":
                file["h"] = h5py.ExternalLink(canary, "secret")
            case "external storage":
                file.create_dataset("h", (3,), "f8", external=[(str(canary), 0, 24)])
            case "virtual dataset":
                layout = h5py.VirtualLayout((3,), "f8")
                layout[:] = h5py.VirtualSource(canary, "secret", (3,))
                file.create_virtual_dataset("h", layout)
            case _:
                file["h"] = h5py.SoftLink("/h")
    with pytest.raises(UnsafeGranuleError, match=r"another file|more than 32 links"):
        index(granule(tmp_path / "a.h5"), ["h"])


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import os; os.abort()", r"died of it \(status -6\)"),
        ("bytearray(2**33)", r"died of it \(status 1\)"),
        ("import time; time.sleep(60)", "did not come to an end in 2 s"),
    ],
    ids=("crash", "memory", "hang"),
)
def test_a_process_that_libhdf5_takes_down_is_the_granules_failure(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    hostile = tmp_path / "library.py"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))\n"
    hostile.write_text(limit + script)
    monkeypatch.setattr(fallback, "_LIBRARY", hostile)
    monkeypatch.setattr(fallback, "_SECONDS", 2)
    with pytest.raises(CorruptGranuleError, match=message):
        index(granule(path), ["gt1l/none", script])


def test_a_damaged_file_is_the_granules_failure(path: Path, tmp_path: Path) -> None:
    content = bytearray(path.read_bytes())
    table = content.index(b"SMTB")
    content[table : table + 4] = bytes(4)
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(CorruptGranuleError, match="libhdf5 says"):
        index(granule(tmp_path / "a.h5"), PATHS)


def test_chunks_that_libhdf5_lists_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "ours.h5", "w", libver="latest") as file:
        sideways = file.create_dataset("h", (2, 2), "i4", chunks=(1, 1), maxshape=(2, None))
        sideways[0, 0], sideways[1, 0] = 5, 7
        listed = [sideways.id.get_chunk_info(number).chunk_offset for number in range(2)]
    assert listed != [(0, 0), (1, 0)]  # as they were written
    found = index(granule(tmp_path / "ours.h5"), ["h"])
    assert (found.datasets["h"].offsets != UNALLOCATED).tolist() == [[True, False], [True, False]]
    with shared.create(tmp_path / "theirs.h5") as file:
        file.create_dataset("h", (2, 2), "i4", chunks=(1, 1), maxshape=(2, None))[0, 0] = 5
    with pytest.raises(UnsupportedFilterError, match="grows along another dimension than its first"):
        index(granule(tmp_path / "theirs.h5"), ["h"])
