"""Walks: what a granule is asked for, step by step, so that others are worked on while its values come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from math import prod
from queue import SimpleQueue
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from eoscale.access import loop
from eoscale.access.spans import Cost
from eoscale.errors import AccessError, GranuleError
from eoscale.hdf5 import index, read, store
from eoscale.hdf5.read import Reading, Wanted
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.granule import Granule

T = TypeVar("T")


class Ask(NamedTuple):
    """What a walk waits for."""

    begin: Callable[[], Future[Any]]
    nbytes: int = 0
    """Of the values that it may hold from now on."""


Walk: TypeAlias = Generator[Ask, Any, T]
"""Yields what it waits for, and is sent what comes of it; an error is raised where it waits."""
Ended: TypeAlias = T | AccessError | GranuleError

AT_ONCE = 2**26
"""Bytes of values of granules that are held at once, if there are several."""


def indexed(granule: Granule, paths: Sequence[str]) -> Walk[ChunkIndex]:
    """Return the index of a granule; one that was read from the file is not kept in the store yet."""
    chunks: ChunkIndex = yield Ask(partial(index.begin, granule, paths))
    return chunks


def asked(chunks: ChunkIndex, wanted: Wanted) -> Walk[Reading]:
    """Return what is wanted of a granule; a round that wants nothing is none."""
    if not wanted:
        return Reading({}, Cost(0, 0))
    reading: Reading = yield Ask(partial(read.begin, chunks, wanted), _nbytes(chunks))
    return reading


def kept(chunks: ChunkIndex, *, mapped: bool = False) -> Walk[None]:
    """Keep an index that was read from the file, or say why that cannot be; one that has new zone maps, too.

    Zone maps save time only: where a store is there to be read alone, nothing fails for want of them.
    """
    if chunks.requests:
        yield Ask(lambda: loop.start(store.saved(chunks)))
    elif mapped:
        yield Ask(lambda: loop.start(store.offered(chunks)))


def together(walks: Iterable[Walk[T]]) -> Iterator[tuple[int, Ended[T]]]:
    """Yield what walks come to, or why they end, with their numbers, as they end.

    Each goes on when what it waits for has come. As many hold values as memory allows; who has taken what a
    walk came to, and asks for the next one, holds them no longer.
    """
    going: _Going[T] = _Going()
    steps = deque((number, walk, partial(next, walk)) for number, walk in enumerate(walks))
    try:
        while steps or going.waiting:
            number, walk, step = steps.popleft() if steps else going.next()
            try:
                going.wait(number, walk, step())
            except StopIteration as end:
                yield number, end.value
                going.leave(number)
            except (AccessError, GranuleError) as error:
                yield number, error
                going.leave(number)
    finally:
        for _, future in going.waiting.values():
            future.cancel()


class _Going(Generic[T]):
    """Walks that wait, by number: for what they asked for, or for memory."""

    def __init__(self) -> None:
        self.waiting: dict[int, tuple[Walk[T], Future[Any]]] = {}
        self._come: SimpleQueue[int] = SimpleQueue()
        self._held: dict[int, int] = {}
        """Bytes of values."""
        self._outside: deque[tuple[int, Walk[T], Ask]] = deque()
        """Those for which there is no memory; some others hold values, and will end."""

    def wait(self, number: int, walk: Walk[T], ask: Ask) -> None:
        """Begin what a walk asks for, or have it wait for memory."""
        if ask.nbytes and number not in self._held:
            if self._held and sum(self._held.values()) + ask.nbytes > AT_ONCE:
                self._outside.append((number, walk, ask))
                return
            self._held[number] = ask.nbytes
        try:
            future = ask.begin()
        except (AccessError, GranuleError) as error:
            future = Future()
            future.set_exception(error)
        self.waiting[number] = walk, future
        future.add_done_callback(lambda _: self._come.put(number))

    def next(self) -> tuple[int, Walk[T], Callable[[], Ask]]:
        """Return the walk for which something comes first, and its next step."""
        number = self._come.get()
        walk, future = self.waiting.pop(number)
        error = future.exception()
        step = partial(walk.send, future.result()) if error is None else partial(walk.throw, error)
        return number, walk, step

    def leave(self, number: int) -> None:
        """Take note that a walk has ended, and let those in that there is memory for."""
        self._held.pop(number, None)
        for _ in range(len(self._outside)):
            self.wait(*self._outside.popleft())


def _nbytes(chunks: ChunkIndex) -> int:
    """Return the bytes of all values that an index knows of."""
    return sum(prod(each.shape) * each.dtype.itemsize for each in chunks.datasets.values())
