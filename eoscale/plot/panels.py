"""Panels: a map in its frame, the legend of its colours, the scale bar."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator
from shapely.geometry.base import BaseGeometry

from eoscale.plot import graticule
from eoscale.plot.colours import COAST, GREY, INK, LAND, MERIDIAN, SEA, Scale, number
from eoscale.plot.layout import Place
from eoscale.plot.mosaic import Floats
from eoscale.plot.page import Page, fitted
from eoscale.plot.subject import Subject
from eoscale.plot.view import Box, View

_ARROW = 0.035
"""Length of the colour bar's arrows over its own."""
_BINS = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Base:
    """What all maps of a page have in common, drawn under and over the data."""

    view: View
    region: BaseGeometry | None
    lines: list[graticule.Line] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lines", graticule.lines(self.view))

    def draw(self, axes: Axes, *, weight: float) -> None:
        """Draw ground, graticule and region, in a line weight."""
        left, bottom, right, top = self.view.box
        axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], aspect=self.view.stretch)
        axes.set_facecolor(LAND if self.region is None else SEA)
        graticule.draw(axes, self.lines, colour=MERIDIAN, width=0.7 * weight)
        if self.region is not None:
            axes.add_patch(PathPatch(self._path, facecolor=LAND, edgecolor="none", zorder=0))
            axes.add_patch(
                PathPatch(self._path, facecolor="none", edgecolor=COAST, linewidth=0.9 * weight, zorder=4)
            )

    def name_lines(self, axes: Axes) -> None:
        """Name meridians and parallels at the frame."""
        graticule.name(axes, self.lines, self.view, colour=GREY, size=7.5)

    @cached_property
    def _path(self) -> Path:
        assert self.region is not None  # noqa: S101  asked for where there is one only
        rings = [
            ring
            for polygon in shapely.get_parts(shapely.orient_polygons(self.region))
            for ring in (polygon.exterior, *polygon.interiors)
        ]
        return Path.make_compound_path(*(Path(shapely.get_coordinates(ring), closed=True) for ring in rings))


def cells(axes: Axes, values: Floats, box: Box, scale: Scale) -> None:
    """Draw the cells of a grid where there are data."""
    left, bottom, right, top = box
    limits = axes.axis()
    axes.imshow(
        np.ma.masked_invalid(values),
        cmap=scale.colours,
        norm=scale.norm,
        extent=(left, right, bottom, top),
        interpolation="nearest",
        aspect="auto",
        zorder=2,
    )
    axes.axis(limits)


def nothing(axes: Axes) -> None:
    """Say that there is nothing to see."""
    axes.text(
        0.5,
        0.5,
        "no data",
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=MERIDIAN,
        fontsize=16,
        zorder=5,
    )


def legend(page: Page, box: Place, values: Floats, scale: Scale | None, subject: Subject) -> None:
    """Draw the colour bar with the histogram of the values standing on it.

    Parameters
    ----------
    page : Page
    box : Place
    values : array of float64
        NaN where there is nothing.
    scale : Scale or None
        None says that there are no values.
    subject : Subject
        What the values are.
    """
    left, bottom, width, height = box
    name = fitted(subject.name, width, 9.5, 2, ending=subject.units)
    page.text(left, bottom + height, name, fontsize=9.5, weight="bold", linespacing=1.2)
    if scale is None:
        page.text(left, bottom + height - 0.4, "no cell holds an observation", fontsize=8, color=GREY)
        return
    bar_bottom = bottom + 0.42
    bar(page, (left, bar_bottom, width, 0.11), scale)
    below, above = (_ARROW * (scale.extend in (end, "both")) for end in ("min", "max"))
    inner = width / (1 + below + above)
    axes = page.axes(left + below * inner, bar_bottom + 0.14, inner, max(height - 1.0, 0.3))
    axes.set_axis_off()
    known = values[np.isfinite(values)]
    shares = np.asarray(scale.norm(known), np.float64)
    number_in, edges = np.histogram(shares, bins=_BINS, range=(0, 1))
    middles = (edges[:-1] + edges[1:]) / 2
    axes.bar(middles, number_in, width=1 / _BINS, color=scale.colours(middles), linewidth=0)
    axes.set(xlim=(0, 1), ylim=(0, max(number_in.max(), 1) * 1.02))
    least, median, greatest = _rounded(np.array([known.min(), np.median(known), known.max()]))
    facts = f"{known.size:,} cells  ·  {least} to {greatest}, median {median}"
    page.text(left, bottom + 0.12, facts, fontsize=7, color=GREY)


def _rounded(values: Floats) -> list[str]:
    """Return values with as many digits as their range deserves."""
    spread = float(np.ptp(values))
    digits = 3 - int(np.floor(np.log10(spread))) if spread else 4
    return [number(round(float(value), digits)) for value in values]


def bar(page: Page, box: Place, scale: Scale) -> None:
    """Draw a slim colour bar with its numbers beneath."""
    axes = page.axes(*box)
    drawn = page.figure.colorbar(
        ScalarMappable(scale.norm, scale.colours),
        cax=axes,
        orientation="horizontal",
        extend=scale.extend,
        extendfrac=_ARROW,
    )
    drawn.outline.set_linewidth(0.4)
    ticks = scale.ticks(6 if box[2] > 2 else 4)
    axes.xaxis.set(
        major_locator=FixedLocator(ticks),
        major_formatter=FuncFormatter(number),
        minor_locator=NullLocator(),
        minor_formatter=NullFormatter(),
    )
    axes.tick_params(labelsize=7, length=2.5, width=0.5, pad=2)


def scale_bar(page: Page, large: Place, view: View) -> None:
    """Draw a bar of a round length on the ground, below the right end of a map's frame.

    Nothing is drawn where the scale differs much between the upper and lower edge.
    """
    scales = np.array([view.metres_across(height) for height in (0.0, 0.5, 1.0)])
    if not scales.max() < 1.5 * scales.min():
        return
    left, bottom, width, _ = large
    middle = float(scales[1])
    length = _round_length(2.2 * middle)
    inches = width * length / (10 * middle)
    axes = page.axes(left + width - inches, bottom - 0.45, inches, 0.05)
    axes.set(xlim=(0, 2), ylim=(0, 1), xticks=[], yticks=[])
    axes.add_patch(Rectangle((0, 0), 1, 1, facecolor=INK))
    text = f"{length / 1000:,g} km" if length >= 1000 else f"{length:g} m"
    page.text(left + width - inches - 0.08, bottom - 0.425, text, ha="right", va="center", fontsize=7.5)


def _round_length(longest: float) -> float:
    """Return the longest of 1, 2, 5, 10, 20, … that does not exceed a length."""
    decade = 10.0 ** np.floor(np.log10(longest))
    return float(max(step * decade for step in (1, 2, 5) if step * decade <= longest))
