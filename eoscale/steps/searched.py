"""Searching: a granule list from whatever catalogue knows the product."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import ValidationError

from eoscale.catalog import naming
from eoscale.catalog.choice import catalog
from eoscale.catalog.duplicates import Policy
from eoscale.catalog.odata import catalogue as odata
from eoscale.catalog.search import Query
from eoscale.errors import CatalogError, RecipeError
from eoscale.model.granule import GranuleList
from eoscale.model.product import Product
from eoscale.model.recipe import moments
from eoscale.model.recipe_faults import explain
from eoscale.model.region import Region
from eoscale.model.vocabulary import Duplicates, Search
from eoscale.products import REGISTRY
from eoscale.products import product as registered

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Of products at Copernicus."""


def search(
    product: str | Product,
    *,
    region: object = None,
    period: Sequence[object] | None = None,
    duplicates: Literal["newest", "keep"] | Duplicates = "newest",
    **words: object,
) -> GranuleList:
    """Return the granules of a product that its catalogue has, all of them or an error.

    Parameters
    ----------
    product : str or Product
    region : optional
        Anything that :meth:`Region.of` takes.
    period : (start, stop), optional
        UTC, half-open; None for an open end.
    duplicates : str or Duplicates
        Of several versions or copies of one observation, which to keep.
    **words
        As a recipe has them under ``search``: ``version``, ``provider``, ``collections``, ``concept_id``,
        ``name``, ``filter``, ``frame``, ``orbit``, ``rgt``, ``cycle``, ``cloud_hosted``, ``timeliness``,
        ``max_items``.

    Returns
    -------
    GranuleList
        What is not wanted of what was found is in ``dropped``, each with its reason.

    Raises
    ------
    RecipeError
        If a word is unknown, has a wrong value, or is not for this product or catalogue.
    CatalogError
        If the catalogue refuses the question, or does not know the collection.
    IncompleteSearchError
        If it gave other granules than it counts.
    AccessError
        If it cannot be reached.

    Examples
    --------
    >>> search("ATL06", region=(-51, 68, -47, 71), versoin="006")
    Traceback (most recent call last):
    eoscale.errors.RecipeError: `versoin` is no word of a recipe; did you mean version?
    """
    try:
        asked = Search.model_validate(words)
        span = None if period is None else moments(period)
    except ValidationError as error:
        raise RecipeError(explain(error, Search, words, {})) from None
    except ValueError as error:
        raise RecipeError(f"the period {error}") from None
    query = Query(
        product=product if isinstance(product, Product) else registered(product),
        region=None if region is None else Region.of(region),
        period=span,
        search=asked,
    )
    return find(query, duplicates)


def by_name(name: str) -> tuple[Product, GranuleList] | None:
    """Return the granule that a catalogue has under a name, or under an id of Copernicus, with its product.

    Parameters
    ----------
    name : str
        Of a granule, without what says in which form it is, but ``.SEN3``.

    Returns
    -------
    (Product, GranuleList) or None
        None of what may be a path, a URL or a glob, or the name of another product's granule.

    Raises
    ------
    CatalogError
        If there is no such granule.
    AccessError
        If the catalogue cannot be reached.
    """
    told = odata.name_of(name) if _ID.fullmatch(name) else name
    stem = told.removesuffix(odata.ENDING)
    known = next((each for each in REGISTRY.values() if each.pattern.fullmatch(stem)), None)
    start = None if known is None else naming.named(known, stem).start
    if known is None or start is None:
        return None
    second, longest = np.timedelta64(1, "s"), np.timedelta64(round(known.longest), "s")
    query = Query(product=known, period=(start - second, start + longest), search=Search(name=(stem,)))
    found = find(query, "keep")
    if not found:
        raise CatalogError(f"the catalogue of {known.name} has no granule {stem}, and it is no path here")
    return known, found


def find(query: Query, duplicates: Literal["newest", "keep"] | Duplicates = "newest") -> GranuleList:
    """Return what the catalogue of a query has, one granule for each observation, as :func:`search`."""
    return Policy(product=query.product, rule=duplicates).settle(catalog(query).search(query))
