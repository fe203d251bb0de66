"""Spool: members of zip files that a server gives as a whole only, such as products of Copernicus.

A URL names a member behind ``#``. The zip is fetched once a process, and the member that is asked for is
unpacked into a temporary file, which is read as if it lay where the URL says. A zip is hostile input: nothing
is written under a name that it gives, and nothing that grows beyond measure.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urldefrag
from weakref import WeakKeyDictionary
from zipfile import BadZipFile, ZipFile, ZipInfo

from eoscale.access import budgets, https, keeper, loop, quota
from eoscale.access.attempts import insist
from eoscale.access.head import Head
from eoscale.errors import AccessError, CorruptGranuleError, UnsafeGranuleError, scrub

MOST_MEMBERS = 10_000
MOST_BYTES = 8 * 2**30
"""Of one member."""
MOST_RATIO = 200
"""Of what a member holds to what it weighs in the zip."""
KEPT = 4
"""Zips of a process; who asks for a fifth has the oldest fetched again when it is asked for."""
_PIECE = 2**20


@dataclass
class _Zip:
    """A zip that was fetched, and the members of it that were unpacked."""

    path: Path
    members: dict[str, tuple[Path, Head]]


class _Spool:
    """The zips of a process."""

    def __init__(self) -> None:
        self.folder = TemporaryDirectory(prefix="eoscale-spool-")
        self.zips: OrderedDict[str, _Zip] = OrderedDict()
        self.turns: dict[str, asyncio.Lock] = {}

    async def close(self) -> None:
        """Remove all that is kept."""
        self.folder.cleanup()

    async def member(self, url: str) -> tuple[Path, Head]:
        """Return the file of a member, with size and version."""
        address, name = urldefrag(url)
        async with self.turns.setdefault(address, asyncio.Lock()):
            if address not in self.zips:
                await self._fetch(address)
            self.zips.move_to_end(address)
            kept = self.zips[address]
            if name not in kept.members:
                kept.members[name] = await asyncio.to_thread(_unpacked, kept, unquote(name), url)
            return kept.members[name]

    async def _fetch(self, address: str) -> None:
        path = Path(self.folder.name, hashlib.sha256(address.encode()).hexdigest()[:16])
        await fetched(address, path)
        self.zips[address] = _Zip(path, {})
        while len(self.zips) > KEPT:
            _, old = self.zips.popitem(last=False)
            for each in (old.path, *(file for file, _ in old.members.values())):
                each.unlink(missing_ok=True)


_spools: WeakKeyDictionary[asyncio.AbstractEventLoop, _Spool] = WeakKeyDictionary()


def _here() -> _Spool:
    running = asyncio.get_running_loop()
    if running not in _spools:
        _spools[running] = _Spool()
        loop.at_stop(_spools[running].close)
    return _spools[running]


async def fetched(url: str, path: Path) -> None:
    """Copy an object that its server gives as a whole only to a local file.

    Raises
    ------
    AccessError
        If it cannot be reached, or ends before its time, again and again.
    """

    async def attempt() -> None:
        async with quota.permit(url):
            await https.whole(url, path, keeper.sign)

    await insist(attempt, budgets.PATIENCE, url)


def names(url: str) -> bool:
    """Return whether a URL names a member of a zip.

    Examples
    --------
    >>> names("https://zipper.example.org/Products(1)/$value#S3A.SEN3/Oa01_radiance.nc")
    True
    """
    return "#" in url and url.startswith(("https:", "http:"))  # this is asked at each request


async def ready(url: str) -> None:
    """Have a member at hand, as long as fetching its zip takes.

    Raises
    ------
    AccessError
        If the zip cannot be fetched, or has no such member.
    GranuleError
        If it is damaged, or unsafe to unpack.
    """
    await _here().member(url)


async def opening(url: str, nbytes: int) -> tuple[Head, memoryview]:
    """Return size and version of a member, and its first bytes."""
    path, head = await _here().member(url)
    return head, memoryview(await asyncio.to_thread(_read, path, 0, min(nbytes, head.size)))


async def get(url: str, start: int, stop: int, _etag: str) -> memoryview:
    """Return the bytes ``start <= position < stop`` of a member: a zip that is kept does not change."""
    path, head = await _here().member(url)
    body = await asyncio.to_thread(_read, path, start, stop)
    if len(body) != stop - start:
        raise AccessError(f"{scrub(url)} has {head.size} bytes, asked for {start} to {stop}")
    return memoryview(body)


def _read(path: Path, start: int, stop: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        return os.pread(file.fileno(), stop - start, start)


def _unpacked(kept: _Zip, name: str, url: str) -> tuple[Path, Head]:
    """Return the file of a member, unpacked, with its size and a version."""
    try:
        with ZipFile(kept.path) as archive:
            info = _checked(archive, name, url)
            path = kept.path.with_name(f"{kept.path.name}-{len(kept.members)}")
            with archive.open(info) as packed, path.open("wb") as file:
                while piece := packed.read(_PIECE):
                    file.write(piece)
                    if file.tell() > info.file_size:
                        raise UnsafeGranuleError(f"{name} is longer than its zip says", url=url)
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise CorruptGranuleError(f"its zip cannot be unpacked: {error}", url=url) from None
    return path, Head(info.file_size, f'"{info.CRC:08x}-{info.file_size:x}"')


def _checked(archive: ZipFile, name: str, url: str) -> ZipInfo:
    """Return a member that is safe to unpack."""
    infos = archive.infolist()
    found = [info for info in infos if info.filename == name]
    if len(infos) > MOST_MEMBERS:
        raise UnsafeGranuleError(
            f"its zip has {len(infos):,} members, at most {MOST_MEMBERS:,} are read", url=url
        )
    if not found:
        raise AccessError(f"{scrub(url)} has no member {name!r}: it has {_some(infos)}")
    info = found[0]
    if len(found) > 1 or stat.S_ISLNK(info.external_attr >> 16) or info.is_dir():
        raise UnsafeGranuleError(f"{name} is twice in its zip, or no file", url=url)
    if info.file_size > MOST_BYTES or info.file_size > MOST_RATIO * max(info.compress_size, 1):
        raise UnsafeGranuleError(
            f"{name} would be {info.file_size:,} bytes of {info.compress_size:,}", url=url
        )
    return info


def _some(infos: list[ZipInfo]) -> str:
    return ", ".join(info.filename for info in infos[:5]) + (", ..." if len(infos) > 5 else "")
