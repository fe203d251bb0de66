"""Futures in a window: as many tasks with the scheduler as keep the workers busy, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from distributed import Client, Future, KilledWorker, as_completed

from eoscale.errors import RunError

Item = TypeVar("Item")
Result = TypeVar("Result")

TASKS_PER_THREAD = 4


def windowed(
    client: Client, function: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with its result, as results come.

    Parameters
    ----------
    client : distributed.Client
    function : callable
        Of one item; sent to the workers, so it and the items are small.
    items : sequence
        Handed out in this order.

    Raises
    ------
    RunError
        If workers died of an item again and again.
    Exception
        What the function raises; the tasks still waiting are cancelled then.
    """
    threads = max(1, sum(client.nthreads().values()))
    waiting = iter(items)
    owner: dict[Future[Result], Item] = {}

    def submit(number: int) -> list[Future[Result]]:
        added = []
        for item in [item for _, item in zip(range(number), waiting, strict=False)]:
            future = client.submit(function, item, pure=False)
            owner[future] = item
            added.append(future)
        return added

    finished = as_completed(submit(TASKS_PER_THREAD * threads))
    try:
        for future in finished:
            item = owner.pop(future)
            yield item, future.result()
            for added in submit(1):
                finished.add(added)
    except KilledWorker as error:
        raise RunError(f"workers died of a task, again and again: {error}; give them more memory") from error
    finally:
        client.cancel(list(owner))
