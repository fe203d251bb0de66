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


def provenance(job: Job) -> dict[str, Any]:
    """Return the CF and eoscale attributes of a store: the same for the same job, hence without a date."""
    product = job.product
    versions = sorted({granule.version for granule in job.granules} - {""})
    attributes: dict[str, Any] = {
        "Conventions": "CF-1.11",
        "title": job.recipe.title or f"Statistics of {product.name}",
        "source": f"{product.title}, version {', '.join(versions) or 'unknown'}",
        "references": product.citation,
        DIGEST: job.digest,
        "eoscale_version": version("eoscale"),
        "eoscale_product": product.name,
        "eoscale_recipe": json.dumps(job.recipe.words(without=_HOW), sort_keys=True),
        "eoscale_granules": [granule.id for granule in job.granules],
    }
    if job.region is not None:
        attributes["eoscale_region"] = shapely.to_geojson(job.region.outline())
    if job.preset is not None:
        attributes["eoscale_quality"] = f"{job.recipe.quality}: {job.preset.source}"
    return attributes
