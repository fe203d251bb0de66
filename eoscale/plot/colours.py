"""Colours: from values to a scale that can be read off a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.ticker import MaxNLocator

from eoscale.plot.mosaic import Floats

INK, GREY, RULE = "#1b2733", "#6d7883", "#c9d0d6"
"""Of the page: text, what matters less, and ruled lines."""
SEA, LAND, COAST, MERIDIAN = "#24313d", "#111a23", "#c3d0da", "#8da1b1"
"""Of a map: outside the region, inside it, its outline and the graticule. Cells along a few tracks are thin:
on a dark ground the eye finds them."""


Extend: TypeAlias = Literal["neither", "min", "max", "both"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scale:
    """How values become colours."""

    colours: Colormap
    norm: Normalize
    extend: Extend
    """The ends beyond which values lie."""

    @property
    def limits(self) -> tuple[float, float]:
        """The values at both ends."""
        assert self.norm.vmin is not None  # noqa: S101  scale() sets both
        assert self.norm.vmax is not None  # noqa: S101
        return float(self.norm.vmin), float(self.norm.vmax)

    def ticks(self, most: int) -> list[float]:
        """Return about so many round values to be written along the scale, ascending."""
        low, high = self.limits
        if isinstance(self.norm, LogNorm):
            return _decades(low, high, most)
        located = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        return [float(tick) for tick in located if low <= tick <= high]


def scale(values: Floats, statistic: str) -> Scale | None:
    """Return the scale for values: 2nd to 98th percentile, logarithmic for counts; None without values."""
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    counts = statistic == "count"
    low, high = (float(limit) for limit in np.percentile(known, [2, 98]))
    if counts:
        low, high = np.floor(low), np.ceil(high)
    if not low < high:
        low, high = (low, low * 10) if counts else (low - 0.5, high + 0.5)
    beyond = (bool(known.min() < low), bool(known.max() > high))
    norm = LogNorm(low, high) if counts else Normalize(low, high)
    extend: dict[tuple[bool, bool], Extend] = {
        (False, False): "neither",
        (True, False): "min",
        (False, True): "max",
        (True, True): "both",
    }
    return Scale(colours=_colours(statistic), norm=norm, extend=extend[beyond])


def _colours(statistic: str) -> Colormap:
    """Return a scale even in lightness, without the dark end that the ground would swallow."""
    whole, start = (
        (mpl.colormaps["magma"], 0.36) if statistic == "count" else (mpl.colormaps["viridis"], 0.24)
    )
    return ListedColormap(whole(np.linspace(start, 1.0, 256)))


def _decades(low: float, high: float, most: int) -> list[float]:
    ticks: list[float] = []
    for steps in ((1, 2, 5), (1, 3), (1,)):
        exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        ticks = [step * 10.0**k for k in exponents for step in steps if low <= step * 10.0**k <= high]
        if len(ticks) <= most:
            break
    return ticks


def number(value: float, _position: object = None) -> str:
    """Return a number as it stands on a scale.

    Examples
    --------
    >>> number(1234567.0), number(0.5)
    ('1,234,567', '0.5')
    """
    return f"{value:,.7g}".replace("-", "\N{MINUS SIGN}")
