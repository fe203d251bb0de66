"""Footprints on a map: where and when the granules of a list are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import matplotlib as mpl
import numpy as np
import pandas as pd
import shapely
from matplotlib import dates
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pyproj import CRS
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from eoscale.errors import RecipeError
from eoscale.model.columns import LATITUDE, LONGITUDE
from eoscale.plot import panels
from eoscale.plot.layout import Layout, Place
from eoscale.plot.page import STYLE, Page
from eoscale.plot.panels import Base
from eoscale.plot.rows import extent
from eoscale.plot.spans import label
from eoscale.plot.view import View

_COLOURS = ListedColormap(mpl.colormaps["viridis"](np.linspace(0.25, 1.0, 256)), name="beginnings")
"""Its darkest part would not be seen on the ground."""
_STEP = 1.0
"""Degrees of an edge that is straight on the map."""
_DAY = np.timedelta64(1, "D")
_MISSING = "#8da1b1"
"""Of granules without a time."""


def draw(granules: gpd.GeoDataFrame, title: str = "") -> Figure:
    """Return the page of a granule list: footprints on one map, coloured by when they begin.

    Parameters
    ----------
    granules : GeoDataFrame
        As :meth:`GranuleList.to_dataframe` gives it; only those that are not dropped are drawn.
    title : str, optional

    Raises
    ------
    RecipeError
        If no granule has a footprint.
    """
    kept = granules[granules["dropped"] == ""]
    placed = kept[kept.geometry.notna() & ~kept.geometry.is_empty].sort_values("start")
    if placed.empty:
        raise RecipeError(
            f"none of the {len(kept)} granules has a footprint: names of files tell none, catalogues do"
        )
    view = _view(placed)
    layout = Layout.of(view.aspect, 0)
    times, norm = _times(placed)
    with mpl.rc_context(STYLE):
        page = Page(width=layout.width, height=layout.height)
        page.head(title or _title(kept), _subtitle(kept))
        page.foot(_note(granules, len(kept) - len(placed), view))
        _map(page, layout.large, view, placed, norm(times))
        if norm.vmin is not None:
            _legend(page, layout.legend, norm)
    return page.figure


def save(granules: gpd.GeoDataFrame, path: Path, title: str = "") -> Path:
    """Write the page of a granule list as PNG and return where; the same list gives the same bytes."""
    figure = draw(granules, title)
    with mpl.rc_context(STYLE):
        figure.savefig(path, format="png", dpi=200, metadata={"Software": None})
    return path


def _view(placed: gpd.GeoDataFrame) -> View:
    """Return the view of all footprints: about a pole, if they are all near one."""
    longitude, latitude = shapely.get_coordinates(placed.geometry.to_numpy()).T
    found = extent([{LONGITUDE: longitude, LATITUDE: latitude}])
    assert found is not None  # noqa: S101  footprints have points
    crs, box = found
    return View.around(CRS.from_user_input(crs), box)


def _times(placed: gpd.GeoDataFrame) -> tuple[NDArray[np.float64], Normalize]:
    """Return days since 1970 of the beginnings, NaN where there is none, and their scale."""
    times = np.where(placed["start"].isna(), np.nan, placed["start"].astype("i8") / 86_400e9)
    if np.isnan(times).all():
        return times, Normalize()
    first, last = float(np.nanmin(times)), float(np.nanmax(times))
    return times, Normalize(first, max(last, first + 1 / 24))


def _map(page: Page, place: Place, view: View, placed: gpd.GeoDataFrame, shares: NDArray[np.float64]) -> None:
    """Draw the footprints, the latest on top; ``shares`` are 0 for the first and 1 for the last."""
    axes = page.axes(*place)
    base = Base(view=view, region=None)
    base.draw(axes, weight=1.0)
    base.name_lines(axes)
    panels.scale_bar(page, place, view)
    colours = _COLOURS.with_extremes(bad=_MISSING)(np.ma.masked_invalid(shares))
    faces, lines = [], []
    face_colours, line_colours = [], []
    for footprint, colour in zip(placed.geometry, colours, strict=True):
        for shape in _turns(footprint, view):
            rings = list(_projected(_areas(shape), view))
            edges = list(_projected(_edges(shape), view))
            faces += rings
            face_colours += [colour] * len(rings)
            lines += edges
            line_colours += [colour] * len(edges)
    thin = 0.5 if len(placed) > 300 else 0.9
    axes.add_collection(PolyCollection(faces, facecolors=face_colours, alpha=0.18, zorder=3), autolim=False)
    axes.add_collection(LineCollection(lines, colors=line_colours, linewidths=thin, zorder=4), autolim=False)


def _turns(footprint: BaseGeometry, view: View) -> Iterator[BaseGeometry]:
    """Yield a footprint where it is seen, and a turn further on if the view crosses the antimeridian."""
    bent = shapely.segmentize(footprint, _STEP)
    yield bent
    if view.crs.is_geographic and view.box[2] > 180:
        yield affinity.translate(bent, 360.0)


def _areas(shape: BaseGeometry) -> Iterator[NDArray[np.float64]]:
    """Yield the rings of polygons; holes of footprints are filled."""
    for part in shapely.get_parts(shape):
        if part.geom_type == "Polygon":
            yield shapely.get_coordinates(part.exterior)


def _edges(shape: BaseGeometry) -> Iterator[NDArray[np.float64]]:
    """Yield lines and edges of polygons, but for those where one is cut at the antimeridian or a pole."""
    for part in shapely.get_parts(shape):
        line = part.exterior if part.geom_type == "Polygon" else part
        points = shapely.get_coordinates(line)
        x, y = np.abs(points[:, 0]), np.abs(points[:, 1])
        cut = ((x[:-1] % 360 == 180) & (x[1:] % 360 == 180)) | ((y[:-1] == 90) & (y[1:] == 90))
        yield from (
            piece
            for piece in np.split(points, np.flatnonzero(cut) + 1)
            if part.geom_type != "Polygon" or len(piece) > 1
        )


def _projected(lines: Iterator[NDArray[np.float64]], view: View) -> Iterator[NDArray[np.float64]]:
    for points in lines:
        if view.crs.is_geographic:
            yield points
        else:
            yield np.column_stack(view.project(*points.T))


def _legend(page: Page, place: Place, norm: Normalize) -> None:
    """Draw a colour bar of dates."""
    left, bottom, width, height = place
    page.text(left, bottom + height, "Beginning of the granule", fontsize=9, weight="bold")
    axes = page.axes(left, bottom + height - 0.55, width, 0.12)
    drawn = page.figure.colorbar(ScalarMappable(norm, _COLOURS), cax=axes, orientation="horizontal")
    drawn.outline.set_linewidth(0.4)
    located = dates.AutoDateLocator(minticks=2, maxticks=5)
    axes.xaxis.set(major_locator=located, major_formatter=dates.ConciseDateFormatter(located))
    axes.tick_params(labelsize=7, length=2.5, width=0.5, pad=2)


def _title(kept: gpd.GeoDataFrame) -> str:
    products = ", ".join(sorted(set(kept["product_type"])))
    return f"{len(kept):,} granules of {products}"


def _subtitle(kept: gpd.GeoDataFrame) -> str:
    span = ""
    if kept["start"].notna().any():
        first, last = kept["start"].min().to_datetime64(), kept["start"].max().to_datetime64()
        span = label(first.astype("M8[D]"), last.astype("M8[D]") + _DAY)
    versions = ", ".join(sorted(filter(None, set(kept["version"]))))
    known = kept["size"].sum()
    facts = [span, f"version {versions}" if versions else "", f"{known / 1e9:,.1f} GB" if known else ""]
    return "  ·  ".join(fact for fact in facts if fact)


def _note(granules: gpd.GeoDataFrame, unplaced: int, view: View) -> str:
    dropped = int((granules["dropped"] != "").sum())
    facts = [
        view.crs.name,
        f"{unplaced:,} without a footprint are not drawn" if unplaced else "",
        f"{dropped:,} more were found and not kept" if dropped else "",
        "Truncated: the catalogue has more" if pd.Series(granules["truncated"]).any() else "",
    ]
    return ". ".join(fact for fact in facts if fact)
