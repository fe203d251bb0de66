"""Futures in a window: as many tasks with the scheduler as keep the workers busy, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from itertools import islice
from typing import TypeVar

from distributed import Client, Future, KilledWorker, as_completed

from eoscale.errors import RunError

Item = TypeVar("Item")
Result = TypeVar("Result")

TASKS_PER_THREAD = 4


def windowed(
    client: Client,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    killed: Callable[[Item], object] | None = None,
    tasks_per_thread: int = TASKS_PER_THREAD,
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with its result, as results come.

    Parameters
    ----------
    client : distributed.Client
    function : callable
        Of one item; sent to the workers, so it and the items are small.
    items : sequence
        Handed out in this order.
    killed : callable, optional
        Called with an item of which workers died again and again, instead of an error.
    tasks_per_thread : int
        How many to hand out at once; with 0 one by one.

    Raises
    ------
    RunError
        If workers died of an item again and again, or the cluster is lost.
    Exception
        What the function raises; the tasks still waiting are cancelled then.
    """
    # the scheduler hears of the next task before it forgets the one that is done
    window = max(1, tasks_per_thread * sum(client.nthreads().values()) - 1)
    waiting = iter(items)
    owner: dict[Future[Result], Item] = {}

    def submit(number: int) -> list[Future[Result]]:
        added = {client.submit(function, item, pure=False): item for item in islice(waiting, number)}
        owner.update(added)
        return list(added)

    finished = as_completed(submit(window))
    try:
        for future in finished:
            item = owner.pop(future)
            try:
                yield item, future.result()
            except KilledWorker as error:
                if killed is None:
                    raise RunError(
                        f"workers died of a task, again and again: {error}; give them more memory"
                    ) from error
                killed(item)
            for added in submit(1):
                finished.add(added)
    except CancelledError as error:
        raise RunError(
            f"the cluster is lost ({error}): run again, and it goes on where it stopped"
        ) from error
    finally:
        client.cancel(list(owner))
