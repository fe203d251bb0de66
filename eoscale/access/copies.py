"""Copies: objects as local files, whole and right, or not there at all.

A copy grows beside its place under a hidden name that says of which version it is, so that who comes again
goes on where it ended.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from eoscale.access import loop, ranges, spool
from eoscale.access.attempts import RangesRefusedError
from eoscale.access.head import Head
from eoscale.errors import CorruptGranuleError

_PIECE = 2**20
"""Bytes that are read at once to tell a checksum."""
_LONGEST_NAME = 200
_ALGORITHMS = frozenset(name for name in hashlib.algorithms_guaranteed if not name.startswith("shake"))


def safe_name(name: str) -> str:
    """Return a name for a file that leads nowhere else, and that every disk takes.

    Examples
    --------
    >>> safe_name("../../etc/passwd"), safe_name("a b:c.nc"), safe_name("..")
    ('passwd', 'a_b_c.nc', '_')
    """
    last = re.sub(r"[^A-Za-z0-9._-]", "_", name.rpartition("/")[2])
    return last[-_LONGEST_NAME:].lstrip(".-") or "_"


def copy(url: str, path: Path, *, size: int = 0, checksum: str = "") -> bool:
    """Have a copy of an object, and return whether its checksum was verified.

    Parameters
    ----------
    url : str
    path : Path
        Of the copy. One that is there and as long as the object, and as its checksum says, is left alone.
    size : int
        Bytes that a catalogue says; 0 where it does not.
    checksum : str
        ``algorithm:hexadecimal``; empty where there is none.

    Raises
    ------
    AccessError
        If the object cannot be read.
    CorruptGranuleError
        If it is not as long as the catalogue says, or its checksum is another one: nothing is left.
    """
    try:
        head = loop.run(ranges.head(url))
    except RangesRefusedError:
        head = None  # which is known when it is all there
    if size and head and head.size != size:
        raise CorruptGranuleError(f"it has {head.size} bytes, its catalogue says {size}", url=url)
    length = head.size if head else size
    if path.is_file() and path.stat().st_size == length and length:
        with suppress(CorruptGranuleError):
            return verified(path, url, checksum, length)
    hidden = _fetched(url, head, path)
    try:
        right = verified(hidden, url, checksum, length)
    except CorruptGranuleError:
        hidden.unlink()
        raise
    hidden.replace(path)
    return right


def _fetched(url: str, head: Head | None, path: Path) -> Path:
    """Return a hidden file that holds the object: what there was of this version, and the rest."""
    etag = head.etag if head else ""
    hidden = path.with_name(f".{path.name}.{hashlib.sha256(etag.encode()).hexdigest()[:8]}.part")
    for other in path.parent.glob(f".{path.name}.*.part"):
        if other != hidden or not etag:
            other.unlink()
    there = hidden.stat().st_size if hidden.is_file() else 0
    try:
        if head:
            begin = there if there <= head.size else 0
            loop.run(ranges.copied(url, head, hidden, begin=begin))
            return hidden
    except RangesRefusedError:
        pass
    loop.run(spool.fetched(url, hidden))
    return hidden


def verified(path: Path, url: str, checksum: str, length: int) -> bool:
    """Return whether a file was found to be as its checksum says; False where nobody can tell.

    Its length is looked at first, unless 0 is given.

    Raises
    ------
    CorruptGranuleError
        If it is not.
    """
    if length and path.stat().st_size != length:
        raise CorruptGranuleError(f"it has {path.stat().st_size} bytes, expected {length}", url=url)
    algorithm, _, expected = checksum.lower().partition(":")
    algorithm = algorithm.replace("-", "")
    if not expected or algorithm not in (*_ALGORITHMS, "adler32", "crc32"):
        return False
    got = _digest(path, algorithm)
    if got != expected.strip():
        raise CorruptGranuleError(f"its {algorithm} is {got}, expected {expected}: fetch it anew", url=url)
    return True


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        pieces: Iterable[bytes] = iter(lambda: file.read(_PIECE), b"")
        if algorithm in ("adler32", "crc32"):
            value = 1 if algorithm == "adler32" else 0
            for piece in pieces:
                value = zlib.adler32(piece, value) if algorithm == "adler32" else zlib.crc32(piece, value)
            return f"{value:08x}"
        found = hashlib.new(algorithm, usedforsecurity=False)
        for piece in pieces:
            found.update(piece)
        return found.hexdigest()
