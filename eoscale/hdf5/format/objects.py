"""Object headers: the messages that describe a group, a dataset or a named type."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from eoscale.errors import CorruptGranuleError
from eoscale.hdf5.format.cursor import Cursor, File
from eoscale.hdf5.format.walk import Unfamiliar, Walk

DATASPACE, LINK_INFO, DATATYPE, OLD_FILL, FILL, LINK, EXTERNAL, LAYOUT = 1, 2, 3, 4, 5, 6, 7, 8
PIPELINE, ATTRIBUTE, SHARED_TABLE, CONTINUATION, SYMBOL_TABLE = 11, 12, 15, 16, 17
DRIVER, ATTRIBUTE_INFO, FILE_SPACE, CACHE_IMAGE = 20, 21, 23, 24
SHARED = 2
"""Bit of a message's flags: its body says where the message is."""
_OLD_HEAD = Struct("<HHB3x")
_AHEAD = 2**9
_MOST_BLOCKS = 2**12
"""Pieces of one object header; a writer that adds attributes one by one makes some dozens."""


class Message(NamedTuple):
    """One message of an object header."""

    type: int
    flags: int
    body: memoryview

    def read(self, file: File) -> Cursor:
        """Return a cursor at the beginning of the body.

        A message does not refer to its file, which remembers it: a circle would keep whole blocks of bytes
        until the garbage collector finds it.
        """
        return Cursor(file, self.body)


def messages(file: File, address: int) -> Walk[list[Message]]:
    """Return the messages of the object whose header lies at an address.

    Raises
    ------
    CorruptGranuleError
        If it is none, or damaged.
    """
    cursor = yield from file.read(address, 16, ahead=_AHEAD)
    if bytes(cursor.data[:4]) == b"OHDR":
        return (yield from _new(file, address, cursor))
    return (yield from _old(file, address, cursor))


def only(found: list[Message], kind: int) -> Message | None:
    """Return the first message of a kind, or None."""
    return next((message for message in found if message.type == kind), None)


def resolved(file: File, message: Message) -> Walk[Cursor]:
    """Return a message's body, from where it is shared: a named type is read once.

    Raises
    ------
    Unfamiliar
        If it lies in the table of shared messages.
    """
    if not message.flags & SHARED:
        return message.read(file)
    body = message.read(file)
    version = body.version("a shared message", 1, 2, 3)
    if version == 1 or body.uint(1) == 1:
        raise Unfamiliar("a message is kept in the table of shared messages")
    found = only((yield from file.once(body.address(), messages)), message.type)
    if found is None or found.flags & SHARED:
        raise CorruptGranuleError("a shared message is not where it should be: damaged")
    return found.read(file)


def _old(file: File, address: int, cursor: Cursor) -> Walk[list[Message]]:
    cursor.version("an object header", 1)
    cursor.skip(1)
    count, _references, size = cursor.uint(2), cursor.uint(4), cursor.uint(4)
    if 16 + size > len(cursor.data):
        cursor = yield from file.read(address, 16 + size)
    blocks = [Cursor(file, cursor.data[16 : 16 + size])]
    found: list[Message] = []
    seen = {address}
    while blocks:
        new = [message for block in blocks for message in _old_messages(block)]
        found += new
        if len(found) > count:
            raise CorruptGranuleError(f"an object header has more than its {count} messages: damaged")
        blocks = yield from file.read_all(_continued(file, new, seen))
    return found


def _old_messages(block: Cursor) -> list[Message]:
    found = []
    while block.left >= 8:
        kind, size, flags = block.unpack(_OLD_HEAD)
        found.append(Message(kind, flags, block.take(size)))
    return found


def _new(file: File, address: int, cursor: Cursor) -> Walk[list[Message]]:
    cursor.expect(b"OHDR", 2)
    flags = cursor.uint(1)
    cursor.skip(16 * bool(flags & 0x20) + 4 * bool(flags & 0x10))  # times; when attributes become dense
    size = cursor.uint(1 << (flags & 3))
    whole = cursor.at + size + 4
    if whole > len(cursor.data):
        at, cursor = cursor.at, (yield from file.read(address, whole))
        cursor.at = at
    ordered = bool(flags & 4)
    found = _new_messages(cursor, size, ordered=ordered)
    new, seen = found, {address}
    while pieces := _continued(file, new, seen):
        blocks = yield from file.read_all(pieces)
        new = []
        for block in blocks:
            if bytes(block.take(4)) != b"OCHK":
                raise CorruptGranuleError("an object header goes on where there is none: damaged")
            new += _new_messages(block, len(block.data) - 8, ordered=ordered)
        found += new
    return found


def _new_messages(block: Cursor, size: int, *, ordered: bool) -> list[Message]:
    """Return the messages of a block, whose checksum follows them."""
    end = block.at + size
    found = []
    head = 6 if ordered else 4
    while end - block.at >= head:  # fewer bytes than a message are a gap
        kind, length, flags = block.uint(1), block.uint(2), block.uint(1)
        block.skip(2 * ordered)
        if block.at + length > end:
            raise CorruptGranuleError("a message is longer than its object header: damaged")
        found.append(Message(kind, flags, block.take(length)))
    block.skip(end - block.at)
    block.verify()
    return found


def _continued(file: File, found: list[Message], seen: set[int]) -> list[tuple[int, int]]:
    """Return address and length of the blocks in which an object header goes on, each once."""
    pieces = []
    for message in found:
        if message.type == CONTINUATION:
            body = message.read(file)
            pieces.append((body.address(), body.length()))
    new = {address for address, _ in pieces}
    if len(new) < len(pieces) or new & seen or len(seen) > _MOST_BLOCKS:
        raise CorruptGranuleError("an object header goes on in itself: damaged")
    seen |= new
    return pieces
