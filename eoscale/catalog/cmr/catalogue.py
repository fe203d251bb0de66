"""NASA's Common Metadata Repository: granules and collections of all NASA archives.

https://cmr.earthdata.nasa.gov/search/site/docs/search/api.html says what may be asked.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from eoscale.access import endpoints, services
from eoscale.catalog.cmr import umm
from eoscale.catalog.cmr.questions import Parameters, is_concept, names_of, questions
from eoscale.catalog.duplicates import settled
from eoscale.catalog.footprints import Elsewhere
from eoscale.catalog.search import Query, demand_version
from eoscale.errors import CatalogError, IncompleteSearchError
from eoscale.model.granule import Granule, GranuleList

_logger = logging.getLogger(__name__)

MOST_ON_A_PAGE = 2000
ELSEWHERE = "its footprint is outside the region"
_GRANULES = "granules.umm_json"
_LONGEST = 2000
"""Letters of a question that goes into a URL."""


@dataclass(frozen=True, kw_only=True)
class Cmr:
    """The catalogue of NASA.

    It is asked with the user's Earthdata login if there is one, and without otherwise. All pages are
    followed, and what they hold is compared with how many granules CMR counts: a difference has the search
    made once more, and is an error if it stays.

    Parameters
    ----------
    provider : str
        Only granules of one provider of CMR, such as NSIDC_CPRD; empty for all.
    page_size : int
        At most 2000.
    """

    provider: str = ""
    page_size: int = MOST_ON_A_PAGE

    def search(self, query: Query) -> GranuleList:
        """Return all granules that a query wants, and those found beside them as dropped.

        Raises
        ------
        CatalogError
            If CMR does not know the collection or refuses the question, or a version differs.
        RecipeError
            If the product is not in CMR, or its tracks are asked for where it has none.
        IncompleteSearchError
            If it gives other granules than it counts, twice.
        AccessError
            If it cannot be reached.
        """
        most = query.search.max_items
        found: list[tuple[Granule, str]] = []
        hits = 0
        for parameters in questions(query, self.provider):
            left = None if most is None else most - len(found)
            records, counted = self._received(parameters, query, left)
            found += records
            hits += counted
        if not hits:
            self._explain(query)
        if query.region is not None:
            elsewhere = Elsewhere(query.region)
            found = [(one, why or (ELSEWHERE if elsewhere(one.footprint) else "")) for one, why in found]
        listed = settled(found, query, truncated=most is not None and hits > len(found))
        demand_version(listed, query)
        return listed

    def _received(
        self, parameters: Parameters, query: Query, most: int | None
    ) -> tuple[list[tuple[Granule, str]], int]:
        """Return the granules of a question, each with why it cannot be used, and how many CMR counts."""
        problem = ""
        for _ in range(2):
            by_concept: dict[str, tuple[Granule, str]] = {}
            hits = 0
            try:
                for hits, records in self._pages(parameters, most):
                    for record in records:
                        by_concept[record["meta"]["concept-id"]] = umm.granule(record, query.product)
                    if most is not None and len(by_concept) >= most:
                        return list(by_concept.values())[:most], hits
            except services.Refused as error:
                if not by_concept:
                    raise CatalogError(f"CMR refuses this search: {_told(error.body)}") from None
                problem = f"; it ended with: {_told(error.body)}"
            if len(by_concept) == hits and not problem:
                return list(by_concept.values()), hits
            _logger.warning("CMR gave %d granules and counts %d%s", len(by_concept), hits, problem)
            missed, problem = f"{len(by_concept)} of {hits}{problem}", ""
        raise IncompleteSearchError(
            f"CMR gave {missed} granules of {query.product.name}, twice: nothing is listed; search again "
            "later, or for a shorter period"
        )

    def _pages(self, parameters: Parameters, most: int | None) -> Iterator[tuple[int, list[Any]]]:
        """Yield how many granules CMR counts, and the records of a page, until there are no more."""
        size = self.page_size if most is None else min(self.page_size, most)
        asked = [*parameters, ("page_size", str(size))]
        after, seen, number = "", set[str](), 0
        while True:
            reply = _asked(_GRANULES, asked, {"CMR-Search-After": after} if after else {})
            told = _document(reply)
            number += len(told["items"])
            _logger.info("CMR has given %s of %s granules", f"{number:,}", f"{told['hits']:,}")
            yield int(told["hits"]), told["items"]
            after = reply.headers.get("CMR-Search-After", "")
            if not after or not told["items"] or after in seen:
                return
            seen.add(after)

    def _explain(self, query: Query) -> None:
        """Say why nothing was found, which is an error if there is no such collection."""
        names = names_of(query)
        if all(collections(name, query.search.version).empty for name in names):
            version = f" version {query.search.version}" if query.search.version else ""
            raise CatalogError(
                f"CMR knows no collection {', '.join(names)}{version}, or none that it shows without a "
                "login: look at `eoscale search --collections`, or log in"
            )
        _logger.warning(
            "CMR has no granule of %s for this search; a collection that is open to registered users only "
            "shows none without a login",
            query.product.name,
        )


def collections(name: str, version: str | None = None) -> pd.DataFrame:
    """Return the collections of a short name or a concept id.

    Parameters
    ----------
    name : str
        Short name, which may hold ``*`` and ``?``, or concept id.
    version : str, optional

    Returns
    -------
    pandas.DataFrame
        A row for each: ``concept_id``, ``short_name``, ``version``, ``provider``, ``cloud_hosted``,
        ``title``, ``abstract``.

    Raises
    ------
    CatalogError, AccessError
        As :meth:`Cmr.search`.
    """
    parameters = [("concept_id", name)] if is_concept(name) else [("short_name", name)]
    if {"*", "?"} & set(name):
        parameters.append(("options[short_name][pattern]", "true"))
    if version is not None:
        parameters.append(("version", version))
    try:
        reply = _asked("collections.umm_json", [*parameters, ("page_size", str(MOST_ON_A_PAGE))], {})
    except services.Refused as error:
        raise CatalogError(f"CMR refuses this search: {_told(error.body)}") from None
    told = _document(reply)
    if int(told["hits"]) != len(told["items"]):
        raise IncompleteSearchError(
            f"CMR gave {len(told['items'])} of {told['hits']} collections: ask for fewer by a longer name"
        )
    rows = [_collection(item["meta"], item["umm"]) for item in told["items"]]
    columns = ["concept_id", "short_name", "version", "provider", "cloud_hosted", "title", "abstract"]
    return pd.DataFrame(rows, columns=columns)


def _collection(meta: Mapping[str, Any], collection: Mapping[str, Any]) -> dict[str, object]:
    return {
        "concept_id": meta["concept-id"],
        "short_name": collection.get("ShortName", ""),
        "version": collection.get("Version", ""),
        "provider": meta.get("provider-id", ""),
        "cloud_hosted": "DirectDistributionInformation" in collection,
        "title": collection.get("EntryTitle", ""),
        "abstract": collection.get("Abstract", ""),
    }


def _asked(name: str, parameters: Parameters, headers: Mapping[str, str]) -> services.Reply:
    url = f"{endpoints.service('EOSCALE_CMR_URL')}/{name}"
    if len(services.encoded(parameters)) > _LONGEST:
        return services.post(url, parameters, headers)
    return services.get(url, parameters, headers)


def _document(reply: services.Reply) -> dict[str, Any]:
    try:
        told = json.loads(reply.body)
        told["items"], told["hits"]
    except (ValueError, KeyError, TypeError) as error:
        raise CatalogError(f"CMR gave no search result but {reply.body[:80]!r}: search again") from error
    return dict(told)


def _told(body: str) -> str:
    """Return what CMR says is wrong."""
    try:
        return "; ".join(json.loads(body)["errors"])
    except (ValueError, KeyError, TypeError):
        return body[:200]
