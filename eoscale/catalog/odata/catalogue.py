"""The catalogue of the Copernicus Data Space, asked by OData; nobody has to log in for it."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from eoscale.access import endpoints, services
from eoscale.catalog.duplicates import settled
from eoscale.catalog.odata.filters import ENDING, EVER, Filter, Span, filters, span
from eoscale.catalog.odata.rows import OFFLINE, Row, granule, is_offline
from eoscale.catalog.search import Query, demand_version
from eoscale.errors import CatalogError, IncompleteSearchError, scrub
from eoscale.model.granule import Granule, GranuleList

__all__ = ["ENDING", "OData"]

_logger = logging.getLogger(__name__)
_SERVICE = "EOSCALE_CDSE_ODATA_URL"
_PAGE = 1000
"""Products, the most that one answer has."""
_DEEPEST = 10_000
"""Products, behind which the service gives no further page."""
_TIMES = 2
"""That all is asked for where something is missing: a product may have been added meanwhile."""


class _Page(NamedTuple):
    rows: dict[str, Row]
    """By ``Id``."""
    reported: int | None
    """How many products there are in all; only the first page needs to tell."""
    following: str
    """URL of the next page; empty behind the last one."""


class _Found(NamedTuple):
    rows: dict[str, Row]
    reported: int
    complete: bool
    """Whether there are as many as the service reports, or as were wanted."""


@dataclass(frozen=True)
class OData:
    """Products of the Copernicus Data Space, searched in all pages and counted.

    Beside :class:`~eoscale.catalog.search.Query`'s own words, ``filter`` of a search is text of OData that a
    product has to meet too. Products that are not online are dropped.

    Examples
    --------
    >>> from eoscale.model.vocabulary import Search
    >>> from eoscale.products import ATL06
    >>> OData().search(Query(product=ATL06))
    Traceback (most recent call last):
    eoscale.errors.RecipeError: ATL06 is not known to be at Copernicus: ...
    """

    def search(self, query: Query) -> GranuleList:
        """Return the granules that a query wants, and those found beside them as dropped.

        Raises
        ------
        RecipeError
            If Copernicus does not have the product, or the search says what is of other catalogues.
        CatalogError
            If the service refuses the search or answers what is no list of products, none of those found is
            of the product, nothing was found although no period and region narrow the search, or versions
            do not match.
        IncompleteSearchError
            If the service gives fewer products than it reports, twice.
        AccessError
            If it cannot be reached.
        """
        names = tuple(name.removesuffix(ENDING) for name in query.search.name)
        query = replace(query, search=query.search.model_copy(update={"name": names}))
        most = query.search.max_items or sys.maxsize
        rows: dict[str, tuple[Row, str]] = {}
        truncated = False
        for each in filters(query):
            found = _found(each, span(query), max(most - len(rows), 1))
            truncated |= found.reported > len(found.rows) or len(rows | found.rows) > most
            news = ((name, (row, each.collection)) for name, row in found.rows.items() if name not in rows)
            rows.update(islice(news, most - len(rows)))
        listed = _listed(rows.values(), query, truncated=truncated)
        _demand_some(listed, query)
        demand_version(listed, query)
        return listed


def name_of(product_id: str) -> str:
    """Return the name of a product by its id, with its ending.

    Raises
    ------
    CatalogError
        If there is no such product.
    AccessError
        If the service cannot be reached.
    """
    url = f"{endpoints.service(_SERVICE)}({product_id})"
    body = _asked(url)
    try:
        return str(json.loads(body)["Name"])
    except (ValueError, KeyError, TypeError):
        raise CatalogError(f"{scrub(url)} gave no product: is the id right?") from None


def _listed(rows: Iterable[tuple[Row, str]], query: Query, *, truncated: bool) -> GranuleList:
    found: list[tuple[Granule, str]] = []
    for row, collection in rows:
        described = granule(row, query.product, collection)
        offline = is_offline(row) and not query.refusal(described)
        found.append((described, OFFLINE if offline else ""))
    # of what was published twice under one name, the last counts
    found.sort(key=lambda pair: (str(pair[0].modified), pair[0].url), reverse=True)
    return settled(found, query, truncated=truncated)


def _demand_some(listed: GranuleList, query: Query) -> None:
    """Refuse an empty list where it is no answer but a mistake."""
    name = query.product.name
    known = [granule for granule, _ in listed.dropped if granule.product == name]
    narrowed = query.period is not None or query.region is not None
    if listed.granules or known or (narrowed and not listed.dropped):
        return
    names = ", ".join(granule.id for granule, _ in listed.dropped[:3]) or "nothing"
    raise CatalogError(f"Copernicus has no granule of {name} for this search: found {names}; mend `search`")


def _found(asked: Filter, time: Span | None, most: int) -> _Found:
    """Return the products that meet a filter, at most so many."""
    for _ in range(_TIMES):
        found = _received(asked, time, most)
        if found.complete:
            return found
    raise IncompleteSearchError(
        f"{scrub(endpoints.service(_SERVICE))} reports {found.reported:,} products and gave "
        f"{len(found.rows):,}, {_TIMES} times: search again later, or for less at once"
    )


def _received(asked: Filter, time: Span | None, most: int) -> _Found:
    """Return what the service gives of a span, in two parts where it would not give all of it."""
    pages = _pages(asked, time, most)
    page = next(pages)
    count, rows = page.reported, dict(page.rows)
    if count is None:
        raise IncompleteSearchError(
            f"{scrub(endpoints.service(_SERVICE))} does not say how many products there are: asked for $count"
        )
    if min(count, most) > _DEEPEST:
        return _in_halves(asked, time or EVER, most, count)
    while page.following and len(rows) < most:
        page = next(pages)
        _logger.info("Copernicus has given %s of %s products", f"{len(rows):,}", f"{count:,}")
        before, count = len(rows), count if page.reported is None else page.reported
        rows |= page.rows
        if len(rows) == before or len(rows) > count:
            break  # it goes round in circles
    return _counted(rows, count, most)


def _in_halves(asked: Filter, time: Span, most: int, count: int) -> _Found:
    """Return what the service gives of both halves of a span that it would not give all of."""
    early, late = time.halves
    if early.start == early.stop:
        raise IncompleteSearchError(
            f"{count:,} products begin within a millisecond of {early.clauses[1].rpartition(' ')[2]} and the "
            f"service gives {_DEEPEST:,}: narrow the search by region, name or filter"
        )
    first = _received(asked, early, most)
    if len(first.rows) >= most:
        return first._replace(reported=count)
    second = _received(asked, late, most - len(first.rows))
    whole = _counted(first.rows | second.rows, count, most)
    return whole._replace(complete=whole.complete and first.complete and second.complete)


def _counted(rows: dict[str, Row], count: int, most: int) -> _Found:
    complete = len(rows) >= most if count > most else len(rows) == count
    return _Found(dict(islice(rows.items(), most)), count, complete)


def _pages(asked: Filter, time: Span | None, most: int) -> Iterator[_Page]:
    """Yield pages while there are further ones."""
    url = endpoints.service(_SERVICE)
    top = str(min(_PAGE, most))
    page = _read(url, [("$filter", asked.text(time)), ("$top", top), ("$count", "true")])
    yield page
    while page.following:
        page = _read(page.following)
        yield page


def _asked(url: str, parameters: Iterable[tuple[str, str]] = ()) -> bytes:
    try:
        return services.get(url, parameters).body
    except services.Refused as error:
        raise CatalogError(
            f"{scrub(url)} refuses the search ({error.status}): {_told(error.body) or 'it does not say why'}"
        ) from None


def _read(url: str, parameters: Iterable[tuple[str, str]] = ()) -> _Page:
    """Return a page of the service."""
    body = _asked(url, parameters)
    try:
        page = _page(json.loads(body), url)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CatalogError(
            f"{scrub(url)} gave no list of products: is it the OData catalogue of Copernicus?"
        ) from None
    if page.following and urlsplit(page.following)[:3] != urlsplit(url)[:3]:
        raise CatalogError(
            f"{scrub(url)} has its next page at another service, {scrub(page.following)}: it is not asked"
        )
    return page


def _page(told: Mapping[str, Any], url: str) -> _Page:
    rows = {"".join(row["Id"]): row for row in told["value"] if "".join(row["Name"])}
    count, following = told.get("@odata.count"), told.get("@odata.nextLink")
    return _Page(rows, None if count is None else int(count), urljoin(url, following) if following else "")


def _told(body: str) -> str:
    """Return what the service says of a search that it refuses.

    Examples
    --------
    >>> _told('{"detail": {"message": "Invalid field: Nme", "request_id": "1"}}')
    'Invalid field: Nme'
    >>> _told('{"detail": [{"loc": ["query", "$top"], "msg": "Input should be less than or equal to 1000"}]}')
    '$top: Input should be less than or equal to 1000'
    """
    try:
        detail = json.loads(body)["detail"]
        faults = detail if isinstance(detail, list) else [detail]
        return "; ".join(_fault(fault) for fault in faults)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def _fault(fault: dict[str, object] | str) -> str:
    if isinstance(fault, str):
        return fault
    place = fault.get("loc")
    where = f"{place[-1]}: " if isinstance(place, list) and place else ""
    return f"{where}{fault.get('message') or fault['msg']}"
