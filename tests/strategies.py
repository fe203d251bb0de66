"""Hypothesis strategies that several tests share."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import shapely
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from eoscale.model.chunk_index import UNALLOCATED, DatasetIndex, Filter
from eoscale.model.cube import Cube
from eoscale.model.granule import LINKS, ROUTES, Granule, GranuleList
from eoscale.model.grid import Grid
from eoscale.model.period import Period
from eoscale.model.reduction import Partial
from eoscale.model.region import LONGITUDE_LATITUDE, Region, transformer

Floats: TypeAlias = NDArray[np.float64]

RESOLUTIONS = st.sampled_from([0.1, 1 / 3, 1e3, 0.05, 0.7, 1.0, 2.5]) | st.floats(0.01, 50)
"""Sides of cells: those that float64 cannot hold exactly are the hard ones."""

_AXIS_CELLS = st.integers(1, 6)
_NAMES = st.text("ABCDEFGHIJ0123456789_", min_size=1, max_size=10)
_TIMES = st.integers(0, 10**18).map(lambda ns: np.datetime64(ns, "ns"))


@st.composite
def stars(draw: st.DrawFn, *, x: float, y: float, reach: float) -> shapely.Polygon:
    """Polygons seen whole from a point inside, crooked, perhaps with a hole around that point."""
    corners = draw(st.integers(3, 9))
    radii = draw(st.lists(st.floats(0.3, 1), min_size=corners, max_size=corners))
    turn = draw(st.floats(0, 2 * np.pi))
    # a hair irregular, so that no corner lies behind its neighbour
    angles = turn + 2 * np.pi * (np.arange(corners) + 0.1 * np.array(radii)) / corners
    ring = reach * np.array(radii)[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    centre = np.array([x, y])
    hole = [centre + 0.3 * ring] if draw(st.booleans()) else []
    return shapely.Polygon(centre + ring, hole)


@st.composite
def polygons(draw: st.DrawFn) -> BaseGeometry:
    """Polygons and multi-polygons of longitudes and latitudes, with and without holes."""
    places = draw(st.lists(st.sampled_from([-120.0, 0.0, 120.0]), min_size=1, max_size=3, unique=True))
    parts = [draw(stars(x=x, y=draw(st.floats(-40, 40)), reach=45)) for x in places]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


@st.composite
def projected_regions(draw: st.DrawFn) -> Region:
    """Regions in metres that hold no pole and do not cross the antimeridian."""
    crs, west, east, reach = draw(
        st.sampled_from([("EPSG:3413", -120.0, 100.0, 4e5), ("EPSG:32622", -53.0, -49.0, 3e5)])
    )
    at = transformer(LONGITUDE_LATITUDE, crs).transform(draw(st.floats(west, east)), draw(st.floats(65, 78)))
    x, y = (round(along) for along in at)
    box = shapely.box(x - reach, y - reach, x + reach, y + reach)
    return Region(geometry=draw(st.just(box) | stars(x=x, y=y, reach=reach)), crs=crs)


@st.composite
def regions_in_any_turn(draw: st.DrawFn) -> Region:
    """Regions of longitudes and latitudes that cross the antimeridian, or lie in 0..360 or beyond."""
    x, reach = draw(st.sampled_from([-340.0, -180.0, 0.0, 170.0, 180.0, 350.0, 520.0])), 20
    parts = [draw(stars(x=x, y=draw(st.floats(-65, 65)), reach=reach))]
    if draw(st.booleans()):
        parts.append(draw(stars(x=x + (90 if x < 450 else -90), y=draw(st.floats(-65, 65)), reach=reach)))
    return Region(geometry=parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts))


POLAR = {"EPSG:3413": 1, "EPSG:3995": 1, "EPSG:6931": 1, "EPSG:3031": -1, "EPSG:6932": -1}
"""Which pole is the origin of a CRS."""


@st.composite
def polar_regions(draw: st.DrawFn) -> Region:
    """Regions in metres around or beside a pole, perhaps with the pole in a hole."""
    crs = draw(st.sampled_from(sorted(POLAR)))
    x, y = (draw(st.sampled_from([0.0, 5e5, -1.2e6]) | st.floats(-2e6, 2e6)) for _ in range(2))
    return Region(geometry=draw(stars(x=x, y=y, reach=draw(st.sampled_from([1e5, 1e6, 3e6])))), crs=crs)


def near_the_edges(shape: BaseGeometry) -> Floats:
    """Return (n, 2) points: corners, points on and beside the edges, and some further away."""
    bent = shapely.segmentize(shape, shape.length / 60)
    edge = shapely.get_coordinates(bent)
    centre = np.array(shape.centroid.coords[0])
    beside = [np.nextafter(edge, np.inf), np.nextafter(edge, -np.inf), centre + (edge - centre) * (1 - 1e-9)]
    left, bottom, right, top = shape.bounds
    x, y = np.meshgrid(np.linspace(left, right, 9), np.linspace(bottom, top, 9))
    return np.concatenate([edge, *beside, np.column_stack([x.ravel(), y.ravel()])])


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Small grids of longitude and latitude: no projection comes between a point and its cell."""
    # six cells of 60 degrees go round the Earth, more of them are refused
    resolution = min(draw(RESOLUTIONS), 60.0)
    width, height = draw(_AXIS_CELLS), draw(_AXIS_CELLS)
    west = draw(st.integers(*_cells_within(180, resolution)))
    south = draw(st.integers(*_cells_within(90, resolution)))
    return Grid(
        crs=LONGITUDE_LATITUDE, resolution=resolution, west=west, south=south, width=width, height=height
    )


def _cells_within(limit: float, resolution: float) -> tuple[int, int]:
    return -int(limit / resolution), max(int(limit / resolution) - 6, 0)


@st.composite
def periods(draw: st.DrawFn) -> Period:
    """Some spans of uneven lengths."""
    gaps = draw(st.lists(st.integers(1, 10**16), min_size=1, max_size=6))
    start = draw(st.integers(0, 10**18))
    return Period(edges=np.cumsum([start, *gaps]).astype("datetime64[ns]"))


@st.composite
def cubes(draw: st.DrawFn) -> Cube:
    """Cubes of time and cells, cut into tiles of any shape, even larger than the cube."""
    period = Period(
        edges=np.datetime64("2024-01-01", "ns") + np.arange(draw(st.integers(2, 6))).astype("m8[D]")
    )
    grid = Grid(
        crs=LONGITUDE_LATITUDE,
        resolution=1.0,
        west=-3,
        south=-2,
        width=draw(_AXIS_CELLS),
        height=draw(_AXIS_CELLS),
    )
    axes = draw(st.sampled_from([(period, grid), (grid,), (period,)]))
    dimensions = sum(len(axis.shape) for axis in axes)
    tile_shape = draw(st.tuples(*[st.integers(1, 7)] * dimensions))
    return Cube(axes=axes, tile_shape=tile_shape)


@st.composite
def granules(draw: st.DrawFn, *, id: str | None = None) -> Granule:  # noqa: A002  the field's own name
    """Granules with and without routes, times, footprints and sizes."""
    name = draw(_NAMES) if id is None else id
    routes = draw(st.lists(st.sampled_from(ROUTES), min_size=1, unique=True))
    corner = draw(st.none() | st.tuples(st.integers(-180, 170), st.integers(-90, 80)))
    return Granule(
        id=name,
        product="ATL06",
        urls={route: f"{route}://host/{name}.h5" for route in routes},
        version=draw(st.sampled_from(["", "006", "007"])),
        revision=draw(st.sampled_from(["", "01"])),
        start=draw(st.none() | _TIMES),
        end=draw(st.none() | _TIMES),
        footprint=None if corner is None else shapely.box(*corner, corner[0] + 9, corner[1] + 9),
        size=draw(st.integers(0, 2**40)),
        checksum=draw(st.sampled_from(["", "md5:00ff"])),
        modified=draw(st.none() | _TIMES),
        provider=draw(st.sampled_from(["", "NSIDC_ECS", "NSIDC_CPRD"])),
        links={link: f"https://host/{name}.{link}" for link in draw(st.lists(st.sampled_from(LINKS)))},
    )


@st.composite
def granule_lists(draw: st.DrawFn) -> GranuleList:
    """Lists of a few granules, some of them dropped."""
    names = draw(st.lists(_NAMES, max_size=4, unique=True))
    dropped = draw(st.lists(st.sampled_from(["another version", "too old"]), max_size=2))
    return GranuleList(
        granules=[draw(granules(id=name)) for name in names],
        dropped=[(draw(granules()), reason) for reason in dropped],
        truncated=bool(names) and draw(st.booleans()),
    )


@st.composite
def dataset_indexes(draw: st.DrawFn) -> DatasetIndex:
    """Chunk tables of scalars, vectors and tables, with chunks at the edges and chunks never written."""
    shape = tuple(draw(st.lists(st.integers(0, 20), max_size=2)))
    chunk_shape = tuple(draw(st.integers(1, 8)) for _ in shape)
    grid = tuple(-(-n // c) for n, c in zip(shape, chunk_shape, strict=True))
    count = int(np.prod(grid, dtype=int))
    written = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)), np.bool_)
    places = 4096 + 100 * np.array(draw(st.permutations(range(count))), np.int64)
    return DatasetIndex(
        path="gt1l/land_ice_segments/h_li",
        shape=shape,
        dtype=np.dtype("f4"),
        chunk_shape=chunk_shape,
        offsets=np.where(written, places, UNALLOCATED).reshape(grid),
        sizes=np.where(written, 90, 0).reshape(grid),
        masks=np.zeros(grid, np.int64),
        filters=(Filter(id=1, name="deflate", parameters=(6,)),),
        attributes={"_FillValue": np.float32(3.4028235e38), "units": "meters"},
    )


@st.composite
def observations(draw: st.DrawFn) -> tuple[NDArray[np.int64], Floats]:
    """Cells of some rows and their values: negative, tiny, huge, or all alike but for the last digits."""
    offset, spread = draw(st.sampled_from([(0.0, 1.0), (0.0, 1e-12), (0.0, 1e12), (1e12, 1.0), (-4e3, 1e-3)]))
    rows = draw(st.lists(st.tuples(st.integers(0, 9), st.floats(-1, 1)), max_size=12))
    keys = np.array([key for key, _ in rows], np.int64)
    return keys, offset + spread * np.array([value for _, value in rows], np.float64)


@st.composite
def partials(draw: st.DrawFn) -> Partial:
    """Partials of an integer and a float column, whatever they may mean."""
    keys = np.array(sorted(draw(st.sets(st.integers(0, 2**60), max_size=12))), np.int64)
    values = st.floats(allow_nan=True)
    column = np.array([draw(values) for _ in keys], np.float64)
    return Partial(keys=keys, columns={"count": np.arange(keys.size), "sum": column})
