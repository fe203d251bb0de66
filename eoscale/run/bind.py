"""From a recipe to a job: everything that is looked up, is looked up here, once, on the client."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eoscale.catalog.choice import catalog
from eoscale.catalog.duplicates import Policy
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.errors import RecipeError
from eoscale.model.granule import GranuleList
from eoscale.model.job import Job
from eoscale.model.product import Product
from eoscale.model.recipe import Recipe
from eoscale.model.region import Region
from eoscale.model.vocabulary import Crossing, Search, Synthetic
from eoscale.products import product


def granules_of(recipe: Recipe) -> GranuleList:
    """Return the granule list of a recipe.

    Raises
    ------
    RecipeError, CatalogError, AccessError
        As :func:`bind`.
    """
    known, region = _product(recipe), _region(recipe)
    return _listed(recipe, None, known, region)


def bind(recipe: Recipe, granules: GranuleList | str | None = None, *, sample: int | None = None) -> Job:
    """Return the job of a recipe.

    Parameters
    ----------
    recipe : Recipe
    granules : GranuleList or str, optional
        Instead of the recipe's own: a list, or a glob, text file of URLs or saved list.
    sample : int, optional
        Only so many granules, spread evenly over the list; the others count as dropped.

    Raises
    ------
    RecipeError
        If product, region, variables or axes cannot be, or there is no catalogue of the product.
    CatalogError
        If the granules cannot be listed, or are not all listed.
    AccessError
        If their catalogue cannot be reached.
    """
    known, region = _product(recipe), _region(recipe)
    if not recipe.columns:
        raise RecipeError("`variables` is missing: say what to read, e.g. [h_li]")
    for name in recipe.columns.values():
        known.path(name)  # what cannot be read is not searched for
    recipe.span  # noqa: B018  nor what is not clipped
    listed = _listed(recipe, granules, known, region)
    if sample is not None:
        listed = _sampled(listed, sample)
    return Job(recipe=recipe, product=known, region=region, granules=listed)


def _product(recipe: Recipe) -> Product:
    return recipe.product if isinstance(recipe.product, Product) else product(recipe.product)


def _listed(
    recipe: Recipe, given: GranuleList | str | None, known: Product, region: Region | None
) -> GranuleList:
    query = Query(product=known, search=_search(recipe), period=recipe.searched, region=region)
    return Policy(product=known, rule=recipe.duplicates).settle(_granules(recipe, given, query))


def _search(recipe: Recipe) -> Search:
    """Return the words of a search, in which a file of orbits is found wherever this runs."""
    rgt = recipe.search.rgt
    if not isinstance(rgt, Crossing) or rgt.orbits is None:
        return recipe.search
    near = rgt.model_copy(update={"orbits": recipe.beside(rgt.orbits)})
    return recipe.search.model_copy(update={"rgt": near})


def _region(recipe: Recipe) -> Region | None:
    area = recipe.region
    if area is None:
        return None
    return Region.of(recipe.beside(area) if isinstance(area, str) else area)


def _granules(recipe: Recipe, given: GranuleList | str | None, query: Query) -> GranuleList:
    if isinstance(given, GranuleList):
        return given
    if given is not None:
        return Listing([given]).search(query)
    match recipe.granules:
        case None:
            return catalog(query).search(query)
        case Synthetic(synthetic=number, seed=seed):
            from eoscale import synthetic  # noqa: PLC0415  brings h5py, without which all others do

            folder = Path(recipe.output.path if recipe.output else "eoscale").with_suffix(".granules")
            paths = synthetic.make(
                query.product, number, folder=folder, seed=seed, region=query.region, period=recipe.span
            )
            return Listing([str(path) for path in paths]).search(query)
        case str(place):
            return Listing([recipe.beside(place)]).search(query)
        case places:
            return Listing([recipe.beside(place) for place in places]).search(query)


def _sampled(granules: GranuleList, number: int) -> GranuleList:
    if number < 1:
        raise RecipeError(f"a sample of {number} granules: expected at least 1")
    chosen = np.linspace(0, len(granules) - 1, min(number, len(granules))).round().astype(int)
    return granules.keep(set(chosen.tolist()), reason="not in the sample")
