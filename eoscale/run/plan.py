"""The plan: what will be read, computed and written, before any data is (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from eoscale.model.columns import BEAM, GRANULE, LATITUDE, LONGITUDE, TIME
from eoscale.model.granule import GranuleList
from eoscale.model.job import Job
from eoscale.steps import batches
from eoscale.steps.batches import GRANULES_PER_BATCH
from eoscale.steps.expect import Expected
from eoscale.write.work import Batch


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a job is cut into tasks. Cutting it otherwise changes no bit of the result."""

    job: Job
    batches: tuple[Batch, ...] = field(repr=False)
    expected: Expected | None = None
    """What will be read, where it has been looked up."""
    said: Mapping[str, str] = field(default_factory=dict)
    """What was looked up beside: by which of several routes granules are read, and which logins end."""

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
        job = self.job
        skipped = "; ".join(f"{number} {reason}" for reason, number in self.skipped.items())
        quality = f"{job.recipe.quality} ({job.preset.source})" if job.preset else "all rows"
        kind = "Observations" if job.recipe.reduce is None else "Statistics"
        return {
            "title": job.recipe.title or f"{kind} of {job.product.name}",
            "product": job.product.title,
            "granules": f"{job.granules.found:,} found, {len(job.granules):,} to read",
            **({"skipped": skipped} if skipped else {}),
            **({"truncated": "yes: the catalogue has more than max_items"} if job.granules.truncated else {}),
            "reads": f"{', '.join(job.columns)}; {_weight(job.granules, self.expected)}",
            **self.said,
            **({"memory": _memory(self.expected)} if self.expected and self.expected.requests else {}),
            "region": repr(job.region) if job.region else "everywhere",
            "quality": quality,
            **({"where": str(job.where)} if job.where else {}),
            **self._result(),
            "job": job.digest[:16],
        }

    def _result(self) -> dict[str, str]:
        read = f"{len(self.batches):,} batches of granules"
        if self.job.recipe.reduce is None:
            columns = ", ".join([GRANULE, BEAM, TIME, LONGITUDE, LATITUDE, *self.job.columns])
            return {"tasks": f"{read}, then parts of the table", "writes": f"a row an observation: {columns}"}
        cube = self.job.cube
        shape = ", ".join(f"{dim} {size:,}" for dim, size in zip(cube.dims, cube.shape, strict=True))
        return {
            "tasks": f"{read}, {cube.tiles:,} tiles",
            "writes": f"{', '.join(self.variables)} on {shape}",
            "chunks": " x ".join(str(size) for size in cube.tile_shape),
        }


def _weight(granules: GranuleList, expected: Expected | None) -> str:
    """Return what will be read; what whole granules weigh, where none of them is indexed."""
    if expected is not None and expected.requests:
        indexed = f"{expected.requests:,} requests, {expected.bytes / 1e6:,.1f} MB"
        if not expected.unknown:
            return indexed if expected.exact else f"at most {indexed}"
        return (
            f"at most {indexed}, without the requests of {expected.unknown:,} granules that are not indexed"
        )
    unknown = sum(granule.size == 0 for granule in granules)
    known = f"the granules weigh {granules.nbytes / 1e6:,.1f} MB in all"
    return f"{known}, without {unknown:,} of unknown size" if unknown else known


def _memory(expected: Expected) -> str:
    return f"a thread of a worker holds at most {expected.memory / 1e6:,.0f} MB"


def cut(
    job: Job,
    *,
    granules_per_batch: int = GRANULES_PER_BATCH,
    expected: Expected | None = None,
    said: Mapping[str, str] | None = None,
) -> Plan:
    """Return how a job is cut into tasks, as :func:`eoscale.steps.batches.cut` says."""
    cut_up = batches.cut(job, granules_per_batch=granules_per_batch)
    return Plan(job=job, batches=cut_up, expected=expected, said=said or {})
