"""Provenance: the attributes of a store that say what it is made of."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

import shapely

from eoscale.model.job import Job
from eoscale.write.publish import DIGEST

_HOW = ("output", "granules", "batch_bytes", "on_error")
"""Words of a recipe that say where and how, not what; the granules have an attribute of their own."""


def source_of(job: Job) -> dict[str, str]:
    """Return the CF attributes of anything made from the granules of a job."""
    versions = sorted({granule.version for granule in job.granules} - {""})
    return {
        "Conventions": "CF-1.11",
        "source": f"{job.product.title}, version {', '.join(versions) or 'unknown'}",
        "references": job.product.citation,
    }


def provenance(job: Job) -> dict[str, Any]:
    """Return the CF and eoscale attributes of a store: the same for the same job, hence without a date."""
    kind = "Observations" if job.recipe.reduce is None else "Statistics"
    attributes: dict[str, Any] = {
        **source_of(job),
        "title": job.recipe.title or f"{kind} of {job.product.name}",
        DIGEST: job.digest,
        "eoscale_version": version("eoscale"),
        "eoscale_product": job.product.name,
        "eoscale_recipe": json.dumps(job.recipe.words(without=_HOW), sort_keys=True),
        "eoscale_granules": [granule.id for granule in job.granules],
    }
    if job.region is not None:
        attributes["eoscale_region"] = shapely.to_geojson(job.region.outline())
    if job.preset is not None:
        attributes["eoscale_quality"] = f"{job.recipe.quality}: {job.preset.source}"
    if job.where is not None:
        attributes["eoscale_where"] = job.where.text
    return attributes
