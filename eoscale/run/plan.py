"""The plan: what will be read, computed and written, before any data is (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from eoscale.model.granule import GranuleList
from eoscale.model.job import Job
from eoscale.write.work import Batch

GRANULES_PER_BATCH = 8
"""A task costs the scheduler about as much as reading a small granule: share it among some."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a job is cut into tasks. Cutting it otherwise changes no bit of the result."""

    job: Job
    batches: tuple[Batch, ...] = field(repr=False)

    @cached_property
    def skipped(self) -> Mapping[str, int]:
        """How many granules are left out, by reason."""
        return dict(Counter(reason for _, reason in self.job.granules.dropped))

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables of the result."""
        return tuple(f"{name}_{statistic}" for name in self.job.columns for statistic in self.job.statistics)

    def facts(self) -> dict[str, str]:
        """Return the plan as lines for a person."""
        job, cube = self.job, self.job.cube
        shape = ", ".join(f"{dim} {size:,}" for dim, size in zip(cube.dims, cube.shape, strict=True))
        skipped = "; ".join(f"{number} {reason}" for reason, number in self.skipped.items())
        quality = f"{job.recipe.quality} ({job.preset.source})" if job.preset else "all rows"
        return {
            "title": job.recipe.title or f"Statistics of {job.product.name}",
            "product": job.product.title,
            "granules": f"{job.granules.found:,} found, {len(job.granules):,} to read",
            **({"skipped": skipped} if skipped else {}),
            "reads": f"{', '.join(job.columns)}; {_weight(job.granules)}",
            "region": repr(job.region) if job.region else "everywhere",
            "quality": quality,
            "tasks": f"{len(self.batches):,} batches of granules, {cube.tiles:,} tiles",
            "writes": f"{', '.join(self.variables)} on {shape}",
            "chunks": " x ".join(str(size) for size in cube.tile_shape),
            "job": job.digest[:16],
        }


def _weight(granules: GranuleList) -> str:
    """Return what whole granules weigh; how much of them is read shows only when they are indexed."""
    unknown = sum(granule.size == 0 for granule in granules)
    known = f"the granules weigh {granules.nbytes / 1e6:,.1f} MB in all"
    return f"{known}, without {unknown:,} of unknown size" if unknown else known


def cut(job: Job, *, granules_per_batch: int = GRANULES_PER_BATCH) -> Plan:
    """Return how a job is cut into tasks.

    Parameters
    ----------
    job : Job
    granules_per_batch : int
        At most so many, and at most the recipe's ``batch_bytes`` together, but always one.
    """
    batches: list[Batch] = []
    start = nbytes = 0
    for position, granule in enumerate(job.granules):
        full = position - start >= granules_per_batch or nbytes + granule.size > job.recipe.batch_bytes
        if position > start and full:
            batches.append((start, position))
            start, nbytes = position, 0
        nbytes += granule.size
    if len(job.granules) > start:
        batches.append((start, len(job.granules)))
    return Plan(job=job, batches=tuple(batches))
