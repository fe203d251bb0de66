"""Items of STAC as granules: whichever catalogue wrote them, and whatever it calls its assets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

import numpy as np
import pandas as pd

from eoscale.catalog import geojson, naming
from eoscale.errors import CatalogError
from eoscale.model.granule import ROUTES, Granule
from eoscale.model.product import Product

_DATA = (".h5", ".hdf5", ".he5", ".nc", ".nc4")
_DATA_TYPES = ("application/x-hdf", "application/x-netcdf", "application/netcdf")
_ZIPPER = "/data/zipper/"
"""In the paths of ESA MAAP: what is below it is packed when it is asked for."""
_PICTURES = ("quicklook", "quicklook_jpeg", "thumbnail")
"""Keys of assets, the best first."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT")
_HASHES = {"d50110": ("md5", 32), "1114": ("sha1", 40), "1220": ("sha256", 64), "1340": ("sha512", 128)}
"""What a multihash begins with, and how many digits follow."""


class _File(NamedTuple):
    """One way to one asset."""

    kind: str
    """``data``, or a link of a granule, or empty."""
    url: str
    route: str
    size: int
    checksum: str

    @property
    def path(self) -> PurePosixPath:
        return PurePosixPath(unquote(urlsplit(self.url).path))


def granule(item: Mapping[str, Any], product: Product) -> Granule:
    """Return the granule that an item describes, of the product or of another one.

    Raises
    ------
    CatalogError
        If it is no item, or has no file that can be read.

    Examples
    --------
    >>> from eoscale.products import product
    >>> name = "ECA_EXBA_ATL_FM__2A_20250620T131444Z_20250620T145502Z_05999E"
    >>> assets = {"enclosure_1": {"href": f"https://host/{name}.HDR"},
    ...           "enclosure_2": {"href": f"https://host/{name}.h5"}}
    >>> item = {"id": name, "collection": "EarthCAREL2Validated_MAAP", "assets": assets}
    >>> found = granule(item, product("ATL_FM__2A"))
    >>> found.version, found.url.endswith("05999E.h5"), sorted(found.links)
    ('BA', True, ['hdr'])
    """
    found, lack = described(item, product)
    if lack:
        raise CatalogError(f"item {found.id} {lack}: give an item with an asset in HDF5 or netCDF-4")
    return found


def described(item: Mapping[str, Any], product: Product, own: str = "") -> tuple[Granule, str]:
    """Return the granule that an item describes, and why it cannot be read; empty if it can.

    One that cannot is known by its zip, or else by the URL of the item itself.

    Parameters
    ----------
    item : mapping
        As in JSON.
    product : Product
        Whose names tell product, version and time.
    own : str
        URL of the item, where it has no link to itself.

    Raises
    ------
    CatalogError
        If it is no item, or can neither be read nor named by a URL.
    """
    name, properties, assets = _parts(item)
    own = _own(item) or own
    files = [file for key, asset in assets.items() for file in _files(key, asset, own)]
    data = _chosen(files, product, name)
    urls = {route: url for route, (url, _) in data.items()}
    links = {file.kind: file.url for file in reversed(files) if file.kind in ("zip", "hdr")}
    links |= _picture(assets, own)
    lack = "" if urls else _lack(files, assets)
    if not urls:
        urls = _stand_in(links.get("zip", ""), own, name)
    named = _named(product, name, properties, urls.values())
    members = next((members for _, members in data.values()), [])
    told = Granule(
        id=named.id,
        product=named.product,
        urls=urls,
        version=named.version or str(properties.get("version") or ""),
        revision=named.revision,
        start=_moment(properties.get("start_datetime")) or named.start or _moment(properties.get("datetime")),
        end=_moment(properties.get("end_datetime")),
        footprint=geojson.footprint(item),
        size=sum(file.size for file in members) if all(file.size for file in members) else 0,
        checksum=members[0].checksum if len(members) == 1 else "",
        modified=_moment(properties.get("updated")),
        provider=str(item.get("collection") or ""),
        links=links,
    )
    return told, lack


def _parts(item: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
    """Return id, properties and assets."""
    name, properties, assets = item.get("id"), item.get("properties") or {}, item.get("assets") or {}
    if not (
        name and isinstance(name, str) and isinstance(properties, Mapping) and isinstance(assets, Mapping)
    ):
        told = {"id": name, "properties": properties, "assets": assets}
        raise CatalogError(f"this is no STAC item: expected an id, properties and assets, got {told!r:.120}")
    return name, properties, {key: asset for key, asset in assets.items() if isinstance(asset, Mapping)}


def _own(item: Mapping[str, Any]) -> str:
    links = item.get("links") or []
    own = [link.get("href") for link in links if isinstance(link, Mapping) and link.get("rel") == "self"]
    return next((url for url in own if isinstance(url, str) and _web(url)), "")


def _web(url: str) -> bool:
    return url.startswith(("https://", "http://"))


def _files(key: str, asset: Mapping[str, Any], own: str) -> Iterator[_File]:
    """Yield the ways to an asset: its own, and those that it calls alternate."""
    others = asset.get("alternate")
    ways = [asset, *(others.values() if isinstance(others, Mapping) else ())]
    for way in ways:
        url, route = _url(way.get("href") if isinstance(way, Mapping) else None, own)
        if route in ROUTES:
            size = asset.get("file:size")
            yield _File(
                kind=_kind(key, url, str(way.get("type") or asset.get("type") or "")),
                url=url,
                route=route,
                size=size if isinstance(size, int) and size > 0 else 0,
                checksum=_checksum(asset.get("file:checksum")),
            )


def _url(href: object, own: str) -> tuple[str, str]:
    """Return URL and route of an asset; no file of this machine if the item is of a catalogue elsewhere."""
    try:
        if not isinstance(href, str) or not href:
            return "", ""
        whole = urljoin(own, href) if own and not urlsplit(href).scheme else href
        scheme = urlsplit(whole).scheme.lower()
    except ValueError:
        return "", ""
    if scheme in ("", "file"):
        path = unquote(urlsplit(whole).path) if scheme else whole
        return ("", "") if own or not path.startswith("/") else (path, "file")
    return whole, scheme


def _kind(key: str, url: str, media: str) -> str:
    """Return what an asset is: the ending counts, since keys were renamed and types are wrong for some."""
    path = urlsplit(url).path.lower()
    if _ZIPPER in path or path.endswith(".zip"):
        return "zip"
    if path.endswith(_DATA):
        return "data"
    if path.endswith(".hdr"):
        return "hdr"
    if media.startswith("application/zip"):
        return "zip"
    if media.startswith(_DATA_TYPES):
        return "data"
    return "zip" if key == "product" and not PurePosixPath(path).suffix else ""


def _chosen(files: Sequence[_File], product: Product, name: str) -> dict[str, tuple[str, Sequence[_File]]]:
    """Return for each route the URL of the granule, and the files that it stands for."""
    data = [file for file in files if file.kind == "data" and not file.path.stem.endswith(product.companions)]
    routes = dict.fromkeys(file.route for file in data)
    chosen = {route: _one(list({f.url: f for f in data if f.route == route}.values()), product, name)
              for route in routes}  # fmt: skip
    return {route: (url, members) for route, (url, members) in chosen.items() if url}


def _one(files: Sequence[_File], product: Product, name: str) -> tuple[str, Sequence[_File]]:
    """Return the file of a granule; or the folder, of a product whose granules are folders."""
    if len(files) == 1:
        return files[0].url, files
    mine = [file for file in files if name in (file.path.name, file.path.stem)] or [
        file for file in files if naming.named(product, file.path.name).product
    ]
    if mine:
        return mine[0].url, mine[:1]
    folders = {file.url.rpartition("/")[0] for file in files}
    if len(folders) == 1 and naming.named(product, files[0].path.parent.name).product:
        return folders.pop(), files
    return "", ()


def _picture(assets: Mapping[str, Mapping[str, Any]], own: str) -> dict[str, str]:
    urls = [_url(assets[key].get("href"), own)[0] for key in _PICTURES if key in assets]
    best = next(filter(None, urls), "")
    return {"quicklook": best} if best else {}


def _lack(files: Sequence[_File], assets: Mapping[str, object]) -> str:
    """Return why no file of an item can be read."""
    if any(file.kind == "data" for file in files):
        return "has several files of data, and none of them is called as it is"
    if any(file.kind == "zip" for file in files):
        return "has no file of data but a zip"
    return f"has no file of data among its assets {', '.join(sorted(assets))}" if assets else "has no assets"


def _stand_in(packed: str, own: str, name: str) -> dict[str, str]:
    """Return a URL for a granule that cannot be read."""
    url = packed or own
    if not url:
        raise CatalogError(
            f"item {name} has neither data nor a link to itself: expected an asset in HDF5 or netCDF-4"
        )
    return {urlsplit(url).scheme.lower() or "file": url}


def _named(product: Product, name: str, properties: Mapping[str, Any], urls: Iterable[str]) -> naming.Named:
    """Return what the id tells, or the name of file or folder, or the product type; else the id alone."""
    for each in (name, *(PurePosixPath(unquote(urlsplit(url).path)).name for url in urls)):
        named = naming.named(product, each)
        if named.product:
            return named
    types = {catalogued.name for catalogued in product.catalogued}
    return naming.Named(name, product.name if properties.get("product:type") in types else "", "", "", None)


def _moment(text: object) -> np.datetime64 | None:
    """Return a time as STAC writes them, in UTC; None of what is none."""
    if not isinstance(text, str) or not _TIME.match(text):
        return None
    try:
        moment = pd.Timestamp(text)
        return (moment.tz_convert(None) if moment.tz else moment).as_unit("ns").to_datetime64()
    except ValueError:
        return None


def _checksum(multihash: object) -> str:
    text = multihash.lower() if isinstance(multihash, str) else ""
    for start, (algorithm, digits) in _HASHES.items():
        if text.startswith(start) and len(text) == len(start) + digits:
            return f"{algorithm}:{text[len(start) :]}"
    return ""
