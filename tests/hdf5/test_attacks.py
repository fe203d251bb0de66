"""Hostile files: those that would read other files, and those that would exhaust the machine.

Every attack is first shown to work: h5py reads the canary through the hostile file.
"""

from __future__ import annotations

import json
import pickle
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from eoscale.errors import GranuleError, UnsafeGranuleError
from eoscale.hdf5.format import Unfamiliar, datasets
from eoscale.hdf5.format.driver import over
from eoscale.hdf5.index import index
from tests.hdf5.files import granule
from tests.hdf5.mutations import anatomy, lookup3
from tests.hdf5.shared import SHARED_MESSAGES
from tests.servers.ranges import RangeServer

ROOT = Path(__file__).parents[2]
CANARY = b"CANARY-8d7e44c1-of-another-file."
VERSIONS = ("earliest", "latest", "shared")
"""The last one keeps messages in a table, which our reader leaves to libhdf5."""
Attack = Callable[[h5py.File, Path], str]
"""Writes a hostile file, given a canary, and returns the path through which the canary is read."""


@contextmanager
def written(path: Path, version: str) -> Iterator[h5py.File]:
    """Open a new file of a version of the format."""
    creation, access = (h5py.h5p.create(kind) for kind in (h5py.h5p.FILE_CREATE, h5py.h5p.FILE_ACCESS))
    if version == "shared":
        for step in SHARED_MESSAGES:
            step(creation)
    low = h5py.h5f.LIBVER_EARLIEST if version == "earliest" else h5py.h5f.LIBVER_LATEST
    access.set_libver_bounds(low, h5py.h5f.LIBVER_LATEST)
    with h5py.File(h5py.h5f.create(bytes(path), h5py.h5f.ACC_TRUNC, creation, access)) as file:
        yield file


# External links ---------------------------------------------------------------------------------------------


def link(file: h5py.File, canary: Path) -> str:
    file["h"] = h5py.ExternalLink(canary, "secret")
    return "h"


def link_to_a_neighbour(file: h5py.File, canary: Path) -> str:
    file["h"] = h5py.ExternalLink(canary.name, "secret")
    return "h"


def link_to_a_group(file: h5py.File, canary: Path) -> str:
    file["gt1l/land/beam"] = h5py.ExternalLink(canary, "/")
    return "gt1l/land/beam/secret"


def link_behind_soft_links(file: h5py.File, canary: Path) -> str:
    file["gt1l/out"] = h5py.ExternalLink(canary, "/")
    file["step_0"] = h5py.SoftLink("/gt1l/out/secret")
    for number in range(1, 12):
        file[f"step_{number}"] = h5py.SoftLink(f"./step_{number - 1}")
    return "step_11"


def link_among_many(file: h5py.File, canary: Path) -> str:
    group = file.create_group("gt1l", track_order=True)
    for number in range(300):
        group[f"name_{number}"] = h5py.SoftLink("/good")
    group["h"] = h5py.ExternalLink(canary, "secret")
    return "gt1l/h"


def link_over_a_link(file: h5py.File, canary: Path) -> str:
    with h5py.File(canary, "r+") as other:
        other["alias"] = h5py.SoftLink("secret")
    file["h"] = h5py.ExternalLink(canary, "/alias")
    return "h"


# External raw storage ---------------------------------------------------------------------------------------


def storage(file: h5py.File, canary: Path) -> str:
    file.create_dataset("h", (len(CANARY),), "u1", external=[(str(canary), _begin(canary), len(CANARY))])
    return "h"


def storage_behind_a_soft_link(file: h5py.File, canary: Path) -> str:
    file["gt1l/soft"] = h5py.SoftLink(f"/{storage(file, canary)}")
    return "gt1l/soft"


def storage_in_pieces(file: h5py.File, canary: Path) -> str:
    begin, half = _begin(canary), len(CANARY) // 2
    pieces = [(str(canary), begin, half), (str(canary), begin + half, len(CANARY) - half)]
    file.create_dataset("gt1l/h", (2, half), "u1", external=pieces)
    return "gt1l/h"


def _begin(canary: Path) -> int:
    return canary.read_bytes().index(CANARY)


# Virtual datasets -------------------------------------------------------------------------------------------


def virtual(file: h5py.File, canary: Path) -> str:
    layout = h5py.VirtualLayout((len(CANARY),), "u1")
    layout[:] = h5py.VirtualSource(canary, "secret", (len(CANARY),))
    file.create_virtual_dataset("h", layout)
    return "h"


def virtual_behind_a_soft_link(file: h5py.File, canary: Path) -> str:
    file["gt1l/soft"] = h5py.SoftLink(f"/{virtual(file, canary)}")
    return "gt1l/soft"


def virtual_of_virtual(file: h5py.File, canary: Path) -> str:
    virtual(file, canary)
    layout = h5py.VirtualLayout((len(CANARY) + 3,), "u1", maxshape=(None,))
    layout[3:] = h5py.VirtualSource(".", "h", (len(CANARY),))
    file.create_virtual_dataset("gt1l/h", layout, fillvalue=7)
    return "gt1l/h"


def virtual_by_pattern(file: h5py.File, canary: Path) -> str:
    numbered = canary.with_name("canary-0.h5")
    numbered.write_bytes(canary.read_bytes())
    space = h5py.h5s.create_simple((len(CANARY),), (h5py.h5s.UNLIMITED,))
    size = len(CANARY)
    space.select_hyperslab((0,), (h5py.h5s.UNLIMITED,), stride=(size,), block=(size,))
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    source = h5py.h5s.create_simple((size,))
    properties.set_virtual(space, bytes(canary.with_name("canary-%b.h5")), b"secret", source)
    h5py.h5d.create(file.id, b"h", h5py.h5t.STD_U8LE, space, properties)
    return "h"


ATTACKS: tuple[Attack, ...] = (
    link, link_to_a_neighbour, link_to_a_group, link_behind_soft_links, link_among_many, link_over_a_link,
    storage, storage_behind_a_soft_link, storage_in_pieces,
    virtual, virtual_behind_a_soft_link, virtual_of_virtual, virtual_by_pattern,
)  # fmt: skip


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    path = tmp_path / "canary.h5"
    with h5py.File(path, "w") as file:
        file["secret"] = np.frombuffer(CANARY, "u1")
    return path


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_file_that_would_read_another_one_is_refused_and_nothing_of_that_is_told(
    tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch, attack: Attack, version: str
) -> None:
    hostile = tmp_path / "hostile.h5"
    with written(hostile, version) as file:
        file["good"] = np.arange(3)
        path = attack(file, canary)
    with h5py.File(hostile) as file:
        assert CANARY in file[path][()].tobytes()
    content = hostile.read_bytes()
    if version == "shared":
        with pytest.raises(Unfamiliar):
            over(content, datasets(len(content), [path]))
    with RangeServer(tmp_path) as server:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        for place in (str(hostile), server.url("hostile.h5")):
            _demand_refused(place, ["good", path])
            found = index(granule(place), ["good"])
            assert set(found.datasets) == {"good"}
            assert CANARY not in pickle.dumps(found)
        # whether the other file is there makes no difference
        canary.unlink()
        _demand_refused(str(hostile), [path])
        assert not any(asked.startswith("/canary") for asked, _, _ in server.asked)


def _demand_refused(place: str, paths: list[str]) -> None:
    with pytest.raises(UnsafeGranuleError, match="other file") as raised:
        index(granule(place), paths)
    assert (raised.value.granule, raised.value.url) == ("granule_007", place)
    error: BaseException | None = raised.value
    while error is not None:
        assert CANARY.decode() not in f"{error!s} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__


# Links that lead nowhere, or round in circles --------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_a_link_of_its_writers_own_making_is_not_followed(tmp_path: Path, canary: Path, version: str) -> None:
    path = tmp_path / "own.h5"
    with written(path, version) as file:
        file["good"] = np.arange(3)
        link_to_a_group(file, canary)
    _change(
        path, path.read_bytes().index(b"@\4beam"), 200
    )  # 64 is an external link, above are those of all others
    with h5py.File(path) as file, pytest.raises((KeyError, OSError)):
        file["gt1l/land/beam/secret"][()]
    with pytest.raises(GranuleError) as raised:
        index(granule(path), ["good", "gt1l/land/beam/secret"])
    assert CANARY.decode() not in str(raised.value)
    assert set(index(granule(path), ["good"]).datasets) == {"good"}


def _change(path: Path, at: int, value: int) -> None:
    """Change a byte of a file, and the checksum of the structure that it stands in."""
    content = bytearray(path.read_bytes())
    part = next(part for part in anatomy(bytes(content)).parts if part.start <= at < part.stop)
    content[at] = value
    if part.seal is not None:
        struct.pack_into("<I", content, part.seal, lookup3(content[part.start : part.seal]))
    path.write_bytes(content)


@pytest.mark.parametrize("version", VERSIONS)
def test_soft_links_in_a_circle_are_refused_and_hard_links_in_a_circle_end_with_the_path(
    tmp_path: Path, version: str
) -> None:
    path = tmp_path / "circle.h5"
    with written(path, version) as file:
        file["gt1l/h"] = np.arange(3)
        file["gt1l/up"] = file["/"]
        file["gt1l/self"] = file["gt1l"]
        file["gt1l/one"], file["gt1l/two"] = h5py.SoftLink("/gt1l/up/gt1l/two/h"), h5py.SoftLink("self/one")
    deep = "gt1l/" + "self/" * 20 + "up/gt1l/" * 20 + "h"
    assert index(granule(path), [deep]).datasets[deep].shape == (3,)
    begun = time.perf_counter()
    for name in ("gt1l/one", "gt1l/two", "gt1l/one/h", "gt1l/self/up/gt1l/two"):
        with pytest.raises(UnsafeGranuleError, match="more than 32 links"):
            index(granule(path), [name])
    assert time.perf_counter() - begun < 10


# Sizes that no machine has ---------------------------------------------------------------------------------

BOMBS: dict[str, dict[str, Any]] = {
    "2**60 elements in one run": {"shape": (2**60,), "dtype": "f8"},
    "2**60 elements in chunks": {"shape": (2**60,), "dtype": "f8", "chunks": (2**20,)},
    "2**60 elements, growing": {"shape": (2**60,), "dtype": "f8", "chunks": (2**20,), "maxshape": (None,)},
    "2**60 elements, growing twice": {
        "shape": (2**30, 2**30), "dtype": "u1", "chunks": (2**13, 2**13), "maxshape": (None, None),
    },
    "a chunk of 1 GiB": {"shape": (2**30,), "dtype": "u1", "chunks": (2**30,)},
    "a packed chunk of 4 GiB": {"shape": (2**33,), "dtype": "u1", "chunks": (2**32 - 1,), "compression": 1},
    "a row of 1 TiB": {"shape": (2, 2**37), "dtype": "f8"},
    "2**40 chunks": {"shape": (2**40,), "dtype": "u1", "chunks": (1,)},
    "2**40 chunks, growing": {"shape": (2**40,), "dtype": "u1", "chunks": (1,), "maxshape": (None,)},
    "2**40 chunks of a plane": {"shape": (2**20, 2**20), "dtype": "u1", "chunks": (1, 1)},
    "no rows of 2**62 columns": {
        "shape": (0, 2**62), "dtype": "u1", "chunks": (1, 1), "maxshape": (None, None),
    },
    "2**40 rows of no columns": {"shape": (2**40, 0), "dtype": "u1"},
    "32 dimensions": {"shape": (1,) * 32, "dtype": "f8"},
    "32 dimensions in chunks": {"shape": (2,) * 32, "dtype": "u1", "chunks": (1,) * 32},
}  # fmt: skip
_PROBE = """
import json, resource, sys, time
from pathlib import Path
from eoscale.errors import GranuleError
from eoscale.hdf5.index import index
from tests.hdf5.files import granule
def peak():
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
bombs, places = map(json.loads, sys.argv[1:])  # names of lists of paths
index(granule(places[0]), ["good"])
before, results = peak(), []
for place in places:
    for name, paths in bombs.items():
        begun = time.perf_counter()
        try:
            index(granule(place), paths)
            told = "no error"
        except GranuleError as error:
            told = type(error).__name__
        results.append([name, told, time.perf_counter() - begun, peak() - before])
print(json.dumps([results, 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_sizes_that_no_machine_has_are_refused_before_anything_is_allocated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    path = tmp_path / "bombs.h5"
    with written(path, version) as file:
        file["good"] = np.arange(3)
        for name, options in BOMBS.items():
            file.create_dataset(name, **options)
        assert file["2**60 elements in one run"].size == 2**60
    assert path.stat().st_size < 50_000
    with RangeServer(tmp_path) as server:
        places = [str(path), server.url("bombs.h5")][: 1 if version == "shared" else 2]
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        results, most_of_libhdf5 = _probed({name: [name] for name in BOMBS}, places)
    assert [name for name, *_ in results] == list(BOMBS) * len(places)
    for name, told, seconds, nbytes in results:
        assert told == "UnsafeGranuleError", name
        assert seconds < 5, (name, seconds)
        assert nbytes < 16 * 2**20, (name, nbytes)
    assert most_of_libhdf5 < 512 * 2**20


def test_variables_that_are_small_enough_one_by_one_do_not_exhaust_the_machine_together(
    tmp_path: Path,
) -> None:
    path, names = tmp_path / "many.h5", [f"line_{number}" for number in range(16)]
    with written(path, "latest") as file:
        file["good"] = np.arange(3)
        for name in names:
            file.create_dataset(name, (2**22,), "u1", chunks=(1,), maxshape=(None,))[0] = 1
    assert path.stat().st_size < 20_000
    ((_, told, seconds, nbytes),), _ = _probed({"all": names}, [str(path)])
    assert told in ("UnsafeGranuleError", "no error")
    assert seconds < 15
    assert nbytes < 256 * 2**20, f"{nbytes / 2**20:.0f} MiB for a file of {path.stat().st_size} bytes"


def _probed(bombs: dict[str, list[str]], places: list[str]) -> tuple[list[tuple[str, str, float, int]], int]:
    """Index files in another process: what becomes of each bomb, time and memory; the memory of libhdf5."""
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", _PROBE, json.dumps(bombs), json.dumps(places)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    results, most_of_libhdf5 = json.loads(done.stdout)
    return results, most_of_libhdf5
