"""Walks: what a granule is asked for, step by step, so that others are worked on while its values come."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from math import prod
from queue import SimpleQueue
from typing import Generic, TypeAlias, TypeVar

from eoscale.access.ranges import Cost
from eoscale.errors import AccessError, GranuleError
from eoscale.hdf5.index import Indexed
from eoscale.hdf5.read import Read, Reading, Wanted, begin
from eoscale.model.chunk_index import ChunkIndex

T = TypeVar("T")
Asked: TypeAlias = tuple[ChunkIndex, Wanted]
Walk: TypeAlias = Generator[Asked, Reading, T]
"""Yields what it has to read of a granule, and is sent the values."""

AT_ONCE = 2**26
"""Bytes of values of granules that are read at once, if there are several."""


def asked(chunks: ChunkIndex, wanted: Wanted) -> Walk[Reading]:
    """Return what is wanted of a granule; a round that wants nothing is none."""
    return (yield chunks, wanted) if wanted else Reading({}, Cost(0, 0))


def together(walks: Iterable[Walk[T] | AccessError | GranuleError]) -> list[T | AccessError | GranuleError]:
    """Return what walks come to, or why they end; each goes on when its own values have come.

    Parameters
    ----------
    walks : iterable of Walk or error
        An error stands for itself.
    """
    going: _Going[T] = _Going()
    try:
        for number, walk in enumerate(walks):
            if isinstance(walk, Exception):
                going.ended[number] = walk
            else:
                going.go_on(number, walk, partial(next, walk))
        while going.waiting:
            going.go_on(*going.next())
    finally:
        for _, reading in going.waiting.values():
            reading.cancel()
    return [going.ended[number] for number in range(len(going.ended))]


class _Going(Generic[T]):
    """Walks, by number: those that wait for values, and what the others have come to."""

    def __init__(self) -> None:
        self.ended: dict[int, T | AccessError | GranuleError] = {}
        self.waiting: dict[int, tuple[Walk[T], Future[Read]]] = {}
        self._come: SimpleQueue[int] = SimpleQueue()

    def go_on(self, number: int, walk: Walk[T], step: Callable[[], Asked]) -> None:
        """Take a walk to where it asks for the next values, and begin to read them; or to its end."""
        try:
            reading = begin(*step())
        except StopIteration as end:
            self.ended[number] = end.value
        except (AccessError, GranuleError) as error:
            self.ended[number] = error
        else:
            self.waiting[number] = walk, reading
            reading.add_done_callback(lambda _: self._come.put(number))

    def next(self) -> tuple[int, Walk[T], Callable[[], Asked]]:
        """Return the walk whose values come first, and its next step."""
        number = self._come.get()
        walk, reading = self.waiting.pop(number)
        answer = reading.result()
        step = partial(walk.send, answer) if isinstance(answer, Reading) else partial(walk.throw, answer)
        return number, walk, step


def lots(found: Sequence[Indexed]) -> Iterator[tuple[int, int]]:
    """Yield start and stop of the granules that are read at once: at least one, and what memory allows."""
    start = held = 0
    for number, one in enumerate(found):
        nbytes = _nbytes(one)
        if number > start and held + nbytes > AT_ONCE:
            yield start, number
            start, held = number, 0
        held += nbytes
    if found:
        yield start, len(found)


def _nbytes(found: Indexed) -> int:
    """Return the bytes of all values that an index knows of."""
    if not isinstance(found, ChunkIndex):
        return 0
    return sum(prod(each.shape) * each.dtype.itemsize for each in found.datasets.values())
