"""A tracing store: which chunks of which files were asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from eoscale.access import ranges
from eoscale.access.spans import Cost
from eoscale.model.chunk_index import UNALLOCATED, ChunkIndex


@dataclass
class Trace:
    """How often each range of a file was asked for in this process."""

    asked: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    """By URL, offset and size; not what lies between two ranges that were fetched together."""

    def chunks(self, index: ChunkIndex) -> dict[str, list[int]]:
        """Return how often each chunk of the variables of an index was read, zero included, by path."""
        return {
            path: [
                self.asked[index.url, int(offset), int(size)]
                for offset, size in zip(dataset.offsets.flat, dataset.sizes.flat, strict=True)
                if offset != UNALLOCATED
            ]
            for path, dataset in index.datasets.items()
        }


@contextmanager
def tracing() -> Iterator[Trace]:
    """Record every range that this process asks for; they are read as ever."""
    trace = Trace()
    deliver = ranges.deliver

    def traced(
        url: str,
        etag: str,
        offsets: NDArray[np.int64],
        sizes: NDArray[np.int64],
        take: Callable[[Mapping[int, memoryview]], None],
    ) -> Coroutine[Any, Any, Cost]:
        trace.asked.update(zip([url] * len(offsets), offsets.tolist(), sizes.tolist(), strict=True))
        return deliver(url, etag, offsets, sizes, take)

    with patch.object(ranges, "deliver", traced):
        yield trace
