"""Rows of the OData catalogue of Copernicus, each a product, as granules."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import quote

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from eoscale.access import endpoints
from eoscale.catalog import geojson, naming
from eoscale.errors import CatalogError
from eoscale.model.granule import Granule
from eoscale.model.product import Product

Row: TypeAlias = Mapping[str, Any]
"""As the service gives it; ``Id`` and ``Name`` are strings."""
OFFLINE = "is offline at Copernicus, and has to be ordered first"
"""Why a product that is wanted is dropped."""
_LAST_YEAR = 2261
"""That datetime64[ns] can tell: later ones mean that there is no end."""
_SHAPE = re.compile(r"geography'SRID=4326;(.+)'")


def granule(row: Row, product: Product, collection: str) -> Granule:
    """Return the granule that a row describes; of unknown product where its name is none of the product's.

    Size and checksum are those of the product as one file.

    Raises
    ------
    CatalogError
        If the row is not as the service documents it.

    Examples
    --------
    >>> from eoscale.products import OL_1_EFR
    >>> times = "20180602T181007_20180602T181307_20180603T230737"
    >>> name = f"S3A_OL_1_EFR____{times}_0179_032_027_1620_LN1_O_NT_002.SEN3"
    >>> found = granule({"Id": "72ac", "Name": name, "ContentLength": 7}, OL_1_EFR, "SENTINEL-3")
    >>> found.version, found.size, found.links["zip"]
    ('002', 7, 'https://zipper.dataspace.copernicus.eu/odata/v1/Products(72ac)/$value')
    """
    name, which = row["Name"], quote(row["Id"], safe="")
    try:
        named = naming.named(product, name)
        dates = row.get("ContentDate") or {}
        return Granule(
            id=named.id,
            product=named.product,
            version=named.version,
            revision=named.revision,
            start=_moment(dates.get("Start")) or named.start,
            end=_moment(dates.get("End")),
            urls=_urls(row, f"({which})/Nodes({quote(name, safe='')})"),
            links=_links(row, f"({which})/$value"),
            footprint=_footprint(row),
            size=int(row.get("ContentLength") or 0),
            checksum=_checksum(row.get("Checksum") or []),
            modified=_moment(row.get("ModificationDate")),
            provider=collection,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CatalogError(
            f"Copernicus describes {name} in a way that is not known: {error!r}; tell the makers of eoscale"
        ) from error


def is_offline(row: Row) -> bool:
    """Return whether a row says that its product is on tape."""
    return row.get("Online") is False


def _moment(text: str | None) -> np.datetime64 | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    if moment.year > _LAST_YEAR:
        return None
    universal = moment.astimezone(UTC) if moment.tzinfo else moment
    return np.datetime64(universal.replace(tzinfo=None), "ns")


def _urls(row: Row, place: str) -> dict[str, str]:
    path = row.get("S3Path") or ""
    bucket = {"s3": f"s3:/{path}"} if path.startswith("/eodata/") else {}
    return {**bucket, "https": endpoints.service("EOSCALE_CDSE_NODES_URL") + place}


def _links(row: Row, place: str) -> dict[str, str]:
    links = {"zip": endpoints.service("EOSCALE_CDSE_ZIPPER_URL") + place}
    for asset in row.get("Assets") or []:
        if asset["Type"] == "QUICKLOOK":
            links["quicklook"] = asset["DownloadLink"]
    return links


def _checksum(told: Sequence[Mapping[str, str]]) -> str:
    """Return a checksum by an algorithm that this Python has, if there is one; it has no BLAKE3."""
    have = hashlib.algorithms_guaranteed
    known = [each for each in told if each["Algorithm"].lower().replace("-", "") in have]
    return next((f"{each['Algorithm']}:{each['Value']}".lower() for each in [*known, *told]), "")


def _footprint(row: Row) -> BaseGeometry | None:
    """Return where a product is; None where nothing is said of it that can be drawn."""
    geometry = row.get("GeoFootprint")
    written = _SHAPE.fullmatch(row.get("Footprint") or "")
    if not geometry and written:
        shape = shapely.from_wkt(written[1], on_invalid="ignore")
        geometry = shape and shapely.geometry.mapping(shape)
    return geojson.footprint({"geometry": geometry})
