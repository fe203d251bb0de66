"""Pace: how a host answers, so that late answers are known, and what to ask it for can be chosen."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

AT_ONCE = 256
"""Requests that a process has in flight, if it may have as many files open.

What is known to lie in hundreds of places is asked for at once: it takes hardly longer where answers are long
in coming.
"""
_REQUEST_SECONDS, _BYTE_SECONDS = 3e-4, 1e-9
"""Of a processor, that a request and a byte of an answer take."""
_FRESH = 8
"""Answers that are needed to say what is late, and after which it is said anew."""
_SMALL = 2**17
"""Bytes, up to which an answer takes as long as its first byte does, or little more."""


class Link(NamedTuple):
    """What the way to a host allows, as far as its answers have shown."""

    latency: float = 0.03
    """Seconds until the first byte of an answer."""
    bandwidth: float = 80e6
    """Bytes a second over one connection."""

    @property
    def request_seconds(self) -> float:
        """What a request takes of what all requests of a process share: its processor, and connections."""
        return _REQUEST_SECONDS + self.latency / AT_ONCE

    @property
    def byte_seconds(self) -> float:
        """What a byte of an answer takes of the same."""
        return _BYTE_SECONDS + 1 / (self.bandwidth * AT_ONCE)


@dataclass
class Pace:
    """How long the answers of one host took lately."""

    floor_seconds: float = 1.0
    """No answer is late before."""
    _lately: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=64))
    """Seconds and bytes."""
    _late: float | None = None
    """What is late by the answers so far, if that has been looked at."""
    _new: int = 0
    """Answers since."""

    def record(self, seconds: float, nbytes: int = 0) -> None:
        """Take note of an answer."""
        self._lately.append((seconds, nbytes))
        self._new += 1
        # all that is asked for at once asks what is late: that need not change with each answer
        if self._new >= _FRESH or len(self._lately) < _FRESH:
            self._late, self._new = None, 0

    @property
    def late(self) -> float:
        """Seconds after which an answer is worth a second request: thrice what nine of ten take.

        Examples
        --------
        >>> pace = Pace()
        >>> for _ in range(20):
        ...     pace.record(2.0)
        >>> pace.late
        6.0
        """
        if len(self._lately) < _FRESH:
            return 5 * self.floor_seconds
        if self._late is None:
            ordered = sorted(seconds for seconds, _ in self._lately)
            self._late = max(self.floor_seconds, 3 * ordered[len(ordered) * 9 // 10])
        return self._late

    @property
    def link(self) -> Link:
        """What the best of these answers show; where there are none, what a bucket in the region allows.

        The best, since all others waited for something else too: this process, or a busy server.

        Examples
        --------
        >>> pace = Pace()
        >>> pace.record(0.5)
        >>> pace.record(1.5, 50_000_000)
        >>> pace.link
        Link(latency=0.5, bandwidth=50000000.0)
        """
        usual = Link()
        latency = min(
            (seconds for seconds, nbytes in self._lately if nbytes <= _SMALL), default=usual.latency
        )
        rates = [nbytes / max(seconds - latency, 1e-6) for seconds, nbytes in self._lately if nbytes > _SMALL]
        return Link(latency, max(rates, default=usual.bandwidth))
