"""Groups: where the links of some names lead.

Source: HDF5 File Format Specification, "Group Symbol Table Nodes", "The Link Message", "The Link Info
Message".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from eoscale.errors import CorruptGranuleError
from eoscale.hdf5.format import fractal_heap, heaps, trees
from eoscale.hdf5.format.checksum import lookup3
from eoscale.hdf5.format.cursor import Cursor, File, text
from eoscale.hdf5.format.objects import LINK, LINK_INFO, SYMBOL_TABLE, Message, only
from eoscale.hdf5.format.walk import Walk, together

_GROUPS = 0
"""Kind of a tree of version 1."""
_LINKS_BY_NAME = 5
_HARD, _SOFT, _EXTERNAL = 0, 1, 64
_CACHED_SOFT_LINK = 2


class Link(NamedTuple):
    """Where a name leads; nowhere that is known, if it is a link of the writer's own making."""

    address: int | None = None
    """Of an object header."""
    path: str | None = None
    """Of a soft link."""
    file: str | None = None
    """Another file, of an external link."""


def is_group(found: list[Message]) -> bool:
    """Return whether an object header is that of a group."""
    return any(message.type in (SYMBOL_TABLE, LINK_INFO) for message in found)


def links(file: File, found: list[Message], wanted: Iterable[str] | None) -> Walk[dict[str, Link]]:
    """Return the links of a group that have some names; None for all.

    Parameters
    ----------
    file : File
    found : list of Message
        The group's object header.
    wanted : iterable of str, optional

    Raises
    ------
    CorruptGranuleError
        If the group is damaged.
    """
    chosen = None if wanted is None else frozenset(wanted)
    table = only(found, SYMBOL_TABLE)
    if table is not None:
        return (yield from _symbols(file, table.read(file), chosen))
    listed = [_link(message.read(file)) for message in found if message.type == LINK]
    info = only(found, LINK_INFO)
    if info is not None:
        listed += yield from _dense(file, info.read(file), chosen)
    kept = [(name, link) for name, link in listed if chosen is None or name in chosen]
    if len(dict(kept)) < len(kept):
        raise CorruptGranuleError("a group has a name twice: damaged")
    return dict(kept)


def _link(cursor: Cursor) -> tuple[str, Link]:
    cursor.version("a link", 1)
    flags = cursor.uint(1)
    kind = cursor.uint(1) if flags & 8 else _HARD
    cursor.skip(8 * bool(flags & 4) + bool(flags & 16))  # order of creation, character set
    name = text(cursor.take(cursor.uint(1 << (flags & 3))))
    if kind == _HARD:
        return name, Link(address=cursor.address())
    content = cursor.take(cursor.uint(2))
    if kind == _SOFT:
        return name, Link(path=text(content))
    if kind == _EXTERNAL:
        return name, Link(file=text(content[1:]).partition("\0")[0])
    return name, Link()


def _dense(file: File, info: Cursor, chosen: frozenset[str] | None) -> Walk[list[tuple[str, Link]]]:
    info.version("a group's link information", 0)
    info.skip(8 * (info.uint(1) & 1))
    heap, tree = info.address(), info.address()
    if heap == file.undefined:
        return []
    records = yield from trees.records(file, tree, _LINKS_BY_NAME)
    if records.shape[1] < 5:
        raise CorruptGranuleError("a tree of links has records of another size: damaged")
    if chosen is not None:
        hashes = [lookup3(name.encode("utf-8", "surrogateescape")) for name in chosen]
        records = records[np.isin(np.ascontiguousarray(records[:, :4]).view("<u4")[:, 0], hashes)]
    found = yield from fractal_heap.objects(file, heap, [row[4:].tobytes() for row in records])
    return [_link(cursor) for cursor in found]


def _symbols(file: File, table: Cursor, chosen: frozenset[str] | None) -> Walk[dict[str, Link]]:
    tree, heap = table.address(), table.address()
    names = yield from heaps.names(file, heap)
    raw = None if chosen is None else sorted(name.encode("utf-8", "surrogateescape") for name in chosen)
    entry = file.length_size + file.offset_size

    def children(node: trees.Node) -> list[int]:
        data, at = node.body.data, node.body.at
        keys = np.ndarray(node.entries + 1, f"<u{file.length_size}", data, at, entry)
        found = np.ndarray(node.entries, f"<u{file.offset_size}", data, at + file.length_size, entry)
        if raw is None:
            return [int(address) for address in found]
        # a child holds the names above the key before it, up to the key behind it
        first, *last = (names.raw(int(key)) for key in keys)
        _demand_order([first, *last])
        places = sorted({bisect_left(last, name) for name in raw} - {len(last)})
        return [int(address) for address in found[places]]

    leaves = yield from trees.leaves(file, tree, _GROUPS, file.length_size, children)
    places = [address for leaf in leaves for address in children(leaf)]
    nodes = yield from together(_node(file, address) for address in places)
    wanted = None if raw is None else frozenset(raw)
    found = {}
    for node in nodes:
        named = [names.raw(cursor.length()) for cursor in node]
        _demand_order(named)
        for name, cursor in zip(named, node, strict=True):
            if wanted is None or name in wanted:
                found[text(name)] = _symbol(cursor, names)
    return found


def _demand_order(names: list[bytes]) -> None:
    """Refuse names that do not ascend: who looks for one by halves would find another than who reads all."""
    if any(behind <= before for before, behind in pairwise(names)):
        raise CorruptGranuleError("the names of a group are not in order: damaged")


def _symbol(cursor: Cursor, names: heaps.Names) -> Link:
    address, kind = cursor.address(), cursor.uint(4)
    if kind != _CACHED_SOFT_LINK:
        return Link(address=address)
    cursor.skip(4)
    return Link(path=text(names.raw(cursor.uint(4))))


def _node(file: File, address: int) -> Walk[list[Cursor]]:
    """Return cursors at the symbols of a node of a group's tree."""
    size = file.length_size + file.offset_size + 24
    cursor = yield from file.read(address, 8, ahead=8 * size)
    cursor.expect(b"SNOD", 1)
    cursor.skip(1)
    count = cursor.uint(2)
    if cursor.left < count * size:
        cursor = yield from file.read(address, 8 + count * size)
        cursor.skip(8)
    return [Cursor(file, cursor.take(size)) for _ in range(count)]
