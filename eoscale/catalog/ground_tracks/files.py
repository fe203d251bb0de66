"""Orbit files: reference ground tracks as others publish them, lines with an orbit's number or KML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from eoscale.catalog.ground_tracks.geocentric import in_space, on_ground
from eoscale.catalog.ground_tracks.orbits import STEP, TRACKS, Track
from eoscale.errors import CatalogError
from eoscale.model.sphere import LONGITUDE_LATITUDE, Floats, unwrapped

_COLUMN = "orbit"
_NUMBER = re.compile(r"RGT[\s_-]*0*(\d+)", re.IGNORECASE)
"""In ``RGT 1`` and ``IS2_RGT_0001_cycle33_12-Sep-2026``."""
_LINES = ("LineString", "MultiLineString")
_PARQUET = (".parquet", ".geoparquet")
_KML = (".kml", ".kmz")
_FAR = 9e6
"""Metres through the Earth, a quarter of the way round."""
_EXPECTED = "expected lines with a column `orbit` of whole numbers from 1 to 1387, or KML of RGTs"


def read_tracks(path: str | PathLike[str]) -> tuple[Track, ...]:
    """Return the reference ground tracks of a file.

    Either any file that geopandas reads, of lines with a column ``orbit`` (in any case) of whole numbers; or
    KML of lines, which are named ``RGT 1`` or lie in a file whose name has ``RGT_0001``. Lines may jump from
    one side of the antimeridian to the other, or end there. Between points they are the shortest way.
    ICESat-2 always flies westward, so that a line drawn eastward is turned round.

    Parameters
    ----------
    path : path
        Of a file on disk.

    Returns
    -------
    tuple of Track
        By number.

    Raises
    ------
    CatalogError
        If the file cannot be read, or is of something else.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from eoscale.catalog.ground_tracks.orbits import ground_track
    >>> frame = gpd.GeoDataFrame({"Orbit": [7]}, geometry=[ground_track(7)], crs="EPSG:4326")
    >>> with TemporaryDirectory() as folder:
    ...     frame.to_file(f"{folder}/orbits.gpkg")
    ...     read_tracks(f"{folder}/orbits.gpkg")[0].rgt
    7
    """
    found: dict[int, list[Floats]] = {}
    for rgt, line in _lines(Path(path)):
        found.setdefault(rgt, []).append(_dense(line))
    if not found:
        raise CatalogError(f"{path} holds no reference ground tracks: {_EXPECTED}")
    return tuple(Track(rgt=rgt, lines=tuple(found[rgt])) for rgt in sorted(found))


def _lines(path: Path) -> Iterator[tuple[int, Floats]]:
    """Yield number and (n, 2) points of each line of a file."""
    for frame in _frames(path):
        named = {str(name).lower(): name for name in frame.columns}
        if _COLUMN in named:
            numbers = _numbers(frame[named[_COLUMN]], path)
        elif path.suffix.lower() in _KML:
            # other layers are of points, with the time at each
            frame = frame[frame.geom_type.isin(_LINES)]  # noqa: PLW2901
            numbers = [_named(str(name or ""), path) for name in frame[named["name"]]]
        else:
            continue
        for rgt, shape in zip(numbers, _on_the_earth(frame, path), strict=True):
            yield from ((rgt, line) for line in _parts(shape, rgt, path))


def _frames(path: Path) -> Iterator[gpd.GeoDataFrame]:
    """Yield the layers of a file that have geometry."""
    try:
        if path.suffix.lower() in _PARQUET:
            yield gpd.read_parquet(path)
            return
        for layer in gpd.list_layers(path)["name"]:
            frame = gpd.read_file(path, layer=layer)
            if isinstance(frame, gpd.GeoDataFrame):
                yield frame
    except Exception as error:  # pyogrio and pyarrow raise whatever their libraries report
        raise CatalogError(f"no reference ground tracks can be read from {path}: {error}") from error


def _numbers(column: pd.Series, path: Path) -> list[int]:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    wrong = np.flatnonzero(~((numbers >= 1) & (numbers <= TRACKS) & (numbers % 1 == 0)))
    if wrong.size:
        raise CatalogError(f"{path} has an orbit {column.iloc[wrong[0]]!r:.40}: {_EXPECTED}")
    return [int(number) for number in numbers]


def _named(name: str, path: Path) -> int:
    """Return the number in the name of a line, or else of its file."""
    match = _NUMBER.search(name) or _NUMBER.search(path.stem)
    number = int(match[1]) if match else 0
    if not 1 <= number <= TRACKS:
        raise CatalogError(
            f"{path} has a line {name!r:.40} that names no RGT from 1 to {TRACKS}: expected `RGT 1` or such"
        )
    return number


def _on_the_earth(frame: gpd.GeoDataFrame, path: Path) -> list[BaseGeometry | None]:
    if frame.crs is None:
        raise CatalogError(f"{path} has no CRS: set one, such as EPSG:4326")
    return list(frame.geometry.to_crs(LONGITUDE_LATITUDE))


def _parts(shape: BaseGeometry | None, rgt: int, path: Path) -> Iterator[Floats]:
    """Yield the points of the lines of a geometry."""
    if shape is None or shape.is_empty or shape.geom_type not in _LINES:
        what = shape.geom_type if shape is not None else "nothing"
        raise CatalogError(f"{path} has {what} for orbit {rgt}: expected a line")
    for part in shapely.get_parts(shape):
        points = shapely.get_coordinates(part)
        longitude, latitude = points.T
        if not (np.abs(latitude).max() <= 90 and np.abs(longitude).max() <= 540):
            raise CatalogError(f"{path} has a line off the Earth for orbit {rgt}: expected degrees")
        if _lengths(in_space(points)).max() > _FAR:
            raise CatalogError(
                f"{path} has points a quarter of the Earth apart for orbit {rgt}: expected some km, to tell "
                "the way between them"
            )
        yield points


def _dense(points: Floats) -> Floats:
    """Return a line westward, without jumps, its points no more than STEP apart."""
    line = np.column_stack([unwrapped(points[:, 0]), points[:, 1]])
    line = line[::-1] if line[-1, 0] > line[0, 0] else line
    places = in_space(line)
    while (long := np.flatnonzero(_lengths(places) > STEP)).size:
        middles = in_space(on_ground((places[long] + places[long + 1]) / 2))
        places = np.insert(places, long + 1, middles, axis=0)
    if len(places) == len(line):
        return line
    filled = on_ground(places)
    return np.column_stack([unwrapped(filled[:, 0]), filled[:, 1]])


def _lengths(places: Floats) -> Floats:
    """Return (n - 1,) metres between places that follow each other."""
    return np.asarray(np.linalg.norm(np.diff(places, axis=0), axis=1))
