"""Mask: which points lie inside a polygon of the plane, exactly, and fast where there are many."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

_PAYS_FROM = 2**14
"""Points asked about, in all calls together, from which a raster is worth its building."""
_SIDE, _FINE_SIDE, _MANY_VERTICES = 1024, 2048, 5000
_MOST_CROSSINGS = 2**23
"""Rows of cells that all edges together may cross: bounds the memory of building."""
_MARGIN = 1e-6
"""Of a cell: far above what the arithmetic rounds, some 1e-12 cells, and far below what would cost time."""
_OUTSIDE, _INSIDE, _EDGE = np.uint8(0), np.uint8(1), np.uint8(2)
_PREPARING = Lock()


class Mask:
    """A polygon that answers which points are strictly inside it, as ``shapely.contains_xy`` does.

    Once many points have been asked about, a raster over the polygon's bounds answers for all points
    whose cell no edge touches, and shapely for the others: the answers are the same, bit for bit.
    May be used by several threads at once.

    Parameters
    ----------
    geometry : shapely Polygon or MultiPolygon
        Valid and not empty.

    Examples
    --------
    >>> Mask(shapely.box(0, 0, 2, 1)).contains(np.array([1.0, 2.0, np.nan]), np.array([0.5, 0.5, 0.5]))
    array([ True, False, False])
    """

    def __init__(self, geometry: BaseGeometry) -> None:
        self.geometry = geometry
        self._box = geometry.bounds if geometry.equals(shapely.box(*geometry.bounds)) else None
        self._raster: Raster | None = None
        self._building = Lock()
        self._asked = 0
        # GEOS makes its index not in `prepare` but at the second query, under no lock, and shapely gives
        # up the GIL meanwhile: of two threads that ask first at once, one reads an index half made
        with _PREPARING:
            left, bottom, right, top = geometry.bounds
            shapely.prepare(geometry)
            shapely.contains_xy(geometry, np.full(3, (left + right) / 2), np.full(3, (bottom + top) / 2))

    @property
    def built(self) -> bool:
        """Whether the raster has been built."""
        return self._raster is not None

    def contains(self, x: Floats, y: Floats) -> NDArray[np.bool_]:
        """Return which (n,) points are strictly inside; NaN is outside."""
        if self._box:
            left, bottom, right, top = self._box
            return (x > left) & (x < right) & (y > bottom) & (y < top)
        raster = self._raster
        if raster is None:
            # two threads may count as one: the raster is then built a call later
            self._asked += x.size
            if self._asked < _PAYS_FROM:
                return np.asarray(shapely.contains_xy(self.geometry, x, y), np.bool_)
            with self._building:
                raster = self._raster = self._raster or Raster.of(self.geometry)
        state = raster.look_up(x, y)
        inside = np.equal(state, _INSIDE)
        edge = np.flatnonzero(state == _EDGE)
        if edge.size:
            inside[edge] = shapely.contains_xy(self.geometry, x[edge], y[edge])
        return inside


@dataclass(frozen=True, kw_only=True, eq=False)
class Raster:
    """Cells over the bounds of a polygon that are wholly outside (0), wholly inside (1), or on an edge (2).

    The last row and column are no cells of the polygon's: there lies whatever is off the raster.
    """

    geometry: BaseGeometry
    corner: tuple[float, float]
    per_unit: tuple[float, float]
    """Cells along x and y in one unit of them."""
    states: NDArray[np.uint8]
    """(rows + 1, columns + 1), rows from the south."""

    @classmethod
    def of(cls, geometry: BaseGeometry) -> Raster:
        """Return the raster of a prepared polygon."""
        left, bottom, right, top = geometry.bounds
        starts, ends = _edges(geometry)
        side = _side(starts, ends, top - bottom)
        # a hair fewer than `side` cells, so that rounding takes no point to a cell beyond the last
        cells = side * (1 - 1e-12)
        per_unit = (cells / (right - left), cells / (top - bottom))
        corner = (left, bottom)
        states = np.full((side + 1, side + 1), _EDGE)  # ends the runs of each row
        states[:side, :side] = _OUTSIDE
        _mark(states, (starts - corner) * per_unit, (ends - corner) * per_unit)
        raster = cls(geometry=geometry, corner=corner, per_unit=per_unit, states=states)
        raster._fill()
        states[side], states[:, side] = _OUTSIDE, _OUTSIDE
        return raster

    def look_up(self, x: Floats, y: Floats) -> NDArray[np.uint8]:
        """Return the state of the cells that (n,) points lie in; NaN and what is off the raster is 0."""
        cell = self._cells(y, axis=1)
        cell *= len(self.states)
        cell += self._cells(x, axis=0)
        return self.states.ravel().take(cell)

    def _cells(self, along: Floats, *, axis: int) -> Integers:
        """Return the number of the cell that each coordinate lies in, the last for those off the raster.

        What lies less than a cell before the first is counted to it: no first cell is wholly inside, since
        the polygon ends at the raster's own edge.
        """
        position = along - self.corner[axis]
        position *= self.per_unit[axis]
        with np.errstate(invalid="ignore"):  # NaN and what no integer holds become the lowest one
            cell = position.astype(np.intp)
        # as numbers without sign, negative ones are the largest
        unsigned = cell.view(np.uintp)
        np.minimum(unsigned, np.uintp(len(self.states) - 1), out=unsigned)
        return cell

    def _fill(self) -> None:
        """Decide each run of cells between two edges of a row by one point in its middle.

        No edge passes between the cells of a run: they are all inside or all outside.
        """
        states = self.states.ravel()
        free = states != _EDGE
        change = np.flatnonzero(np.diff(free, prepend=False, append=False))
        first, end = change[::2], change[1::2]
        row, column = np.divmod((first + end - 1) // 2, self.states.shape[1])
        x = self.corner[0] + (column + 0.5) / self.per_unit[0]
        y = self.corner[1] + (row + 0.5) / self.per_unit[1]
        inside = np.asarray(shapely.contains_xy(self.geometry, x, y), np.uint8)
        states[free] = np.repeat(inside, end - first)


def _edges(geometry: BaseGeometry) -> tuple[Floats, Floats]:
    """Return (n, 2) starts and ends of all edges."""
    rings = shapely.get_rings(shapely.get_parts(geometry))
    points, ring = shapely.get_coordinates(rings, return_index=True)
    starts = np.flatnonzero(ring[:-1] == ring[1:])
    return points[starts], points[starts + 1]


def _side(starts: Floats, ends: Floats, height: float) -> int:
    """Return how many cells a side has: more for many edges, fewer where they cross very many rows."""
    side = _FINE_SIDE if len(starts) > _MANY_VERTICES else _SIDE
    crossed = float(np.abs(ends[:, 1] - starts[:, 1]).sum() / height)
    while side > 1 and crossed * side > _MOST_CROSSINGS:
        side //= 2
    return side


def _mark(states: NDArray[np.uint8], starts: Floats, ends: Floats) -> None:
    """Mark all cells that an edge touches or nearly touches; edges in units of cells from the corner."""
    side = len(states) - 1
    low, high = np.where((starts[:, 1] <= ends[:, 1])[:, None], (starts, ends), (ends, starts))
    edge, row = _counted(*(_cells(low[:, 1], high[:, 1], side)))
    (x, y), (x_end, y_end) = low[edge].T, high[edge].T
    rise = y_end - y
    # a level edge lies whole in its row
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(rise > 0, (x_end - x) / rise, 0.0)
        enters = np.where(rise > _MARGIN, x + (np.clip(row - _MARGIN, y, y_end) - y) * slope, x)
        leaves = np.where(rise > _MARGIN, x + (np.clip(row + 1 + _MARGIN, y, y_end) - y) * slope, x_end)
    run, column = _counted(*_cells(np.minimum(enters, leaves), np.maximum(enters, leaves), side))
    states[row[run], column] = _EDGE


def _cells(low: Floats, high: Floats, side: int) -> tuple[Integers, Integers]:
    """Return the first and last cells of spans along one axis."""
    first = np.clip(np.floor(low - _MARGIN), 0, side - 1).astype(np.intp)
    last = np.clip(np.floor(high + _MARGIN), 0, side - 1).astype(np.intp)
    return first, last


def _counted(first: Integers, last: Integers) -> tuple[Integers, Integers]:
    """Return each span's number as often as it has cells, and those cells."""
    sizes = last - first + 1
    number = np.repeat(np.arange(len(sizes)), sizes)
    before = np.cumsum(sizes) - sizes
    return number, np.arange(len(number)) - np.repeat(before - first, sizes)
