"""Groups: the beams of a granule that hold all that a job asks for."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from eoscale.errors import CorruptGranuleError, MissingVariableError, RecipeError
from eoscale.hdf5.index import siblings
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.granule import Granule
from eoscale.model.job import Job


def groups(job: Job, chunks: ChunkIndex) -> tuple[str, ...]:
    """Return the groups of a granule that hold all that a job asks for (pure)."""
    return tuple(g for g in job.product.groups if all(f"{g}/{p}" in chunks.datasets for p in job.paths))


def demanded(job: Job, granule: Granule, chunks: ChunkIndex) -> tuple[str, ...]:
    """Return these groups, if they can be read as rows.

    Raises
    ------
    MissingVariableError
        If there are beams, and none with everything that is asked for.
    CorruptGranuleError
        If variables of one rate have different numbers of rows.
    RecipeError
        If a variable is no column of numbers.
    """
    found = groups(job, chunks)
    _demand_variables(job, granule, chunks, found)
    _demand_columns(job, chunks, found)
    return found


def _demand_variables(job: Job, granule: Granule, chunks: ChunkIndex, found: Sequence[str]) -> None:
    present = [g for g in job.product.groups if f"{g}/{job.coordinates[0]}" in chunks.datasets]
    if present and not found:
        lacking = [path for path in job.paths if f"{present[0]}/{path}" not in chunks.datasets]
        near = get_close_matches(
            lacking[0].rpartition("/")[2], siblings(granule, f"{present[0]}/{lacking[0]}"), n=3
        )
        raise MissingVariableError(
            f"no group holds {', '.join(lacking)}"
            + (f"; did you mean {', '.join(near)}?" if near else "")
            + ": leave it out, or give another version of the product",
            granule=chunks.granule,
            url=chunks.url,
        )


def _demand_columns(job: Job, chunks: ChunkIndex, found: Sequence[str]) -> None:
    for group in found:
        datasets = {path: chunks.datasets[f"{group}/{path}"] for path in job.paths}
        for path, dataset in datasets.items():
            if len(dataset.shape) != 1 or dataset.dtype.kind not in "iufb":
                raise RecipeError(
                    f"{path} has shape {dataset.shape} and type {dataset.dtype}: expected one number a row"
                )
        if len({dataset.shape for dataset in datasets.values()}) > 1:
            told = ", ".join(f"{path} {dataset.shape}" for path, dataset in datasets.items())
            raise CorruptGranuleError(
                f"{group} has columns of different lengths ({told}): fetch it anew",
                granule=chunks.granule,
                url=chunks.url,
            )
