"""B-trees of both versions, whole levels at once.

A child's level is one below its parent's and no node is visited twice, so that no walk goes round in
circles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eoscale.errors import CorruptGranuleError
from eoscale.hdf5.format.cursor import Cursor, File
from eoscale.hdf5.format.walk import Walk

_DEEPEST = 32
_ENTRIES = 64
"""Of a node of version 1, unless its writer chose otherwise; more are fetched where there are more."""


class Node(NamedTuple):
    """A node of version 1: keys and children alternate, beginning and ending with a key."""

    entries: int
    body: Cursor


def leaves(
    file: File, root: int, kind: int, key: int, follow: Callable[[Node], list[int]]
) -> Walk[list[Node]]:
    """Return the leaf nodes of a B-tree of version 1.

    Parameters
    ----------
    file : File
    root : int
        Address.
    kind : int
        0 of groups, 1 of chunks.
    key : int
        Bytes of a key.
    follow : callable
        Addresses of the children of a node that are wanted.

    Raises
    ------
    CorruptGranuleError
        If it is no tree.
    """
    head, entry = 8 + 2 * file.offset_size, key + file.offset_size
    addresses, below, seen = [root], None, {root}
    while True:
        found = yield from file.read_all([(at, head) for at in addresses], ahead=_ENTRIES * entry + key)
        nodes, more = [], []
        for number, cursor in enumerate(found):
            cursor.expect(b"TREE", kind)
            level, entries = cursor.uint(1), cursor.uint(2)
            if level != below and (below is not None or level >= _DEEPEST):
                raise CorruptGranuleError(f"a tree node of level {level} below {below}: damaged")
            if not entries and (level or below is not None):
                raise CorruptGranuleError("a tree node has no entries, and is not all of its tree: damaged")
            cursor.skip(2 * file.offset_size)  # siblings
            nodes.append(Node(entries, cursor))
            if cursor.left < entries * entry + key:
                more.append((number, (addresses[number], head + entries * entry + key)))
        for (number, _), cursor in zip(more, (yield from file.read_all([m for _, m in more])), strict=True):
            cursor.skip(head)
            nodes[number] = Node(nodes[number].entries, cursor)
        level = found[0].data[5] if found else 0
        if not level:
            return nodes
        addresses, below = [child for node in nodes for child in follow(node)], level - 1
        _demand_new(addresses, seen)


def records(file: File, address: int, *kinds: int) -> Walk[NDArray[np.uint8]]:
    """Return all records of a B-tree of version 2, as bytes of shape (n, size of a record).

    Parameters
    ----------
    file : File
    address : int
        Of the tree's header.
    *kinds : int
        What the records may be: 5 links by name, 8 attributes by name, 10 and 11 chunks.

    Raises
    ------
    CorruptGranuleError
        If it is no such tree, or does not hold as many records as it says.
    """
    header = yield from file.read(address, 22 + file.offset_size + file.length_size)
    header.expect(b"BTHD", 0)
    kind, node_size, record, depth = header.uint(1), header.uint(4), header.uint(2), header.uint(2)
    header.skip(2)
    root, count, total = header.address(), header.uint(2), header.length()
    header.verify()
    possible = bool(total) == bool(count) and total * record <= file.size
    if kind not in kinds or not record or depth >= _DEEPEST or not possible:
        raise CorruptGranuleError(f"a tree of kind {kind}, depth {depth}, {total} records: damaged")
    pieces = [np.empty((0, record), np.uint8)]
    shape = _Shape(file, node_size, record, depth)
    nodes, seen = [(root, count)] if total else [], {root}
    for level in range(depth if total else -1, -1, -1):
        found = yield from file.read_all([(at, shape.used(level, count)) for at, count in nodes])
        below: list[tuple[int, int]] = []
        for (_, count), cursor in zip(nodes, found, strict=True):
            cursor.expect(b"BTIN" if level else b"BTLF", 0)
            if cursor.uint(1) != kind:
                raise CorruptGranuleError("a tree holds a node of another: damaged")
            pieces.append(np.frombuffer(cursor.take(count * record), np.uint8).reshape(count, record))
            below += shape.children(cursor, level, count)
            cursor.verify()
        nodes = below
        _demand_new([at for at, _ in nodes], seen)
    result = np.concatenate(pieces)
    if len(result) != total:
        raise CorruptGranuleError(f"a tree has {len(result)} of its {total} records: damaged")
    return result


class _Shape:
    """How nodes of a tree of version 2 are laid out: it follows from the sizes of node and record.

    Source: HDF5 File Format Specification, "Version 2 B-trees", internal nodes.
    """

    def __init__(self, file: File, node_size: int, record: int, depth: int) -> None:
        self.record = record
        self.offset_size = file.offset_size
        self.most = [(node_size - 10) // record]
        """Records of a node, for each level from the leaves on."""
        self.within = [self.most[0]]
        """Records of a node and all below it."""
        for level in range(1, depth + 1):
            pointer = self.pointer(level)
            self.most.append((node_size - 10 - pointer) // (record + pointer))
            self.within.append((self.most[level] + 1) * self.within[level - 1] + self.most[level])
        if min(self.most) < 1:
            raise CorruptGranuleError(f"tree nodes of {node_size} bytes for records of {record}: damaged")

    def pointer(self, level: int) -> int:
        """Return the bytes of a pointer to a child of a node: address, records, records below."""
        return self.offset_size + _width(self.most[0]) + (_width(self.within[level - 1]) if level > 1 else 0)

    def used(self, level: int, count: int) -> int:
        """Return the bytes of a node that are in use."""
        if count > self.most[level]:
            raise CorruptGranuleError(f"a tree node of {count} records, at most {self.most[level]}: damaged")
        return 10 + count * self.record + ((count + 1) * self.pointer(level) if level else 0)

    def children(self, cursor: Cursor, level: int, count: int) -> list[tuple[int, int]]:
        """Return address and number of records of the children of a node."""
        found = []
        for _ in range(count + 1 if level else 0):
            found.append((cursor.address(), cursor.uint(_width(self.most[0]))))
            cursor.skip(self.pointer(level) - self.offset_size - _width(self.most[0]))
        return found


def _width(most: int) -> int:
    """Return the bytes that numbers up to a bound take."""
    return max(1, -(-most.bit_length() // 8))


def _demand_new(addresses: list[int], seen: set[int]) -> None:
    new = set(addresses)
    if len(new) < len(addresses) or new & seen:
        raise CorruptGranuleError("a tree has a node twice: damaged")
    seen |= new
