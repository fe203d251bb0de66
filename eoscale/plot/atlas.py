"""Atlas: the page of maps, one large and some small beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from eoscale.plot import mosaic, panels
from eoscale.plot.colours import GREY, Scale, scale
from eoscale.plot.layout import Layout, Place
from eoscale.plot.mosaic import Mosaic, Window
from eoscale.plot.page import Page, heading, note
from eoscale.plot.panels import Base
from eoscale.plot.spans import bounds, groups, label
from eoscale.plot.subject import Subject
from eoscale.plot.view import Raster, View, outline

MOST_BLOCKS = 1500
"""Along a side of the large map: about the dots that it has on the page."""
_MOST_BLOCKS_SMALL = 400
_MOST_SPANS = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class Content:
    """A result merged into what the maps show."""

    merged: Mosaic
    spans: list[tuple[str, Mosaic]]
    """Name and map of each small multiple; empty where there is one span only."""
    raster: Raster
    window: Window
    """The part of the raster that is shown."""


def draw(dataset: xr.Dataset, subject: Subject) -> Page:
    """Return the page of a result on a grid."""
    raster = Raster.of(subject.values, dataset.get("spatial_ref"))
    region = dataset.attrs.get("eoscale_region")
    polygons = outline(str(region), raster) if region else None
    window = mosaic.occupied(subject) if polygons is None else raster.window(polygons.bounds)
    window = window or raster.window(raster.box())
    base = Base(view=View.around(raster.crs, raster.box(window)), region=polygons)
    content = read(dataset, subject, raster, window)
    colours = scale(content.merged.values, subject.statistic)
    small = [] if colours is None else _small_maps(content, subject, colours)
    layout = Layout.of(base.view.aspect, len(small))
    page = Page(width=layout.width, height=layout.height)
    page.head(*heading(dataset, subject, raster.cell))
    page.foot(note(dataset, raster.crs.name, content.merged.factor))
    _draw_large(page, layout.large, base, content, colours)
    panels.legend(page, layout.legend, content.merged.values, colours, subject)
    for one, place in zip(small, layout.small, strict=True):
        _draw_small(page, place, base, content, one)
    return page


def read(dataset: xr.Dataset, subject: Subject, raster: Raster, window: Window) -> Content:
    """Return a window of a result, merged over time and in at most six groups of spans."""
    rows, columns = window
    factor = mosaic.factor_for((rows.stop - rows.start, columns.stop - columns.start), MOST_BLOCKS)
    window = mosaic.aligned(window, factor)
    merged, spans = None, []
    for group in groups(subject.spans, _MOST_SPANS):
        part = mosaic.read(subject, group, window, factor)
        merged = part if merged is None else mosaic.together([merged, part], subject.statistic)
        if subject.spans > 1:
            edges = bounds(dataset)
            name = label(edges[group[0], 0], edges[group[-1], 1])
            spans.append((name, _smaller(part, subject.statistic)))
    assert merged is not None  # noqa: S101  a subject has at least one span
    return Content(merged=merged, spans=spans, raster=raster, window=window)


def _smaller(part: Mosaic, statistic: str) -> Mosaic:
    return part.coarser(mosaic.factor_for(part.values.shape, _MOST_BLOCKS_SMALL), statistic)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Small:
    """One small map of the side column."""

    title: str
    mosaic: Mosaic
    colours: Scale
    per: str = ""
    """What stands below its own colour bar, if it has one."""


def _small_maps(content: Content, subject: Subject, colours: Scale) -> list[_Small]:
    """Return a map for each span, and one of the counts unless they are unknown or the large map's."""
    maps = [_Small(title=name, mosaic=part, colours=colours) for name, part in content.spans]
    if subject.counts is None or subject.statistic == "count":
        return maps
    weights = content.merged.weights
    counts = _smaller(replace(content.merged, values=np.where(weights > 0, weights, np.nan)), "count")
    scale_of_counts = scale(counts.values, "count")
    assert scale_of_counts is not None  # noqa: S101  where there are values there are counts
    per = (
        f"per {counts.factor} \N{MULTIPLICATION SIGN} {counts.factor} cells"
        if counts.factor > 1
        else "per cell"
    )
    # last, so that its colour bar keeps no row from the next
    return [*maps, _Small(title="Observations", mosaic=counts, colours=scale_of_counts, per=per)]


def _draw_large(page: Page, place: Place, base: Base, content: Content, colours: Scale | None) -> None:
    axes = page.axes(*place)
    base.draw(axes, weight=1.0)
    base.name_lines(axes)
    panels.scale_bar(page, place, base.view)
    if colours is None:
        panels.nothing(axes)
    else:
        box = content.raster.box_of(content.window, content.merged)
        panels.cells(axes, content.merged.values, box, colours)


def _draw_small(page: Page, place: Place, base: Base, content: Content, one: _Small) -> None:
    left, bottom, width, height = place
    axes = page.axes(*place)
    base.draw(axes, weight=0.6)
    panels.cells(axes, one.mosaic.values, content.raster.box_of(content.window, one.mosaic), one.colours)
    page.text(
        left, bottom + height + 0.05, one.title, fontsize=min(8.0, 125 * width / len(one.title)), va="bottom"
    )
    if one.per:
        panels.bar(page, (left, bottom - 0.13, width, 0.06), one.colours)
        page.text(left + width / 2, bottom - 0.3, one.per, fontsize=6.5, color=GREY, ha="center")
