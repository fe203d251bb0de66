"""Walks: how readers that do no I/O ask for bytes.

A walk is a generator. It yields the ranges of the file that it needs next, is sent their bytes in the
same order, and returns what it made of them. Whoever drives it decides where the bytes come from.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Range: TypeAlias = tuple[int, int]
"""Offset and length in bytes, from the beginning of the file."""
Walk: TypeAlias = Generator[list[Range], list[memoryview], T]


class Unfamiliar(Exception):  # noqa: N818  no fault of the file
    """The file uses a construct of the format that this reader leaves to libhdf5; the text names it."""


def together(walks: Iterable[Walk[T]]) -> Walk[list[T]]:
    """Return the results of some walks that advance side by side: what they need next is asked for at once.

    Examples
    --------
    >>> def walk(offset):
    ...     body, = yield [(offset, 2)]
    ...     return bytes(body)
    >>> both = together([walk(0), walk(4)])
    >>> next(both)
    [(0, 2), (4, 2)]
    >>> both.send([memoryview(b"ab"), memoryview(b"cd")])
    Traceback (most recent call last):
    StopIteration: [b'ab', b'cd']
    """
    started = list(walks)
    results: dict[int, T] = {}
    waiting: dict[int, list[Range]] = {}
    for number, walk in enumerate(started):
        try:
            waiting[number] = next(walk)
        except StopIteration as end:
            results[number] = end.value
    while waiting:
        bodies = iter((yield [asked for ranges in waiting.values() for asked in ranges]))
        for number, ranges in list(waiting.items()):
            try:
                waiting[number] = started[number].send([next(bodies) for _ in ranges])
            except StopIteration as end:
                results[number] = end.value
                del waiting[number]
    return [results[number] for number in range(len(started))]
