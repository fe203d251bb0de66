"""The file as a bounded space of bytes, and a cursor over a piece of it.

Every address and length comes from the file and is hostile: it is checked against the file's size before
anything is asked for, and against the piece before anything is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, TypeVar

from eoscale.errors import CorruptGranuleError, UnsafeGranuleError
from eoscale.hdf5 import safety
from eoscale.hdf5.format.checksum import lookup3
from eoscale.hdf5.format.walk import Walk

T = TypeVar("T")

_MOST_READS = 2**20
"""Pieces of metadata of one granule. An ATL03 granule takes 20,000 for thirty of its variables."""
_TIMES_READ = 8
"""Structures do not overlap and are remembered, so that metadata can hardly weigh more than the file."""
_SLACK = 2**20
_WIDTHS = (2, 4, 8)
_LONG = 1024
"""Bytes of a structure that is not worth remembering."""


class File:
    """The space that addresses of one file point into.

    Parameters
    ----------
    size : int
        Bytes of the whole file.
    base : int
        Where address 0 lies: behind the user block.
    offset_size, length_size : int
        Bytes of an address and of a length, as the superblock says.
    """

    def __init__(self, size: int, base: int = 0, offset_size: int = 8, length_size: int = 8) -> None:
        if offset_size not in _WIDTHS or length_size not in _WIDTHS:
            raise CorruptGranuleError(
                f"addresses of {offset_size} and lengths of {length_size} bytes: expected 2, 4 or 8"
            )
        self.size = size
        self.base = base
        self.offset_size = offset_size
        self.length_size = length_size
        self.undefined = (1 << 8 * offset_size) - 1
        self._begun: set[tuple[object, int]] = set()
        self._known: dict[tuple[object, int], Any] = {}
        """By the walk and the address of what it has read."""
        self._reads = _MOST_READS
        self._bytes = _TIMES_READ * size + _SLACK
        self._chunks = safety.MOST_CHUNKS

    def once(self, address: int, walk: Callable[[File, int], Walk[T]]) -> Walk[T]:
        """Return what a walk makes of the structure at an address, which is read once for all who ask.

        Parameters
        ----------
        address : int
        walk : callable
            Of this file and the address.
        """
        key = walk, address
        if key in self._begun:
            while key not in self._known:
                yield []  # another one is on it, side by side with this
        else:
            self._begun.add(key)
            self._known[key] = yield from walk(self, address)
        found: T = self._known[key]
        return found

    def allot(self, chunks: int) -> None:
        """Take room for a table of so many chunks.

        Raises
        ------
        UnsafeGranuleError
            If the variables that are asked for together have too many: a few bytes can declare millions.
        """
        self._chunks -= chunks
        if self._chunks < 0:
            raise UnsafeGranuleError(f"more than {safety.MOST_CHUNKS} chunks in all: ask for fewer variables")

    def read(self, address: int, length: int, *, ahead: int = 0) -> Walk[Cursor]:
        """Return a cursor over ``length`` bytes at an address, and up to ``ahead`` more if the file has them.

        Raises
        ------
        CorruptGranuleError
            If they lie outside the file.
        UnsafeGranuleError
            If more metadata has been asked for than a file of this size can hold.
        """
        (cursor,) = yield from self.read_all([(address, length)], ahead=ahead)
        return cursor

    def read_all(self, pieces: Sequence[tuple[int, int]], *, ahead: int = 0) -> Walk[list[Cursor]]:
        """Return cursors over several pieces (address, length), asked for at once.

        Raises
        ------
        CorruptGranuleError, UnsafeGranuleError
            As :meth:`read`.
        """
        ranges = []
        for address, length in pieces:
            start = self.base + address
            if address == self.undefined or length < 0 or start + length > self.size:
                raise CorruptGranuleError(
                    f"{length} bytes of metadata at {address:#x} of {self.size}: truncated or damaged"
                )
            ranges.append((start, min(length + ahead, self.size - start)))
        self._reads -= len(ranges)
        self._bytes -= sum(length for _, length in ranges)
        if self._reads < 0 or self._bytes < 0:
            raise UnsafeGranuleError("the metadata refers to itself without end: fetch it anew")
        if not ranges:
            return []
        bodies = yield ranges
        return [Cursor(self, body) for body in bodies]


class Cursor:
    """Little-endian numbers, one after another, out of a piece of a file that it never leaves."""

    __slots__ = ("at", "data", "file")

    def __init__(self, file: File, data: memoryview, at: int = 0) -> None:
        self.file = file
        self.data = data
        self.at = at

    @property
    def left(self) -> int:
        """Bytes up to the end of the piece."""
        return len(self.data) - self.at

    def take(self, length: int) -> memoryview:
        """Return the next bytes.

        Raises
        ------
        CorruptGranuleError
            If the piece ends before: as all methods.
        """
        stop = self.at + length
        if length < 0 or stop > len(self.data):
            raise CorruptGranuleError(f"a structure ends {stop - len(self.data)} bytes early: damaged")
        piece = self.data[self.at : stop]
        self.at = stop
        return piece

    def uint(self, width: int) -> int:
        """Return an unsigned integer of some bytes."""
        at, stop = self.at, self.at + width
        if stop > len(self.data):
            self.take(width)
        self.at = stop
        return int.from_bytes(self.data[at:stop], "little")

    def unpack(self, form: Struct) -> tuple[int, ...]:
        """Return several unsigned integers at once, which is quicker."""
        at = self.at
        if at + form.size > len(self.data):
            self.take(form.size)
        self.at = at + form.size
        return form.unpack_from(self.data, at)

    def skip(self, length: int) -> None:
        """Leave bytes out."""
        if self.at + length > len(self.data):
            self.take(length)
        self.at += length

    def address(self) -> int:
        """Return an address, which may be ``file.undefined``."""
        return self.uint(self.file.offset_size)

    def length(self) -> int:
        """Return a length."""
        return self.uint(self.file.length_size)

    def expect(self, signature: bytes, *versions: int) -> int:
        """Check a signature and return the version behind it.

        Raises
        ------
        CorruptGranuleError
            If the signature is another, or the version none of those that exist.
        """
        found = bytes(self.take(len(signature)))
        if found != signature:
            raise CorruptGranuleError(f"found {found!r} where {signature.decode()} was expected: damaged")
        return self.version(signature.decode(), *versions)

    def version(self, what: str, *versions: int) -> int:
        """Return the next byte, which says the version of a structure.

        Raises
        ------
        CorruptGranuleError
            If it is none of those that exist.
        """
        found = self.uint(1)
        if found not in versions:
            raise CorruptGranuleError(f"{what} of version {found}: expected {versions}")
        return found

    def text(self, *, padded: bool = False) -> str:
        """Return the text up to the next zero byte, which is passed, and the padding to eight bytes too."""
        start = self.at
        end = bytes(self.data[start:]).find(b"\0")
        if end < 0:
            raise CorruptGranuleError("a name does not end inside its structure: damaged")
        self.at += end + 1
        if padded:
            self.skip(-(self.at - start) % 8)
        return text(self.data[start : start + end])

    def verify(self, start: int = 0) -> None:
        """Check everything from ``start`` to here against the checksum that follows.

        Raises
        ------
        CorruptGranuleError
            If they do not agree.
        """
        computed = lookup3(self.data[start : self.at])
        if computed != self.uint(4):
            raise CorruptGranuleError("metadata do not agree with their checksum: damaged, fetch it anew")


def remembered(parse: Callable[[Cursor], T]) -> Callable[[Cursor], T]:
    """Return what reads a structure that holds all it says, and equal ones only once.

    The variables of all beams, and of all granules, are described in the same bytes, as a rule.

    Parameters
    ----------
    parse : callable
        Of a cursor, whose file it does not read; what it returns is never changed.
    """

    @lru_cache(maxsize=1024)
    def parsed(body: bytes, offset_size: int, length_size: int) -> T:
        return parse(Cursor(File(len(body), 0, offset_size, length_size), memoryview(body)))

    def read(cursor: Cursor) -> T:
        file = cursor.file
        if cursor.left > _LONG:
            return parse(Cursor(file, cursor.data, cursor.at))
        return parsed(bytes(cursor.data[cursor.at :]), file.offset_size, file.length_size)

    return read


def text(raw: bytes | memoryview) -> str:
    """Return a name; bytes that are no UTF-8 are kept as Python does for file names."""
    return bytes(raw).decode("utf-8", "surrogateescape")
