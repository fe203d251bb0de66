"""Choice: which catalogue answers a query."""

from __future__ import annotations

import re

from eoscale.catalog.cmr.catalogue import Cmr
from eoscale.catalog.odata.catalogue import OData
from eoscale.catalog.search import Catalog, Query
from eoscale.errors import RecipeError

_OF_CMR = re.compile(r"[A-Z][A-Z0-9_]+")
"""A provider of CMR: NSIDC_CPRD, LPCLOUD."""


def catalog(query: Query) -> Catalog:
    """Return the catalogue that a query names, or the one that knows its product.

    Raises
    ------
    RecipeError
        If it names none that there is, or none knows the product.

    Examples
    --------
    >>> from eoscale.products import ATL06, OL_1_EFR
    >>> catalog(Query(product=ATL06)), catalog(Query(product=OL_1_EFR))
    (Cmr(provider='', page_size=2000), OData())
    """
    known = query.product.catalogued
    name = query.search.provider or (known[0].provider if known else "")
    if name == "cmr":
        return Cmr()
    if name == "cdse":
        return OData()
    if name == "maap" or name.startswith(("https://", "http://")):
        from eoscale.catalog.stac.catalogue import Stac, maap  # noqa: PLC0415  brings pystac, for these alone

        return maap() if name == "maap" else Stac(address=name.rstrip("/"))
    if _OF_CMR.fullmatch(name):
        return Cmr(provider=name)
    if not name:
        raise RecipeError(
            f"no catalogue is known for {query.product.name}: name one by `search: {{provider: …}}`, or give "
            "`granules` or --granules"
        )
    raise RecipeError(
        f"there is no provider {name!r}: expected cmr, maap, cdse, the address of a STAC API, or a provider "
        "of CMR such as NSIDC_CPRD"
    )
