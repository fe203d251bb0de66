"""Lists that the user already has, as a catalogue: globs, files, URL text files, saved granule lists."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import fsspec
import geopandas as gpd
import numpy as np
import pyarrow as pa

from eoscale.access import endpoints, folders, loop, objects
from eoscale.catalog.search import OUTSIDE_PERIOD, Query
from eoscale.errors import CatalogError, scrub
from eoscale.model.granule import ROUTES, Granule, GranuleList
from eoscale.model.product import Product

_ENDINGS = (".h5", ".hdf5", ".nc", ".nc4", ".he5")
_PARQUET = (".parquet", ".geoparquet")
_SIGNS = frozenset("*?[")
"""Of a glob."""


@dataclass(frozen=True)
class Listing:
    """A catalogue made of places: each a file, a glob, a URL, a text file of those, or a GeoParquet list.

    Globs match files of a disk and objects of a bucket. Names say product, version and time; no granule is
    opened.

    Examples
    --------
    >>> from eoscale.products import ATL06
    >>> urls = ["https://example.org/processed_ATL06_20190613065109_11610303_002_01.h5",
    ...         "https://example.org/ATL06_20190613065109_11610303_002_01.h5"]
    >>> granules = Listing(urls).search(Query(product=ATL06))
    >>> granules[0].id, granules.dropped[0][1]
    ('ATL06_20190613065109_11610303_002_01', 'a second copy of a granule')
    """

    places: Sequence[str]

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
        found = [granule for place in self.places for granule in _granules(place, query.product)]
        kept: dict[str, Granule] = {}
        dropped: list[tuple[Granule, str]] = []
        for granule, reason in found:
            why = reason or query.refusal(granule)
            if not why and granule.id in kept:
                why = "a second copy of a granule"
            if why:
                dropped.append((granule, why))
            else:
                kept[granule.id] = granule
        listed = GranuleList(granules=list(kept.values()), dropped=dropped)
        _demand(listed, query, self.places)
        return listed


def save(granules: GranuleList, path: Path) -> None:
    """Write a granule list as GeoParquet, which geopandas, QGIS and DuckDB read too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    granules.to_dataframe().to_parquet(path, index=False)


def load(path: str) -> GranuleList:
    """Return a granule list that :func:`save` wrote.

    Raises
    ------
    CatalogError
        If the file is none.
    """
    try:
        frame = gpd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise CatalogError(f"{scrub(path)} is no granule list in GeoParquet: {error}") from error
    try:
        return GranuleList.from_dataframe(frame)
    except (KeyError, TypeError, ValueError) as error:
        raise CatalogError(f"{scrub(path)} is no granule list: {error!r} in its columns") from error


def _granules(place: str, product: Product) -> Iterator[tuple[Granule, str]]:
    """Yield the granules of one place, with the reason why a saved list dropped them."""
    parts = _split(place)
    ending = Path(parts.path).suffix.lower()
    if parts.scheme in ("http", "https"):
        endpoints.check(place)
    if ending in _PARQUET:
        listed = load(place)
        yield from ((granule, "") for granule in listed)
        yield from listed.dropped
    elif ending in _ENDINGS or not _SIGNS.isdisjoint(place):
        yield from ((granule, "") for granule in _files(place, product))
    else:
        for line in _lines(place):
            yield from ((granule, "") for granule in _files(line, product))


def _split(place: str) -> SplitResult:
    try:
        return urlsplit(place)
    except ValueError as error:
        raise CatalogError(f"a listed URL is none: {error}") from None


def _lines(place: str) -> list[str]:
    try:
        with fsspec.open(place, "rt", encoding="utf-8", **_options(place)) as stream:
            text = stream.read()
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise CatalogError(f"{scrub(place)} is no granule, no glob and no list of URLs: {error}") from error
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _options(place: str) -> dict[str, str]:
    """Return what s3fs must know of the service that the environment names: it reads no variable of ours."""
    endpoint = endpoints.s3_endpoint() if _split(place).scheme in ("s3", "s3a") else ""
    return {"endpoint_url": endpoint} if endpoint else {}


def _files(place: str, product: Product) -> list[Granule]:
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
    return [_granule(url, route, size, product) for url, size in found]


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


def _granule(url: str, route: str, size: int, product: Product) -> Granule:
    """Return a granule as its name tells it; a name of another product gives one of unknown product."""
    name = Path(urlsplit(url).path).name
    stem = re.sub(r"\.(h5|hdf5|nc4?|he5)$", "", name)
    match = product.pattern.search(stem)
    if match is None:
        return Granule(id=stem, product="", urls={route: url}, size=size)
    facts = match.groupdict()
    return Granule(
        id=match.group(0),
        product=product.name,
        version=facts.get("version") or "",
        revision=facts.get("revision") or "",
        urls={route: url},
        start=_moment(facts["start"]) if facts.get("start") else None,
        size=size,
    )


def _moment(digits: str) -> np.datetime64:
    date, time = digits[:8], digits[8:14]
    text = f"{date[:4]}-{date[4:6]}-{date[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}"
    try:
        return np.datetime64(text, "ns")
    except ValueError as error:
        raise CatalogError(f"{digits} in a granule's name is no time") from error


def _demand(listed: GranuleList, query: Query, places: Sequence[str]) -> None:
    if not listed.granules and not any(reason == OUTSIDE_PERIOD for _, reason in listed.dropped):
        names = ", ".join(granule.id for granule, _ in listed.dropped[:3]) or "nothing"
        where = ", ".join(scrub(place) for place in places)
        raise CatalogError(f"no granule of {query.product.name} in {where}: found {names}")
    if query.version is not None:
        other = sorted({granule.version for granule in listed} - {query.version})
        if other:
            raise CatalogError(
                f"version {query.version} was asked for, the list has {', '.join(other)}: "
                "mend `search: {version: …}` or the list"
            )
