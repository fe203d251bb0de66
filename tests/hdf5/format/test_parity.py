"""Chunk tables of every structure that libhdf5 writes, against what libhdf5 says itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5d, h5s

from eoscale.errors import UnsafeGranuleError, UnsupportedFilterError
from eoscale.hdf5.format import Unfamiliar, datasets
from eoscale.hdf5.format.driver import over
from tests.hdf5.format.oracle import (
    BTREE1,
    BTREE2,
    EXTENSIBLE_ARRAY,
    FIXED_ARRAY,
    IMPLICIT,
    SINGLE,
    Links,
    attribute,
    chunk_index,
    misplaced,
    table,
)
from tests.hdf5.layouts import (
    KINDS,
    NETCDF,
    TYPES,
    Kind,
    chunk_of,
    typed_attribute,
    write,
    write_cache_image,
    write_netcdf,
    write_old_layouts,
)

UNFAMILIAR = {
    "earliest_shared_messages": "a table that objects share",
    "v200_shared_messages": "a table that objects share",
    "v200_deflated_links": "a fractal heap is packed",
}
"""Kinds of files that are left to libhdf5, and why."""
Written = Callable[[str], Path]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Return the file of a kind, which is written once."""
    folder = tmp_path_factory.mktemp("layouts")

    @cache
    def make(name: str) -> Path:
        path = folder / f"{name}.h5"
        return write(path, KINDS[name]) if name in KINDS else write_netcdf(path, NETCDF[name])

    return make


@pytest.mark.parametrize("name", [name for name in [*KINDS, *NETCDF] if name not in UNFAMILIAR])
def test_every_dataset_lies_where_libhdf5_says(written: Written, name: str) -> None:
    content = written(name).read_bytes()
    with h5py.File(written(name)) as file:
        links = Links(file)
        found = over(content, datasets(len(content), [*links.datasets, *links.absent]))
        assert found.datasets.keys() == links.datasets.keys()
        assert found.absent == links.absent
        assert links.differences(found.datasets, content) == {}


@pytest.mark.parametrize("name", UNFAMILIAR)
def test_what_is_left_to_libhdf5_is_called_unfamiliar(written: Written, name: str) -> None:
    content = written(name).read_bytes()
    with h5py.File(written(name)) as file:
        links = Links(file)
    with pytest.raises(Unfamiliar, match=UNFAMILIAR[name]):
        over(content, datasets(len(content), links.datasets))


@pytest.mark.parametrize("name", ["earliest_v108", "v200_v200"])
def test_a_dataset_without_values_is_refused(written: Written, name: str) -> None:
    content = written(name).read_bytes()
    with h5py.File(written(name)) as file:
        null = Links(file).null
    assert null == {"compact_null", "contiguous_null"}
    for path in null:
        with pytest.raises(UnsupportedFilterError, match="null dataspace"):
            over(content, datasets(len(content), [path]))


@pytest.mark.parametrize("padding", ["terminated", "null_padded", "space_padded"])
def test_spaces_at_the_end_of_a_text_stay_unless_they_pad_it(tmp_path: Path, padding: str) -> None:
    make = typed_attribute("units", TYPES[f"text_{padding}"], h5s.create(h5s.SCALAR), b"  m    ")
    path = write(tmp_path / "a.h5", Kind("earliest", "v200", {"h": make}))
    content = path.read_bytes()
    found = over(content, datasets(len(content), ["h"])).datasets["h"]
    with h5py.File(path) as file:
        assert found.attributes == {"units": attribute(file["h"], "units")}


def test_a_file_with_an_image_of_the_cache_is_left_to_libhdf5(tmp_path: Path) -> None:
    path = write_cache_image(tmp_path / "a.h5")
    content = path.read_bytes()
    with h5py.File(path) as file:
        assert file["h"].id.get_num_chunks() == 6
    with pytest.raises(Unfamiliar, match="cache"):
        over(content, datasets(len(content), ["h"]))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", ["chunked", "contiguous"])
def test_layouts_from_before_2005_are_left_to_libhdf5(tmp_path: Path, version: int, name: str) -> None:
    path = write_old_layouts(tmp_path / "a.h5", version)
    content = path.read_bytes()
    with h5py.File(path) as file:
        assert file[name][()].tolist() == list(range(len(file[name])))
    with pytest.raises(Unfamiliar, match=f"layout message of version {version}"):
        over(content, datasets(len(content), [name]))


@pytest.mark.parametrize("low", ["earliest", "v200"])
def test_a_chunk_of_4_gib_is_refused(tmp_path: Path, low: str) -> None:
    most = 2**32 + 2**20 if low == "v200" else 2**32 - 1
    path = write(tmp_path / "a.h5", Kind(low, "v200", {"h": chunk_of(most)}))
    content = path.read_bytes()
    with pytest.raises(UnsafeGranuleError, match=f"a chunk of {most} bytes"):
        over(content, datasets(len(content), ["h"]))


SIGNATURES = (
    b"TREE", b"SNOD", b"HEAP", b"GCOL", b"OHDR", b"OCHK", b"FRHP", b"FHIB", b"FHDB", b"BTHD", b"BTIN",
    b"BTLF", b"FAHD", b"FADB", b"EAHD", b"EAIB", b"EASB", b"EADB", b"SMTB",
)  # fmt: skip


def test_the_files_hold_every_structure_of_the_format(written: Written) -> None:
    contents = [written(name).read_bytes() for name in KINDS]
    assert [each for each in SIGNATURES if not any(each in content for content in contents)] == []
    starts = [KINDS[name].userblock for name in KINDS]
    versions = {content[start + 8] for content, start in zip(contents, starts, strict=True)}
    assert versions == {0, 1, 2, 3}


def test_the_trees_and_heaps_are_deep(written: Written) -> None:
    contents = b"".join(written(name).read_bytes() for name in KINDS)
    old, new = Counter[int](), Counter[int]()
    for kind, level in re.findall(rb"TREE(.)(.)", contents, re.DOTALL):
        old[kind[0]] = max(old[kind[0]], level[0])
    for kind, depth in re.findall(rb"BTHD\0(.).{6}(..)", contents, re.DOTALL):
        new[kind[0]] = max(new[kind[0]], int.from_bytes(depth, "little"))
    links, chunks = old[0], old[1]
    assert (links >= 3, chunks >= 3) == (True, True)
    # 1 large objects of a heap, 5 and 6 links, 8 and 9 attributes, 10 and 11 chunks, plain and packed
    assert new.keys() >= {1, 5, 6, 8, 9, 10, 11}
    assert min(new[kind] for kind in (5, 10, 11)) >= 2
    # with more than nine rows the root block of a heap of links leads to other such blocks
    rows = [int.from_bytes(each, "little") for each in re.findall(rb"FRHP\0.{135}(..)", contents, re.DOTALL)]
    assert max(rows) > 9


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("earliest_v200", {BTREE1}), ("v108_v108", {BTREE1}),
     *((name, {SINGLE, IMPLICIT, FIXED_ARRAY, EXTENSIBLE_ARRAY, BTREE2})
       for name in ("v110_grids", "v200_grids"))],
)  # fmt: skip
def test_the_chunks_are_found_in_every_way(written: Written, name: str, kinds: set[int]) -> None:
    with h5py.File(written(name)) as file:
        nodes = [node for node in file.values() if isinstance(node, h5py.Dataset) and node.chunks]
        counts = Counter(chunk_index(node) for node in nodes)
        assert counts.keys() == kinds
        assert min(counts.values()) > 10
        assert sum(map(misplaced, nodes)) > 10 or kinds == {BTREE1}


@pytest.mark.parametrize("name", ["earliest_v108", "v200_v200"])
def test_the_datasets_have_every_layout_and_extent(written: Written, name: str) -> None:
    with h5py.File(written(name)) as file:
        nodes = list(Links(file).datasets.values())
        layouts = Counter(node.id.get_create_plist().get_layout() for node in nodes)
        assert min(layouts[each] for each in (h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED)) > 5
        assert {node.ndim for node in nodes} >= {0, 1, 2, 3, 4, 5}
        masks = [
            mask for node in nodes if "masks" in (found := table(node)) for mask in np.unique(found["masks"])
        ]
        assert set(masks) == {0, 1, 2, 3}
