from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5netcdf.legacyapi
import h5py
import numpy as np
import pytest

from eoscale.errors import CorruptGranuleError, GranuleError
from eoscale.hdf5.format import datasets
from eoscale.hdf5.format.driver import over
from tests.hdf5.format.mutated import FILES, MEMORY, SECONDS, TABLE, Base, Slice
from tests.hdf5.libhdf5 import call
from tests.hdf5.mutations import (
    BLOCK,
    CONTINUED,
    HEADER,
    NAMES,
    PAGE,
    PLAIN,
    SEALED,
    anatomy,
    lookup3,
    mutate,
    resealed,
)

SLICES = 4
OUTCOMES = {TABLE, "CorruptGranuleError", "NotHDF5Error", "UnsafeGranuleError", "Unfamiliar"}
"""Each of them befalls some files of every slice; ``UnsupportedFilterError`` a few of all."""
ROOT = Path(__file__).parents[3]


def trees(file: h5py.File) -> None:
    """Hold a group and chunk tables of several levels, by nodes of few entries."""
    group = file.create_group("beam/land")
    plane = group.create_dataset(
        "plane", (60, 9), "<i2", chunks=(2, 3), compression=1, shuffle=True, fletcher32=True, fillvalue=-7
    )
    plane[...] = 3
    line = group.create_dataset("line", (700,), ">f8", chunks=(1,))
    line[::3] = 1.5
    for number in range(90):
        group[f"also_{number:02}"] = plane
    file["soft"] = h5py.SoftLink("beam/land/line")


def tables(file: h5py.File) -> None:
    """Hold a chunk table of two levels in a group of two, as h5py writes them by itself."""
    line = file.create_dataset("line", data=np.arange(300, dtype="<u4"), chunks=(2,), maxshape=(None,))
    for number in range(300):
        file[f"also_{number:03}"] = line


def kinds(file: h5py.File) -> None:
    """Hold types, layouts and attributes of every kind."""
    flags = np.arange(9).astype(h5py.enum_dtype({"no": 0, "yes": 1}, "i2"))
    file["flags"], file["bools"], file["texts"] = flags, np.arange(5) > 2, np.array([b"a", b"bc"])
    file.create_dataset("empty", (7,), ">i4", fillvalue=5)
    file["a_type"] = np.dtype(">f8")
    named = file.create_dataset("named", (4,), file["a_type"], data=[1, 2, 3, 4])
    named.attrs.create("scale_factor", 0.5, dtype=file["a_type"])
    space, layout = h5py.h5s.create_simple((3, 2)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.COMPACT)
    compact = h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32BE, space, layout)
    compact.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(6, dtype=">f4").reshape(3, 2))
    for name in ("flags", "compact"):
        attributes = file[name].attrs
        attributes["point"] = np.array((1, 2.5), [("x", "<i4"), ("y", ">f8")])
        attributes["_FillValue"] = np.array([1], file[name].dtype)
        attributes["units"], attributes["long_name"] = np.bytes_(b"meters"), "height é"
        attributes["flag_values"], attributes["flag_meanings"] = np.array([0, 1], "i1"), ["good", "bad"]


def arrays(file: h5py.File) -> None:
    """Hold chunk tables of one chunk, without a table, and by fixed arrays."""
    plane: dict[str, Any] = {"data": np.arange(35, dtype="<i4").reshape(7, 5)}
    file.create_dataset("single", **plane, chunks=(7, 5))
    file.create_dataset("single_packed", **plane, chunks=(7, 5), compression=1)
    file.create_dataset("early", (9,), "<f4", chunks=(2,), dcpl=_early())
    file.create_dataset("fixed", **plane, chunks=(2, 2))
    file.create_dataset("fixed_packed", **plane, chunks=(2, 2), compression=1)


def pages(file: h5py.File) -> None:
    """Hold fixed arrays of pages, of which one is not there."""
    some = file.create_dataset("some", (2100,), "u1", chunks=(1,))
    some[:900], some[2050] = 3, 4
    file.create_dataset("whole", data=np.ones(1030, "u1"), chunks=(1,), shuffle=True)


def growing(file: h5py.File) -> None:
    """Hold extensible arrays, with secondary blocks and pages."""
    plain = file.create_dataset("plain", (900,), "u1", chunks=(1,), maxshape=(None,))
    plain[:700] = 3
    packed = file.create_dataset("packed", (40, 3), "<i2", chunks=(1, 2), maxshape=(None, 4), compression=1)
    packed[...] = 3


def paged_growing(file: h5py.File) -> None:
    """Hold an extensible array with pages: those begin far behind the first chunks."""
    line = file.create_dataset("line", (150_001,), "u1", chunks=(1,), maxshape=(None,))
    line[3], line[150_000] = 1, 2


def wide(file: h5py.File) -> None:
    """Hold chunk tables by B-trees 2, of one level and two."""
    plane = {"maxshape": (None, None), "chunks": (1, 1)}
    file.create_dataset("plain", data=np.ones((14, 13), "u1"), **plane)
    file.create_dataset("packed", data=np.ones((5, 5), "u1"), **plane, compression=1)


def deep(file: h5py.File) -> None:
    """Hold a chunk table by a B-tree 2 of three levels: large records make it high."""
    shape, most = (750, 1, 1, 1, 1, 1, 1, 1), (None,) * 8
    file.create_dataset("volume", data=np.ones(shape, "u1"), chunks=(1,) * 8, maxshape=most)


def dense(file: h5py.File) -> None:
    """Hold so many links and attributes that they lie in fractal heaps, indexed twice."""
    group = file.create_group("beam", track_order=True)
    line = group.create_dataset("line", data=np.arange(6), track_order=True)
    for number in range(30):
        line.attrs[f"attribute_{number}"] = number
    line.attrs["units"], line.attrs["_FillValue"] = "meters", 5
    for number in range(400):
        group[f"also_{number:03}"] = line
    group["soft"] = h5py.SoftLink("/beam/line")


def many_dense(file: h5py.File) -> None:
    """Hold so many links that the tree of their names has three levels."""
    line = file.create_dataset("line", data=np.arange(6))
    for number in range(1600):
        file[f"{number}"] = line


def huge(file: h5py.File) -> None:
    """Hold attributes in a heap, of which one is so long that it lies outside the heap's blocks."""
    line = file.create_dataset("line", data=np.arange(6), track_order=True)
    for number in range(9):
        line.attrs[f"attribute_{number}"] = number
    line.attrs["flag_meanings"], line.attrs["units"] = np.bytes_(b"good bad " * 7400), np.bytes_(b"m")


def netcdf(file: h5py.File) -> None:
    """Hold what netCDF4 writes: dimension scales, references, attributes in order."""
    with h5netcdf.legacyapi.Dataset(file, "r+") as made:
        made.createDimension("time", None)
        made.createDimension("band", 3)
        group = made.createGroup("science")
        height = group.createVariable("height", "f4", ("time", "band"), chunksizes=(2, 3), fill_value=9.9e36)
        height.units = "meters"
        made.resize_dimension("time", 7)
        height[:7] = np.ones((7, 3))
        made.createVariable("band", "i4", ("band",))[...] = np.arange(3)


def _early() -> h5py.h5p.PropDCID:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    return properties


VERSIONS = {
    "earliest": h5py.h5f.LIBVER_EARLIEST,
    "v108": h5py.h5f.LIBVER_V18,
    "latest": h5py.h5f.LIBVER_LATEST,
}
BASES: dict[str, tuple[Callable[[h5py.File], None], dict[str, Any]]] = {
    "trees": (trees, {"narrow": True}),
    "tables": (tables, {}),
    "kinds": (kinds, {}),
    "kinds_latest": (kinds, {"version": "latest", "user_block": 512}),
    "arrays": (arrays, {"version": "latest"}),
    "pages": (pages, {"version": "latest"}),
    "growing": (growing, {"version": "latest"}),
    "paged_growing": (paged_growing, {"version": "latest"}),
    "wide": (wide, {"version": "latest"}),
    "deep": (deep, {"version": "latest"}),
    "dense": (dense, {"version": "latest"}),
    "dense_trees": (trees, {"version": "v108"}),
    "many_dense": (many_dense, {"version": "latest"}),
    "huge": (huge, {"version": "latest"}),
    "netcdf": (netcdf, {"version": "v108"}),
}
"""Sound files that together hold every structure: how each is made."""


def write(path: Path, make: Callable[[h5py.File], None], options: dict[str, Any]) -> Path:
    """Write a sound file."""
    creation, access = (h5py.h5p.create(kind) for kind in (h5py.h5p.FILE_CREATE, h5py.h5p.FILE_ACCESS))
    creation.set_userblock(options.get("user_block", 0))
    if options.get("narrow"):
        # groups of 2 symbols a leaf and 4 leaves a node, chunk tables of 4 chunks a node
        call("H5Pset_sym_k", creation.id, 2, 1)
        call("H5Pset_istore_k", creation.id, 2)
    version = VERSIONS[options.get("version", "earliest")]
    access.set_libver_bounds(version, version if version == h5py.h5f.LIBVER_V18 else h5py.h5f.LIBVER_LATEST)
    with h5py.File(h5py.h5f.create(bytes(path), h5py.h5f.ACC_TRUNC, creation, access)) as file:
        make(file)
    return path


def base(path: Path) -> Base:
    """Return a sound file, what is asked of it, and what it consists of."""
    content = path.read_bytes()
    paths = ["absent", "soft", "beam/soft", "beam"]
    values: set[int] = set()

    def note(name: str, found: Any) -> None:  # noqa: ANN401  h5py is untyped
        if isinstance(found, h5py.Group):
            paths.append(f"{name}/{list(found)[-1]}")
            return
        paths.append(name)
        if isinstance(found, h5py.Dataset):
            values.add(found.id.get_offset() or 0)
            if found.chunks:
                found.id.chunk_iter(lambda chunk: values.add(chunk.byte_offset))

    with h5py.File(path) as file:
        note("", file)
        file.visititems(note)
    return Base(path.stem, content, tuple(paths), anatomy(content, values - {0}))


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> list[Base]:
    folder = tmp_path_factory.mktemp("sound")
    return [base(write(folder / f"{name}.h5", *how)) for name, how in BASES.items()]


@pytest.fixture(scope="session")
def packed(bases: list[Base], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "bases.pickle"
    path.write_bytes(pickle.dumps(bases))
    return path


def test_the_sound_files_hold_every_structure_and_are_small(bases: list[Base]) -> None:
    held = Counter(part.kind for each in bases for part in each.body.parts)
    assert set(held) >= {*PLAIN, *SEALED, BLOCK, HEADER, CONTINUED, NAMES, PAGE}
    assert max(len(each.content) for each in bases) < 200_000
    for each in bases:
        # every signature that is in the file was found as a structure, with a checksum that agrees
        kinds = Counter(part.kind for part in each.body.parts)
        assert {kind: each.content.count(kind) for kind in (*PLAIN, *SEALED, BLOCK)} == {
            kind: kinds[kind] for kind in (*PLAIN, *SEALED, BLOCK)
        }, each.name
        for part in each.body.parts:
            if part.kind in SEALED:
                assert part.seal == part.stop - 4


def test_a_seed_gives_the_same_copy_each_time_and_the_seeds_give_different_ones(bases: list[Base]) -> None:
    for each in bases:
        copies = [mutate(each.content, each.body, seed) for seed in range(50)]
        assert copies == [mutate(each.content, each.body, seed) for seed in range(50)]
        assert each.content not in copies
        assert len(set(copies)) > 45


def test_checksums_are_those_of_bob_jenkins_and_of_libhdf5(bases: list[Base]) -> None:
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551
    for each in bases:
        if each.body.parts[0].seal is not None:
            superblock = each.content[each.body.base :][:48]
            assert lookup3(superblock[:44]) == int.from_bytes(superblock[44:], "little")


@pytest.mark.parametrize(
    ("name", "kind", "sorts", "field", "change"),
    [
        # trees, of which only those by name are read: how many records there are in all, and in the root
        ("dense", b"BTHD", (5, 8), (26, 8), lambda _: 0),
        ("wide", b"BTHD", (10, 11), (26, 8), lambda _: 0),
        ("wide", b"BTHD", (10, 11), (24, 2), lambda count: count + 1),
        # nodes of a chunk table, and of a group: how many children there are
        ("tables", b"TREE", (1,), (6, 2), lambda _: 0),
        ("tables", b"TREE", (1,), (6, 2), lambda count: count + 1),
        ("kinds", b"TREE", (0,), (6, 2), lambda count: count + 1),
        ("kinds", b"SNOD", (), (6, 2), lambda count: count + 1),
        # arrays: how many chunks there are, and whether they are filtered
        ("pages", b"FAHD", (), (8, 8), lambda count: count + 1),
        ("arrays", b"FAHD", (), (8, 8), lambda count: 2 * count),
        ("arrays", b"FAHD", (), (5, 1), lambda filtered: 1 - filtered),
        ("growing", b"EAHD", (), (5, 1), lambda filtered: 1 - filtered),
    ],
)
def test_a_number_that_does_not_agree_with_what_is_there_is_corrupt(
    bases: list[Base],
    name: str,
    kind: bytes,
    sorts: tuple[int, ...],
    field: tuple[int, int],
    change: Callable[[int], int],
) -> None:
    sound = next(each for each in bases if each.name == name)
    sort = 4 if kind == b"TREE" else 5
    parts = [part for part in sound.body.parts if part.kind == kind]
    chosen = [part for part in parts if not sorts or sound.content[part.start + sort] in sorts]
    assert chosen
    for part in chosen:
        content, (at, width) = bytearray(sound.content), field
        place = slice(part.start + at, part.start + at + width)
        content[place] = change(int.from_bytes(content[place], "little")).to_bytes(width, "little")
        damaged = resealed(content, sound.content, sound.body)
        with pytest.raises(CorruptGranuleError):
            over(damaged, datasets(len(damaged), sound.paths))


@pytest.mark.parametrize("seed", [12766, 14615, 15722, 18574, 19339, 34052, 35066, 43643])
def test_files_that_were_once_misread_are_refused(bases: list[Base], seed: int) -> None:
    sound = bases[seed % len(bases)]
    damaged = mutate(sound.content, sound.body, seed)
    assert damaged != sound.content
    with pytest.raises(GranuleError):
        over(damaged, datasets(len(damaged), sound.paths))


@pytest.mark.parametrize("number", range(SLICES))
def test_a_mutated_file_is_the_right_table_or_a_typed_error_in_bounded_time_and_memory(
    packed: Path, number: int
) -> None:
    command = [sys.executable, "-m", "tests.hdf5.format.mutated", str(packed), str(number)]
    done = subprocess.run(  # noqa: S603  our own module
        command, cwd=ROOT, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    found = Slice(**json.loads(done.stdout))
    sys.stdout.write(f"{found.outcomes}\n{found.opinions}\n")
    sys.stdout.write(f"slowest {found.slowest:.3f} s, {found.memory / 2**20:.0f} MiB\n")
    assert not found.faults, "\n\n".join(found.faults[:20])
    assert found.slowest < SECONDS
    assert found.memory < MEMORY
    # and the faults did happen
    assert found.differing == sum(found.outcomes.values()) == FILES
    assert OUTCOMES <= set(found.outcomes) <= OUTCOMES | {"UnsupportedFilterError"}
    assert found.opinions["same"] > FILES // 10
