"""Walks: what a granule is asked for, step by step, so that many granules are asked in the same round."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from math import prod
from typing import TypeAlias, TypeVar

from eoscale.access.ranges import Cost
from eoscale.errors import AccessError, GranuleError
from eoscale.hdf5.index import Indexed
from eoscale.hdf5.read import Read, Reading, Wanted, readings
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


def together(walks: Sequence[Walk[T] | AccessError | GranuleError]) -> list[T | AccessError | GranuleError]:
    """Return what walks come to, or why they end; what all of them ask for in one round is read at once.

    Parameters
    ----------
    walks : sequence of Walk or error
        An error stands for itself.
    """
    ended: dict[int, T | AccessError | GranuleError] = {}
    waiting: dict[int, tuple[Walk[T], Asked]] = {}

    def go_on(number: int, walk: Walk[T], step: Callable[[], Asked]) -> None:
        try:
            waiting[number] = walk, step()
        except StopIteration as end:
            ended[number] = end.value
        except (AccessError, GranuleError) as error:
            ended[number] = error

    for number, walk in enumerate(walks):
        if isinstance(walk, Exception):
            ended[number] = walk
        else:
            go_on(number, walk, partial(next, walk))
    while waiting:
        going = [(number, walk) for number, (walk, _) in waiting.items()]
        answers = readings([wanted for _, wanted in waiting.values()])
        waiting.clear()
        for (number, walk), answer in zip(going, answers, strict=True):
            go_on(number, walk, _answering(walk, answer))
    return [ended[number] for number in range(len(walks))]


def _answering(walk: Walk[T], answer: Read) -> Callable[[], Asked]:
    return partial(walk.send, answer) if isinstance(answer, Reading) else partial(walk.throw, answer)


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
