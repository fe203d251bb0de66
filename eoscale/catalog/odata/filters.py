"""What the OData catalogue of Copernicus is asked: collection, type, time, place, names and attributes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapely

from eoscale.access import services
from eoscale.catalog.odata.areas import covering
from eoscale.catalog.search import Query
from eoscale.errors import RecipeError
from eoscale.model.product import Catalogued, Product

ENDING = ".SEN3"
"""Of the names of products, and not of the ids of granules."""
_NAMES_AT_ONCE = 15
_LONGEST_AREA = 4000
"""Characters of a URL, which servers take some 8,000 of."""
_MILLISECOND = 1_000_000
"""Nanoseconds."""
_WILD = re.compile(r"[*?]|\[.*?\]")


class Span(NamedTuple):
    """Milliseconds since 1970, half-open."""

    start: int
    stop: int

    @property
    def clauses(self) -> tuple[str, str]:
        """What is asked of the start of a product.

        Examples
        --------
        >>> Span(0, 1).clauses
        ('ContentDate/Start gt 1969-12-31T23:59:59.999Z', 'ContentDate/Start lt 1970-01-01T00:00:00.001Z')
        """
        # the service compares by gt and lt alone
        return f"ContentDate/Start gt {_text(self.start - 1)}", f"ContentDate/Start lt {_text(self.stop)}"

    @property
    def halves(self) -> tuple[Span, Span]:
        """Both, which leave nothing out; of one of a single millisecond there are none.

        Examples
        --------
        >>> Span(0, 3).halves
        (Span(start=0, stop=1), Span(start=1, stop=3))
        """
        middle = (self.start + self.stop) // 2
        return Span(self.start, middle), Span(middle, self.stop)


EVER = Span(0, 4_102_444_800_000)
"""1970 to 2100, where a search without a period has to be split, or its period is open."""


def span(query: Query) -> Span | None:
    """Return when products begin that a query may want; None where it names no period.

    One that began before the period may reach into it, as far as the product lasts.

    Examples
    --------
    >>> from eoscale.products import OL_1_EFR
    >>> days = np.datetime64("2018-06-01", "ns"), np.datetime64("2018-06-03", "ns")
    >>> span(Query(product=OL_1_EFR, period=days)).clauses[0]
    'ContentDate/Start gt 2018-05-31T23:54:59.999Z'
    """
    if query.period is None:
        return None
    start, stop = (
        None if moment is None else int(moment.astype("M8[ns]").astype(np.int64)) for moment in query.period
    )
    longest = int(query.product.longest * 1e9)
    first = EVER.start if start is None else (start - longest) // _MILLISECOND
    return Span(first, EVER.stop if stop is None else -(-stop // _MILLISECOND))


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What is asked of one collection.

    Examples
    --------
    >>> Filter(collection="SENTINEL-3", first=(), last=("Name eq 'a.SEN3'",)).text(None)
    "Collection/Name eq 'SENTINEL-3' and Name eq 'a.SEN3'"
    """

    collection: str
    first: tuple[str, ...]
    last: tuple[str, ...]
    """Clauses before and behind those of time."""

    def text(self, time: Span | None) -> str:
        """Return the filter for products that begin in a span."""
        whose = f"Collection/Name eq {_quoted(self.collection)}"
        return " and ".join([whose, *self.first, *(time.clauses if time else ()), *self.last])


def filters(query: Query) -> list[Filter]:
    """Return what to ask, which together finds all that a query wants.

    Raises
    ------
    RecipeError
        If Copernicus does not have the product, or the search says what is of other catalogues.
    """
    known = _catalogued(query.product)
    words = query.search
    strange = [word for word in ("concept_id", "cloud_hosted") if word in words.model_fields_set]
    if strange:
        raise RecipeError(f"`search: {{{strange[0]}: …}}` is of CMR: leave it out for Copernicus")
    more = [
        *_any_of([_attribute("String", "timeliness", _quoted(words.timeliness))] if words.timeliness else []),
        *_any_of([_attribute("Integer", "relativeOrbitNumber", str(orbit)) for orbit in words.orbit]),
        *_any_of([_attribute("Integer", "cycleNumber", str(cycle)) for cycle in words.cycle]),
        *([f"({words.filter})"] if words.filter else []),
    ]
    first = (_attribute("String", "productType", _quoted(known.name)),)
    places = _places(query)
    return [
        Filter(collection=collection, first=first, last=(*places, *named, *more))
        for collection in words.collections or known.collections
        for named in _names(words.name)
    ]


def _catalogued(product: Product) -> Catalogued:
    for known in product.catalogued:
        if known.provider == "cdse":
            return known
    elsewhere = ", ".join(known.provider for known in product.catalogued) or "none"
    raise RecipeError(
        f"{product.name} is not known to be at Copernicus: search another catalogue that has it ({elsewhere})"
    )


def _attribute(kind: str, name: str, value: str) -> str:
    return f"Attributes/OData.CSC.{kind}Attribute/any(att:att/Name eq '{name}' and att/Value eq {value})"


def _any_of(clauses: Sequence[str]) -> list[str]:
    """Return what holds where one of some clauses does, as one clause, or none if there are none."""
    return [clauses[0] if len(clauses) == 1 else f"({' or '.join(clauses)})"] if clauses else []


def _names(names: Sequence[str]) -> list[list[str]]:
    """Return clauses that names meet, some at a time: a URL has no room for all."""
    terms = [_name(name) for name in names]
    if not all(terms):  # one of them may be anything
        return [[]]
    groups = [terms[first : first + _NAMES_AT_ONCE] for first in range(0, len(terms), _NAMES_AT_ONCE)]
    return [_any_of(group) for group in groups] or [[]]


def _name(name: str) -> str:
    """Return what a name says, or the longest part of one with signs: the rest is seen to afterwards.

    Examples
    --------
    >>> _name("S3A_OL_1_EFR____20180602T1810??_*"), _name("*_NT_*"), _name("*")
    ("startswith(Name,'S3A_OL_1_EFR____20180602T1810')", "contains(Name,'_NT_')", '')
    """
    begin, *others = _WILD.split(name)
    if not others:
        return f"Name eq {_quoted(name if '.' in name else name + ENDING)}"
    if begin:
        return f"startswith(Name,{_quoted(begin)})"
    part = max(others, key=len)
    return f"contains(Name,{_quoted(part)})" if part else ""


def _places(query: Query) -> list[str]:
    return _any_of(_intersects(covering(query.region, _fits))) if query.region is not None else []


def _fits(polygons: Sequence[shapely.Polygon]) -> bool:
    corners = int(shapely.get_num_coordinates(polygons).sum())
    # each takes seven characters or more: what is far too long need not be written first
    return 7 * corners < _LONGEST_AREA and len(_encoded(_any_of(_intersects(polygons)))) <= _LONGEST_AREA


def _encoded(clauses: Sequence[str]) -> str:
    return services.encoded([("", " and ".join(clauses))])


def _intersects(polygons: Sequence[shapely.Polygon]) -> list[str]:
    """Return a clause for each polygon: the service takes none of several."""
    return [f"OData.CSC.Intersects(area=geography'SRID=4326;{_well_known(each)}')" for each in polygons]


def _well_known(polygon: shapely.Polygon) -> str:
    """Return the text of a polygon, in which no digit of a coordinate is lost."""
    rings = [
        ", ".join(f"{_number(x)} {_number(y)}" for x, y in ring.coords)
        for ring in (polygon.exterior, *polygon.interiors)
    ]
    return f"POLYGON ({', '.join(f'({ring})' for ring in rings)})"


def _number(value: float) -> str:
    return np.format_float_positional(value, trim="-")


def _quoted(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def _text(milliseconds: int) -> str:
    return f"{np.datetime64(milliseconds, 'ms')}Z"
