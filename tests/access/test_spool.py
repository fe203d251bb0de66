from __future__ import annotations

import asyncio
import io
import random
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import h5netcdf
import numpy as np
import pytest

from eoscale.access import keeper, loop, ranges, spool
from eoscale.access.spans import Span
from eoscale.errors import AccessError, CorruptGranuleError, GranuleError, UnsafeGranuleError
from eoscale.hdf5.index import indexes
from eoscale.hdf5.read import read
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.granule import Granule
from tests.servers.logins import Copernicus, bearer, unauthorized
from tests.servers.redirects import Answer, Asked

pytestmark = pytest.mark.usefixtures("fresh")

CONTENT = random.Random(1).randbytes(300_000)  # noqa: S311  no secret
NAME = "S3A_OL_1_EFR____20180602T181007.SEN3"


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip."""
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return into.getvalue()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], Copernicus]]:
    """Return what has a service guard a zip, which it gives as a whole only."""

    async def forget() -> None:
        if kept := spool._spools.pop(asyncio.get_running_loop(), None):
            await kept.close()

    loop.run(forget())
    with Copernicus(b"") as service:
        for name, value in service.environment().items():
            monkeypatch.setenv(name, value)
        keeper.use(keeper.Keeper())

        def having(content: bytes) -> Copernicus:
            def reply(asked: Asked) -> Answer:
                good = service.tokens.issued.good(bearer(asked))
                return Answer(200, [("ETag", '"1"')], content) if good else unauthorized()

            service.nodes.reply = reply
            return service

        yield having
    loop.run(forget())


def url(service: Copernicus, member: str) -> str:
    """Return the URL of a member of the zip."""
    return f"{service.nodes.origin}/odata/v1/Products(7)/$value#{member}"


def fetched(address: str, start: int, stop: int) -> bytes:
    """Return a range of a member, after its size and version have been asked for."""
    head = loop.run(ranges.head(address))
    return bytes(loop.run(ranges.fetch(address, head.etag, [Span(start, stop, ())]))[0])


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_members_are_read_by_range_and_their_zip_is_fetched_once(
    serve: Callable[[bytes], Copernicus], method: int
) -> None:
    service = serve(zipped({"a.nc": CONTENT, "b.nc": CONTENT[::-1]}, method))
    assert fetched(url(service, "a.nc"), 7, 100_000) == CONTENT[7:100_000]
    assert fetched(url(service, "b.nc"), 0, 300_000) == CONTENT[::-1]
    assert len(service.nodes.asked) == 1
    assert service.tokens.calls == ["password"]


def test_all_that_ask_at_once_wait_for_one_copy(serve: Callable[[bytes], Copernicus]) -> None:
    service = serve(zipped({"a.nc": CONTENT}))

    async def together() -> list[int]:
        return [
            head.size
            for head in await asyncio.gather(*(ranges.head(url(service, "a.nc")) for _ in range(20)))
        ]

    assert loop.run(together()) == [300_000] * 20
    assert len(service.nodes.asked) == 1


def test_a_bearer_that_is_over_is_refreshed_once_for_the_zip(serve: Callable[[bytes], Copernicus]) -> None:
    service = serve(zipped({"a.nc": CONTENT}))
    assert loop.run(keeper.get("cdse"))
    service.tokens.issued.revoke()
    assert fetched(url(service, "a.nc"), 0, 10) == CONTENT[:10]
    assert service.tokens.calls == ["password", "refresh_token"]


def test_only_so_many_zips_are_kept(serve: Callable[[bytes], Copernicus]) -> None:
    service = serve(zipped({"a.nc": CONTENT}))
    for number in (0, 1, 2, 3, 4, 0):
        assert fetched(url(service, "a.nc").replace("(7)", f"({number})"), 0, 10) == CONTENT[:10]
    folder = loop.run(_folder())
    assert len(list(folder.iterdir())) <= 2 * spool.KEPT


async def _folder() -> Path:
    return Path(spool._here().folder.name)


def test_chunks_of_a_netcdf_file_in_a_zip_are_what_they_are_on_a_disk(
    serve: Callable[[bytes], Copernicus], tmp_path: Path
) -> None:
    values = {}
    members = {}
    for name in ("Oa01_radiance.nc", "geo_coordinates.nc"):
        values[name] = np.random.default_rng(len(name)).normal(size=(400, 300)).astype("f4")
        with h5netcdf.File(tmp_path / name, "w") as file:
            file.dimensions = {"rows": 400, "columns": 300}
            made = {"chunks": (100, 150), "compression": "gzip", "shuffle": True}
            file.create_variable("values", ("rows", "columns"), "f4", **made)[:] = values[name]
        members[f"{NAME}/{name}"] = (tmp_path / name).read_bytes()
    service = serve(zipped(members))
    for name, expected in values.items():
        granule = Granule(id=name, product="OL_1_EFR", urls={"http": url(service, f"{NAME}/{name}")})
        (index,) = indexes([granule], ["values"])
        assert isinstance(index, ChunkIndex)
        np.testing.assert_array_equal(read(index, {"values": None}).columns["values"], expected)
    assert len(service.nodes.asked) == 1


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def hostile(kind: str) -> bytes:
    """Return a zip that is not to be unpacked."""
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        if kind == "link":
            archive.writestr(link("a.nc"), "/etc/passwd")
        elif kind == "twice":
            archive.writestr("a.nc", CONTENT)
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr("a.nc", CONTENT)
        elif kind == "bomb":
            archive.writestr("a.nc", bytes(10_000_000))
        elif kind == "crowd":
            for number in range(spool.MOST_MEMBERS + 1):
                archive.writestr(f"{number}", b"")
    content = into.getvalue()
    if kind == "lie":  # it says that it is shorter than it is
        content = zipped({"a.nc": CONTENT + bytes(100_000)})
        return content.replace(struct.pack("<I", 400_000), struct.pack("<I", 300_000))
    return content


@pytest.mark.parametrize("kind", ["link", "twice", "bomb", "crowd", "lie"])
def test_a_hostile_zip_is_refused(serve: Callable[[bytes], Copernicus], kind: str) -> None:
    service = serve(hostile(kind))
    with pytest.raises((UnsafeGranuleError, CorruptGranuleError)):
        fetched(url(service, "a.nc"), 0, 10)


def test_damaged_zips_are_refused_or_read_as_they_are(serve: Callable[[bytes], Copernicus]) -> None:
    expected = CONTENT[:20_000] + bytes(20_000)
    dice = random.Random(3)  # noqa: S311  no secret
    refused = 0
    for number in range(60):
        content = bytearray(zipped({"a.nc": expected}))
        for _ in range(3):
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        service = serve(bytes(content[: dice.choice([None, dice.randrange(len(content))])]))
        try:
            got = fetched(url(service, "a.nc").replace("(7)", f"({number})"), 0, 40_000)
        except (AccessError, GranuleError):
            refused += 1
        else:
            assert got == expected
    assert refused > 20


@pytest.mark.parametrize("name", ["../a.nc", "/etc/passwd", "b.nc"])
def test_a_member_that_is_not_there_is_an_error_that_names_those_that_are(
    serve: Callable[[bytes], Copernicus], name: str
) -> None:
    service = serve(zipped({"a.nc": CONTENT}))
    with pytest.raises(AccessError, match=r"has no member .*: it has a\.nc"):
        fetched(url(service, name), 0, 10)
