"""Runs: a recipe bound, planned, executed on a cluster, accounted for and published."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import PurePosixPath

import pandas as pd
import xarray as xr
from distributed import Client

from eoscale.access import checkup
from eoscale.catalog.routes import routed
from eoscale.errors import ConflictError, IncompleteRunError, RecipeError
from eoscale.hdf5.index import known
from eoscale.model.granule import GranuleList
from eoscale.model.recipe import Recipe
from eoscale.model.vocabulary import Output
from eoscale.run import ledger as ledgers
from eoscale.run.bind import bind
from eoscale.run.cluster import connected
from eoscale.run.execute import execute
from eoscale.run.ledger import Ledger
from eoscale.run.plan import Plan, cut
from eoscale.run.policy import may_fail
from eoscale.run.progress import Watcher, shown
from eoscale.steps.expect import expected
from eoscale.write import places, publish, repository
from eoscale.write.claims import claimed
from eoscale.write.places import Place, PlaceLike, place
from eoscale.write.published import open_published
from eoscale.write.work import Work

BYTES_PER_SECOND = 20e6
"""Of one worker, to say about how long a run reads; by far not the fastest."""
MOST_WEIGHED = 1000
"""Granules of a plan that says what will be read of them: looking up an index takes some milliseconds."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A published output."""

    output: Place
    ledger: Ledger
    fresh: bool
    """False where the same job had been published before, so that nothing was done."""

    def open(self) -> xr.Dataset:
        """Return statistics as a dataset, read lazily."""
        found = open_published(self.output)
        if not isinstance(found, xr.Dataset):
            raise RecipeError(f"{self.output} holds observations: read it by `table`")
        return found

    def table(self) -> pd.DataFrame:
        """Return observations as a frame; of a Parquet file, as a GeoDataFrame."""
        found = open_published(self.output)
        if isinstance(found, xr.Dataset):
            raise RecipeError(f"{self.output} holds statistics: read it by `open`")
        return found


def prepare(
    recipe: Recipe | str | PathLike[str],
    *,
    granules: GranuleList | str | None = None,
    sample: int | None = None,
) -> Plan:
    """Return the plan of a recipe: what would be read, computed and written, before any data is.

    Parameters
    ----------
    recipe : Recipe or path
    granules : GranuleList or str, optional
        Instead of the recipe's own.
    sample : int, optional
        Only so many granules, spread evenly.

    Raises
    ------
    RecipeError, CatalogError
    """
    analysis = recipe if isinstance(recipe, Recipe) else Recipe.from_file(recipe)
    if analysis.output is not None and analysis.output.icechunk:
        target(analysis)  # says so if a package is missing for it
    job = bind(analysis, granules, sample=sample)
    found, routes = routed(job.granules)
    job = replace(job, granules=found)
    weighed = len(job.granules) <= MOST_WEIGHED
    reads = expected(job, known(tuple(job.granules), job.full_paths)) if weighed else None
    exact = reads is not None and reads.requests and not reads.unknown
    nbytes = reads.bytes if reads is not None and exact else job.granules.nbytes
    logins = checkup.ending((granule.url for granule in found), nbytes / BYTES_PER_SECOND)
    said = {"routes": routes, "login": logins}
    return cut(job, said={name: fact for name, fact in said.items() if fact}, expected=reads)


def run(
    recipe: Recipe | str | PathLike[str] | Plan,
    *,
    output: PlaceLike | None = None,
    granules: GranuleList | str | None = None,
    cluster: str | Client = "local",
    workers: int | None = None,
    work: PlaceLike | None = None,
    watcher: Watcher | None = None,
) -> Result:
    """Run a recipe and publish its result.

    A script that uses a local cluster calls this under ``if __name__ == "__main__":``, as for every
    library that starts processes.

    Parameters
    ----------
    recipe : Recipe, path or Plan
    output : path or URL, optional
        Instead of the recipe's own, which is relative to the current folder.
    granules : GranuleList or str, optional
        Instead of the recipe's own; a plan has its granules already.
    cluster : str or distributed.Client
        ``local``, an address, or a client.
    workers : int, optional
        Of a local cluster; one a processor unless given.
    work : path or URL, optional
        Folder for what tasks leave for one another, which is kept; unless given ``<output>.work``, which
        is removed after publication. A run that was interrupted goes on from what lies there, and a run of
        a longer period or list from what the shorter one left.
    watcher : Watcher, optional
        Hears of progress; bars or lines on standard error unless given.

    Returns
    -------
    Result

    Raises
    ------
    RecipeError, CatalogError
        Before anything is read.
    ConflictError
        If something else is at the output, or another job is making it.
    IncompleteRunError
        If more granules failed than may, or no row was binned: nothing is published, the ledger says why.
    RunError
        If workers died, or counts do not reconcile.
    """
    planned = recipe if isinstance(recipe, Plan) else prepare(recipe, granules=granules)
    job = planned.job
    result = target(job.recipe, output)
    path = place(result.path)
    beside = ledgers.beside(path)
    shared = Work(folder=str(place(work) if work else publish.work_of(path)), digest=job.digest)
    with ExitStack() as stack:
        stack.enter_context(claimed(path, job.digest))
        if result.icechunk:
            # an attempt at another job that was not published has put its own ledger there
            fresh = repository.check_free(path, job.digest) or _maker(beside) != job.digest
        else:
            fresh = publish.check_free(path, job.digest, known=_maker(beside), begun=shared.begun())
        if fresh:
            client = stack.enter_context(connected(cluster, workers=workers))
            seen = watcher or stack.enter_context(shown())
            execute(planned, result, client, work=shared, watcher=seen)
        # attempts that were killed left these; while the claim is held nobody else is at work on them
        for sibling in publish.siblings(path):
            places.remove(sibling)
        if work is None:
            # a folder that was named may serve another run of the same job
            shared.remove()
        ledger = Ledger.load(beside)
        failed = ledger.counts()["failed"]
        if failed > may_fail(job.recipe, len(job.granules)):
            raise ConflictError(
                f"{path} was published without {failed} granules that failed, more than this recipe allows: "
                "choose another output"
            )
        return Result(output=path, ledger=ledger, fresh=fresh)


def _maker(ledger: Place) -> str:
    """Return the digest of the job that a ledger says was published."""
    try:
        return Ledger.load(ledger).job
    except IncompleteRunError:
        return ""


def target(recipe: Recipe, output: PlaceLike | None = None) -> Output:
    """Return where the result of a recipe goes, as an absolute path or URL, and in which form.

    Parameters
    ----------
    recipe : Recipe
    output : path, optional
        Instead of the recipe's own. The result takes the form that the ending of the path names, else the
        recipe's.

    Raises
    ------
    RecipeError
        If nobody says where, or nothing can be written there, or a package is missing for it.
    """
    stated = recipe.output
    path = str(output) if output is not None else stated.path if stated else ""
    if not path:
        raise RecipeError("`output` is missing: say where the result goes, e.g. {zarr: out.zarr}")
    kind: str | None = stated.kind if stated else None
    forms: tuple[str, ...] = ("parquet", "csv", "json")
    if recipe.reduce:
        kind, forms = "icechunk" if stated and stated.icechunk else "zarr", ("zarr", "icechunk")
    ending = PurePosixPath(path).suffix.lstrip(".")
    if output is not None and ending in forms:
        kind = ending
    if kind is None:
        raise RecipeError(f"output {path}: observations go to a .parquet, .csv or .json file")
    found = Output(**{kind: str(place(path))})
    if found.icechunk:
        repository.require(place(path), recipe.zarr_format)
    return found


__all__ = ["Ledger", "Plan", "Result", "prepare", "run", "target"]
