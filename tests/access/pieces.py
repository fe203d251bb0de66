"""Ranges for tests, which are no coroutines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eoscale.access import loop, ranges
from eoscale.access.head import Head
from eoscale.access.spans import Cost


def head(url: str) -> Head:
    """Return size and version of an object."""
    return loop.run(ranges.head(url))


def read(
    url: str, etag: str, offsets: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[list[memoryview], Cost]:
    """Return the bytes of each range in the order given, and what they cost."""
    pieces: dict[int, memoryview] = {}
    cost = loop.run(ranges.deliver(url, etag, offsets, sizes, pieces.update))
    return [pieces[number] for number in range(len(offsets))], cost
