"""Questions: a query in the parameters of CMR (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from eoscale.catalog.ground_tracks.crossings import Crossing as Crossed
from eoscale.catalog.ground_tracks.crossings import crossings, patterns
from eoscale.catalog.search import Query
from eoscale.errors import CatalogError, RecipeError
from eoscale.model.region import Region
from eoscale.model.vocabulary import Crossing

_WITHIN = 30.0
"""Kilometres by which the region is widened for the question: an orbit model stands for many granules."""
_KILOMETRES = 111.2
"""Of a degree of latitude."""
_POLAR = 89.0
"""Degrees, from where some kilometres may be all round the Earth."""
_MOST_PATTERNS = 100
"""Of names, in one question."""

Parameters: TypeAlias = list[tuple[str, str]]


def questions(query: Query, provider: str = "") -> Iterator[Parameters]:
    """Yield the parameters of each question that together find what a query wants.

    Parameters
    ----------
    query : Query
    provider : str
        Of CMR; empty for all.

    Raises
    ------
    RecipeError
        If the product is not in CMR, or its tracks are asked for where it has none.
    CatalogError
        If no track comes near the region.

    Examples
    --------
    >>> from eoscale.model.vocabulary import Search
    >>> from eoscale.products import ATL08
    >>> (asked,) = questions(Query(product=ATL08, search=Search(version="006", rgt=384)))
    >>> asked[:2]
    [('short_name', 'ATL08'), ('version', '006')]
    >>> asked[2:]
    [('producerGranuleId', '*_0384????_*'), ('options[producerGranuleId][pattern]', 'true')]
    """
    search = query.search
    names = names_of(query)
    concepts = [name for name in names if is_concept(name)]
    short_names = [name for name in names if not is_concept(name)]
    asked = [("short_name", name) for name in short_names]
    if search.version is not None and short_names:
        asked.append(("version", search.version))
    if provider:
        asked.append(("provider", provider))
    asked += [("collection_concept_id", name) for name in concepts]
    if search.cloud_hosted is not None:
        asked.append(("cloud_hosted", str(search.cloud_hosted).lower()))
    if query.period is not None:
        asked.append(("temporal", ",".join(map(_moment, query.period))))
    patterns = _patterns(query)
    if query.region is not None and not search.rgt:
        asked.append(("bounding_box", ",".join(f"{side:.6g}" for side in _around(query.region))))
    if not patterns:
        yield asked
    for first in range(0, len(patterns), _MOST_PATTERNS):
        some = patterns[first : first + _MOST_PATTERNS]
        named = [("producerGranuleId", pattern) for pattern in some]
        yield [*asked, *named, ("options[producerGranuleId][pattern]", "true")]


def names_of(query: Query) -> Sequence[str]:
    """Return the short names or concept ids of the collections to search.

    Raises
    ------
    RecipeError
        If neither the query nor the product names any.
    """
    search = query.search
    known = [each.name for each in query.product.catalogued if each.provider == "cmr"]
    names = search.concept_id or search.collections or known
    if not names:
        raise RecipeError(
            f"{query.product.name} is in no collection of CMR that eoscale knows: give `collections` (short "
            "names) or `concept_id` in `search`"
        )
    return list(names)


def is_concept(name: str) -> bool:
    """Return whether a name is a concept id.

    Examples
    --------
    >>> is_concept("C2027878642-NSIDC_CPRD"), is_concept("ATL03")
    (True, False)
    """
    return name.startswith("C") and name[1:].partition("-")[0].isdecimal() and "-" in name


def _moment(moment: np.datetime64 | None) -> str:
    """Return a moment in seconds, or milliseconds where it has any; nothing of an open end."""
    return "" if moment is None else f"{str(moment.astype('M8[ms]')).removesuffix('.000')}Z"


def _patterns(query: Query) -> Sequence[str]:
    """Return patterns of the names that are wanted; none where all are."""
    search = query.search
    if search.rgt:
        if "rgt" not in query.product.pattern.groupindex:
            raise RecipeError(
                f"{query.product.name} has no reference ground tracks: leave `rgt` out of `search`"
            )
        return patterns(_crossings(query), search.cycle)
    if search.name:
        return [name if name.endswith("*") else f"{name}*" for name in search.name]
    if search.cycle and "rgt" in query.product.pattern.groupindex:
        return [f"*_????{cycle:02d}??_*" for cycle in search.cycle]
    return ()


def _crossings(query: Query) -> Sequence[Crossed]:
    """Return the reference ground tracks that are wanted, each with its regions near the query's region."""
    rgt, region = query.search.rgt, query.region
    numbers = rgt if isinstance(rgt, tuple) else ()
    if region is None:
        if not numbers:
            raise RecipeError("`rgt: crossing` needs a region that tracks come near: give one")
        return [Crossed(rgt=number, regions=()) for number in numbers]
    near = rgt if isinstance(rgt, Crossing) else Crossing()
    found = crossings(region, near.within, near.orbits)
    wanted = [each for each in found if not numbers or each.rgt in numbers]
    if not wanted:
        which = f"none of {', '.join(map(str, numbers))}" if numbers else "no reference ground track"
        raise CatalogError(f"{which} comes within {near.within:g} km of the region")
    return wanted


def _around(region: Region) -> tuple[float, float, float, float]:
    """Return west, south, east and north of a region and some kilometres around; west > east across 180."""
    west, south, east, north = region.bounds
    margin = _WITHIN / _KILOMETRES
    south, north = max(-90.0, south - margin), min(90.0, north + margin)
    highest = max(abs(south), abs(north))
    wide = margin / np.cos(np.radians(min(highest, _POLAR)))
    west, east = west - wide, east + wide
    if east - west >= 360 or highest > _POLAR:
        return -180.0, south, 180.0, north
    return (west + 180) % 360 - 180, south, (east + 180) % 360 - 180, north
