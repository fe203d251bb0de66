"""Page: a sheet of paper measured in inches, with its headings and its footer."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from eoscale.plot.colours import GREY, INK
from eoscale.plot.spans import bounds, label
from eoscale.plot.subject import TIME, Subject

LEFT, RIGHT, HEAD, FOOT = 0.72, 0.6, 1.24, 1.1
"""Margins, in inches."""
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "text.color": INK,
    "text.usetex": False,
    "text.parse_math": False,  # a title with dollars is no formula
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "date.converter": "concise",
    "figure.dpi": 100.0,
}
"""Set while drawing, so that a page looks the same whatever a user's matplotlibrc says."""
_EM = 0.6
"""Width of a letter of DejaVu Sans over its size, generously."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """A figure whose parts are placed in inches from its lower left corner."""

    width: float
    height: float
    figure: Figure = field(init=False)

    def __post_init__(self) -> None:
        figure = Figure(figsize=(self.width, self.height), facecolor="white")
        FigureCanvasAgg(figure)
        object.__setattr__(self, "figure", figure)

    def axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        """Return new axes in a box."""
        return self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height)
        )

    def text(self, x: float, y: float, text: str, **style: object) -> None:
        """Write text; its upper left corner is at x, y unless the style aligns it otherwise."""
        style = {"ha": "left", "va": "top", "fontsize": 8, **style}
        self.figure.text(x / self.width, y / self.height, text, fontdict=style)

    def head(self, title: str, subtitle: str) -> None:
        """Write title and subtitle, each cut to what fits."""
        inches = self.width - LEFT - RIGHT
        size = 16 if len(title) <= _letters(inches, 16) else 12
        top = self.height - (0.28 if size == 12 else 0.36)
        self.text(
            LEFT, top, fitted(title, inches, size, 2 if size == 12 else 1), fontsize=size, weight="bold"
        )
        self.text(LEFT, self.height - 0.79, fitted(subtitle, inches, 9.5, 1), fontsize=9.5, color=GREY)

    def foot(self, note: str) -> None:
        """Write a note, and which version drew the page."""
        inches = self.width - LEFT - RIGHT - 1.4
        style = {"fontsize": 6, "color": GREY, "va": "bottom", "linespacing": 1.35}
        self.text(LEFT, 0.16, fitted(note, inches, 6, 3), **style)
        self.text(self.width - RIGHT, 0.16, f"eoscale {version('eoscale')}", ha="right", **style)


def _letters(inches: float, size: float) -> int:
    return max(int(inches * 72 / (size * _EM)), 12)


def fitted(text: str, inches: float, size: float, lines: int, *, ending: str = "") -> str:
    r"""Return text broken into at most so many lines of a width; what is too much but the ending is left out.

    Examples
    --------
    >>> fitted("Land ice height along the ground tracks", 1.6, 10, 2)
    'Land ice height\nalong the ground…'
    >>> fitted("Land ice height along the ground tracks", 1.6, 10, 2, ending=" [m]")
    'Land ice height\nalong the… [m]'
    """
    wide = _letters(inches, size)
    return "\n".join(textwrap.wrap(text + ending, wide, max_lines=lines, placeholder=f"…{ending}"))


def heading(dataset: xr.Dataset, subject: Subject, cell: str = "") -> tuple[str, str]:
    """Return title and subtitle of a result's page: what, how fine, when, from how much."""
    title = str(dataset.attrs.get("title") or subject.values.name)
    facts = [subject.statistic_words, cell, _period(dataset), _granules(dataset)]
    return title, "  ·  ".join(fact for fact in facts if fact)


def note(dataset: xr.Dataset, projection: str = "", factor: int = 1) -> str:
    """Return the footer of a result's page: how it is drawn, and what to cite."""
    drawn = f"Drawn in blocks of {factor} \N{MULTIPLICATION SIGN} {factor} cells" if factor > 1 else ""
    citation = str(dataset.attrs.get("references", ""))
    return ". ".join(part.rstrip(".") for part in (projection, drawn, citation) if part)


def _period(dataset: xr.Dataset) -> str:
    if TIME not in dataset.dims:
        return ""
    edges = bounds(dataset)
    return label(edges[0, 0], edges[-1, 1])


def _granules(dataset: xr.Dataset) -> str:
    if "eoscale_granules" not in dataset.attrs:
        return ""
    number = np.atleast_1d(dataset.attrs["eoscale_granules"]).size
    product = str(dataset.attrs.get("eoscale_product", ""))
    words = " ".join(word for word in (f"{number:,}", product, "granule" + "s" * (number != 1)) if word)
    failed = len(json.loads(dataset.attrs.get("eoscale_excluded", "{}")))
    return f"{words}, without {failed:,} that failed" if failed else words
