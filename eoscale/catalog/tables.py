"""Tables of granules: GeoParquet as eoscale writes it and as others do, and CSV with a column of URLs."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from eoscale.catalog import naming
from eoscale.catalog.naming import Found
from eoscale.catalog.stac import items
from eoscale.errors import CatalogError, scrub
from eoscale.model.granule import Granule, GranuleList
from eoscale.model.product import Product

_URLS = ("h5_url", "url", "href", "url_s3", "url_https", "s3_url", "https_url", "file")
"""Columns of URLs, where a table that is none of ours has several, the best first."""


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
    frame = _read(path)
    try:
        return GranuleList.from_dataframe(gpd.GeoDataFrame(frame))
    except (KeyError, TypeError, ValueError) as error:
        raise CatalogError(f"{scrub(path)} is no granule list: {error!r} in its columns") from error


def is_list(path: Path) -> bool:
    """Return whether a local file is a table with the columns of a granule list."""
    try:
        names = pq.read_schema(path).names
    except (OSError, pa.ArrowException):
        return False
    return {"product_type", "dropped", "geometry"} <= set(names)


def truncated(path: str) -> bool:
    """Return whether a table is a list that :func:`save` wrote, and of which a catalogue has more."""
    frame = _read(path)
    return "truncated" in frame and bool(frame["truncated"].any())


def parquet(path: str) -> Iterator[Found]:
    """Yield the granules of a table: a list that was saved, items of STAC, or rows with URLs.

    Raises
    ------
    CatalogError
        If the table is none of these.
    """
    frame = _read(path)
    if "product_type" in frame and "dropped" in frame:
        listed = load(path)
        for granule, reason in [*((granule, "") for granule in listed), *listed.dropped]:
            yield partial(_as_it_was, granule, reason)
    elif "assets" in frame:
        for row in frame.to_dict("records"):
            yield partial(items.described, _item(row))
    else:
        yield from _rows(frame, path)


def csv(text: str, path: str) -> Iterator[Found]:
    """Yield the granules of a table in CSV, by the first column that is known to hold URLs, or that does.

    Raises
    ------
    CatalogError
        If there is no such column.
    """
    try:
        frame = pd.read_csv(io.StringIO(text), dtype=str)
    except (ValueError, pd.errors.ParserError) as error:
        raise CatalogError(f"{scrub(path)} is no table in CSV: {error}") from error
    yield from _rows(frame, path)


def _read(path: str) -> pd.DataFrame:
    try:
        try:
            frame: pd.DataFrame = gpd.read_parquet(path)
        except ValueError:  # without geometry
            frame = pd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise CatalogError(f"{scrub(path)} is no granule list in GeoParquet: {error}") from error
    return frame


def _rows(frame: pd.DataFrame, path: str) -> Iterator[Found]:
    column = next(filter(frame.__contains__, _URLS), None) or _with_urls(frame)
    if column is None:
        got = ", ".join(map(str, frame))
        raise CatalogError(
            f"{scrub(path)} has no column of URLs: expected one of {', '.join(_URLS)}, got {got}"
        )
    reasons = frame["dropped"].fillna("") if "dropped" in frame else [""] * len(frame)
    for url, reason in zip(frame[column], reasons, strict=True):
        if pd.isna(url) or not str(url).strip():
            raise CatalogError(
                f"{scrub(path)} has a row without a URL in its column {column}: give one or leave it out"
            )
        yield partial(naming.listed, str(url).strip(), reason=str(reason))


def _as_it_was(granule: Granule, reason: str, _product: Product) -> tuple[Granule, str]:
    return granule, reason


def _with_urls(frame: pd.DataFrame) -> str | None:
    return next((str(name) for name in frame if frame[name].astype(str).str.contains("://").any()), None)


def _item(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row of a table of items as an item: there its properties are columns."""
    own = ("id", "collection", "assets", "links", "geometry", "bbox", "type")
    return {
        **{name: row[name] for name in own if name in row and name != "geometry"},
        "geometry": row["geometry"].__geo_interface__ if row.get("geometry") is not None else None,
        "assets": {key: asset for key, asset in row["assets"].items() if asset},
        "properties": {
            name: value.isoformat() if isinstance(value, pd.Timestamp) else value
            for name, value in row.items()
            if name not in own
        },
    }
