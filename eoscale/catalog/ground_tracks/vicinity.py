"""Vicinity: what comes within a distance of a region, anywhere on the Earth."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from eoscale.catalog.ground_tracks.geocentric import in_space, on_ground
from eoscale.model.edges import Edges
from eoscale.model.region import Region
from eoscale.model.sphere import LONGITUDE_LATITUDE, Floats, transformer

FAR, UNSURE, WITHIN = range(3)
"""What is known of a cell: all of it is beyond the distance, some of it may be within, all of it is."""
LONGEST = 5_000.0
"""Metres: of segments that are asked about, and of pieces of the boundary."""
EXACT = 150.0
"""Metres: segments that are shorter than twice this are not halved further."""

_CELL = 0.5
"""Degrees, of both longitude and latitude."""
_HALF_CELL = 40_000.0
"""Metres: from the middle of a cell to its corners, at most."""
_ROWS, _COLUMNS = round(180 / _CELL), round(360 / _CELL)
_NARROWEST = 6_335_400.0
"""Metres: the smallest radius of curvature of the ellipsoid, where a metre is most degrees."""
_BLOCK = 500_000.0
"""Metres: sides of the cubes that the Earth is cut into; the ground in one is nearly flat."""
_HALVINGS = 40
"""Of edges: one that is not short by then jumps, from one side of a cut of its CRS's plane to the other."""
_SLACK = 10.0
"""Metres: what chords of LONGEST may lie off the curves they stand for."""


class Vicinity:
    """What lies within a distance of a region.

    The boundary is taken as short chords in space, and distances to it are measured on planes that touch the
    ground nearby. Those are never too long, and too short by less than a hundredth, so nothing that is
    within the distance is ever taken to be beyond it.

    Parameters
    ----------
    region : Region
    distance : float
        Metres.
    """

    def __init__(self, region: Region, distance: float) -> None:
        self._region = region
        self._distance = distance
        self._pieces = _boundary(region)
        self._middles = self._pieces.mean(axis=1)
        self._flat: dict[tuple[int, ...], tuple[shapely.STRtree, Floats]] = {}
        self._cells = self._classified()
        self._rows = (self._cells != FAR).any(axis=1)

    def states(self, points: Floats) -> NDArray[np.uint8]:
        """Return what is known at once of segments that begin at points: FAR, UNSURE or WITHIN.

        Parameters
        ----------
        points : (n, 2) float64
            Degrees east, of any turn, and north. Segments are no longer than LONGEST.

        Returns
        -------
        (n,) uint8

        Examples
        --------
        >>> around_the_pole = Vicinity(Region.from_bbox(-180, 80, 180, 90), 30_000)
        >>> around_the_pole.states(np.array([[10.0, 75.0], [190.0, 79.9], [370.0, 85.0]]))
        array([0, 1, 2], dtype=uint8)
        """
        row = np.minimum((points[:, 1] + 90) / _CELL, _ROWS - 1).astype(np.intp)
        states = np.full(len(points), FAR, np.uint8)
        # the longitudes of most points need no look: nothing on their parallel is near
        some = np.flatnonzero(self._rows[row])
        column = np.floor((points[some, 0] + 180) / _CELL).astype(np.intp) % _COLUMNS
        states[some] = self._cells[row[some], column]
        return states

    def meets(self, starts: Floats, ends: Floats) -> NDArray[np.bool_]:
        """Return which segments come within the distance, or a few hundred metres further.

        Parameters
        ----------
        starts, ends : (n, 2) float64
            Degrees east and north, at most LONGEST apart.

        Returns
        -------
        (n,) bool
        """
        met = self._region.contains(starts[:, 0], starts[:, 1])
        asked = np.flatnonzero(~met)
        start, end = in_space(starts[asked]), in_space(ends[asked])
        while asked.size:
            middle = (start + end) / 2
            half = np.linalg.norm(end - start, axis=1) / 2
            away = self._away(middle)
            # no point of a segment is nearer than its middle by more than half its length
            perhaps = away <= self._distance + half + _SLACK
            met[asked[(away <= self._distance) | (perhaps & (half <= EXACT))]] = True
            open_ = perhaps & ~met[asked]
            start, middle, end = start[open_], middle[open_], end[open_]
            start, end = np.concatenate([start, middle]), np.concatenate([middle, end])
            asked = np.tile(asked[open_], 2)
        return met

    def _classified(self) -> NDArray[np.uint8]:
        """Return (rows, columns) states of the cells, from the south-west."""
        unsure = _widened(on_ground(self._middles), (self._distance + 2 * LONGEST + 1e3) / _NARROWEST)
        cells = np.where(unsure, UNSURE, FAR).astype(np.uint8)
        # no boundary goes through the others, so their middle tells of all of a cell
        row, column = np.nonzero(~unsure)
        inside = self._region.contains(*_middles(row, column).T)
        cells[row[inside], column[inside]] = WITHIN
        if self._distance > _HALF_CELL:
            row, column = np.nonzero(unsure)
            near = self._away(in_space(_middles(row, column))) <= self._distance - _HALF_CELL
            cells[row[near], column[near]] = WITHIN
        return cells

    def _away(self, places: Floats) -> Floats:
        """Return metres to the boundary, infinite where it is surely beyond the distance."""
        away = np.full(len(places), np.inf)
        blocks, block = np.unique(np.floor(places / _BLOCK).astype(np.int64), axis=0, return_inverse=True)
        order = np.argsort(block.ravel(), kind="stable")
        ends = np.searchsorted(block.ravel()[order], np.arange(1, len(blocks)))
        reach = self._distance + LONGEST
        for corner, rows in zip(blocks, np.split(order, ends), strict=True):
            tree, axes = self._flattened(tuple(corner.tolist()), reach)
            points = shapely.points(places[rows] @ axes)
            (found, _), metres = tree.query_nearest(
                points, max_distance=reach, return_distance=True, all_matches=False
            )
            away[rows[found]] = metres
        return away

    def _flattened(self, corner: tuple[int, ...], reach: float) -> tuple[shapely.STRtree, Floats]:
        """Return the boundary near a cube on a plane that touches the ground there, and (3, 2) its axes."""
        if corner not in self._flat:
            centre = (np.array(corner) + 0.5) * _BLOCK
            widest = np.sqrt(3) / 2 * _BLOCK + reach + LONGEST
            near = np.linalg.norm(self._middles - centre, axis=1) <= widest
            axes = _plane(centre)
            self._flat[corner] = shapely.STRtree(shapely.linestrings(self._pieces[near] @ axes)), axes
        return self._flat[corner]


def _middles(row: NDArray[np.intp], column: NDArray[np.intp]) -> Floats:
    """Return (n, 2) degrees east and north of the middles of cells."""
    return np.column_stack([(column + 0.5) * _CELL - 180, (row + 0.5) * _CELL - 90])


def _plane(normal: Floats) -> Floats:
    """Return (3, 2) two directions at right angles to a third and to each other."""
    least = np.eye(3)[np.abs(normal).argmin()]
    first = np.cross(normal, least)
    second = np.cross(normal, first)
    return np.column_stack([first / np.linalg.norm(first), second / np.linalg.norm(second)])


def _boundary(region: Region) -> Floats:
    """Return (n, 2, 3) the ends in space of short pieces of a region's edges, straight in its own CRS."""
    to_ground = transformer(region.crs, LONGITUDE_LATITUDE).transform
    pieces = Edges.of(region.geometry, region.crs).pieces[:, [0, 2]]
    short = []
    for _ in range(_HALVINGS):
        halved = np.stack([pieces[:, 0], pieces.mean(axis=1), pieces[:, 1]], axis=1)
        # what lies beyond the CRS's own domain has no place, and no length
        with np.errstate(invalid="ignore"):
            places = in_space(np.stack(to_ground(halved[..., 0], halved[..., 1]), axis=-1))
            length = np.linalg.norm(np.diff(places, axis=1), axis=2).sum(axis=1)
        short.append(places[(length <= LONGEST) & (length > 0)])
        long = length > LONGEST
        pieces = np.concatenate([halved[long, :2], halved[long, 1:]])
    ready = np.concatenate(short)
    return np.concatenate([ready[:, :2], ready[:, 1:]])


def _widened(points: Floats, angle: float) -> NDArray[np.bool_]:
    """Return (rows, columns) which cells may come within an angle, in radians, of any of the points."""
    longitude, latitude = points.T
    high = np.degrees(angle) * 1.01
    narrow = np.cos(np.radians(latitude))
    beside = np.sin(angle) * 1.01 < narrow
    wide = np.full(len(points), 180.0)
    wide[beside] = np.degrees(np.arcsin(np.sin(angle) * 1.01 / narrow[beside]))
    south, north = (
        np.clip(np.floor((latitude + by + 90) / _CELL), 0, _ROWS - 1).astype(np.intp) for by in (-high, high)
    )
    # on a map of three turns, so that nothing goes over its edges
    west, east = (
        np.floor((longitude + by + 540) / _CELL).astype(np.intp) for by in (-wide, np.minimum(wide, 179.9))
    )
    # each point adds one to its box: by its corners, and sums over both axes
    counts = np.zeros((_ROWS + 1, 3 * _COLUMNS + 1), np.int64)
    for row, column, one in ((south, west, 1), (north + 1, west, -1), (south, east + 1, -1)):
        np.add.at(counts, (row, column), one)
    np.add.at(counts, (north + 1, east + 1), 1)
    covered = counts.cumsum(axis=0).cumsum(axis=1)[:_ROWS, :-1].reshape(_ROWS, 3, _COLUMNS)
    around: NDArray[np.bool_] = covered.max(axis=1) > 0
    return around
