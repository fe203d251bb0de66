"""Series: the page of a result that has only time, a line with the range of its values."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from eoscale.plot import panels
from eoscale.plot.colours import GREY, RULE, number
from eoscale.plot.mosaic import Floats
from eoscale.plot.page import FOOT, HEAD, RIGHT, Page, fitted, heading, note
from eoscale.plot.spans import Moments, bounds
from eoscale.plot.subject import Subject

_WIDTH, _HEIGHT, _LEFT = 10.0, 6.4, 1.0
_COUNTS = 0.8
"""Height of the bars of observations, in inches."""
_LINE, _BAND, _BARS = "#103F60", "#9fc0c4", "#b9a6c9"


def draw(dataset: xr.Dataset, subject: Subject) -> Page:
    """Return the page of a result on time alone."""
    page = Page(width=_WIDTH, height=_HEIGHT)
    page.head(*heading(dataset, subject))
    page.foot(note(dataset))
    edges = bounds(dataset)
    below = 0.0 if subject.counts is None or subject.statistic == "count" else _COUNTS + 0.2
    width = _WIDTH - _LEFT - RIGHT
    axes = page.axes(_LEFT, FOOT + below - 0.2, width, _HEIGHT - HEAD - FOOT - below + 0.2)
    _line(axes, dataset, subject, edges)
    _frame(axes, edges, dates=not below)
    axes.set_ylabel(fitted(subject.name, 4, 9, 2, ending=subject.units), fontsize=9)
    if below and subject.counts is not None:
        bars = page.axes(_LEFT, FOOT - 0.2, width, _COUNTS)
        counts = subject.counts.to_numpy()
        middles = _middles(edges)
        bars.bar(middles, counts, width=0.96 * (edges[:, 1] - edges[:, 0]), color=_BARS, linewidth=0)
        _frame(bars, edges, dates=True)
        bars.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        bars.set_ylabel("Observations", fontsize=8)
    return page


def _line(axes: Axes, dataset: xr.Dataset, subject: Subject, edges: Moments) -> None:
    values = np.asarray(subject.values.to_numpy(), np.float64)
    if np.isnan(values).all():
        axes.set_yticks([])
        panels.nothing(axes)
        return
    middles = _middles(edges)
    band = _range(dataset, subject, values)
    if band is not None:
        low, high, text = band
        axes.fill_between(middles, low, high, color=_BAND, alpha=0.45, linewidth=0, label=text)
        axes.vlines(middles, low, high, color=_BAND, linewidth=1.2)
    axes.hlines(values, edges[:, 0], edges[:, 1], color=_LINE, linewidth=0.8, alpha=0.5)
    axes.plot(
        middles,
        values,
        color=_LINE,
        linewidth=1.6,
        marker="o",
        markersize=5.5,
        markerfacecolor="white",
        markeredgewidth=1.4,
        label=subject.statistic_words,
    )
    if band is not None:
        axes.legend(
            frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2
        )


def _range(dataset: xr.Dataset, subject: Subject, values: Floats) -> tuple[Floats, Floats, str] | None:
    """Return the band around a mean: the extrema, else one standard deviation, else none."""
    base = str(subject.values.name).rpartition("_")[0]
    if subject.statistic != "mean":
        return None
    if f"{base}_min" in dataset and f"{base}_max" in dataset:
        return dataset[f"{base}_min"].to_numpy(), dataset[f"{base}_max"].to_numpy(), "Minimum to maximum"
    if f"{base}_std" in dataset:
        spread = dataset[f"{base}_std"].to_numpy()
        return values - spread, values + spread, "± one standard deviation"
    return None


def _middles(edges: Moments) -> Moments:
    return np.asarray(edges[:, 0] + (edges[:, 1] - edges[:, 0]) / 2)


def _frame(axes: Axes, edges: Moments, *, dates: bool) -> None:
    span = edges[-1, 1] - edges[0, 0]
    axes.set_xlim(edges[0, 0] - span / 100, edges[-1, 1] + span / 100)
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.set_major_formatter(FuncFormatter(number))
    axes.tick_params(labelsize=8, length=3, width=0.6, labelcolor=GREY, labelbottom=dates)
