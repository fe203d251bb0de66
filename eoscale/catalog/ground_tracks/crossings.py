"""Ground tracks: which reference ground tracks of ICESat-2 come near a region, and how granules are named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from eoscale.catalog.ground_tracks.files import read_tracks
from eoscale.catalog.ground_tracks.orbits import (
    GRANULE_REGIONS,
    MARGIN,
    TRACKS,
    footprint,
    ground_track,
    track,
)
from eoscale.catalog.ground_tracks.vicinity import FAR, WITHIN, Vicinity
from eoscale.errors import RecipeError
from eoscale.model.region import Region
from eoscale.model.sphere import Floats

__all__ = ["Crossing", "crossings", "footprint", "ground_track", "patterns"]

Integers: TypeAlias = NDArray[np.int64]

_WIDEST = 1000.0
"""Kilometres: further away, flat distances are no longer good to about a hundredth."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Crossing:
    """A reference ground track, and in which regions of its granules it comes near."""

    rgt: int
    """1 to 1387."""
    regions: tuple[int, ...]
    """Of 1 to 14, ascending; empty where they do not matter."""


def crossings(
    region: Region, within: float = 30.0, orbits: str | PathLike[str] | None = None
) -> tuple[Crossing, ...]:
    """Return the reference ground tracks that come within a distance of a region.

    None that does is left out. One that only comes within some hundred metres more (above 30 km, about a
    hundredth of the distance more) may be among them. A granule may reach 0.3 degrees of latitude beyond its
    region, so a track that comes near next to where granules are cut has both regions; next to the
    ascending node, the second one is of the track before or after it.

    Parameters
    ----------
    region : Region
    within : float
        Kilometres, 0 to 1000. The beams are up to 3.4 km beside the track. In its first two cycles, and at
        mid-latitudes on purpose, the instrument has pointed some kilometres further off.
    orbits : path, optional
        A file of reference orbits, as :func:`eoscale.catalog.ground_tracks.files.read_tracks` reads it.
        Without it the tracks are computed.

    Returns
    -------
    tuple of Crossing
        By track number.

    Raises
    ------
    RecipeError
        If the distance is out of range.
    CatalogError
        If the file is none of reference orbits.

    Examples
    --------
    >>> found = crossings(Region.from_bbox(147.3, -43.2, 147.4, -43.1), within=5)
    >>> found
    (Crossing(rgt=337, regions=(9,)), Crossing(rgt=375, regions=(13,)))
    >>> patterns(found)
    ('*_0337??09_*', '*_0375??13_*')
    """
    if not 0 <= within <= _WIDEST:
        raise RecipeError(f"`within` is {within:g} km: expected 0 to {_WIDEST:g}")
    tracks = read_tracks(orbits) if orbits is not None else map(track, range(1, TRACKS + 1))
    vicinity = Vicinity(region, within * 1000)
    known: set[int] = set()
    found: set[tuple[int, int]] = set()
    near: list[tuple[Integers, Floats]] = []
    for one in tracks:
        known.add(one.rgt)
        for line in one.lines:
            state = vicinity.states(line[:-1])
            segments = np.stack([line[:-1], line[1:]], axis=1)[state != FAR]
            numbers, surely = np.full(len(segments), one.rgt), state[state != FAR] == WITHIN
            found.update(_granules(numbers[surely], segments[surely]))
            near.append((numbers[~surely], segments[~surely]))
    numbers, segments = (np.concatenate(parts) for parts in zip(*near, strict=True))
    met = vicinity.meets(segments[:, 0], segments[:, 1])
    found.update(_granules(numbers[met], segments[met]))
    regions = defaultdict(list)
    for rgt, number in sorted(found):
        regions[rgt].append(number)
    return tuple(Crossing(rgt=rgt, regions=tuple(some)) for rgt, some in regions.items() if rgt in known)


def patterns(found: Iterable[Crossing], cycles: Sequence[int] = ()) -> tuple[str, ...]:
    """Return patterns of the names of granules that hold crossings; ``?`` is any one character.

    Parameters
    ----------
    found : iterable of Crossing
    cycles : sequence of int, optional
        0 to 99; any unless given.

    Returns
    -------
    tuple of str
        In the order of the crossings, their regions and the cycles.

    Raises
    ------
    RecipeError
        If a cycle has more than two digits.

    Examples
    --------
    >>> patterns([Crossing(rgt=841, regions=(3, 5))])
    ('*_0841??03_*', '*_0841??05_*')
    >>> patterns([Crossing(rgt=841, regions=())], cycles=[2, 3])
    ('*_084102??_*', '*_084103??_*')
    """
    wrong = [cycle for cycle in cycles if not 0 <= cycle <= 99]
    if wrong:
        raise RecipeError(f"there is no cycle {wrong[0]}: names of granules hold 00 to 99")
    flown = [f"{cycle:02d}" for cycle in cycles] or ["??"]
    return tuple(
        f"*_{crossing.rgt:04d}{cycle}{region}_*"
        for crossing in found
        for region in [f"{number:02d}" for number in crossing.regions] or ["??"]
        for cycle in flown
    )


def _granules(numbers: Integers, segments: Floats) -> Iterator[tuple[int, int]]:
    """Yield each track and region whose granules may hold some of (n, 2, 2) segments of tracks."""
    latitude = segments[..., 1].mean(axis=1)
    northward = segments[:, 1, 1] > segments[:, 0, 1]
    held = [(numbers[each.holds(latitude, northward)], each.number) for each in GRANULE_REGIONS]
    # granules of the revolution before may end late, and those of the one after begin early
    over = northward & (latitude >= 0) & (latitude <= MARGIN)
    short = northward & (latitude < 0) & (latitude >= -MARGIN)
    held.append(((numbers[over] - 2) % TRACKS + 1, len(GRANULE_REGIONS)))
    held.append((numbers[short] % TRACKS + 1, 1))
    for some, number in held:
        for rgt in np.unique(some).tolist():
            yield rgt, number
