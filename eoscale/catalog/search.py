"""What is asked of a catalogue, and what every catalogue answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Protocol

import numpy as np

from eoscale.catalog.naming import without_ending
from eoscale.errors import CatalogError, RecipeError
from eoscale.model.granule import Granule, GranuleList
from eoscale.model.product import Product
from eoscale.model.region import Region
from eoscale.model.vocabulary import Search

OUTSIDE_PERIOD = "outside the period"
"""Why a granule of the right product is dropped: then an empty list is no mistake of the user's."""
_NUMBERS = ("orbit", "rgt", "cycle")
"""Words of a search whose values are numbers, and those of a name that they are compared with."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which granules are wanted.

    Examples
    --------
    >>> from eoscale.products import ATL06
    >>> query = Query(product=ATL06, search=Search(cycle=3, name="*_006_*"))
    >>> granule = Granule(id="ATL06_20190613065109_11610403_006_01", product="ATL06", urls={"file": "/a.h5"})
    >>> query.refusal(granule)
    'cycle is 4'
    """

    product: Product
    period: tuple[np.datetime64 | None, np.datetime64 | None] | None = None
    """UTC, half-open; None for an open end."""
    region: Region | None = None
    search: Search = field(default_factory=Search)
    """Further words, as a recipe has them."""

    def __post_init__(self) -> None:
        known = self.product.pattern.groupindex
        strange = [
            word
            for word in (*_NUMBERS, "frame", "timeliness")
            if getattr(self.search, word) and word not in known
        ]
        if strange:
            raise RecipeError(
                f"{self.product.name} has no {strange[0]} in the names of its granules: leave it out of "
                "`search`"
            )

    def refusal(self, granule: Granule) -> str:
        """Return why a granule is not wanted, by what is known without reading it; empty if it is.

        The region is no reason: most footprints are too coarse, so rows decide.
        """
        if granule.product != self.product.name:
            return f"is of product {granule.product or 'unknown'}, not {self.product.name}"
        if self.period is not None and granule.start is not None:
            start, stop = self.period
            longest = np.timedelta64(int(self.product.longest * 1e9), "ns")
            end = granule.end if granule.end is not None else granule.start + longest
            if (stop is not None and granule.start >= stop) or (start is not None and end < start):
                return OUTSIDE_PERIOD
        names = [without_ending(name) for name in self.search.name]
        if names and not any(fnmatchcase(granule.id, name) for name in names):
            return f"its name is not {' or '.join(names)}"
        return self._unnamed(granule)

    def _unnamed(self, granule: Granule) -> str:
        """Return which part of a granule's name is another than the one wanted."""
        match = self.product.pattern.search(granule.id)
        told: Mapping[str, str] = match.groupdict() if match else {}
        for word in (*_NUMBERS, "frame", "timeliness"):
            wanted = self._wanted(word)
            value = int(told[word]) if word in _NUMBERS and word in told else told.get(word)
            if wanted and value not in wanted:
                return f"{word} is {value if told else 'unknown'}"
        return ""

    def _wanted(self, word: str) -> tuple[object, ...]:
        wanted = getattr(self.search, word)
        if isinstance(wanted, tuple):
            return wanted
        return (wanted,) if word == "timeliness" and wanted else ()


def demand_version(listed: GranuleList, query: Query) -> None:
    """Refuse a list that holds another version than the one that a query names.

    Raises
    ------
    CatalogError
    """
    wanted = query.search.version
    other = sorted({granule.version for granule in listed} - {wanted})
    if wanted is not None and other:
        raise CatalogError(
            f"version {wanted} was asked for, the list has {', '.join(other)}: "
            "mend `search: {version: …}` or the list"
        )


class Catalog(Protocol):
    """Anything that answers a query with a granule list."""

    def search(self, query: Query) -> GranuleList:
        """Return all granules that the query wants; dropped are those found and not wanted, with reasons.

        Raises
        ------
        CatalogError
            If nothing was found that could be of the product, or versions do not match.
        IncompleteSearchError
            If the answer would be shorter than what the catalogue reports.
        """
        ...
