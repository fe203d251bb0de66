"""UMM-G: a granule as CMR describes it (https://wiki.earthdata.nasa.gov/display/CMR/UMM-G)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from eoscale.access import endpoints
from eoscale.catalog import footprints, naming
from eoscale.catalog.ground_tracks.orbits import footprint
from eoscale.errors import CatalogError
from eoscale.model.granule import Granule
from eoscale.model.product import Product

NO_DATA = "has no link to data"
"""Why a record is dropped of which CMR does not say where the granule is."""
_DATA, _BUCKET, _PICTURE = "GET DATA", "GET DATA VIA DIRECT ACCESS", "GET RELATED VISUALIZATION"
_UNITS = {"KB": 2.0**10, "MB": 2.0**20, "NA": 2.0**20, "GB": 2.0**30, "TB": 2.0**40}
"""Of sizes; NSIDC gives megabytes and calls them NA."""
_ENDINGS = (".h5", ".hdf5", ".he5", ".nc", ".nc4")


def granule(record: Mapping[str, Any], product: Product) -> tuple[Granule, str]:
    """Return the granule of a record of CMR, and why it cannot be used; empty if it can.

    Parameters
    ----------
    record : mapping
        An item of ``granules.umm_json``, with ``meta`` and ``umm``; a result of earthaccess is one.
    product : Product
        What it is taken for, if its name or its collection says so.

    Raises
    ------
    CatalogError
        If it is no such record.
    """
    try:
        return _granule(record["meta"], record["umm"], product)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CatalogError(
            f"this is no record of a granule as CMR has them: {error!r}; expected UMM-G with meta and umm"
        ) from error


def _granule(meta: Mapping[str, Any], umm: Mapping[str, Any], product: Product) -> tuple[Granule, str]:
    links = list(_links(umm))
    urls, reason = _urls(links), ""
    if not urls:
        address = f"{endpoints.service('EOSCALE_CMR_URL')}/concepts/{meta['concept-id']}"
        urls, reason = {urlsplit(address).scheme: address}, NO_DATA
    named = naming.named(product, _name(umm, urls))
    collection = umm.get("CollectionReference", {})
    known = {each.name for each in product.catalogued if each.provider == "cmr"}
    start, end = _times(umm.get("TemporalExtent", {}))
    size, checksum = _weight(umm.get("DataGranule", {}))
    made = Granule(
        id=named.id,
        product=named.product or (product.name if collection.get("ShortName") in known else ""),
        version=named.version or str(collection.get("Version", "")),
        revision=named.revision or str(meta.get("revision-id", "")),
        urls=urls,
        start=start if start is not None else named.start,
        end=end,
        footprint=_footprint(
            umm.get("SpatialExtent", {}).get("HorizontalSpatialDomain", {}),
            flies_as_icesat_2="rgt" in product.pattern.groupindex,
        ),
        size=size,
        checksum=checksum,
        modified=_moment(meta.get("revision-date")),
        provider=str(meta.get("provider-id", "")),
        links=_beside(links),
    )
    return made, reason


def _links(umm: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield type and URL of all that a record names."""
    for link in umm.get("RelatedUrls", []):
        yield str(link.get("Type", "")), str(link.get("URL", ""))


def _urls(links: list[tuple[str, str]]) -> dict[str, str]:
    """Return one URL for each route: of an HDF5 file, if there is one, for metadata are called data too."""
    found: dict[str, str] = {}
    for kind, url in sorted(links, key=lambda link: not link[1].lower().endswith(_ENDINGS)):
        scheme = url.partition("://")[0]
        if (kind == _DATA and scheme in ("https", "http")) or (kind == _BUCKET and scheme == "s3"):
            found.setdefault(scheme, url)
    return found


def _beside(links: list[tuple[str, str]]) -> dict[str, str]:
    pictures = [url for kind, url in links if kind == _PICTURE and url.startswith("https://")]
    givers = [url for _, url in links if urlsplit(url).path.endswith("/s3credentials")]
    named = {"quicklook": pictures, "s3credentials": givers}
    return {name: urls[0] for name, urls in named.items() if urls}


def _name(umm: Mapping[str, Any], urls: Mapping[str, str]) -> str:
    """Return the producer's name of a granule, that of its file, or what the catalogue calls it."""
    told = {
        each.get("IdentifierType"): str(each["Identifier"])
        for each in umm.get("DataGranule", {}).get("Identifiers", [])
    }
    file = PurePosixPath(urlsplit(next(iter(urls.values()))).path).name
    return told.get("ProducerGranuleId") or file or str(umm["GranuleUR"])


def _times(extent: Mapping[str, Any]) -> tuple[np.datetime64 | None, np.datetime64 | None]:
    if "SingleDateTime" in extent:
        moment = _moment(extent["SingleDateTime"])
        return moment, moment
    span = extent.get("RangeDateTime", {})
    return _moment(span.get("BeginningDateTime")), _moment(span.get("EndingDateTime"))


def _moment(text: str | None) -> np.datetime64 | None:
    return np.datetime64(text.removesuffix("Z"), "ns") if text else None


def _weight(told: Mapping[str, Any]) -> tuple[int, str]:
    """Return bytes and checksum of the one file of a granule; sizes that are rounded are not known."""
    files = [each for each in told.get("ArchiveAndDistributionInformation", []) if "FileType" not in each]
    if len(files) != 1:
        return 0, ""
    (file,) = files
    size = float(file.get("SizeInBytes") or file.get("Size", 0) * _UNITS.get(file.get("SizeUnit"), 0))
    exact = round(size) if abs(size - round(size)) < 0.01 else 0
    check = file.get("Checksum")
    algorithm = str(check["Algorithm"]).lower().replace("-", "") if check else ""
    return exact, f"{algorithm}:{check['Value'].lower()}" if check else ""


def _footprint(domain: Mapping[str, Any], *, flies_as_icesat_2: bool) -> BaseGeometry | None:
    """Return where a record has a granule: polygons, or the line along which its satellite flew."""
    if "Orbit" in domain:
        return _line(domain["Orbit"]) if flies_as_icesat_2 else None
    shapes = domain.get("Geometry", {})
    polygons = [
        footprints.polygon(_points(each["Boundary"]), map(_points, _holes(each)))
        for each in shapes.get("GPolygons", [])
    ]
    boxes = [footprints.box(*_edges(each)) for each in shapes.get("BoundingRectangles", [])]
    if all(part is not None for part in polygons) and (polygons or boxes):
        return shapely.union_all([*polygons, *boxes])
    lines = [shapely.LineString(_points(each)) for each in shapes.get("Lines", [])]
    return shapely.union_all(lines) if lines else None


def _line(orbit: Mapping[str, Any]) -> BaseGeometry | None:
    """Return the line of a part of an orbit; None of one that ICESat-2 does not fly."""
    try:
        return footprint(
            float(orbit["AscendingCrossing"]),
            float(orbit["StartLatitude"]),
            orbit["StartDirection"],
            float(orbit["EndLatitude"]),
            orbit["EndDirection"],
        )
    except CatalogError:
        return None


def _holes(polygon: Mapping[str, Any]) -> list[Any]:
    return list(polygon.get("ExclusiveZone", {}).get("Boundaries", []))


def _points(boundary: Mapping[str, Any]) -> list[tuple[float, float]]:
    return [(float(point["Longitude"]), float(point["Latitude"])) for point in boundary["Points"]]


def _edges(box: Mapping[str, Any]) -> tuple[float, float, float, float]:
    west, south, east, north = (
        float(box[f"{side}BoundingCoordinate"]) for side in ("West", "South", "East", "North")
    )
    return west, south, east, north
