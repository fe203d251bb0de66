"""Provenance: the attributes of a store that say what it is made of."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import shapely

from eoscale.model.job import Job

DIGEST = "eoscale_job"
"""Attribute of a published store: the digest of the job that made it."""
FACTS = b"eoscale"
"""Key of what eoscale says of a Parquet file in the metadata of its schema."""
_HOW = ("output", "granules", "batch_bytes", "on_error", "max_failed", "allow_empty")
"""Words of a recipe that say where and how, not what; the granules have an attribute of their own."""


def source_of(job: Job, *, without: Container[str] = ()) -> dict[str, str]:
    """Return the CF attributes of anything made from the granules of a job, but for those of some ids."""
    versions = sorted({granule.version for granule in job.granules if granule.id not in without} - {""})
    return {
        "Conventions": "CF-1.11",
        "source": f"{job.product.title}, version {', '.join(versions) or 'unknown'}",
        "references": job.product.citation,
    }


def provenance(job: Job, excluded: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """Return the CF and eoscale attributes of a result: the same for the same granules, hence without a date.

    Parameters
    ----------
    job : Job
    excluded : mapping of str to str, optional
        Id of each granule that failed and was left out, to type and text of its error. ``eoscale_excluded``
        holds it as JSON text, where there is any, and ``eoscale_granules`` names the others.

    Returns
    -------
    dict
        Texts, and a list of texts: what Zarr, Parquet and netCDF keep as it is.
    """
    kind = "Observations" if job.recipe.reduce is None else "Statistics"
    attributes: dict[str, Any] = {
        **source_of(job, without=excluded),
        "title": job.recipe.title or f"{kind} of {job.product.name}",
        DIGEST: job.digest,
        "eoscale_version": version("eoscale"),
        "eoscale_product": job.product.name,
        "eoscale_recipe": json.dumps(job.recipe.words(without=_HOW), sort_keys=True),
        "eoscale_granules": [granule.id for granule in job.granules if granule.id not in excluded],
    }
    if job.granules.truncated:
        attributes["eoscale_truncated"] = "the catalogue has more granules than were asked for"
    if excluded:
        attributes["eoscale_excluded"] = json.dumps(dict(excluded), sort_keys=True)
    if job.region is not None:
        attributes["eoscale_region"] = shapely.to_geojson(job.region.outline())
    if job.preset is not None:
        attributes["eoscale_quality"] = f"{job.recipe.quality}: {job.preset.source}"
    if job.where is not None:
        attributes["eoscale_where"] = job.where.text
    return attributes
