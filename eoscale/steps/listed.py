"""Granules that a user names in any way, as a list, with the product that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TypeAlias

from eoscale.catalog.listing import Listing
from eoscale.catalog.routes import routed
from eoscale.catalog.search import Query
from eoscale.errors import CatalogError
from eoscale.model.granule import GranuleList
from eoscale.model.product import Product
from eoscale.products import REGISTRY
from eoscale.products import product as registered
from eoscale.steps.searched import by_name

Granules: TypeAlias = GranuleList | str | PathLike[str] | Sequence[object]
"""A granule list; or paths, globs, text files of URLs, saved lists, items, results of earthaccess, one or
several; or the name of a granule in its catalogue."""


def listed(granules: Granules, product: str | Product | None = None) -> tuple[Product, GranuleList]:
    """Return the product of granules, and the granules as a list.

    Parameters
    ----------
    granules : GranuleList, str, path, or sequence of them
    product : str or Product, optional
        Needed where file names do not tell.

    Raises
    ------
    CatalogError
        If there are no granules, or of several products.
    RecipeError
        If the product is not known.
    """
    known, found = _listed(granules, product)
    return known, routed(found)[0]


def _listed(granules: Granules, product: str | Product | None) -> tuple[Product, GranuleList]:
    if isinstance(granules, GranuleList):
        names = sorted({granule.product for granule in granules})
        if not names:
            raise CatalogError("the granule list is empty: there is nothing to open")
        if product is None and len(names) > 1:
            raise CatalogError(f"there are granules of {', '.join(names)}: open one product at a time")
        return _known(product or names[0]), granules
    if isinstance(granules, str) and product is None and (one := by_name(granules)):
        return one
    listing = Listing([granules] if isinstance(granules, str | PathLike) else granules)
    if product is not None:
        known = _known(product)
        return known, listing.search(Query(product=known))
    return listing.among(REGISTRY.values())


def _known(product: str | Product) -> Product:
    return product if isinstance(product, Product) else registered(product)
