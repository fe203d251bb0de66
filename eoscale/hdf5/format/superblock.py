"""The superblock: where a file begins, and its root group."""

from __future__ import annotations

from dataclasses import dataclass

from eoscale.errors import CorruptGranuleError, NotHDF5Error
from eoscale.hdf5.format.cursor import Cursor, File
from eoscale.hdf5.format.walk import Unfamiliar, Walk

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_AHEAD = 2**11
"""Bytes; a superblock takes at most 116, and the root group often follows it."""


@dataclass(frozen=True, kw_only=True)
class Superblock:
    """What the superblock says."""

    file: File
    root: int
    """Address of the root group's object header."""
    extension: int | None
    """Address of the object header that says more of the file, from version 2 on."""


def superblock(size: int) -> Walk[Superblock]:
    """Find and read the superblock: at 0, 512, 1024, 2048 and so on, behind a user block.

    Parameters
    ----------
    size : int
        Bytes of the file.

    Raises
    ------
    NotHDF5Error
        If there is none.
    CorruptGranuleError
        If it is damaged, or the file is shorter than it says.
    Unfamiliar
        If the file is one of several.
    """
    place, start = 0, b""
    while place + len(SIGNATURE) <= size:
        found = yield from File(size).read(place, len(SIGNATURE), ahead=_AHEAD)
        if bytes(found.data[: len(SIGNATURE)]) == SIGNATURE:
            found.skip(len(SIGNATURE))
            version = found.version("the superblock", 0, 1, 2, 3)
            return _old(found, place, version) if version < 2 else _new(found, place)
        start = start or bytes(found.data[: len(SIGNATURE)])
        place = max(512, 2 * place)
    if start[:3] == b"CDF":
        raise NotHDF5Error("a netCDF-3 file: expected HDF5 or netCDF-4")
    raise NotHDF5Error(f"{size} bytes, begins with {start!r}: expected an HDF5 file")


def _old(cursor: Cursor, place: int, version: int) -> Superblock:
    cursor.skip(4)  # versions of parts that no longer vary
    offset_size, length_size = cursor.uint(1), cursor.uint(1)
    cursor.skip(1 + 2 + 2 + 4)  # reserved, ranks of group trees, flags
    if version == 1:
        cursor.skip(2 + 2)  # rank of chunk trees, reserved
    cursor.file = file = File(cursor.file.size, place, offset_size, length_size)
    base = cursor.address()
    cursor.address()  # of free space
    _demand_whole(file, base, cursor.address())
    if cursor.address() != file.undefined:
        raise Unfamiliar("the file is one of several (driver information)")
    cursor.length()  # where the root's name would be
    return Superblock(file=file, root=cursor.address(), extension=None)


def _new(cursor: Cursor, place: int) -> Superblock:
    offset_size, length_size = cursor.uint(1), cursor.uint(1)
    cursor.skip(1)  # flags
    cursor.file = file = File(cursor.file.size, place, offset_size, length_size)
    base, extension, end, root = (cursor.address() for _ in range(4))
    cursor.verify()
    _demand_whole(file, base, end)
    return Superblock(file=file, root=root, extension=None if extension == file.undefined else extension)


def _demand_whole(file: File, base: int, end: int) -> None:
    """Refuse a file that has lost its end; a user block may have been added or taken away since."""
    if end - base + file.base > file.size:
        raise CorruptGranuleError(f"{file.size} bytes of {end - base + file.base}: truncated, fetch it anew")
