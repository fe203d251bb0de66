"""Naming: what the name of a file tells of the granule in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import PurePosixPath
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

import numpy as np

from eoscale.errors import CatalogError
from eoscale.model.granule import Granule
from eoscale.model.product import Product

_ENDING = re.compile(r"\.(h5|hdf5|nc4?|he5|SEN3|zip)$", re.IGNORECASE)
_TIMES = {13: "%Y%j%H%M%S", 14: "%Y%m%d%H%M%S", 15: "%Y%m%dT%H%M%S"}
"""By how long they are: some missions count the days of a year."""


Found: TypeAlias = Callable[[Product], tuple[Granule, str]]
"""Something that was found: taken for a product a granule, with the reason why it cannot be used."""


class Named(NamedTuple):
    """What a name tells; of another product, its first part alone."""

    id: str
    product: str
    version: str
    revision: str
    start: np.datetime64 | None


def without_ending(name: str) -> str:
    """Return the name of a file or folder without what says in which form it is.

    Examples
    --------
    >>> without_ending("a.SEN3.zip"), without_ending("a_006_01.h5"), without_ending("a*")
    ('a', 'a_006_01', 'a*')
    """
    while _ENDING.search(name):
        name = _ENDING.sub("", name)
    return name


def named(product: Product, name: str) -> Named:
    """Return what the name of a file tells, if it is of a product.

    Raises
    ------
    CatalogError
        If it is, and holds no time where one should be.

    Examples
    --------
    >>> from eoscale.products import ATL06
    >>> named(ATL06, "processed_ATL06_20190613065109_11610303_002_01.h5")[:4]
    ('ATL06_20190613065109_11610303_002_01', 'ATL06', '002', '01')
    >>> named(ATL06, "ATL08_20190613065109_11610303_002_01.h5")[:4]
    ('ATL08_20190613065109_11610303_002_01', '', '', '')
    """
    stem = without_ending(name)
    match = product.pattern.search(stem)
    if match is None:
        return Named(stem, "", "", "", None)
    facts = match.groupdict()
    start = _moment(facts["start"]) if facts.get("start") else None
    return Named(match[0], product.name, facts.get("version") or "", facts.get("revision") or "", start)


def _moment(digits: str) -> np.datetime64:
    try:
        return np.datetime64(datetime.strptime(digits, _TIMES[len(digits)]), "ns")  # noqa: DTZ007  UTC, as all
    except (ValueError, KeyError) as error:
        raise CatalogError(f"{digits} in a granule's name is no time") from error


def listed(url: str, product: Product, *, size: int = 0, reason: str = "") -> tuple[Granule, str]:
    """Return the granule at a path or URL, as its name tells it, and why it cannot be used, if so.

    Raises
    ------
    CatalogError
        As :func:`named`; and if nobody reads URLs of its scheme.
    """
    route = urlsplit(url).scheme or "file"
    found = named(product, PurePosixPath(urlsplit(url).path).name)
    return Granule(**found._asdict(), urls={route: url}, size=size), reason
