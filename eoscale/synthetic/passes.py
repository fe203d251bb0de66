"""Passes: when the satellite flies over a region, on which track, and with which beams."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np
import shapely
from numpy.typing import NDArray

from eoscale.errors import RecipeError
from eoscale.model.region import LONGITUDE_LATITUDE, Region, transformer
from eoscale.synthetic import tracks

EPOCH = np.datetime64("2018-01-01T00:00:00", "s")
"""The mission's seconds count from here."""
CLOUDY, OPAQUE = 0.81, 0.85
"""Above these cloudinesses a height is doubtful, and the surface is not seen at all."""
_YEAR = 365.25 * 86_400
_FIRST_CYCLE = np.datetime64("2018-10-13T00:00:00", "s")
_REVOLUTIONS = 1387
_LOST_PAIR = 1 / 6
"""Share of the granules that lack a pair of beams."""
_POINTS = 1000
"""Along a granule, before beams lose some of them."""
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One flight through one of the 14 regions of a revolution: what becomes a granule."""

    seed: int
    number: int
    """Of the pass among those of its seed."""
    start: int
    """Whole seconds since 2018-01-01 UTC."""
    node: float
    """Longitude of the ascending node, degrees east."""
    first: float
    last: float
    """Arguments of latitude where the region begins and ends, radians."""
    region: int
    """1 to 14, by latitude and direction."""
    forward: bool
    """Flown with the weak beams in front: then the right beam of each pair is the strong one."""
    beams: tuple[str, ...]
    """Those that have data."""

    @property
    def crossing(self) -> float:
        """Seconds since 2018-01-01 when the ascending node was crossed."""
        return self.start - self.first / (2 * pi) * tracks.PERIOD

    @property
    def duration(self) -> float:
        """Seconds."""
        return (self.last - self.first) / (2 * pi) * tracks.PERIOD

    @property
    def years(self) -> float:
        """Since 2018."""
        return self.start / _YEAR

    @property
    def revolution(self) -> int:
        """Revolutions completed since the first cycle began."""
        return int((self.crossing - float((_FIRST_CYCLE - EPOCH).astype(int))) // tracks.PERIOD)

    @property
    def cycle(self) -> int:
        """Of 91 days."""
        return 1 + self.revolution // _REVOLUTIONS

    @property
    def reference_track(self) -> int:
        """1 to 1387."""
        return 1 + self.revolution % _REVOLUTIONS

    @property
    def arguments(self) -> NDArray[np.float64]:
        """Arguments of latitude of all points, (n,) radians, inside the region."""
        return np.linspace(self.first, self.last, _POINTS + 2)[1:-1]

    def is_strong(self, beam: str) -> bool:
        """Return whether a beam is the strong one of its pair."""
        return beam.endswith("r") == self.forward

    def granule(self, product: str) -> str:
        """Return the id of the pass's granule."""
        moment = np.datetime_as_string(EPOCH + self.start, unit="s")
        when = "".join(character for character in moment if character.isdigit())
        return f"{product}_{when}_{self.reference_track:04}{self.cycle:02}{self.region:02}_006_01"

    def generator(self, *stream: int) -> np.random.Generator:
        """Return the random numbers of one of the pass's streams, the same wherever it is made."""
        return np.random.default_rng([self.seed, self.number, *stream])

    def fly(self, beam: str) -> tuple[tracks.Track, NDArray[np.int64]]:
        """Return the track of one beam, without the points that it lost, and which points are left.

        Returns
        -------
        Track, (n,) int64
            The second counts points that all beams share.
        """
        generator = self.generator(1, tracks.BEAMS.index(beam))
        kept = np.flatnonzero(generator.random(_POINTS) < generator.uniform(0.65, 0.98))
        return tracks.fly(self.node, self.arguments[kept], tracks.ACROSS[beam]), kept

    def cloudiness(self) -> NDArray[np.float64]:
        """Return how cloudy it is at all points, 0 to 1, evenly spread and alike nearby."""
        noise = self.generator(2).standard_normal(_POINTS + 40)
        smooth = np.convolve(noise, np.hanning(41), mode="valid")
        return np.argsort(np.argsort(smooth)) / _POINTS


def plan(
    number: int, *, seed: int, region: Region, period: tuple[np.datetime64, np.datetime64]
) -> tuple[Pass, ...]:
    """Return passes over a region, spread evenly over a period.

    Parameters
    ----------
    number : int
        How many; a pass depends on the seed and its own number only.
    seed : int
    region : Region
    period : (start, end)
        Half-open, UTC.

    Raises
    ------
    RecipeError
        If no track reaches the region, or the period is too short or begins before the mission.
    """
    start, end = (int((moment.astype("datetime64[s]") - EPOCH).astype(int)) for moment in period)
    if period[0] < _FIRST_CYCLE + 86_400:
        raise RecipeError(f"the period begins at {period[0]}: synthetic passes begin on 2018-10-14")
    offset = np.random.default_rng(seed).random()
    # multiples of the golden ratio, modulo 1, leave no large gap for any number of them
    spread = [(offset + k * _GOLDEN) % 1.0 for k in range(number)]
    passes = tuple(_pass(k, seed, region, (start, end), share) for k, share in enumerate(spread))
    if len({one.start for one in passes}) < number:
        raise RecipeError(
            f"{number} granules do not fit into {period[0]} to {period[1]}: give a longer period"
        )
    return passes


def _pass(number: int, seed: int, region: Region, period: tuple[int, int], share: float) -> Pass:
    generator = np.random.default_rng([seed, number])
    longitude, latitude = _point_in(region, generator)
    argument = tracks.argument_of_latitude(latitude, ascending=bool(generator.random() < 0.5))
    region_number, first, last = tracks.region_of(argument)
    seconds = (last - first) / (2 * pi) * tracks.PERIOD
    room = period[1] - period[0] - seconds - 2
    if room < 0:
        raise RecipeError(
            f"the period lasts {period[1] - period[0]} s, a granule {seconds:.0f} s: give a longer one"
        )
    lost = int(generator.integers(3)) if generator.random() < _LOST_PAIR else 3
    return Pass(
        seed=seed,
        number=number,
        start=period[0] + 1 + int(share * room),
        node=tracks.node_through(longitude, argument),
        first=first,
        last=last,
        region=region_number,
        forward=bool(generator.random() < 0.5),
        beams=tuple(beam for index, beam in enumerate(tracks.BEAMS) if index // 2 != lost),
    )


def _point_in(region: Region, generator: np.random.Generator) -> tuple[float, float]:
    """Return longitude and latitude of a random point of the region that a track can reach."""
    west, south, east, north = region.bounds
    reach = tracks.NORTHERNMOST - 0.01
    south, north = max(south, -reach), min(north, reach)
    if south >= north:
        raise RecipeError(f"{region} lies beyond {tracks.NORTHERNMOST:g} degrees: no ground track gets there")
    longitude, latitude = generator.uniform(west, east, 500), generator.uniform(south, north, 500)
    inside = np.flatnonzero(region.contains(longitude, latitude))
    if inside.size:
        return float(longitude[inside[0]]), float(latitude[inside[0]])
    # a sliver of its bounding box: any point of it will do
    point = shapely.point_on_surface(region.geometry)
    x, y = transformer(region.crs, LONGITUDE_LATITUDE).transform(point.x, point.y)
    return float(x), float(np.clip(y, -reach, reach))
