"""One granule by itself."""

from __future__ import annotations

from collections.abc import Iterable

from eoscale.model.granule import Granule
from eoscale.model.job import Job
from eoscale.steps.observe import Observations, observations


def observe(job: Job, granule: Granule, *, columns: Iterable[str] | None = None) -> Observations:
    """Return the observations that a job wants of one granule, or raise why there are none."""
    ((_, seen),) = observations(job, [granule], columns=columns)
    if not isinstance(seen, Observations):
        raise seen
    return seen
