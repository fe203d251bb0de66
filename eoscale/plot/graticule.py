"""Graticule: meridians and parallels of a view, and where they are named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from eoscale.plot.view import View

_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 45, 90)
_MOST_PARALLELS = 7
_POINTS = 361
_EDGES = ("left", "bottom", "right", "top")
_ROOM = {"left": 0.24, "right": 0.24, "bottom": 0.55, "top": 0.55}
"""Inches along an edge that a name takes."""
_CORNER = 0.12
"""Inches from a corner within which no line is named."""
_BESIDE = {
    "left": (-6, 0, "right", "center"),
    "right": (6, 0, "left", "center"),
    "bottom": (0, -6, "center", "top"),
    "top": (0, 6, "center", "bottom"),
}
"""Offset in points and alignment of a name beside its edge."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """One meridian or parallel, as points of the view's plane."""

    meridian: bool
    degrees: float
    x: NDArray[np.float64]
    """(n,) NaN where the CRS has no place for a point."""
    y: NDArray[np.float64]

    @property
    def label(self) -> str:
        """Degrees and the side they are on.

        Examples
        --------
        >>> Line(meridian=True, degrees=-50, x=np.empty(0), y=np.empty(0)).label
        '50°W'
        """
        degrees = (self.degrees + 180) % 360 - 180 if self.meridian else self.degrees
        if abs(degrees) < 1e-9 or abs(degrees) == 180:
            return f"{abs(degrees):g}°"
        return f"{abs(degrees):.6g}°{'SNWE'[2 * self.meridian + (degrees > 0)]}"


def lines(view: View) -> list[Line]:
    """Return the meridians and parallels of a view at round degrees, densified."""
    west, east, south, north = _covered(view)
    along = _step((north - south) / _MOST_PARALLELS)
    # about as far apart on the ground as the parallels
    across = _step(along / max(np.cos(np.radians((south + north) / 2)), 0.05))
    # meridians that all meet in a pole are a blot: they stop at the last parallel before it
    lowest, highest = max(south, along - 90), min(north, 90 - along)
    found = [
        Line(meridian=True, degrees=degrees, x=x, y=y)
        for degrees in _multiples(west, east, across)
        if degrees - 360 < _multiples(west, east, across)[0]
        for x, y in [view.project(np.full(_POINTS, degrees), np.linspace(lowest, highest, _POINTS))]
    ]
    found += [
        Line(meridian=False, degrees=degrees, x=x, y=y)
        for degrees in _multiples(south, north, along)
        if abs(degrees) < 90
        for x, y in [view.project(np.linspace(west, east, _POINTS), np.full(_POINTS, degrees))]
    ]
    return found


def _covered(view: View) -> tuple[float, float, float, float]:
    """Return west, east, south, north of what a view shows; east may exceed 180."""
    left, bottom, right, top = view.box
    x, y = np.meshgrid(np.linspace(left, right, 80), np.linspace(bottom, top, 80))
    longitude, latitude = view.unproject(x.ravel(), y.ravel())
    longitude = np.sort(longitude[np.isfinite(longitude)])
    # the widest gap is what the view does not show: so the antimeridian may be inside
    gaps = np.diff(longitude, append=longitude[0] + 360)
    widest = int(np.argmax(gaps))
    west, east = longitude[(widest + 1) % longitude.size], longitude[widest]
    east = float(east if east > west else east + 360)
    if gaps[widest] < 15:
        west, east = -180.0, 180.0
    pad = (right - left) / 80 if view.crs.is_geographic else 0.0
    south, north = float(np.nanmin(latitude)), float(np.nanmax(latitude))
    return float(west) - pad, east + pad, max(south - pad, -90.0), min(north + pad, 90.0)


def _step(least: float) -> float:
    return next((step for step in _STEPS if step >= 0.95 * least), _STEPS[-1])


def _multiples(start: float, stop: float, step: float) -> list[float]:
    return [float(k * step) for k in range(int(np.ceil(start / step)), int(np.floor(stop / step)) + 1)]


def draw(axes: Axes, found: Sequence[Line], *, colour: str, width: float) -> None:
    """Draw lines across a map."""
    paths = [part for line in found for part in _unbroken(line, axes)]
    axes.add_collection(
        LineCollection(paths, colors=colour, linewidths=width, alpha=0.4, zorder=3), autolim=False
    )


def _unbroken(line: Line, axes: Axes) -> Iterator[NDArray[np.float64]]:
    points = np.column_stack([line.x, line.y])
    left, right = axes.get_xlim()
    jump = np.hypot(*np.diff(points, axis=0).T) > (right - left)
    broken = np.flatnonzero(jump | np.isnan(points[1:, 0])) + 1
    for part in np.split(points, broken):
        if len(part) > 1:
            yield part


def crossings(line: Line, view: View) -> Iterator[tuple[str, float, float]]:
    """Yield edge, x and y of each point where a line crosses the frame."""
    left, bottom, right, top = view.box
    for edge, at in zip(_EDGES, view.box, strict=True):
        upright = edge in ("left", "right")
        across, along = (line.x, line.y) if upright else (line.y, line.x)
        low, high = (bottom, top) if upright else (left, right)
        before, after = across[:-1] - at, across[1:] - at
        for i in np.flatnonzero(before * after < 0):
            share = before[i] / (before[i] - after[i])
            position = float(along[i] + share * (along[i + 1] - along[i]))
            if low <= position <= high:
                yield (edge, at, position) if upright else (edge, position, at)


def name(axes: Axes, found: Sequence[Line], view: View, *, colour: str, size: float) -> None:
    """Name each line once at the frame, on its best edge that still has room."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101  the axes were made in one
    inch = (view.box[2] - view.box[0]) / (axes.get_position().width * figure.get_figwidth())
    for line, edge, x, y in named(found, view, inch):
        right, up, across, along = _BESIDE[edge]
        axes.annotate(
            line.label,
            (x, y),
            xytext=(right, up),
            textcoords="offset points",
            annotation_clip=False,
            ha=across,
            va=along,
            color=colour,
            fontsize=size,
        )


def named(found: Sequence[Line], view: View, inch: float) -> Iterator[tuple[Line, str, float, float]]:
    """Yield line, edge, x and y of the names that have room at the frame.

    Parameters
    ----------
    found : sequence of Line
    view : View
    inch : float
        Units of x to an inch of the page.
    """
    left, bottom, right, top = view.box
    ends = {"left": (bottom, top), "right": (bottom, top), "bottom": (left, right), "top": (left, right)}
    taken: dict[str, list[float]] = {edge: [] for edge in _EDGES}
    meets = {line: list(crossings(line, view)) for line in found}
    order = {meridian: _order(meets, meridian=meridian) for meridian in (True, False)}
    for line, points in meets.items():
        for edge, x, y in sorted(points, key=lambda point: order[line.meridian].index(point[0])):
            at, unit = (y, inch / view.stretch) if edge in ("left", "right") else (x, inch)
            far = [abs(at - end) > _CORNER * unit for end in ends[edge]]
            far += [abs(at - other) > _ROOM[edge] * unit for other in taken[edge]]
            if all(far):
                taken[edge].append(at)
                yield line, edge, x, y
                break


def _order(meets: Mapping[Line, list[tuple[str, float, float]]], *, meridian: bool) -> list[str]:
    """Return the edges, the best first: of the two that suit a kind of line, the one that more lines meet."""
    edges = [edge for line, points in meets.items() if line.meridian == meridian for edge, _, _ in points]
    suited = ("bottom", "top") if meridian else ("left", "right")
    others = [edge for edge in _EDGES if edge not in suited]
    return [*sorted(suited, key=lambda edge: -edges.count(edge)), *others]
