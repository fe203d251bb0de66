"""STAC APIs as catalogues: ESA MAAP, and any other whose address is given.

ESA MAAP is searched by GET and in named collections, with a filter in CQL2 text whose words are not the
properties of its items (https://catalog.maap.eo.esa.int/doc/stac.html). Others know no common word for the
type of a product: there it is the name of a granule that tells, and what a user writes as a filter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
from pystac_client import ItemSearch

from eoscale.access import endpoints, services
from eoscale.catalog.duplicates import settled
from eoscale.catalog.search import Query, demand_version
from eoscale.catalog.stac import items
from eoscale.catalog.stac.pages import Key, Pages
from eoscale.errors import CatalogError, ForbiddenError, IncompleteSearchError, RecipeError, scrub
from eoscale.model.granule import Granule, GranuleList
from eoscale.model.region import Region

_RESTRICTED = re.compile(r"InstChecked|Products")
"""Collections of ESA MAAP that are not open to all."""


@dataclass(frozen=True, kw_only=True)
class Stac:
    """A STAC API that answers searches for items.

    Examples
    --------
    >>> from eoscale.model.vocabulary import Search
    >>> from eoscale.products import product
    >>> query = Query(product=product("ATL_FM__2A"), search=Search(frame="E", orbit=(6000, 6001)),
    ...               region=Region.from_bbox(0, -20, 10, -10))
    >>> maap().asked(query)[0]["filter"]
    "productType = 'ATL_FM__2A' and frame = 'E' and (orbitNumber = 6000 or orbitNumber = 6001)"
    """

    address: str
    """Where ``search`` is below."""
    collections: tuple[str, ...] = ()
    """To search in, where a query names none."""
    page: int = 100
    """Items that are asked for at once."""

    def search(self, query: Query) -> GranuleList:
        """Return all granules whose items the API finds; dropped are those not wanted and those without data.

        Raises
        ------
        RecipeError
            If ESA MAAP is to be searched, and no collection is known.
        CatalogError
            If the API refuses the search, or versions do not match.
        IncompleteSearchError
            If it gives, twice, another number of items than it tells.
        ForbiddenError
            If a collection is not open to the user.
        AccessError
            If the API cannot be reached.
        """
        received, truncated = self._items(query)
        places = {name: place for place, name in enumerate(self._collections(query))}
        described = [
            items.described(item, query.product, self._page_of(key)) for key, item in received.items()
        ]
        described.sort(key=lambda pair: _order(pair[0], places))
        wanted = query.product.name
        found = [(granule, lack if granule.product == wanted else "") for granule, lack in described]
        listed = settled(found, query, truncated=truncated)
        demand_version(listed, query)
        return listed

    def asked(self, query: Query) -> list[dict[str, Any]]:
        """Return the parameters of each search that a query takes: two across the antimeridian.

        Raises
        ------
        RecipeError
            If ESA MAAP is to be searched, and no collection is known.
        """
        most = query.search.max_items
        common: dict[str, Any] = {
            "collections": self._collections(query) or None,
            "datetime": _interval(query.period) if query.period else None,
            "filter": self._filter(query) or None,
            "limit": min(self.page, most) if most else self.page,
        }
        return [common | {"bbox": box} for box in _boxes(query.region)]

    @property
    def _root(self) -> str:
        return self.address.rstrip("/").removesuffix("/search")

    @property
    def _url(self) -> str:
        return f"{self._root}/search"

    @property
    def _is_maap(self) -> bool:
        return self._root == endpoints.service("EOSCALE_MAAP_STAC_URL")

    def _page_of(self, key: Key) -> str:
        """Return where the API has an item."""
        collection, name = (quote(part, safe="") for part in key)
        return f"{self._root}/collections/{collection}/items/{name}"

    def _collections(self, query: Query) -> tuple[str, ...]:
        known = [
            each.collections for each in query.product.catalogued if self._is_maap and each.provider == "maap"
        ]
        named = query.search.collections or self.collections or (known[0] if known else ())
        if self._is_maap and not named:
            raise RecipeError(
                f"ESA MAAP is searched in named collections, and none is known for {query.product.name}: "
                "name some in `search: {collections: […]}`"
            )
        return named

    def _filter(self, query: Query) -> str:
        """Return a filter in CQL2 text; what it cannot say elsewhere than at MAAP, names of granules tell."""
        own = query.search.filter or ""
        if not self._is_maap:
            return own
        types = [each.name for each in query.product.catalogued if each.provider == "maap"]
        clauses = [
            _any("productType", [_quoted(name) for name in types]),
            _any("frame", [_quoted(frame) for frame in query.search.frame]),
            _any("orbitNumber", [str(orbit) for orbit in query.search.orbit]),
            f"({own})" if re.search(r"\bor\b", own, re.IGNORECASE) else own,
        ]
        return " and ".join(filter(None, clauses))

    def _items(self, query: Query) -> tuple[dict[Key, Mapping[str, Any]], bool]:
        """Return the items of all searches of a query, each once, and whether there are more."""
        most = query.search.max_items
        found: dict[Key, Mapping[str, Any]] = {}
        truncated = False
        for parameters in self.asked(query):
            pages = self._whole(parameters, most)
            truncated |= pages.truncated
            found |= pages.items
        return dict(list(found.items())[:most]), truncated or bool(most and len(found) > most)

    def _whole(self, parameters: Mapping[str, Any], most: int | None) -> Pages:
        """Return one search in full, made twice if the first is not."""
        for _ in range(2):
            pages = Pages(most)
            try:
                fault = self._received(pages, parameters)
            except IncompleteSearchError as error:
                fault = str(error)
            if not fault:
                return pages
        raise IncompleteSearchError(
            f"the search at {scrub(self._url)} is incomplete, twice: {fault}; search again later, or for "
            "shorter periods"
        )

    def _received(self, pages: Pages, parameters: Mapping[str, Any]) -> str:
        """Have a search received, and return why it is incomplete."""
        try:
            for _ in ItemSearch(self._url, method="GET", stac_io=pages, **parameters).pages_as_dicts():
                if pages.enough:
                    return ""
        except services.Refused as error:
            raise CatalogError(
                f"{scrub(self._url)} refuses the search ({error.status}): {_told(error.body)}"
            ) from None
        except ForbiddenError as error:
            closed = [name for name in parameters["collections"] or () if _RESTRICTED.search(name)]
            if not closed:
                raise
            raise ForbiddenError(
                f"{error}: {', '.join(closed)} is open only to whom ESA has given the right; "
                "EarthCAREL1Validated_MAAP and EarthCAREL2Validated_MAAP are open to all"
            ) from None
        return pages.fault


def maap() -> Stac:
    """Return the catalogue of ESA MAAP: ``EOSCALE_MAAP_STAC_URL``, or the public one."""
    return Stac(address=endpoints.service("EOSCALE_MAAP_STAC_URL"))


def _order(granule: Granule, places: Mapping[str, int]) -> tuple[str, int, str, str]:
    """Return what granules are sorted by: of one in several collections, the first that was named counts."""
    return granule.id, places.get(granule.provider, len(places)), granule.provider, granule.url


def _boxes(region: Region | None) -> list[tuple[float, float, float, float] | None]:
    """Return bounds in boxes none of which crosses the antimeridian: some APIs read those inside out."""
    if region is None:
        return [None]
    west, south, east, north = map(float, region.bounds)
    if east - west >= 360:
        return [(-180.0, south, 180.0, north)]
    if east <= 180:
        return [(west, south, east, north)]
    return [(west, south, 180.0, north), (-180.0, south, east - 360, north)]


def _interval(period: tuple[np.datetime64 | None, np.datetime64 | None]) -> str:
    """Return an interval of whole seconds that holds a period, of which an end may be open."""
    start, stop = period
    first = ".." if start is None else f"{start.astype('datetime64[s]')}Z"
    if stop is None:
        return f"{first}/.."
    last = stop.astype("datetime64[s]")
    return f"{first}/{last + np.timedelta64(int(last < stop), 's')}Z"


def _any(name: str, values: list[str]) -> str:
    """Return that a property is one of some values."""
    clauses = [f"{name} = {value}" for value in values]
    return f"({' or '.join(clauses)})" if len(clauses) > 1 else "".join(clauses)


def _quoted(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def _told(body: str) -> str:
    """Return what a service says of its refusal, as it says it."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    said = answer if isinstance(answer, Mapping) else {}
    words = next((said[key] for key in ("description", "detail", "message", "title") if said.get(key)), body)
    return " ".join(str(words).split())[:300] or "without a reason"
