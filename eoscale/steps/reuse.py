"""Reuse: which granules an earlier job, of another period or list, has read as this one would (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from eoscale.errors import CatalogError
from eoscale.model.granule import Granule
from eoscale.model.job import Job
from eoscale.model.period import Period
from eoscale.model.zone_map import Span

_EVER = (np.datetime64("1677-09-22", "ns"), np.datetime64("2262-04-11", "ns"))
"""What datetime64[ns] can say."""


@dataclass(frozen=True)
class Reuse:
    """What an earlier job has read as another one would.

    Parameters
    ----------
    job : Job
    earlier : Job
        That asks the same of each row, of the same region.
    span : (start, stop)
        Time of which both jobs think the same. A granule that goes on outside may have been cut.
    later : int
        By how many tiles the same cells lie later in the cube of the job.
    """

    job: Job
    earlier: Job
    span: Span
    later: int

    @classmethod
    def of(cls, job: Job, earlier: Job) -> Reuse | None:
        """Return what is common to two jobs, or None if that is nothing."""
        if job.question != earlier.question:
            return None
        start, stop = zip(job.recipe.span or _EVER, earlier.recipe.span or _EVER, strict=True)
        span = (max(start), min(stop))
        times = [axis for each in (job, earlier) for axis in each.axes if isinstance(axis, Period)]
        if not times:
            return cls(job, earlier, span, 0)
        return cls._along(job, earlier, span, *times)

    @classmethod
    def _along(cls, job: Job, earlier: Job, span: Span, mine: Period, its: Period) -> Reuse | None:
        """Return what is common to jobs with an axis of time."""
        first, last = max(mine.edges[0], its.edges[0]), min(mine.edges[-1], its.edges[-1])
        common = [each.edges[(each.edges >= first) & (each.edges <= last)] for each in (mine, its)]
        if job.cube.tile_shape != earlier.cube.tile_shape or not np.array_equal(*common):
            return None
        if common[0].size < 2 or common[0][0] != first or common[0][-1] != last:
            return None
        steps = int(np.searchsorted(mine.edges, first) - np.searchsorted(its.edges, first))
        if steps and job.cube.tile_shape[0] != 1:
            return None
        span = (max(span[0], first), min(span[1], last))
        return cls(job, earlier, span, steps * prod(job.cube.tile_grid[1:]))

    @cached_property
    def _granules(self) -> tuple[dict[str, Granule], dict[str, Granule]]:
        mine, its = ({one.id: one for one in each.granules} for each in (self.job, self.earlier))
        return mine, its

    def holds(self, name: str) -> bool:
        """Return whether what the earlier job read of the granule of an id is what this one would."""
        granule, then = (known.get(name) for known in self._granules)
        if granule is None or granule != then:
            return False
        if self.job.recipe.span == self.earlier.recipe.span and self.job.axes == self.earlier.axes:
            return True
        try:
            start, stop = self.job.interval(granule)
        except CatalogError:
            return False  # it states no time
        return bool(self.span[0] <= start and stop <= self.span[1])
