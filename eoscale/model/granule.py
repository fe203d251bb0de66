"""Granule and GranuleList: what a catalogue knows of files, without reading one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, overload
from urllib.parse import urlsplit

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry.base import BaseGeometry

from eoscale.errors import CatalogError
from eoscale.model.digest import Digested

ROUTES = ("file", "s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss",
          "https", "http", "ftp", "sftp", "smb", "hdfs", "webhdfs")  # fmt: skip
"""Ways to a granule's bytes, each the scheme of its URL, the nearest first."""
LINKS = ("zip", "quicklook", "hdr", "s3credentials")
"""What may be beside them: all files in one, a picture, a header, who gives keys for the bucket."""
TIMES = ("start", "end", "last_modified")
"""Columns of times in a table of granules."""
SECOND_COPY = "a second copy of a granule"
"""Why one of two granules of one id is dropped."""
_HDF5 = re.compile(r"\.(h5|hdf5|he5|nc4?)$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Granule(Digested):
    """One file of a product, as a catalogue describes it.

    Two granules are the same when id, version, revision, size and checksum are: not when they are
    reached by the same route.
    """

    id: str
    """The producer's name, without a subsetter's prefix and without the ending."""
    product: str
    urls: Mapping[str, str]
    """URL for each route of :data:`ROUTES` that is known."""
    version: str = ""
    revision: str = ""
    start: np.datetime64 | None = None
    end: np.datetime64 | None = None
    """UTC; None where the catalogue does not say."""
    footprint: BaseGeometry | None = None
    """Longitude and latitude. Good for maps and searches; too coarse to decide on rows."""
    size: int = 0
    """Bytes; 0 where unknown."""
    checksum: str = ""
    """``algorithm:hexadecimal``; empty where unknown."""
    modified: np.datetime64 | None = None
    """UTC, when the catalogue's record last changed; None where it does not say."""
    provider: str = ""
    """Who gives it, as the catalogue names them: ``NSIDC_CPRD``, a collection of a STAC API."""
    links: Mapping[str, str] = field(default_factory=dict)
    """URLs of what is beside the data, by :data:`LINKS`."""

    def __post_init__(self) -> None:
        unknown = set(self.urls) - set(ROUTES) | set(self.links) - set(LINKS)
        if not self.id or unknown or not self.urls:
            raise CatalogError(
                f"a granule needs an id and a URL for one of the routes {', '.join(ROUTES)}, and may have "
                f"links {', '.join(LINKS)}; got id {self.id!r}, routes {sorted(self.urls)} and links "
                f"{sorted(self.links)}"
            )

    def __repr__(self) -> str:
        return f"<Granule {self.id}: {self.size / 1e6:.1f} MB by {', '.join(self.urls)}>"

    def content(self) -> object:
        """Return what identifies the bytes, whatever the route."""
        return (self.id, self.product, self.version, self.revision, self.size, self.checksum)

    @property
    def url(self) -> str:
        """The URL of the nearest route."""
        return next(self.urls[route] for route in ROUTES if route in self.urls)

    @property
    def h5_url(self) -> str | None:
        """The URL of the one HDF5 file that it is, by https if there is such a route; None of a folder."""
        ways = [self.urls["https"]] if "https" in self.urls else []
        return next((url for url in [*ways, self.url] if _HDF5.search(urlsplit(url).path)), None)

    @property
    def whole(self) -> str:
        """The URL of one file that holds all of it: itself, or what a folder is packed in."""
        return self.url if self.h5_url else self.links.get("zip", self.url)


@dataclass(frozen=True, kw_only=True, eq=False)
class GranuleList(Digested, Sequence[Granule]):
    """Granules sorted by id, with those that were left out and why: kept and dropped are all found.

    Parameters
    ----------
    granules : sequence of Granule
        No id twice; any order.
    dropped : sequence of (Granule, reason)

    Raises
    ------
    CatalogError
        If an id occurs twice: decide which one counts, then list the other as dropped.

    Examples
    --------
    >>> b, a = (Granule(id=name, product="ATL06", urls={"file": f"/{name}.h5"}) for name in "ba")
    >>> granules = GranuleList(granules=[b, a], dropped=[])
    >>> [granule.id for granule in granules]
    ['a', 'b']
    >>> len(granules), granules.found
    (2, 2)
    >>> later = GranuleList(granules=[b])
    >>> [granule.id for granule in granules - later], [granule.id for granule in later | granules]
    (['a'], ['a', 'b'])
    """

    granules: Sequence[Granule]
    dropped: Sequence[tuple[Granule, str]] = field(default_factory=tuple)
    truncated: bool = False
    """Whether the catalogue has more, and only so many were asked for."""

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.granules, key=lambda granule: granule.id))
        twice = sorted({a.id for a, b in pairwise(ordered) if a.id == b.id})
        if twice:
            raise CatalogError(f"{len(twice)} granules are listed twice, first {twice[0]}: keep one of each")
        by_id = sorted(self.dropped, key=lambda pair: (pair[0].id, pair[0].url))
        object.__setattr__(self, "granules", ordered)
        object.__setattr__(self, "dropped", tuple(by_id))

    def __repr__(self) -> str:
        left_out = f", {len(self.dropped)} dropped" if self.dropped else ""
        cut = ", truncated" if self.truncated else ""
        return f"<GranuleList: {len(self)} granules, {self.nbytes / 1e6:.1f} MB{left_out}{cut}>"

    def __len__(self) -> int:
        return len(self.granules)

    @overload
    def __getitem__(self, index: int) -> Granule: ...
    @overload
    def __getitem__(self, index: slice) -> GranuleList: ...
    def __getitem__(self, index: int | slice) -> Granule | GranuleList:
        """Return a granule, or a shorter list that counts the rest as dropped."""
        if isinstance(index, int):
            return self.granules[index]
        return self.keep(set(range(len(self))[index]), reason="not selected")

    def __iter__(self) -> Iterator[Granule]:
        return iter(self.granules)

    def __or__(self, other: GranuleList) -> GranuleList:
        """Return the granules of both; of those in both, the other's as dropped."""
        mine = {granule.id for granule in self}
        return GranuleList(
            granules=[*self, *(granule for granule in other if granule.id not in mine)],
            dropped=[
                *self.dropped,
                *other.dropped,
                *((granule, SECOND_COPY) for granule in other if granule.id in mine),
            ],
            truncated=self.truncated or other.truncated,
        )

    def __sub__(self, other: GranuleList) -> GranuleList:
        """Return the granules that are not in the other list; the rest as dropped."""
        theirs = {granule.id for granule in other}
        return self.filter(lambda granule: granule.id not in theirs, reason="in the list taken away")

    def content(self) -> object:
        """Return the granules, the ids and reasons of those that were dropped, and whether there are more."""
        dropped = tuple((granule.id, reason) for granule, reason in self.dropped)
        return (tuple(self.granules), dropped, self.truncated)

    @property
    def found(self) -> int:
        """How many granules the catalogue reported: kept and dropped."""
        return len(self.granules) + len(self.dropped)

    @property
    def nbytes(self) -> int:
        """Bytes of all kept granules of known size."""
        return sum(granule.size for granule in self.granules)

    @property
    def givers(self) -> dict[str, str]:
        """Who gives keys for the buckets that granules are in, as their catalogue names them."""
        return {
            urlsplit(one.urls["s3"]).netloc: one.links["s3credentials"]
            for one in self
            if "s3" in one.urls and "s3credentials" in one.links
        }

    def keep(self, positions: set[int], *, reason: str) -> GranuleList:
        """Return the list with only the granules at some positions; the others dropped for a reason."""
        kept = [granule for i, granule in enumerate(self.granules) if i in positions]
        others = [(granule, reason) for i, granule in enumerate(self.granules) if i not in positions]
        return GranuleList(granules=kept, dropped=[*self.dropped, *others], truncated=self.truncated)

    def filter(self, wanted: Callable[[Granule], bool], *, reason: str) -> GranuleList:
        """Return the list with only the granules for which a function says so.

        Parameters
        ----------
        wanted : callable
            Takes a granule.
        reason : str
            Why the others are dropped.

        Examples
        --------
        >>> a, b = (Granule(id=name, product="ATL06", urls={"file": f"/{name}.h5"}) for name in "ab")
        >>> GranuleList(granules=[a, b]).filter(lambda granule: granule.id > "a", reason="comes too early")
        <GranuleList: 1 granules, 0.0 MB, 1 dropped>
        """
        return self.keep({i for i, granule in enumerate(self.granules) if wanted(granule)}, reason=reason)

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one value a granule under each name, dropped ones with their reason; None where none is.

        A route that one of them has is a column: ``url_s3``, ``url_https``; and ``h5_url`` is the URL of
        the one HDF5 file that a granule is, by https if there is such a route.
        """
        rows = [*((granule, "") for granule in self.granules), *self.dropped]
        columns: dict[str, list[Any]] = {
            "id": [granule.id for granule, _ in rows],
            "product_type": [granule.product for granule, _ in rows],
            "version": [granule.version for granule, _ in rows],
            "revision": [granule.revision for granule, _ in rows],
            "provider": [granule.provider for granule, _ in rows],
            "start": [granule.start for granule, _ in rows],
            "end": [granule.end for granule, _ in rows],
            "last_modified": [granule.modified for granule, _ in rows],
            "size": [granule.size for granule, _ in rows],
            "checksum": [granule.checksum for granule, _ in rows],
            "h5_url": [granule.h5_url for granule, _ in rows],
            **{f"{name}_url": [granule.links.get(name) for granule, _ in rows] for name in LINKS},
        }
        used = {route for granule, _ in rows for route in granule.urls}
        for route in (route for route in ROUTES if route in used):
            columns[f"url_{route}"] = [granule.urls.get(route, "") for granule, _ in rows]
        columns["truncated"] = [self.truncated] * len(rows)
        columns["dropped"] = [reason for _, reason in rows]
        columns["geometry"] = [granule.footprint for granule, _ in rows]
        return columns

    def to_dataframe(self) -> gpd.GeoDataFrame:
        """Return :meth:`to_columns` as a table, footprints as geometry."""
        columns = self.to_columns()
        footprints = columns.pop("geometry")
        frame = pd.DataFrame(columns).astype(dict.fromkeys(TIMES, "datetime64[ns]"))
        return gpd.GeoDataFrame(frame, geometry=footprints, crs="EPSG:4326")

    @classmethod
    def from_dataframe(cls, frame: gpd.GeoDataFrame) -> GranuleList:
        """Return the list that :meth:`to_dataframe` gave.

        Raises
        ------
        CatalogError
            If a column is missing, or a granule has no URL.
        """
        missing = set(cls(granules=()).to_dataframe().columns) - set(frame.columns)
        if missing:
            raise CatalogError(f"this table is no granule list: it has no column {sorted(missing)}")
        rows = [(_granule(row), str(row["dropped"])) for row in frame.to_dict("records")]
        return cls(
            granules=[granule for granule, reason in rows if not reason],
            dropped=[(granule, reason) for granule, reason in rows if reason],
            truncated=bool(frame["truncated"].any()),
        )


def _granule(row: Mapping[str, Any]) -> Granule:
    def time(name: str) -> np.datetime64 | None:
        # np.datetime64(Timestamp) would go through datetime and drop the nanoseconds
        return None if pd.isna(row[name]) else pd.Timestamp(row[name]).as_unit("ns").to_datetime64()

    return Granule(
        id=row["id"],
        product=row["product_type"],
        version=row["version"],
        revision=row["revision"],
        # tables that others joined have gaps where one has no such route
        urls={route: str(url) for route in ROUTES if pd.notna(url := row.get(f"url_{route}", "")) and url},
        start=time("start"),
        end=time("end"),
        footprint=row["geometry"],
        size=int(row["size"]),
        checksum=row["checksum"],
        modified=time("last_modified"),
        provider=row["provider"],
        links={name: str(url) for name in LINKS if pd.notna(url := row[f"{name}_url"]) and url},
    )
