"""Duplicates: of one observation in several versions, or in several places, one granule counts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

import numpy as np

from eoscale.catalog.search import Query
from eoscale.model.granule import ROUTES, SECOND_COPY, Granule, GranuleList
from eoscale.model.product import Product
from eoscale.model.vocabulary import Duplicates

LATER = "a later revision of the same observation is kept"
"""Why one of two granules of one version is dropped."""
_APART = np.timedelta64(60, "s")
"""Observations of one name that begin further apart are several; versions move a beginning by seconds."""


def one_of_each(found: Iterable[Granule]) -> tuple[list[Granule], list[tuple[Granule, str]]]:
    """Return one granule of each id, by the nearest route, and the other copies with why they are dropped.

    Examples
    --------
    >>> there = Granule(id="a", product="ATL06", provider="NSIDC_ECS", urls={"https": "https://host/a.h5"})
    >>> here = Granule(id="a", product="ATL06", urls={"file": "/data/a.h5"})
    >>> kept, dropped = one_of_each([there, here])
    >>> kept[0].url, dropped[0][1]
    ('/data/a.h5', 'a second copy of a granule')
    """
    copies: defaultdict[str, list[Granule]] = defaultdict(list)
    for granule in found:
        copies[granule.id].append(granule)
    kept, dropped = [], []
    for granules in copies.values():
        first, *others = sorted(granules, key=_distance)
        kept.append(first)
        dropped += [(granule, SECOND_COPY) for granule in others]
    return kept, dropped


def settled(found: Iterable[tuple[Granule, str]], query: Query, *, truncated: bool = False) -> GranuleList:
    """Return what a catalogue found as a list: one of each granule that is wanted, the others dropped.

    Parameters
    ----------
    found : iterable of (Granule, reason)
        With a reason why it cannot be used, if there is one.
    query : Query
    truncated : bool
        Whether the catalogue has more.
    """
    wanted: list[Granule] = []
    dropped: list[tuple[Granule, str]] = []
    for granule, reason in found:
        why = reason or query.refusal(granule)
        if why:
            dropped.append((granule, why))
        else:
            wanted.append(granule)
    kept, copies = one_of_each(wanted)
    return GranuleList(granules=kept, dropped=[*dropped, *copies], truncated=truncated)


def _distance(granule: Granule) -> int:
    return min(ROUTES.index(route) for route in granule.urls)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Which of several granules of one observation counts.

    Parameters
    ----------
    product : Product
        Its ``identity`` tells one observation from another.
    rule : str or Duplicates
        ``newest``: what the product prefers, then the newest version, then the latest processing or
        revision. ``keep``: all. A :class:`Duplicates` pins what it names, before all else. Granules that
        differ in none of these are several observations.

    Examples
    --------
    >>> from eoscale.products import ATL06
    >>> names = [f"ATL06_20190613065109_11610303_{version}_01" for version in ("005", "006")]
    >>> old, new = (
    ...     Granule(id=name, product="ATL06", version=name[-6:-3], urls={"file": f"/{name}.h5"})
    ...     for name in names
    ... )
    >>> listed = Policy(product=ATL06).settle(GranuleList(granules=[old, new]))
    >>> listed[0].version, listed.dropped[0][1]
    ('006', 'its version is 005, and 006 of the same observation is kept')
    """

    product: Product
    rule: Literal["newest", "keep"] | Duplicates = field(default="newest")

    def settle(self, granules: GranuleList) -> GranuleList:
        """Return the list with one granule for each observation, and the others dropped."""
        if self.rule == "keep":
            return granules
        dropped: list[tuple[Granule, str]] = []
        kept: list[Granule] = []
        for same in self._observations(granules):
            first = max(map(self._rank, same))
            best = [granule for granule in same if self._rank(granule) == first]
            kept += best
            others = [granule for granule in same if self._rank(granule) != first]
            dropped += [(other, self._why(other, best[-1])) for other in others]
        return GranuleList(granules=kept, dropped=[*granules.dropped, *dropped], truncated=granules.truncated)

    def _observations(self, granules: Iterable[Granule]) -> Iterator[Sequence[Granule]]:
        """Yield granules of one observation each: of one identity, and of one time if they tell it."""
        by_identity: defaultdict[tuple[str, ...], list[Granule]] = defaultdict(list)
        for granule in granules:
            by_identity[self._identity(granule)].append(granule)
        for same in by_identity.values():
            timed = sorted((g for g in same if g.start is not None), key=lambda g: (g.start, g.id))
            starts = np.array([granule.start for granule in timed], "M8[ns]")
            number = np.concatenate([[0], np.cumsum(np.diff(starts) > _APART)])
            for _, group in groupby(zip(number.tolist(), timed, strict=False), key=lambda pair: pair[0]):
                yield [granule for _, granule in group]
            untimed = [granule for granule in same if granule.start is None]
            if untimed:
                yield untimed

    def _identity(self, granule: Granule) -> tuple[str, ...]:
        told = self._told(granule)
        return tuple(told[name] for name in self.product.identity) or (granule.id,)

    def _told(self, granule: Granule) -> dict[str, str]:
        match = self.product.pattern.search(granule.id) if self.product.identity else None
        return match.groupdict() if match else dict.fromkeys(self.product.identity, granule.id)

    def _rank(self, granule: Granule) -> tuple[object, ...]:
        told, pins = self._told(granule), self._pins
        preferred = [
            order.index(told[name]) if told.get(name) in order else -1
            for name, order in self.product.preference.items()
        ]
        return (
            [_fact(granule, told, name) == wanted for name, wanted in pins.items()],
            preferred,
            _natural(granule.version),
            _natural(granule.revision),
        )

    @property
    def _pins(self) -> dict[str, str]:
        return self.rule.model_dump(exclude_none=True) if isinstance(self.rule, Duplicates) else {}

    def _why(self, other: Granule, best: Granule) -> str:
        """Return why a granule is dropped: in what it comes behind another one, in words that many share."""
        mine, theirs = self._told(other), self._told(best)
        for name in (*self._pins, *self.product.preference, "version"):
            this, that = _fact(other, mine, name), _fact(best, theirs, name)
            if this != that:
                return f"its {name} is {this}, and {that} of the same observation is kept"
        return LATER


def _fact(granule: Granule, told: dict[str, str], name: str) -> str:
    return str(getattr(granule, name, "") or told.get(name, ""))


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Return a key by which version 10 comes behind version 9, and BA behind AZ."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.findall(r"\d+|\D+", text)]
