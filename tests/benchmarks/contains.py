"""How many points a second are tested against a region: ``python -m tests.benchmarks.contains``.

One thread each. About 20 % of the points are inside. The mask is built outside the clock and told apart.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from time import perf_counter

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from eoscale.model.mask import Raster
from eoscale.model.region import Region

_POINTS = 10_000_000
_SAMPLES = {10: 1_000_000, 1000: 500_000, 50_000: 20_000}
"""Points for geopandas, by vertices: with all of them it would take hours."""

Floats = NDArray[np.float64]
Test = Callable[[Floats, Floats], NDArray[np.bool_]]


def coast(vertices: int) -> shapely.Polygon:
    """Return an island with bays of all sizes."""
    turn = 2 * np.pi * np.arange(vertices) / vertices
    random = np.random.default_rng(1)
    radius = np.full(vertices, 0.7)
    waves = 2
    while waves < vertices / 3:
        radius += 0.2 / waves**0.7 * np.cos(waves * turn + random.uniform(0, 2 * np.pi))
        waves *= 2
    return shapely.Polygon(
        np.column_stack([-45 + 20 * radius * np.cos(turn), 70 + 12 * radius * np.sin(turn)])
    )


def around(shape: shapely.Polygon) -> tuple[Floats, Floats]:
    """Return random points of a box around a polygon, so wide that a fifth of them are inside."""
    west, south, east, north = shape.bounds
    middle, half = np.array([west + east, south + north]) / 2, np.array([east - west, north - south]) / 2
    half *= np.sqrt(shape.area / 0.2 / (4 * half.prod()))
    random = np.random.default_rng(2)
    x, y = (random.uniform(m - h, m + h, _POINTS) for m, h in zip(middle, half, strict=True))
    return x, y


def timed(test: Test, x: Floats, y: Floats) -> tuple[float, NDArray[np.bool_]]:
    """Return millions of points a second, of the fastest of five runs, and which were found inside."""
    best = np.inf
    for _ in range(5):
        start = perf_counter()
        found = test(x, y)
        best = min(best, perf_counter() - start)
    return x.size / best / 1e6, found


def measured(vertices: int, sample: int) -> Iterator[str]:
    """Yield the rows of the table for one polygon."""
    shape = coast(vertices)
    x, y = around(shape)
    shapely.prepare(shape)
    plain, expected = timed(lambda x, y: shapely.contains_xy(shape, x, y), x, y)
    yield f"shapely.contains_xy, prepared | {plain:.1f} | | {expected.mean():.3f} inside"
    speed, found = timed(
        lambda x, y: gpd.GeoSeries.from_xy(x, y).within(shape).to_numpy(), x[:sample], y[:sample]
    )
    differ = int((found != expected[:sample]).sum())
    yield f"geopandas within, {sample:,} points | {speed:.2f} | {speed / plain:.2f} | {differ} differ"
    start = perf_counter()
    side = len(Raster.of(shape).states) - 1
    building = 1000 * (perf_counter() - start)
    region = Region(geometry=shape)
    region.contains(x[: 10**6], y[: 10**6])
    speed, found = timed(region.contains, x, y)
    differ = int((found != expected).sum())
    made = f"mask of {side} x {side} built in {building:.0f} ms"
    yield f"Region.contains, {made} | {speed:.1f} | {speed / plain:.1f} | {differ} differ"
    for name, chosen in (("all inside", expected), ("none inside", ~expected)):
        speed, _ = timed(region.contains, x[chosen], y[chosen])
        yield f"Region.contains, {name} | {speed:.1f} | |"


def main() -> None:
    """Print the table."""
    sys.stdout.write(
        "| vertices | method | M points/s | times shapely | against shapely |\n|---|---|---|---|---|\n"
    )
    for vertices, sample in _SAMPLES.items():
        for row in measured(vertices, sample):
            sys.stdout.write(f"| {vertices:,} | {row} |\n")


if __name__ == "__main__":
    main()
