"""What is asked of a catalogue, and what every catalogue answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from eoscale.model.granule import Granule, GranuleList
from eoscale.model.product import Product
from eoscale.model.region import Region

OUTSIDE_PERIOD = "outside the period"
"""Why a granule of the right product is dropped: then an empty list is no mistake of the user's."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which granules are wanted."""

    product: Product
    version: str | None = None
    period: tuple[np.datetime64, np.datetime64] | None = None
    """UTC, half-open."""
    region: Region | None = None

    def refusal(self, granule: Granule) -> str:
        """Return why a granule is not wanted, by what is known without reading it; empty if it is.

        The region is no reason: footprints are too coarse, so rows decide.
        """
        if granule.product != self.product.name:
            return f"is of product {granule.product or 'unknown'}, not {self.product.name}"
        if self.period is not None and granule.start is not None:
            start, stop = self.period
            longest = np.timedelta64(int(self.product.longest * 1e9), "ns")
            end = granule.end if granule.end is not None else granule.start + longest
            if granule.start >= stop or end < start:
                return OUTSIDE_PERIOD
        return ""


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
