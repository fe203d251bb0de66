"""Lists that the user already has, as a catalogue: globs, files, URLs, tables, items, results of others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import fsspec

from eoscale.access import endpoints, folders, loop, objects
from eoscale.catalog import naming, tables
from eoscale.catalog.cmr import umm
from eoscale.catalog.duplicates import settled
from eoscale.catalog.naming import Found
from eoscale.catalog.search import OUTSIDE_PERIOD, Query, demand_version
from eoscale.catalog.stac import items
from eoscale.errors import CatalogError, scrub
from eoscale.model.granule import ROUTES, GranuleList
from eoscale.model.product import Product

_ENDINGS = (".h5", ".hdf5", ".nc", ".nc4", ".he5")
_PARQUET = (".parquet", ".geoparquet")
_ITEMS = (".json", ".geojson")
_SIGNS = frozenset("*?[")
"""Of a glob."""
_MOST_TOLD = 5


@dataclass(frozen=True)
class Listing:
    """A catalogue made of places: each a file, a glob, a URL, a text file of those, or a list of granules.

    Lists of granules are GeoParquet as eoscale or another tool wrote it, CSV with a column of URLs, a STAC
    ItemCollection, and results of earthaccess and pystac as they are. Globs match files of a disk and
    objects of a bucket. Names say product, version and time; no granule is opened.

    Examples
    --------
    >>> from eoscale.products import ATL06
    >>> urls = ["https://example.org/processed_ATL06_20190613065109_11610303_002_01.h5",
    ...         "https://example.org/ATL06_20190613065109_11610303_002_01.h5"]
    >>> granules = Listing(urls).search(Query(product=ATL06))
    >>> granules[0].id, granules.dropped[0][1]
    ('ATL06_20190613065109_11610303_002_01', 'a second copy of a granule')
    """

    places: Sequence[object]

    def search(self, query: Query) -> GranuleList:
        """Return the granules of the product among the places.

        Raises
        ------
        CatalogError
            If a place cannot be read or holds nothing, no granule is of the product, or a version differs
            from the one that the query names.
        AccessError
            If a host or bucket must not be asked, or a bucket cannot be listed.
        """
        found = [one(query.product) for one in self._found()]
        listed = settled(found, query, truncated=self._is_cut())
        if not listed.granules and not any(reason == OUTSIDE_PERIOD for _, reason in listed.dropped):
            names = ", ".join(granule.id for granule, _ in listed.dropped[:3]) or "nothing"
            raise CatalogError(f"no granule of {query.product.name} in {self._told()}: found {names}")
        demand_version(listed, query)
        return listed

    def among(self, products: Iterable[Product]) -> tuple[Product, GranuleList]:
        """Return of which of some products the granules are, and the granules.

        Raises
        ------
        CatalogError
            If there are granules of none of them, or of several.
        """
        found, cut = list(self._found()), self._is_cut()
        if not found:
            raise CatalogError("no granules were given: there is nothing to open")
        several = [
            (known, listed)
            for known in products
            if len(listed := settled((one(known) for one in found), Query(product=known), truncated=cut))
        ]
        if len(several) > 1:
            names = ", ".join(known.name for known, _ in several)
            raise CatalogError(f"there are granules of {names}: say which by `product`")
        if not several:
            raise CatalogError(
                f"no granule in {self._told()} is of a product that eoscale knows: give `product`"
            )
        return several[0]

    def _found(self) -> Iterator[Found]:
        for place in self.places:
            if isinstance(place, str | PathLike):
                yield from _at(str(place))
            else:
                yield from _given(place)

    def _is_cut(self) -> bool:
        """Return whether one of the places is a list of which a catalogue has more."""
        paths = [str(place) for place in self.places if isinstance(place, str | PathLike)]
        return any(tables.truncated(path) for path in paths if _ending(path) in _PARQUET)

    def _told(self) -> str:
        given = [scrub(str(place)) for place in self.places if isinstance(place, str | PathLike)]
        more = len(given) - _MOST_TOLD
        return ", ".join(given[:_MOST_TOLD]) + (f" and {more:,} more" if more > 0 else "") or "what was given"


def _at(place: str) -> Iterator[Found]:
    """Yield what is at one place."""
    parts, ending = _split(place), _ending(place)
    if parts.scheme in ("http", "https"):
        endpoints.check(place)
    if ending in _PARQUET:
        yield from tables.parquet(place)
    elif ending in _ENDINGS or not _SIGNS.isdisjoint(place):
        yield from _files(place)
    elif ending == ".csv":
        yield from tables.csv(_text(place), place)
    elif ending in _ITEMS:
        yield from _collection(place)
    else:
        lines = [line.strip() for line in _text(place).splitlines()]
        for line in lines:
            if line and not line.startswith("#"):
                yield from _files(line)


def _given(result: object) -> Iterator[Found]:
    """Yield what another library found: an item or record of it, or several."""
    told = result.to_dict() if hasattr(result, "to_dict") else result
    if isinstance(told, Mapping):
        if "umm" in told:
            yield partial(umm.granule, told)
        else:
            yield from _items(told)
    elif isinstance(told, Iterable):
        for each in told:
            yield from _given(each)
    else:
        raise CatalogError(
            f"{type(result).__name__} is no granule: expected paths, URLs, or what earthaccess or pystac give"
        )


def _items(told: Mapping[str, Any]) -> Iterator[Found]:
    for item in told.get("features", [told]):
        yield partial(items.described, item)


def _collection(place: str) -> Iterator[Found]:
    try:
        told = json.loads(_text(place))
    except ValueError as error:
        raise CatalogError(f"{scrub(place)} is no JSON: {error}") from error
    if not isinstance(told, Mapping) or told.get("type") not in ("Feature", "FeatureCollection"):
        raise CatalogError(f"{scrub(place)} is no STAC Item and no ItemCollection: it has another `type`")
    yield from _items(told)


def _ending(place: str) -> str:
    return Path(_split(place).path).suffix.lower()


def _split(place: str) -> SplitResult:
    try:
        return urlsplit(place)
    except ValueError as error:
        raise CatalogError(f"a listed URL is none: {error}") from None


def _text(place: str) -> str:
    try:
        with fsspec.open(place, "rt", encoding="utf-8", **_options(place)) as stream:
            return str(stream.read())
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise CatalogError(f"{scrub(place)} is no granule, no glob and no list of URLs: {error}") from error


def _options(place: str) -> dict[str, str]:
    """Return what s3fs must know of the service that the environment names: it reads no variable of ours."""
    endpoint = endpoints.s3_endpoint() if _split(place).scheme in ("s3", "s3a") else ""
    return {"endpoint_url": endpoint} if endpoint else {}


def _files(place: str) -> Iterator[Found]:
    route = _split(place).scheme or "file"
    if route not in ROUTES:
        raise CatalogError(
            f"{scrub(place)} cannot be read: expected a path or a URL of {', '.join(ROUTES)}, got {route}://"
        )
    if route == "file":
        found = _on_disk(place)
    elif route in objects.BUCKETS:
        found = [(place, 0)] if _SIGNS.isdisjoint(place) else _in_bucket(place)
    else:
        endpoints.check(place)
        found = [(place, 0)]
    for url, size in found:
        yield partial(naming.listed, url, size=size)


def _on_disk(glob: str) -> list[tuple[str, int]]:
    filesystem = fsspec.filesystem("file")
    # a granule's URL holds wherever a task runs: no `..`, nothing relative to where the list was made
    paths = sorted({str(Path(path).resolve()) for path in filesystem.glob(glob)})
    if not paths:
        raise CatalogError(f"there is no file {glob}: look at the path, which is relative to {Path.cwd()}")
    return [(path, filesystem.size(path)) for path in paths if filesystem.isfile(path)]


def _in_bucket(glob: str) -> list[tuple[str, int]]:
    found = loop.run(folders.matching(glob))
    if not found:
        raise CatalogError(f"there is no object {scrub(glob)}: look at the bucket and the path in it")
    return found
