"""ZoneMap: where and when runs of rows lie, so that only those are read that can be inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from eoscale.model.columns import Rows
from eoscale.model.digest import Digested
from eoscale.model.region import Region
from eoscale.model.sphere import Floats, placed

Boxes: TypeAlias = NDArray[np.float32]
Degrees: TypeAlias = NDArray[np.floating]
Span: TypeAlias = tuple[np.datetime64, np.datetime64]
"""UTC start and stop, half-open."""
Times: TypeAlias = NDArray[np.datetime64]

_HALVINGS = 5
"""Of a chunk: into 32 runs at most."""
_SHORT = 5.0
"""Kilometres: a run whose box is shorter is halved no further."""
_RADIUS = 6371.0
"""Of the Earth in kilometres."""
_EARTHLY = np.array([(-180, -90, -180, -90), (540, 90, 540, 90)], np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class ZoneMap(Digested):
    """Boxes of longitude, latitude and time that runs of rows of one group of a granule lie in.

    Only rows with coordinates count (:func:`~eoscale.model.sphere.placed`): the others are nowhere, hence
    never inside. A row without a time is inside no period.

    Raises
    ------
    ValueError
        If the runs do not tile the rows, or there is not one box and one pair of times for each.

    Examples
    --------
    >>> north = np.linspace(60, 70, 4000)
    >>> time = np.datetime64("2024-04-01", "ns") + np.arange(4000) * np.timedelta64(40, "ms")
    >>> zones = ZoneMap.of(-50 - north / 10, north, time, chunk_rows=2000)
    >>> zones
    <ZoneMap of 4000 rows in 64 runs>
    >>> zones.rows_of(zones.runs(Region.from_bbox(-60, 60.01, -50, 60.1), None))
    array([ 0,  1,  2, ..., 59, 60, 61])
    """

    rows: int
    """Of the group."""
    starts: NDArray[np.int64]
    """(n,) first row of each run, ascending; a run ends where the next begins."""
    boxes: Boxes
    """(n, 4) west (-180 to 180), south, east (above 180 across the antimeridian) and north of each run, in
    degrees rounded outward; NaN for a run of which no row has coordinates."""
    times: Times
    """(n, 2) datetime64[ns], first and last of each run; NaT where no row with coordinates has a time."""

    def __post_init__(self) -> None:
        ends = np.append(self.starts, self.rows)
        if ends[0] != 0 or (np.diff(ends) < 1).any():
            raise ValueError(f"runs of rows that begin at {self.starts} do not tile {self.rows} rows")
        if self.boxes.shape != (self.starts.size, 4) or self.times.shape != (self.starts.size, 2):
            raise ValueError(
                f"{self.starts.size} runs of rows with boxes of shape {self.boxes.shape} and times of shape "
                f"{self.times.shape}"
            )
        for array in (self.starts, self.boxes, self.times):
            array.flags.writeable = False

    @classmethod
    def of(cls, longitude: Degrees, latitude: Degrees, time: Times, *, chunk_rows: int) -> ZoneMap:
        """Return the zone map of rows whose coordinates have been read.

        Chunks of rows are halved until the box of each run is shorter than 5 km, five times at most.

        Parameters
        ----------
        longitude, latitude : (rows,) float
            Degrees, -180 to 180 or 0 to 360; as the file has them, fill values too.
        time : (rows,) datetime64[ns]
            UTC.
        chunk_rows : int
            Rows of one chunk of the coordinates.
        """
        known = placed(longitude, latitude)
        x, y = (np.asarray(degrees, np.float64) for degrees in (longitude, latitude))
        if not known.all():
            x, y = (np.where(known, degrees, np.nan) for degrees in (x, y))
            time = np.where(known, time, np.datetime64("NaT", "ns"))
        rows = known.size
        starts = np.arange(0, rows, chunk_rows)
        finest = starts
        for _ in range(_HALVINGS):
            finest = _halved(finest, rows, _sizes(finest, rows) > 1)
        places = (*_turned(x), y)
        low = np.stack([np.fmin.reduceat(each, finest) for each in places])
        high = np.stack([np.fmax.reduceat(each, finest) for each in places])
        boxes = _boxes(low, high, np.arange(finest.size))
        if (_lengths(boxes) >= _SHORT).all():  # and so are those that they are halves of
            starts = finest
        else:
            starts, boxes = _split(low, high, starts, finest, rows)
        return cls(rows=rows, starts=starts, boxes=boxes, times=_first_and_last(time, starts))

    def __repr__(self) -> str:
        return f"<ZoneMap of {self.rows} rows in {self.starts.size} runs>"

    def runs(self, region: Region | None, period: Span | None) -> NDArray[np.bool_]:
        """Return (n,) which runs can hold rows inside a region and a period; None for all."""
        (chosen,) = runs([self], region, period)
        return chosen

    def rows_of(self, runs: NDArray[np.bool_]) -> Rows:
        """Return (m,) the rows of some of the (n,) runs."""
        chosen = np.flatnonzero(runs)
        sizes = _sizes(self.starts, self.rows)[chosen]
        before = np.cumsum(sizes) - sizes
        rows: Rows = np.arange(sizes.sum()) + np.repeat(self.starts[chosen] - before, sizes)
        return rows


def runs(zones: Sequence[ZoneMap], region: Region | None, period: Span | None) -> list[NDArray[np.bool_]]:
    """Return :meth:`ZoneMap.runs` of each of some zone maps: together they take hardly longer than one."""
    boxes = np.concatenate([np.empty((0, 4), np.float32), *(each.boxes for each in zones)])
    chosen = ~np.isnan(boxes[:, 0])
    if period is not None:
        start, stop = period
        times = np.concatenate([np.empty((0, 2), "M8[ns]"), *(each.times for each in zones)])
        chosen &= (times[:, 1] >= start) & (times[:, 0] < stop)
    if region is not None:
        left = np.flatnonzero(chosen)
        chosen[left] = region.touches(boxes[left])
    return np.split(chosen, np.cumsum([each.starts.size for each in zones])[:-1]) if zones else []


def _sizes(starts: Rows, rows: int) -> NDArray[np.int64]:
    return np.diff(np.append(starts, rows))


def _halved(starts: Rows, rows: int, which: NDArray[np.bool_]) -> Rows:
    """Return where runs begin when some of them have been halved."""
    middles = (starts + _sizes(starts, rows) // 2)[which]
    return np.sort(np.concatenate([starts, middles]))


def _turned(longitude: Floats) -> tuple[Floats, Floats]:
    """Return longitudes from -180, and those from 0, which are not needed where all lie in half a turn."""
    greatest = longitude.max(initial=0)
    west = longitude if greatest < 180 else np.where(longitude < 180, longitude, longitude - 360)
    half = greatest - longitude.min(initial=0) < 180
    return west, west if half else np.where(west < 0, west + 360, west)


def _split(low: Floats, high: Floats, starts: Rows, finest: Rows, rows: int) -> tuple[Rows, Boxes]:
    """Return where runs begin that are halved while they are long, at most to the finest, and their boxes."""
    boxes = _boxes(low, high, np.searchsorted(finest, starts))
    for _ in range(_HALVINGS):
        long = _lengths(boxes) >= _SHORT
        if not long.any():
            break
        starts = _halved(starts, rows, long)
        boxes = _boxes(low, high, np.searchsorted(finest, starts))
    return starts, boxes


def _first_and_last(time: Times, starts: Rows) -> Times:
    """Return (n, 2) the least and the greatest time of each run; NaT only where there is no other."""
    ticks = time.astype("M8[ns]", copy=False).view(np.int64)
    # of int64 NaT is the least, and one less is the greatest: several times faster than fmin
    first = np.minimum.reduceat(ticks - 1, starts) + 1
    return np.stack([first, np.maximum.reduceat(ticks, starts)], axis=1).view("M8[ns]")


def _boxes(low: Floats, high: Floats, starts: NDArray[np.int64]) -> Boxes:
    """Return (n, 4) boxes of runs of runs, NaN where there is no place.

    Parameters
    ----------
    low, high : (3, m) float
        Least and greatest longitude from -180, the same from 0, and latitude, of shorter runs; NaN where
        there is none.
    starts : (n,) int64
        Number of the first of these in each run.
    """
    west, west_from_0, south = np.fmin.reduceat(low, starts, axis=1)
    east, east_from_0, north = np.fmax.reduceat(high, starts, axis=1)
    # on one side of the antimeridian both arcs are one, but for what a turn rounds
    over = (east - west > 180) & (east_from_0 - west_from_0 < east - west)
    low = np.stack([np.where(over, west_from_0, west), south], axis=1)
    high = np.stack([np.where(over, east_from_0, east), north], axis=1)
    # the float beside the nearest one is beyond what that one rounded, and what a turn did
    outward = [np.nextafter(low.astype(np.float32), -np.inf), np.nextafter(high.astype(np.float32), np.inf)]
    boxes: Boxes = np.clip(np.concatenate(outward, axis=1), *_EARTHLY)
    return boxes


def _lengths(boxes: Boxes) -> Floats:
    """Return diagonals of boxes in kilometres, NaN for those of no place."""
    west, south, east, north = np.radians(boxes.T, dtype=np.float64)
    widest = np.cos(np.maximum(np.maximum(south, -north), 0))
    across = 2 * widest * np.sin(np.minimum(east - west, np.pi) / 2)
    lengths: Floats = _RADIUS * np.hypot(across, north - south)
    return lengths
