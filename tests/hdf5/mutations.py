"""Mutations of HDF5 files: from a file's bytes and a seed to a damaged copy, the same one each time (pure).

Structures are found by their signatures, without any reader of ours. Those of the newer format carry a
checksum: most damage to them gets a new one, so that it meets the bounds of a reader and not only its
checksums.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Words = Any
"""Unsigned numbers of 32 bits: an int or (n,) uint64, for which the same operations hold."""

SUPERBLOCK = b"\x89HDF\r\n\x1a\n"
PLAIN = (b"TREE", b"SNOD", b"HEAP", b"GCOL")
SEALED = (
    b"OHDR", b"OCHK", b"FRHP", b"FHIB", b"BTHD", b"BTLF", b"BTIN", b"FAHD", b"FADB", b"EAHD", b"EAIB",
    b"EASB", b"EADB",
)  # fmt: skip
"""Whose last four bytes are a checksum of all before them."""
BLOCK = b"FHDB"
"""Of a fractal heap: its checksum stands near its beginning, and counts as zero."""
HEADER, CONTINUED, NAMES, PAGE = b"header", b"continued", b"names", b"page"
"""Structures without a signature: object headers 1, texts of a local heap, pages of chunk tables."""
HEADERS = (HEADER, CONTINUED, b"OHDR", b"OCHK")
"""Which hold messages."""

_LAYOUT, _CONTINUATION = 8, 16
_WORD = 0xFFFFFFFF
_UNDEFINED = 2**64 - 1
_COUNTS: dict[bytes, tuple[tuple[int, int], ...]] = {
    b"TREE": ((4, 1), (5, 1), (6, 2)),
    b"SNOD": ((4, 1), (6, 2)),
    b"HEAP": ((4, 1), (8, 8), (16, 8)),
    b"GCOL": ((4, 1), (8, 8), (16, 2), (24, 8)),
    b"FRHP": (
        (4, 1), (5, 2), (7, 2), (9, 1), (10, 4), (110, 2), (112, 8), (120, 8), (128, 2), (130, 2), (140, 2),
    ),
    b"BTHD": ((4, 1), (5, 1), (6, 4), (10, 2), (12, 2), (14, 1), (15, 1), (24, 2), (26, 8)),
    b"FAHD": ((4, 1), (5, 1), (6, 1), (7, 1), (8, 8)),
    b"EAHD": ((4, 1), *((at, 1) for at in range(5, 12)), *((at, 8) for at in range(12, 60, 8))),
    b"OHDR": ((4, 1), (5, 1), (6, 1), (6, 2)),
    HEADER: ((0, 1), (2, 2), (4, 4), (8, 4)),
}  # fmt: skip
"""Versions, sizes, numbers and depths in the head of a structure: offset and width."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One structure of a file."""

    kind: bytes
    start: int
    stop: int
    """Behind its last byte; where nothing tells it, the next structure or less."""
    seal: int | None = None
    """Where its checksum stands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """One place where the address of something stands."""

    at: int
    holder: int
    """Number of the structure that it stands in."""
    target: int | None
    """Number of the structure that it leads to; None for values of a variable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Anatomy:
    """What a file consists of."""

    base: int
    """Where addresses count from: behind a user block."""
    parts: tuple[Part, ...]
    """By their places; the superblock comes first."""
    addresses: tuple[Address, ...]


def anatomy(content: bytes, values: Iterable[int] = ()) -> Anatomy:
    """Return what a sound file consists of.

    Parameters
    ----------
    content : bytes
    values : iterable of int
        Addresses of chunks and other values: nothing tells them from other numbers.
    """
    base = content.index(SUPERBLOCK)
    parts = tuple(sorted(_parts(content, base), key=lambda part: part.start))
    targets: dict[int, int | None] = dict.fromkeys(values)
    targets |= {part.start - base: number for number, part in enumerate(parts) if part.start > base}
    addresses = tuple(
        Address(at=at, holder=number, target=targets[value])
        for number, part in enumerate(parts)
        for at, value in _numbers(content, part)
        if value in targets
    )
    return Anatomy(base=base, parts=parts, addresses=addresses)


def mutate(content: bytes, body: Anatomy, seed: int) -> bytes:
    """Return a copy of a file that differs from it."""
    dice = random.Random(seed)  # noqa: S311  no secret
    changed = content
    while changed == content:
        change = dice.choices(tuple(CHANGES), tuple(CHANGES.values()))[0]
        changed = change(content, body, dice)
    return changed


# What happens to a file ---------------------------------------------------------------------------------


def cut(content: bytes, body: Anatomy, dice: random.Random) -> bytes:
    """End the file anywhere, mostly near the border of a structure."""
    part = dice.choice(body.parts)
    border = dice.choice((part.start, part.stop)) + dice.randint(-9, 9)
    return content[: max(0, dice.choice((border, border, dice.randrange(len(content)))))]


def flip(content: bytes, body: Anatomy, dice: random.Random) -> bytes:
    """Turn 1 to 32 bits, mostly inside one structure."""
    changed = bytearray(content)
    part = _part(body, dice)
    inside = dice.random() < 0.9
    for _ in range(2 ** dice.randint(0, 5)):
        at = dice.randrange(part.start, part.stop) if inside else dice.randrange(len(content))
        changed[at] ^= 1 << dice.randrange(8)
    return resealed(changed, content, body) if dice.random() < 0.7 else bytes(changed)


def smear(content: bytes, body: Anatomy, dice: random.Random) -> bytes:
    """Overwrite a run of bytes with zeros, ones or noise."""
    changed = bytearray(content)
    part = _part(body, dice)
    at = dice.randrange(part.start, part.stop)
    length = min(2 ** dice.randint(0, 9), len(content) - at)
    changed[at : at + length] = dice.choice((bytes(length), b"\xff" * length, dice.randbytes(length)))
    return resealed(changed, content, body) if dice.random() < 0.7 else bytes(changed)


def redirect(content: bytes, body: Anatomy, dice: random.Random) -> bytes:
    """Let addresses lead back to their own structure or those above it, to another one, or nowhere."""
    changed = bytearray(content)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        address = _address(body, dice)
        elsewhere = dice.choice(ELSEWHERE)(content, body, address, dice)
        struct.pack_into("<Q", changed, address.at, elsewhere & _UNDEFINED)
    return resealed(changed, content, body)


def recount(content: bytes, body: Anatomy, dice: random.Random) -> bytes:
    """State another version, number, size or depth in the head of a structure."""
    changed = bytearray(content)
    part = _part(body, dice)
    at, width = dice.choice(_COUNTS.get(part.kind, ((4, 1), (5, 1))))
    _set_extreme(changed, part.start + at, width, dice)
    return resealed(changed, content, body)


def remessage(content: bytes, body: Anatomy, dice: random.Random) -> bytes:
    """State another kind, size or content of a message in an object header."""
    headers = [part for part in body.parts if part.kind in HEADERS]
    changed = bytearray(content)
    for _ in range(dice.choice((1, 1, 2))):
        head, start, stop = dice.choice(list(_messages(content, dice.choice(headers))))
        heads = start == stop or dice.random() < 0.2
        at = dice.randrange(head, start) if heads else dice.randrange(start, stop)
        _set_extreme(changed, at, dice.choice((1, 1, 2, 4, 8)), dice)
    return resealed(changed, content, body)


def outdate(content: bytes, body: Anatomy, dice: random.Random) -> bytes:
    """State another version of a message in an object header: a layout, or any other."""
    headers = [part for part in body.parts if part.kind in HEADERS]
    found = [message for part in headers for message in _messages(content, part) if message[1] < message[2]]
    layouts = [message for message in found if content[message[0]] == _LAYOUT]
    _, start, _ = dice.choice(dice.choice((layouts, found)))
    changed = bytearray(content)
    changed[start] = dice.choice((0, 1, 2, 3, 4, 5, 99))
    return resealed(changed, content, body)


def exaggerate(content: bytes, body: Anatomy, dice: random.Random) -> bytes:
    """State an extreme number anywhere in a structure."""
    changed = bytearray(content)
    part = _part(body, dice)
    _set_extreme(changed, dice.randrange(part.start, part.stop), dice.choice((1, 2, 4, 8)), dice)
    return resealed(changed, content, body)


def overlap(content: bytes, body: Anatomy, dice: random.Random) -> bytes:
    """Copy a structure, with its checksum, over another one or a part of itself."""
    changed = bytearray(content)
    part, onto = _part(body, dice), _part(body, dice)
    at = dice.choice((onto.start, onto.start + dice.randrange(64), part.start + dice.choice((-8, 4, 8))))
    copy = content[part.start : part.stop][: max(0, len(content) - at)]
    changed[at : at + len(copy)] = copy
    return bytes(changed)


def swap(content: bytes, body: Anatomy, dice: random.Random) -> bytes:
    """Exchange two addresses, or two structures of one kind."""
    changed = bytearray(content)
    if dice.random() < 0.5:
        one, other, size = _address(body, dice).at, _address(body, dice).at, 8
    else:
        first = _part(body, dice)
        second = dice.choice([part for part in body.parts if part.kind == first.kind])
        one, other = first.start, second.start
        size = min(first.stop - one, second.stop - other)
    changed[one : one + size] = content[other : other + size]
    changed[other : other + size] = content[one : one + size]
    return resealed(changed, content, body)


def resize(content: bytes, body: Anatomy, dice: random.Random) -> bytes:
    """Let a structure have another size, and its checksum where a reader that believes that looks for it."""
    sized = [part for part in body.parts if part.kind in RESIZED]
    if not sized:
        return recount(content, body, dice)
    changed = bytearray(content)
    part = dice.choice(sized)
    for start, seal in RESIZED[part.kind](changed, body, part, dice):
        if start < seal <= len(changed) - 4:
            struct.pack_into("<I", changed, seal, lookup3(changed[start:seal]))
    return bytes(changed)


CHANGES: dict[Callable[[bytes, Anatomy, random.Random], bytes], int] = {
    cut: 4, flip: 14, smear: 10, redirect: 20, recount: 14, remessage: 16, outdate: 4, exaggerate: 8,
    overlap: 5, swap: 5, resize: 4,
}  # fmt: skip
"""With the weight of each."""


def _part(body: Anatomy, dice: random.Random) -> Part:
    """Return any structure: of any kind first, so that the frequent ones do not outweigh the others."""
    kind = dice.choice(sorted({part.kind for part in body.parts}))
    return dice.choice([part for part in body.parts if part.kind == kind])


def _address(body: Anatomy, dice: random.Random) -> Address:
    """Return any address, of any kind of structure first."""
    kinds = sorted({body.parts[address.holder].kind for address in body.addresses})
    kind = dice.choice(kinds)
    return dice.choice([each for each in body.addresses if body.parts[each.holder].kind == kind])


def _set_extreme(changed: bytearray, at: int, width: int, dice: random.Random) -> None:
    width = min(width, len(changed) - at)
    old, room = int.from_bytes(changed[at : at + width], "little"), 8 * width
    new = dice.choice((
        0, 1, 2, 3, 255, 256, 2**16 - 1, 2**31, 2**32 - 1, 2**40, 2 ** (room - 1), 2 ** (room - 1) - 1,
        2**room - 1, 2**room - 2, old - 1, old + 1, 2 * old, old + 256, old // 2, len(changed),
        len(changed) - 1, dice.getrandbits(room), 2 ** dice.randrange(room),
    ))  # fmt: skip
    changed[at : at + width] = (new % 2**room).to_bytes(width, "little")


def resealed(changed: bytearray, content: bytes, body: Anatomy) -> bytes:
    """Return a changed copy in which the changed structures have checksums that agree with them."""
    for part in body.parts:
        if part.seal is not None and changed[part.start : part.stop] != content[part.start : part.stop]:
            struct.pack_into("<I", changed, part.seal, _checksum(changed, part.start, part.stop, part.seal))
    return bytes(changed)


def _checksum(content: bytes | bytearray, start: int, stop: int, seal: int) -> int:
    if seal == stop - 4:
        return lookup3(content[start:seal])
    return lookup3(content[start:seal] + bytes(4) + content[seal + 4 : stop])


# Where an address leads instead ---------------------------------------------------------------------------


def _itself(_: bytes, body: Anatomy, address: Address, __: random.Random) -> int:
    return body.parts[address.holder].start - body.base


def _above(_: bytes, body: Anatomy, address: Address, dice: random.Random) -> int:
    """Return a structure that leads to this one, over one or some others."""
    part = address.holder
    for _step in range(dice.randint(1, 3)):
        part = dice.choice([each.holder for each in body.addresses if each.target == part] or [part])
    return body.parts[part].start - body.base


def _root(content: bytes, body: Anatomy, _: Address, __: random.Random) -> int:
    first = next(each for each in body.addresses if each.holder == 0 and each.target is not None)
    return _number(content, first.at, 8)


def _beside(content: bytes, body: Anatomy, address: Address, dice: random.Random) -> int:
    """Return what else its structure leads to: then one thing is there twice."""
    others = [each.at for each in body.addresses if each.holder == address.holder]
    return _number(content, dice.choice(others), 8)


def _alike(_: bytes, body: Anatomy, address: Address, dice: random.Random) -> int:
    """Return another structure of the kind that it leads to."""
    kind = body.parts[address.target or 0].kind
    return dice.choice([part for part in body.parts if part.kind == kind]).start - body.base


def _another(_: bytes, body: Anatomy, __: Address, dice: random.Random) -> int:
    return dice.choice(body.parts).start - body.base


def _inside(_: bytes, body: Anatomy, __: Address, dice: random.Random) -> int:
    part = dice.choice(body.parts)
    return dice.randint(part.start - 8, part.stop) - body.base


def _nowhere(content: bytes, body: Anatomy, _: Address, dice: random.Random) -> int:
    size = len(content) - body.base
    return dice.choice(
        (_UNDEFINED - dice.randrange(64), _UNDEFINED, 2**63, 2**63 - 1, 2**32, 0, size, size - 1, size - 8)
    )


ELSEWHERE = (_itself, _above, _root, _beside, _alike, _another, _inside, _nowhere)


# Where a checksum stands when a size has changed ------------------------------------------------------------

Seals = Iterator[tuple[int, int]]
"""Where structures begin, and where their checksums then stand."""


def _resized_header(changed: bytearray, _: Anatomy, part: Part, dice: random.Random) -> Seals:
    at, width = _first_size(changed, part.start)
    _set_extreme(changed, at, width, dice)
    yield part.start, at + width + _number(changed, at, width)


def _resized_tree(changed: bytearray, body: Anatomy, part: Part, dice: random.Random) -> Seals:
    """Let the root of a B-tree 2 have another number of records."""
    record, records = _number(changed, part.start + 10, 2), _number(changed, part.start + 24, 2)
    root = _at(body, _number(changed, part.start + 16, 8))
    _set_extreme(changed, part.start + 24, 2, dice)
    yield part.start, part.stop - 4
    if root and root.seal:
        child = (root.seal - root.start - 6 - records * record) // (records + 1)
        new = _number(changed, part.start + 24, 2)
        yield root.start, root.start + 6 + new * record + (new + 1) * child


def _resized_fixed_array(changed: bytearray, body: Anatomy, part: Part, dice: random.Random) -> Seals:
    entry, page = changed[part.start + 6], 2 ** min(changed[part.start + 7], 64)
    _set_extreme(changed, part.start + 8, 8, dice)
    yield part.start, part.stop - 4
    entries, block = _number(changed, part.start + 8, 8), _at(body, _number(changed, part.start + 16, 8))
    if block:
        yield (
            block.start,
            block.start + 14 + (entries * entry if entries <= page else -(-entries // page // 8)),
        )


def _resized_extensible_array(changed: bytearray, body: Anatomy, part: Part, dice: random.Random) -> Seals:
    entry, entries = changed[part.start + 6], changed[part.start + 8]
    _set_extreme(changed, part.start + 8, 1, dice)
    yield part.start, part.stop - 4
    block = _at(body, _number(changed, part.start + 60, 8))
    if block and block.seal:
        yield block.start, block.seal + (changed[part.start + 8] - entries) * entry


def _resized_heap(changed: bytearray, body: Anatomy, part: Part, dice: random.Random) -> Seals:
    """Let the root of a fractal heap have another number of rows."""
    width, rows = _number(changed, part.start + 110, 2), _number(changed, part.start + 140, 2)
    _set_extreme(changed, part.start + 140, 2, dice)
    yield part.start, part.stop - 4
    root = _at(body, _number(changed, part.start + 132, 8))
    if root and root.seal and root.kind != BLOCK:
        yield root.start, root.seal + (_number(changed, part.start + 140, 2) - rows) * width * 8


RESIZED: dict[bytes, Callable[[bytearray, Anatomy, Part, random.Random], Seals]] = {
    b"OHDR": _resized_header,
    b"BTHD": _resized_tree,
    b"FAHD": _resized_fixed_array,
    b"EAHD": _resized_extensible_array,
    b"FRHP": _resized_heap,
}


def _at(body: Anatomy, address: int) -> Part | None:
    return next((part for part in body.parts if part.start == address + body.base), None)


# What a file consists of --------------------------------------------------------------------------------


def _parts(content: bytes, base: int) -> Iterator[Part]:
    places = sorted(
        (at, kind) for kind in (*PLAIN, *SEALED, BLOCK) for at in _occurrences(content, kind) if at > base
    )
    borders = [at for at, _ in places] + [len(content)]
    plain = content[base + 8] < 2
    yield Part(
        kind=SUPERBLOCK, start=base, stop=base + (96 if plain else 48), seal=None if plain else base + 44
    )
    for (start, kind), limit in zip(places, borders[1:], strict=True):
        if kind == BLOCK:
            yield from _block(content, base, start)
        elif kind in SEALED:
            yield from _run(content, kind, start, limit)
        else:
            yield from _plain(content, base, Part(kind=kind, start=start, stop=limit))
    yield from _headers(content, base, borders)


def _occurrences(content: bytes, kind: bytes) -> Iterator[int]:
    at = content.find(kind)
    while at >= 0:
        yield at
        at = content.find(kind, at + 1)


def _run(content: bytes, kind: bytes, start: int, limit: int) -> Iterator[Part]:
    """Find a structure by its checksum, and the pages behind it by theirs."""
    seal = _seal(content, start, limit)
    while seal is not None:
        yield Part(kind=kind, start=start, stop=seal + 4, seal=seal)
        if kind not in (b"FADB", b"EADB", PAGE):
            return
        # the last page may be shorter than the others
        limit = min(limit, 2 * seal + 8 - start if kind == PAGE else limit)
        kind, start = PAGE, seal + 4
        seal = _seal(content, start, limit)


def _block(content: bytes, base: int, start: int) -> Iterator[Part]:
    """Find a direct block of a fractal heap: its size is a power of two."""
    heap = base + _number(content, start + 5, 8)
    seal = start + 13 + -(-_number(content, heap + 128, 2) // 8)
    for size in (2**power for power in range(8, 18)):
        stop = start + size
        if stop <= len(content) and _checksum(content, start, stop, seal) == _number(content, seal, 4):
            yield Part(kind=BLOCK, start=start, stop=stop, seal=seal)
            return


def _plain(content: bytes, base: int, part: Part) -> Iterator[Part]:
    """Bound a structure that has no checksum."""
    size = {b"SNOD": 328, b"HEAP": 32, b"GCOL": _number(content, part.start + 8, 8), b"TREE": 4096}[part.kind]
    yield Part(kind=part.kind, start=part.start, stop=min(part.stop, part.start + size))
    if part.kind == b"HEAP":
        start = base + _number(content, part.start + 24, 8)
        yield Part(kind=NAMES, start=start, stop=start + _number(content, part.start + 8, 8))


def _headers(content: bytes, base: int, borders: list[int]) -> Iterator[Part]:
    """Find the object headers 1 that symbol tables lead to, and what they lead to."""
    nodes = [at for at in borders if content[at : at + 4] == b"SNOD"]
    entries = [at + 8 + 40 * entry for at in nodes for entry in range(_number(content, at + 6, 2))]
    root = [base + 24 + 4 * content[base + 8] + 32] if content[base + 8] < 2 else []
    for start in sorted({base + _number(content, entry + 8, 8) for entry in root + entries}):
        if content[start : start + 1] != b"\1":
            continue  # a soft link leads nowhere
        waiting = [Part(kind=HEADER, start=start, stop=start + 16 + _number(content, start + 8, 4))]
        while waiting:
            part = waiting.pop()
            yield part
            for head, body, _ in _messages(content, part):
                if _number(content, head, 2) == _CONTINUATION:
                    at = base + _number(content, body, 8)
                    waiting.append(Part(kind=CONTINUED, start=at, stop=at + _number(content, body + 8, 8)))


def _messages(content: bytes, part: Part) -> Iterator[tuple[int, int, int]]:
    """Yield where the head and the body of each message begin, and where it ends."""
    if part.kind in (HEADER, CONTINUED):
        return _walk(content, part.start + 16 * (part.kind == HEADER), part.stop, (8, 2))
    stop = part.stop - 4
    if part.kind == b"OHDR":
        at, width = _first_size(content, part.start)
        return _walk(content, at + width, stop, (6 if content[part.start + 5] & 4 else 4, 1))
    # whether the order of creation is told stands in the header that this one continues
    narrow, wide = (tuple(_walk(content, part.start + 4, stop, (head, 1))) for head in (4, 6))
    return iter(narrow if narrow[-1:] >= wide[-1:] else wide)


def _walk(content: bytes, at: int, stop: int, widths: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
    """Walk over messages, given the widths of their heads and of the kind in them."""
    head, kind = widths
    while at + head <= stop:
        end = at + head + _number(content, at + kind, 2)
        if end > stop:
            return
        yield at, at + head, end
        at = end


def _first_size(content: bytes | bytearray, start: int) -> tuple[int, int]:
    """Return where the size of an object header 2 stands, and how wide it is."""
    flags = content[start + 5]
    return start + 6 + 16 * (flags >> 5 & 1) + 4 * (flags >> 4 & 1), 1 << (flags & 3)


def _numbers(content: bytes, part: Part) -> Iterator[tuple[int, int]]:
    """Yield each place in a structure and the 8-byte number that stands there."""
    for at in range(part.start, part.stop - 7):
        yield at, _number(content, at, 8)


def _number(content: bytes | bytearray, at: int, width: int) -> int:
    return int.from_bytes(content[at : at + width], "little")


# Checksums ------------------------------------------------------------------------------------------------


def lookup3(data: bytes | bytearray) -> int:
    """Return Bob Jenkins' lookup3 hash of some bytes, begun with 0, which HDF5 takes for its checksums.

    Source: burtleburtle.net/bob/c/lookup3.c, public domain, ``hashlittle``.

    Examples
    --------
    >>> hex(lookup3(b"Four score and seven years ago"))
    '0x17770551'
    """
    a = b = c = 0xDEADBEEF + len(data) & _WORD
    if not data:
        return c
    whole = (len(data) - 1) // 12
    words = struct.unpack(f"<{3 * whole + 3}I", bytes(data) + bytes(12 * whole + 12 - len(data)))
    for at in range(0, 3 * whole, 3):
        a, b, c = _mixed(a + words[at], b + words[at + 1], c + words[at + 2])
    return int(_ended(a + words[-3], b + words[-2], c + words[-1]))


def _seal(content: bytes, start: int, limit: int) -> int | None:
    """Return where the checksum of all bytes since a place stands, or None.

    All lengths are tried at once: the hash of each begins with its length, so none continues another.
    """
    longest = limit - 4 - start
    if longest < 1:
        return None
    raw = np.frombuffer(content[start:limit] + bytes(16), np.uint8)
    stored = np.ndarray(longest, "<u4", raw.tobytes(), offset=1, strides=1)
    a = b = c = np.arange(1, longest + 1, dtype=np.uint64) + np.uint64(0xDEADBEEF) & np.uint64(_WORD)
    within = np.tri(12, dtype=np.uint8)
    for at in range(0, longest, 12):
        # of twelve lengths these are the last words, each with zeros behind its end
        tails = (within * raw[at : at + 12]).view("<u4").astype(np.uint64)
        n = min(12, longest - at)
        hashes = _ended(a[:n] + tails[:n, 0], b[:n] + tails[:n, 1], c[:n] + tails[:n, 2])
        agree = np.flatnonzero(hashes == stored[at : at + n])
        if agree.size:
            return start + at + 1 + int(agree[0])
        a, b, c = _mixed(a[12:] + tails[-1, 0], b[12:] + tails[-1, 1], c[12:] + tails[-1, 2])
    return None


def _mixed(a: Words, b: Words, c: Words) -> tuple[Words, Words, Words]:
    for turn in (4, 6, 8, 16, 19, 4):
        c = c & _WORD
        a = (a - c & _WORD) ^ (c << turn & _WORD | c >> 32 - turn)
        c = c + b & _WORD
        a, b, c = b, c, a
    return a, b, c


def _ended(a: Words, b: Words, c: Words) -> Words:
    a, b, c = a & _WORD, b & _WORD, c & _WORD
    for turn in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - (b << turn & _WORD | b >> 32 - turn) & _WORD
        a, b, c = b, c, a
    return b
