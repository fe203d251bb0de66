"""Attempts: what is asked again, when, and how often; the one place where that is decided.

Transports try once. They raise an :class:`AccessError` where asking again cannot help, and
:class:`Transient` where it may.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from eoscale.errors import AccessError, ChangedError, CredentialsError, ForbiddenError, ThrottledError, scrub

T = TypeVar("T")

_logger = logging.getLogger(__name__)

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed (RFC 9110, 15; RFC 6585; RFC 8470)."""
_THROTTLED = frozenset({429, 503})


class Transient(Exception):  # noqa: N818  no error yet: only when patience ends
    """An attempt failed in a way that may pass.

    Parameters
    ----------
    error : AccessError
        What to raise if it does not pass.
    after : float
        Seconds that the service asks to wait for.
    """

    def __init__(self, error: AccessError, after: float = 0) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after


class RangesRefusedError(AccessError):
    """A server gives an object as a whole only, or ranges of its beginning."""


def refusal(message: str, status: int, *, after: float = 0) -> AccessError | Transient:
    """Return what an answer with an HTTP status of 400 or more means.

    Parameters
    ----------
    message : str
        What could not be read, and why.
    status : int
    after : float
        Seconds, from the answer's ``Retry-After``.

    Examples
    --------
    >>> refusal("https://host/a.h5 cannot be read", 403)
    ForbiddenError('https://host/a.h5 cannot be read; ask for the right to read it')
    >>> refusal("https://host/a.h5 cannot be read", 429, after=2).after
    2
    """
    if status in PASSING:
        kind = ThrottledError if status in _THROTTLED else AccessError
        return Transient(kind(message), after)
    if status == 401:
        return CredentialsError(f"{message}; log in")
    if status == 403:
        return ForbiddenError(f"{message}; ask for the right to read it")
    if status == 416:
        return RangesRefusedError(f"{message}: the object changed, or the server refuses ranges")
    if status == 412:
        return ChangedError(f"{message}: it changed since it was indexed; run again")
    return AccessError(message)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long one request is worth asking again.

    Examples
    --------
    >>> Patience().pause(3, 0.0, share=0.5)
    0.4
    >>> Patience().pause(1, 2.0, share=0.5)
    2.1
    """

    attempts: int = 6
    pause_seconds: float = 0.2
    """At most so long before the second attempt, and twice as long before each further one."""
    longest_pause: float = 60.0
    """Seconds, beside what a service asks for."""
    most_seconds: float = 300.0
    """From the first attempt to the beginning of the last one."""
    answer_seconds: float = 30.0
    """For one answer, beside what its bytes take."""
    bytes_per_second: float = 65_536.0
    """The slowest that a connection is believed to be at work."""

    def pause(self, attempt: int, after: float, share: float) -> float:
        """Return the seconds to wait before the attempt behind number ``attempt``, counted from 1.

        A random share of a growing time, so that those that failed together do not come back together;
        more by what the service asks for.
        """
        return after + share * min(self.longest_pause, self.pause_seconds * 2.0 ** (attempt - 1))

    def limit(self, nbytes: int) -> float:
        """Return the seconds that one attempt at so many bytes may take."""
        return self.answer_seconds + nbytes / self.bytes_per_second


async def insist(ask: Callable[[], Awaitable[T]], patience: Patience, name: str) -> T:
    """Return what a request gives, asked again while that may help.

    Parameters
    ----------
    ask : callable
        One attempt.
    patience : Patience
    name : str
        URL of what is asked for, for the log.

    Raises
    ------
    AccessError
        If it fails for good, or in all attempts; :class:`ThrottledError` if the service kept asking for
        fewer requests.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + patience.most_seconds
    for attempt in range(1, patience.attempts + 1):
        try:
            return await ask()
        except Transient as failure:
            pause = patience.pause(attempt, failure.after, random.random())  # noqa: S311  no secret
            if attempt == patience.attempts or clock() + pause > end:
                later = f"; it asks to come back in {failure.after:.0f} s" if failure.after else ""
                raise type(failure.error)(f"{failure.error} (attempt {attempt}{later})") from None
            _logger.info("%s is asked for again in %.1f s: %s", scrub(name), pause, failure)
            await asyncio.sleep(pause)
    raise AssertionError(patience)  # the last attempt returns or raises


async def hedged(ask: Callable[[], Awaitable[T]], late: float, limit: float, room: asyncio.Semaphore) -> T:
    """Return the first answer to a request that is made twice if it is late.

    Parameters
    ----------
    ask : callable
    late, limit : float
        Seconds until the second request, and until both are given up.
    room : asyncio.Semaphore
        For second requests; without room there is none.

    Raises
    ------
    TimeoutError
        If nothing came in time; and whatever the last of the two raises.
    """
    first = asyncio.ensure_future(ask())
    try:
        await _done(first, min(late, limit))
        if first.done():
            return first.result()
        if room.locked() or late >= limit:
            return await _within(limit - late, {first})
        async with room:
            return await _within(limit - late, {first, asyncio.ensure_future(ask())})
    finally:
        first.cancel()


async def _done(task: asyncio.Future[T], seconds: float) -> None:
    """Wait until a task is done, or some seconds; as asyncio.wait does for any number of them, but sooner."""
    loop = asyncio.get_running_loop()
    woken = loop.create_future()

    def wake(_task: object = None) -> None:
        if not woken.done():
            woken.set_result(None)

    timer = loop.call_later(seconds, wake)
    task.add_done_callback(wake)
    try:
        await woken
    finally:
        timer.cancel()
        task.remove_done_callback(wake)


async def _within(seconds: float, running: set[asyncio.Future[T]]) -> T:
    """Return the first good result in some time; the others are cancelled."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                good = [task for task in done if task.exception() is None]
                if good or not running:
                    return (good or list(done))[0].result()
    finally:
        for task in running:
            task.cancel()
