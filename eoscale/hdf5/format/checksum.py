"""The checksum of metadata since version 2 of the format, which also orders links and attributes by name.

Source: Bob Jenkins, "lookup3" (2006, public domain); HDF5 File Format Specification, "Jenkins' lookup3".
"""

from __future__ import annotations

import struct

_WORD = 0xFFFFFFFF


def lookup3(data: bytes | memoryview) -> int:
    """Return the 32-bit hash of some bytes, little-endian, with 0 to begin with.

    Examples
    --------
    >>> hex(lookup3(b"Four score and seven years ago"))
    '0x17770551'
    >>> hex(lookup3(b""))
    '0xdeadbeef'
    """
    length = len(data)
    a = b = c = (0xDEADBEEF + length) & _WORD
    if not length:
        return c
    whole = (length - 1) // 12 * 12
    for x, y, z in struct.iter_unpack("<3I", data[:whole]):
        a, b, c = (a + x) & _WORD, (b + y) & _WORD, (c + z) & _WORD
        a = ((a - c) & _WORD) ^ ((c << 4 | c >> 28) & _WORD)
        c = (c + b) & _WORD
        b = ((b - a) & _WORD) ^ ((a << 6 | a >> 26) & _WORD)
        a = (a + c) & _WORD
        c = ((c - b) & _WORD) ^ ((b << 8 | b >> 24) & _WORD)
        b = (b + a) & _WORD
        a = ((a - c) & _WORD) ^ ((c << 16 | c >> 16) & _WORD)
        c = (c + b) & _WORD
        b = ((b - a) & _WORD) ^ ((a << 19 | a >> 13) & _WORD)
        a = (a + c) & _WORD
        c = ((c - b) & _WORD) ^ ((b << 4 | b >> 28) & _WORD)
        b = (b + a) & _WORD
    x, y, z = struct.unpack("<3I", bytes(data[whole:]).ljust(12, b"\0"))
    return _final((a + x) & _WORD, (b + y) & _WORD, (c + z) & _WORD)


def _final(a: int, b: int, c: int) -> int:
    c = ((c ^ b) - (b << 14 | b >> 18)) & _WORD
    a = ((a ^ c) - (c << 11 | c >> 21)) & _WORD
    b = ((b ^ a) - (a << 25 | a >> 7)) & _WORD
    c = ((c ^ b) - (b << 16 | b >> 16)) & _WORD
    a = ((a ^ c) - (c << 4 | c >> 28)) & _WORD
    b = ((b ^ a) - (a << 14 | a >> 18)) & _WORD
    return ((c ^ b) - (b << 24 | b >> 8)) & _WORD
