from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eoscale.access.endpoints import ALLOW_HOSTS
from eoscale.errors import (
    AccessError,
    CorruptGranuleError,
    GranuleError,
    NotHDF5Error,
    UnsafeGranuleError,
    UnsupportedFilterError,
)
from eoscale.hdf5 import store
from eoscale.hdf5.index import index
from eoscale.hdf5.read import read
from eoscale.model.chunk_index import UNALLOCATED, ChunkIndex
from eoscale.model.columns import Array
from eoscale.model.granule import Granule
from tests.hdf5.files import VERSIONS, granule, same, write
from tests.servers.ranges import Fault, Plan, RangeServer

REMOTE = "?X-Signature=s3cr3t"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.h5"


def values(path: Path, name: str) -> Array:
    found = index(granule(path), [name])
    return read(found, {name: None}).columns[name]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_index_tells_shape_type_chunks_filters_and_fill(tmp_path: Path, version: str) -> None:
    path = write(tmp_path / "a.h5", version)
    found = index(granule(path), ["gt1l/plane", "gt1l/sparse", "gt1l/compact", "gt1l/contiguous"])
    plane, sparse = found.datasets["gt1l/plane"], found.datasets["gt1l/sparse"]
    assert (plane.shape, plane.chunk_shape, plane.dtype.str) == ((23, 11), (5, 4), "<i2")
    assert [(step.name, *step.parameters) for step in plane.filters] == [
        ("shuffle", 2),
        ("deflate", 9),
        ("fletcher32",),
    ]
    assert plane.offsets.shape == plane.sizes.shape == plane.masks.shape == (5, 3)
    assert np.frombuffer(sparse.fill, sparse.dtype) == -7
    assert (sparse.offsets != UNALLOCATED).sum() == 3
    assert found.datasets["gt1l/compact"].inline is not None
    assert found.datasets["gt1l/contiguous"].clipped
    assert (found.granule, found.size) == ("granule_007", path.stat().st_size)
    assert 0 < found.bytes_read < found.size / 2
    again = index(granule(path), ["gt1l/plane", "gt1l/sparse", "gt1l/compact", "gt1l/contiguous"])
    assert (again, again.requests, again.bytes_read) == (found, 0, 0)
    # offsets count from the beginning of the file, also behind a user block
    content = path.read_bytes()
    with h5py.File(path) as opened:
        for number in range(opened["gt1l/plane"].id.get_num_chunks()):
            chunk = opened["gt1l/plane"].id.get_chunk_info(number)
            position = tuple(at // size for at, size in zip(chunk.chunk_offset, (5, 4), strict=True))
            start, size = plane.offsets[position], plane.sizes[position]
            _, raw = opened["gt1l/plane"].id.read_direct_chunk(chunk.chunk_offset)
            assert content[start : start + size] == raw


def test_the_same_file_gives_the_same_index_and_another_one_does_not(tmp_path: Path) -> None:
    first, second = (write(tmp_path / f"{version}.h5", version) for version in VERSIONS)
    found = index(granule(first), ["gt1l/plane"])
    assert index(granule(first), ["gt1l/plane"]) == found
    assert index(granule(second), ["gt1l/plane"]) != found


def test_paths_that_the_file_does_not_hold_are_listed_as_absent(file: Path) -> None:
    with h5py.File(file, "w") as opened:
        opened["gt1l/h"] = np.arange(3)
        opened["gt1l/dangling"] = h5py.SoftLink("/gt2l/h")
    wanted = ["gt1l/h", "gt1l", "gt2l/h", "gt1l/h/h", "gt1l/none", "gt1l/dangling", "", "/"]
    found = index(granule(file), wanted)
    assert set(found.datasets) == {"gt1l/h"}
    assert found.absent == frozenset(wanted) - {"gt1l/h"}


def test_only_the_attributes_that_describe_values_are_kept_as_plain_values(file: Path) -> None:
    with h5py.File(file, "w") as opened:
        dataset = opened.create_dataset("h", data=np.zeros(3, "f4"))
        dataset.attrs["_FillValue"] = np.array([np.finfo("f4").max], "f4")
        dataset.attrs["units"] = np.bytes_(b"meters")
        dataset.attrs["long_name"] = "height é"
        dataset.attrs["scale_factor"] = 0.5
        dataset.attrs["flag_values"] = np.array([0, 1], "i1")
        dataset.attrs["flag_meanings"] = np.array(["bad good"], object)
        dataset.attrs["history"] = "not asked for"
        opened.create_dataset("bare", data=np.zeros(3, "f4"))
    found = index(granule(file), ["h", "bare"]).datasets
    attributes = found["h"].attributes
    assert set(attributes) == {
        "_FillValue", "units", "long_name", "scale_factor", "flag_values", "flag_meanings"
    }  # fmt: skip
    assert [attributes[name] for name in ("units", "long_name", "scale_factor", "flag_meanings")] == [
        "meters",
        "height é",
        0.5,
        "bad good",
    ]
    fill = found["h"].fill_value
    assert fill is not None
    assert same(fill, np.array(np.finfo("f4").max, "f4"))
    assert found["bare"].fill_value is None


def test_soft_links_are_followed_inside_the_file(file: Path) -> None:
    with h5py.File(file, "w") as opened:
        opened["gt1l/h"] = np.arange(5)
        opened["gt1l/relative"] = h5py.SoftLink("h")
        opened["gt1l/here"] = h5py.SoftLink("./h")
        opened["absolute"] = h5py.SoftLink("/gt1l/h")
        opened["beam"] = h5py.SoftLink("gt1l")
        opened["twice"] = h5py.SoftLink("/beam/relative")
        opened["hard"] = opened["gt1l/h"]
    for path in (
        "gt1l/relative",
        "gt1l/here",
        "absolute",
        "beam/h",
        "beam/relative",
        "twice",
        "hard",
        "/./hard",
    ):
        assert same(values(file, path), np.arange(5)), path


@pytest.mark.parametrize(
    "links", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "/b/x", "b": "a"}, {"a": "a/a"}, {"a": "./a"}]
)
def test_links_that_lead_in_a_circle_are_refused(file: Path, links: dict[str, str]) -> None:
    with h5py.File(file, "w") as opened:
        for name, target in links.items():
            opened[name] = h5py.SoftLink(target)
    with pytest.raises(UnsafeGranuleError, match="more than 32 links"):
        index(granule(file), ["a"])


CANARY = np.arange(3.0) + 0.125


def external_link(opened: h5py.File, canary: Path) -> None:
    opened["h"] = h5py.ExternalLink(canary, "secret")


def external_group(opened: h5py.File, canary: Path) -> None:
    opened["beam"] = h5py.ExternalLink(canary, "/")
    opened["h"] = h5py.SoftLink("/beam/secret")


def external_storage(opened: h5py.File, canary: Path) -> None:
    start = canary.read_bytes().index(CANARY.tobytes())
    opened.create_dataset("h", (3,), "f8", external=[(str(canary), start, CANARY.nbytes)])


def virtual_dataset(opened: h5py.File, canary: Path) -> None:
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(canary, "secret", (3,))
    opened.create_virtual_dataset("h", layout)


LEAKS = [external_link, external_group, external_storage, virtual_dataset]


@pytest.mark.parametrize("remote", [False, True], ids=["local", "remote"])
@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.__name__)
def test_what_would_read_another_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leak: Callable[[h5py.File, Path], None], *, remote: bool
) -> None:
    canary, hostile = tmp_path / "canary.h5", tmp_path / "served" / "hostile.h5"
    hostile.parent.mkdir()
    with h5py.File(canary, "w") as opened:
        opened["secret"] = CANARY
    with h5py.File(hostile, "w") as opened:
        leak(opened, canary)
    # this is no idle fear: h5py reads the other file, even for a copy in memory
    with h5py.File.in_memory(hostile.read_bytes()) as opened:
        assert same(opened["h"][()], CANARY)
    with RangeServer(hostile.parent) as server:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        place = server.url("hostile.h5") if remote else str(hostile)
        with pytest.raises(UnsafeGranuleError, match=r"other file|another file") as raised:
            index(granule(place), ["h"])
        assert (raised.value.granule, raised.value.url) == ("granule_007", place)
        canary.unlink()
        with pytest.raises(UnsafeGranuleError, match=r"other file|another file"):
            index(granule(place), ["h"])
        assert index(granule(place), ["other"]).absent == {"other"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (2**30,), "dtype": "u1", "chunks": (2**29,)}, "a chunk of 536870912 bytes"),
        ({"shape": (2**50,), "dtype": "u1", "chunks": (2**20,)}, "1125899906842624 values"),
        ({"shape": (2**40, 2**20), "dtype": "f8", "chunks": (64, 64)}, "values"),
        ({"shape": (2**31 + 1,), "dtype": "u1", "chunks": (2**20,)}, "2147483649 values"),
        ({"shape": (2**30,), "dtype": "u1", "chunks": (8,)}, "134217728 chunks"),
        ({"shape": (2**50,), "dtype": "f8"}, "values"),
        ({"shape": (4, 2**40), "dtype": "f8"}, "a chunk of"),
        ({"shape": (1,) * 9, "dtype": "f8"}, "9 dimensions"),
        ({"shape": (1,) * 9, "dtype": "f8", "chunks": (1,) * 9}, "9 dimensions"),
    ],
)
def test_declared_sizes_that_no_machine_has_are_refused(
    file: Path, options: dict[str, object], message: str
) -> None:
    with h5py.File(file, "w") as opened:
        opened.create_dataset("h", **options)
    assert file.stat().st_size < 10_000
    with pytest.raises(UnsafeGranuleError, match=message):
        index(granule(file), ["h"])


def odd(base: h5py.h5t.TypeID, **settings: object) -> h5py.h5t.TypeID:
    kind = base.copy()
    for name, value in settings.items():
        getattr(kind, f"set_{name}")(*(value if isinstance(value, tuple) else (value,)))
    return kind


ODD_TYPES = {
    "12 bits of 16": odd(h5py.h5t.STD_I16LE, precision=12, offset=2),
    "3 bytes": odd(h5py.h5t.STD_I32LE, size=3),
    "bfloat16": odd(h5py.h5t.IEEE_F32LE, fields=(15, 7, 8, 0, 7), ebias=127, precision=16, size=2),
    "spaces": odd(h5py.h5t.C_S1, size=5, strpad=h5py.h5t.STR_SPACEPAD),
}


@pytest.mark.parametrize("name", ODD_TYPES)
def test_types_that_hdf5_would_convert_are_refused_and_not_misread(file: Path, name: str) -> None:
    with h5py.File(file, "w") as opened:
        h5py.h5d.create(opened.id, b"h", ODD_TYPES[name], h5py.h5s.create_simple((4,)))
    with pytest.raises(UnsupportedFilterError, match=r"granule_007 at .* h is of type .V"):
        values(file, "h")


@pytest.mark.parametrize(
    "options",
    [
        {"shape": (3,), "dtype": h5py.vlen_dtype("i4")},
        {"shape": (3,), "dtype": h5py.ref_dtype},
        {"shape": (3,), "dtype": [("a", "i4"), ("b", h5py.string_dtype())]},
        {"shape": (3,), "dtype": "V4"},
    ],
    ids=("lists", "references", "structures with texts", "opaque"),
)
def test_values_that_are_no_numbers_or_texts_are_refused_by_name(
    file: Path, options: dict[str, object]
) -> None:
    with h5py.File(file, "w") as opened:
        opened.create_dataset("gt1l/h", **options)
        opened["gt1l/good"] = np.arange(3)
    found = index(granule(file), ["gt1l/good", "gt1l/h"])
    with pytest.raises(UnsupportedFilterError, match="gt1l/h is of type"):
        read(found, {"gt1l/good": None, "gt1l/h": None})
    assert same(read(found, {"gt1l/good": None}).columns["gt1l/good"], np.arange(3))


def test_a_dataset_without_values_is_refused_by_name(file: Path) -> None:
    with h5py.File(file, "w") as opened:
        opened["gt1l/h"] = h5py.Empty("f4")
    with pytest.raises(UnsupportedFilterError, match="gt1l/h: has no values at all"):
        index(granule(file), ["gt1l/h"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("chunks", [None, (2,)], ids=("contiguous", "chunked"))
def test_texts_of_varying_length_are_read(file: Path, version: str, chunks: tuple[int] | None) -> None:
    texts = ["Grönland", "", "a" * 70_000, "ice"]
    with h5py.File(file, "w", libver=version) as opened:
        opened.create_dataset("h", data=texts, chunks=chunks)
        opened["one"] = "text"
        opened.create_dataset("unwritten", (2,), h5py.string_dtype())
    assert values(file, "h").tolist() == texts
    assert values(file, "one").item() == "text"
    assert values(file, "unwritten").tolist() == ["", ""]
    found = index(granule(file), ["h"])
    assert read(found, {"h": np.array([1, 3])}).columns["h"].tolist() == ["", "ice"]


@pytest.mark.parametrize("order", "<>")
def test_structures_arrays_and_complex_numbers_are_read(file: Path, order: str) -> None:
    kind = np.dtype([("a", f"{order}i4"), ("b", f"{order}f8", (2,)), ("c", [("d", f"{order}u2")])])
    with h5py.File(file, "w") as opened:
        opened["structures"] = noise_of(kind)
        opened["complex"] = np.array([1 + 2j, 3 - 1j], f"{order}c16")
        expected = {name: dataset[()] for name, dataset in opened.items()}
    for name, values_there in expected.items():
        assert same(values(file, name), values_there)


def noise_of(kind: np.dtype[np.void]) -> Array:
    return np.frombuffer(np.random.default_rng(3).bytes(5 * kind.itemsize), kind)


def test_filters_that_are_not_read_are_refused_by_name(file: Path) -> None:
    with h5py.File(file, "w") as opened:
        opened.create_dataset("h", data=np.arange(9), chunks=(3,), compression="lzf")
    assert index(granule(file), ["h"]).datasets["h"].offsets.size == 3
    with pytest.raises(UnsupportedFilterError, match=r"h is packed by filter 32000 \(lzf\)"):
        values(file, "h")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"CDF\x01" + bytes(100), NotHDF5Error, "netCDF-3"),
        (b"CDF\x02" + bytes(100), NotHDF5Error, "netCDF-3"),
        (b"CDF\x05" + bytes(100), NotHDF5Error, "netCDF-3"),
        (b"<!DOCTYPE html><title>Log in</title>", NotHDF5Error, "begins with b'<!DOCTYP'"),
        (b"\x0e\x03\x13\x01" + bytes(100), NotHDF5Error, "expected an HDF5 file"),
        (b"", NotHDF5Error, "0 bytes"),
        (b"\x89HDF", NotHDF5Error, "4 bytes"),
        (b"\x89HDF\r\n\x1a\n", CorruptGranuleError, "damaged"),
        (b"\x89HDF\r\n\x1a\n" + bytes(2000), CorruptGranuleError, "addresses of 0"),
        (b"\x89HDF\r\n\x1a\n" + b"\xff" * 2000, CorruptGranuleError, "superblock of version 255"),
    ],
)
@pytest.mark.parametrize("remote", [False, True], ids=["local", "remote"])
def test_what_is_no_hdf5_file_is_a_typed_error_with_granule_and_scrubbed_url(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    error: type[GranuleError],
    message: str,
    *,
    remote: bool,
) -> None:
    file.write_bytes(content)
    with RangeServer(file.parent) as server:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        place = server.url(file.name) if remote else str(file)
        with pytest.raises(error, match=message) as raised:
            index(granule(place + REMOTE if remote else place), ["h"])
    assert type(raised.value) is error
    assert (raised.value.granule, raised.value.url) == ("granule_007", place)
    assert str(raised.value).startswith(f"granule_007 at {place}: ")
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize("version", VERSIONS)
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_a_truncated_copy_is_a_typed_error_at_any_length(
    tmp_path: Path, version: str, data: st.DataObject
) -> None:
    whole = tmp_path / f"{version}.h5"
    content = whole.read_bytes() if whole.exists() else write(whole, version).read_bytes()
    cut = tmp_path / "cut.h5"
    cut.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises((NotHDF5Error, CorruptGranuleError), match="granule_007 at"):
        index(granule(cut), ["gt1l/plane", "gt1l/contiguous"])


@pytest.mark.parametrize("row", [50_000, 6, 0, 2**60], ids=("outside", "between", "twice", "far outside"))
def test_a_chunk_that_lies_where_none_can_be_is_corrupt(file: Path, row: int) -> None:
    with h5py.File(file, "w", libver="earliest") as opened:
        opened.create_dataset("h", data=np.arange(20, dtype="<f4"), chunks=(5,))
    assert index(granule(file), ["h"]).datasets["h"].offsets.size == 4
    content = file.read_bytes()
    # a key of the chunk table: stored size, filter mask, first row, first byte of the element
    key = struct.pack("<IIQQ", 20, 0, 10, 0)
    assert content.count(key) == 1
    file.write_bytes(content.replace(key, struct.pack("<IIQQ", 20, 0, row, 0)))
    with pytest.raises(CorruptGranuleError, match=r"h: a chunk (lies outside|does not begin|is listed)"):
        index(granule(file), ["h"])


def test_chunks_behind_the_end_of_the_file_are_corrupt(file: Path) -> None:
    with h5py.File(file, "w", libver="earliest") as opened:
        opened.create_dataset("h", data=np.arange(20, dtype="<f4"), chunks=(5,))
        where = opened["h"].id.get_chunk_info(2).byte_offset
    content = file.read_bytes()
    key = struct.pack("<IIQQQ", 20, 0, 10, 0, where)
    assert content.count(key) == 1
    file.write_bytes(content.replace(key, struct.pack("<IIQQQ", 20, 0, 10, 0, len(content) - 19)))
    with pytest.raises(CorruptGranuleError, match="behind the end of the file"):
        index(granule(file), ["h"])


def only(wrong: int, fault: Fault) -> Plan:
    """Return a plan in which one GET goes wrong."""
    return lambda _path, number: fault if number == wrong else None


def test_a_file_that_cannot_be_reached_is_an_access_error(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AccessError, match=r"a\.h5 cannot be read"):
        index(granule(file), ["h"])
    with h5py.File(file, "w") as opened:
        opened["h"] = np.arange(20_000)
    faults = [Fault.SHORT, Fault.WHOLE, Fault.SHIFTED, Fault.FORBIDDEN]
    # the first answer says which version there is
    for number, some in ((0, faults), (1, [*faults, Fault.RETAGGED])):
        for fault in some:
            with RangeServer(file.parent, plan=only(number, fault)) as server:
                monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
                with pytest.raises(AccessError):
                    index(granule(server.url("a.h5")), ["h"])
                assert server.misbehaved[fault] == 1


def test_a_fault_of_the_network_that_passes_is_never_blamed_on_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(file, "w") as opened:
        opened["h"] = np.arange(3)
    with RangeServer(file.parent, plan=lambda _, number: None if number else Fault.SHORT) as server:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        with pytest.raises(AccessError, match="asked for"):
            index(granule(server.url("a.h5")), ["h"])
        assert server.misbehaved == {Fault.SHORT: 1}
        found: ChunkIndex = index(granule(server.url("a.h5")), ["h"])
        assert found.url == server.url("a.h5")


def test_an_index_says_whether_its_url_answered_by_itself(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(file, "w") as opened:
        opened["h"] = np.arange(3)
    assert not index(granule(file), ["h"]).plain  # there is nobody to redirect
    with RangeServer(file.parent) as server:
        monkeypatch.setenv(ALLOW_HOSTS, server.host)
        remote = Granule(id="a", product="ATL06", urls={"https": server.url(file.name)})
        assert index(remote, ["h"]).plain
        assert index(remote, ["h"]).plain  # as kept
        signed = Granule(id="b", product="ATL06", urls={"https": server.url(f"{file.name}?signed")})
        store.forget(signed)
        assert not index(signed, ["h"]).plain
