from __future__ import annotations

import pickle

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from eoscale.model.columns import LATITUDE, LONGITUDE, TIME, Columns
from eoscale.model.region import Region
from eoscale.model.sphere import placed
from eoscale.model.zone_map import Span, ZoneMap
from eoscale.subset import inside
from tests.strategies import Floats, polar_regions, polygons, projected_regions, regions_in_any_turn

_FILLS = [np.nan, np.inf, -np.inf, 3.4028235e38, 9.969209968386869e36, 1e30, -9999.0, 400.0]
_BEGIN = np.datetime64("2024-04-01", "ns")
_STEP = np.timedelta64(14, "ms")
_RADIUS = 6371.0
_PER_DEGREE = np.pi * _RADIUS / 180
_WORLDS = st.sampled_from([(-180, -90, 180, 90), (0, 60, 360, 90), (-180, -90, 180, -70)])
_REGIONS = (
    regions_in_any_turn()
    | polar_regions()
    | projected_regions()
    | polygons().map(lambda shape: Region(geometry=shape))
    | _WORLDS.map(lambda box: Region.from_bbox(*box))
)
_PERIODS = st.tuples(st.integers(-2, 301), st.integers(0, 301)).map(
    lambda ends: (_BEGIN + ends[0] * _STEP, _BEGIN + sum(ends) * _STEP)
)


def _track(*, inclination: float, node: float, along: Floats) -> Columns:
    """Return rows at angles from where an orbit crosses the equator, all in degrees; -180 to 180."""
    tilt, angle = np.radians(inclination), np.radians(along)
    longitude = node + np.degrees(np.arctan2(np.cos(tilt) * np.sin(angle), np.cos(angle)))
    return {
        LONGITUDE: (longitude + 180) % 360 - 180,
        LATITUDE: np.degrees(np.arcsin(np.clip(np.sin(tilt) * np.sin(angle), -1, 1))),
        TIME: _BEGIN + np.arange(along.size) * _STEP,
    }


@st.composite
def tracks(draw: st.DrawFn) -> Columns:
    """Rows anywhere, over the poles and the antimeridian; some without coordinates, some without a time."""
    step = draw(st.sampled_from([1e-4, 1e-3, 1e-2, 0.3, 25.0]))
    along = draw(st.sampled_from([0.0, 89.99, 270.0]) | st.floats(0, 360)) + step * np.arange(
        draw(st.integers(0, 300))
    )
    columns = dict(
        _track(
            inclination=draw(st.sampled_from([90.0, 92.0]) | st.floats(0, 180)),
            node=draw(st.sampled_from([0.0, 90.0, 179.9999]) | st.floats(-180, 180)),
            along=along.astype(np.float64),
        )
    )
    if draw(st.booleans()):
        columns[LONGITUDE] = columns[LONGITUDE] % 360
    kind = draw(st.sampled_from([np.float64, np.float32]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    for name in (LONGITUDE, LATITUDE):
        lost = random.random(along.size) < draw(st.sampled_from([0.0, 0.05, 0.7, 1.0]))
        columns[name] = np.where(lost, random.choice(_FILLS, along.size), columns[name]).astype(kind)
    columns[TIME][random.random(along.size) < draw(st.sampled_from([0.0, 0.1, 1.0]))] = np.datetime64("NaT")
    return columns


def _zones(columns: Columns, chunk_rows: int) -> ZoneMap:
    return ZoneMap.of(columns[LONGITUDE], columns[LATITUDE], columns[TIME], chunk_rows=chunk_rows)


def _run_of_rows(zones: ZoneMap) -> NDArray[np.intp]:
    """Return (rows,) the number of the run that each row is in."""
    return np.searchsorted(zones.starts, np.arange(zones.rows), side="right") - 1


def _on_sphere(columns: Columns) -> Floats:
    """Return (n, 3) places in kilometres from the Earth's centre."""
    x, y = (np.radians(columns[name].astype(np.float64)) for name in (LONGITUDE, LATITUDE))
    return _RADIUS * np.column_stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)])


@given(tracks(), st.integers(1, 500))
def test_runs_tile_the_rows_and_no_chunk_has_more_than_32(columns: Columns, chunk_rows: int) -> None:
    zones = _zones(columns, chunk_rows)
    rows = columns[TIME].size
    assert zones.rows == rows
    sizes = np.diff(zones.starts, append=rows)
    assert (sizes > 0).all()
    assert sizes.sum() == rows
    assert np.isin(np.arange(0, rows, chunk_rows), zones.starts).all()
    assert (np.bincount(zones.starts // chunk_rows) <= 32).all()


@given(tracks(), st.integers(1, 500))
def test_rows_of_a_run_lie_within_5_km_or_it_is_one_of_32(columns: Columns, chunk_rows: int) -> None:
    zones = _zones(columns, chunk_rows)
    known = np.flatnonzero(placed(columns[LONGITUDE], columns[LATITUDE]))
    run, size = _run_of_rows(zones)[known], np.diff(zones.starts, append=zones.rows)
    long = np.zeros(size.size, np.bool_)
    places = _on_sphere({name: column[known] for name, column in columns.items()})
    firsts = np.unique(run, return_index=True)[1]
    reach = np.linalg.norm(
        places - np.repeat(places[firsts], np.diff(firsts, append=run.size), axis=0), axis=1
    )
    long[run[reach >= 5]] = True
    assert (size[long] <= -(-chunk_rows // 32)).all()


@given(tracks(), st.integers(1, 500))
def test_each_place_and_its_time_are_in_the_box_of_its_run(columns: Columns, chunk_rows: int) -> None:
    zones = _zones(columns, chunk_rows)
    known = placed(columns[LONGITUDE], columns[LATITUDE])
    run = _run_of_rows(zones)
    x, y = columns[LONGITUDE].astype(np.float64), columns[LATITUDE].astype(np.float64)
    west, south, east, north = zones.boxes[run].T.astype(np.float64)
    within = [(x + turn >= west) & (x + turn <= east) for turn in (-360, 0, 360)]
    held = np.logical_or.reduce(within) & (y >= south) & (y <= north)
    assert held[known].all()
    timed = known & ~np.isnat(columns[TIME])
    first, last = zones.times[run].T
    assert ((columns[TIME] >= first) & (columns[TIME] <= last))[timed].all()
    without = ~np.isin(np.arange(zones.starts.size), run[known])
    assert np.isnan(zones.boxes[without]).all()
    assert np.isnat(zones.times[~np.isin(np.arange(zones.starts.size), run[timed])]).all()
    west, south, east, north = zones.boxes[~without].T
    assert ((west >= -180) & (west < 180) & (west < east) & (east <= 540)).all()
    assert ((south >= -90) & (south < north) & (north <= 90)).all()


@given(tracks(), st.integers(1, 500), st.none() | _REGIONS, st.none() | _PERIODS)
def test_every_row_inside_is_in_a_run_that_is_read(
    columns: Columns, chunk_rows: int, region: Region | None, period: Span | None
) -> None:
    zones = _zones(columns, chunk_rows)
    read = zones.rows_of(zones.runs(region, period))
    assert np.isin(inside(columns, region, period), read).all()
    assert (np.diff(read) > 0).all()
    assert read.dtype == np.int64


@given(tracks(), st.integers(1, 500), st.sampled_from([1e-6, 0.01, 3.0]), st.data())
def test_a_row_is_read_for_a_region_and_a_period_around_it(
    columns: Columns, chunk_rows: int, reach: float, data: st.DataObject
) -> None:
    known = inside(columns, None, (_BEGIN, _BEGIN + 400 * _STEP))
    zones = _zones(columns, chunk_rows)
    if not known.size:
        assert not zones.rows_of(zones.runs(None, (_BEGIN, _BEGIN + 400 * _STEP))).size
        return
    row = data.draw(st.sampled_from(known.tolist()))
    x, y, time = float(columns[LONGITUDE][row]), float(columns[LATITUDE][row]), columns[TIME][row]
    around = shapely.box(x - reach, max(y - reach, -90), x + reach, min(y + reach, 90))
    region, moment = Region(geometry=around), (time, time + np.timedelta64(1, "ns"))
    assert inside(columns, region, moment).tolist() == ([row] if abs(y) < 90 else [])
    assert abs(y) == 90 or row in zones.rows_of(zones.runs(region, moment))
    chosen = zones.runs(region, moment)
    assert (
        zones.rows_of(zones.runs(region, moment)).tolist()
        == np.flatnonzero(chosen[_run_of_rows(zones)]).tolist()
    )


def test_a_slanted_track_lets_through_the_runs_that_hold_rows_inside_and_hardly_another() -> None:
    step = 0.1 / _PER_DEGREE
    columns = _track(inclination=92, node=30, along=64 + step * np.arange(10_000.0))
    zones = _zones(columns, 10_000)
    assert zones.starts.size == 32
    ends = [(extreme(columns[LONGITUDE]), extreme(columns[LATITUDE])) for extreme in (np.min, np.max)]
    chunk = np.array(ends).reshape(1, 4)
    run = _run_of_rows(zones)
    counts = []
    for row in range(0, 10_000, 500):
        x, y = columns[LONGITUDE][row], columns[LATITUDE][row]
        for aside in (-4.0, -1.5, 0.0, 1.5, 4.0):
            region = Region.from_bbox(x + aside - 1.5, y - 1.5, x + aside + 1.5, y + 1.5)
            hit = np.unique(run[inside(columns, region, None)])
            through = np.flatnonzero(zones.runs(region, None))
            assert np.isin(hit, through).all()
            counts.append((hit.size, through.size, 32 * int(region.touches(chunk)[0])))
    hit_runs, let_through, by_one_box = np.sum(counts, axis=0)
    assert hit_runs <= let_through <= 1.02 * hit_runs
    assert by_one_box > 4 * let_through


def test_a_region_beside_a_slanted_track_is_in_the_box_of_its_chunk_and_in_none_of_its_runs() -> None:
    columns = _track(inclination=66, node=0, along=np.linspace(40, 49, 10_000))
    x, y = columns[LONGITUDE], columns[LATITUDE]
    region = Region.from_bbox(x[-1] - 3, y[0], x[-1], y[0] + 3)
    assert region.touches(np.array([[x[0], y[0], x[-1], y[-1]]])).all()
    assert not _zones(columns, 10_000).runs(region, None).any()


def test_a_run_across_the_antimeridian_has_a_narrow_box() -> None:
    time = _BEGIN + np.arange(4) * _STEP
    x = np.array([179.99, -179.99, 180.005, -180.0])
    zones = ZoneMap.of(x, np.zeros(4), time, chunk_rows=4)
    assert zones.boxes.tolist() == [pytest.approx([179.99, 0, 180.01, 0], abs=1e-4)]
    assert zones.runs(Region.from_bbox(-179.9905, -1, -179.9, 1), None).all()
    assert not zones.runs(Region.from_bbox(-179.98, -1, 179.98, 1), None).any()


@pytest.mark.parametrize("x", [(179.99, 180.0), (180.0, 179.99), (179.99, -180.0)])
def test_the_antimeridian_itself_is_no_turn_away(x: tuple[float, float]) -> None:
    zones = ZoneMap.of(np.array(x), np.zeros(2), np.full(2, _BEGIN), chunk_rows=2)
    assert zones.boxes.tolist() == [pytest.approx([179.99, 0, 180, 0], abs=1e-4)]


@pytest.mark.parametrize(("pole", "crs"), [(90, "EPSG:3413"), (270, "EPSG:3031")])
def test_a_track_over_a_pole_is_as_long_as_on_the_ground(pole: float, crs: str) -> None:
    for reach, starts in [(1.9, [0]), (4.0, [0, 50])]:
        along = pole + np.linspace(-reach, reach, 100) / _PER_DEGREE
        columns = _track(inclination=90, node=10, along=along)
        assert np.ptp(columns[LONGITUDE]) > 179
        zones = _zones(columns, 1000)
        assert zones.starts.tolist() == starts
        assert zones.runs(Region(geometry=shapely.box(-1e3, -1e3, 1e3, 1e3), crs=crs), None).all()


@pytest.mark.parametrize("latitude", [89.95, -89.95])
def test_a_track_around_a_pole_has_boxes_as_wide_as_its_circle(latitude: float) -> None:
    around = np.arange(320) * 360 / 320
    zones = ZoneMap.of(around, np.full(320, latitude), np.full(320, _BEGIN), chunk_rows=320)
    # eighths of a circle of 35 km
    assert zones.starts.tolist() == list(range(0, 320, 40))


def test_boxes_at_the_ends_of_longitude_and_latitude_are_on_the_earth() -> None:
    x, y = np.array([-180.0, -180.0, 180.0, 360.0]), np.array([-90.0, 90.0, 90.0, -90.0])
    zones = ZoneMap.of(x, y, np.full(4, _BEGIN), chunk_rows=1)
    west, south, east, north = zones.boxes.T
    assert west == pytest.approx(np.array([-180, -180, -180, 0]), abs=1e-4)
    assert ((west >= -180) & (south >= -90) & (north <= 90) & (east > west)).all()


def test_a_chunk_is_halved_until_its_runs_are_short_but_not_further() -> None:
    # 8 km, a chunk without coordinates, and 100 km: there four rows are 4.8 km long
    east = np.concatenate([np.linspace(0, 8, 64), np.full(64, np.nan), np.linspace(100, 200, 64)])
    zones = ZoneMap.of(east / _PER_DEGREE, np.zeros(192), np.full(192, _BEGIN), chunk_rows=64)
    assert zones.starts.tolist() == [0, 32, 64, *range(128, 192, 4)]
    assert zones.rows_of(zones.runs(None, None)).tolist() == [*range(64), *range(128, 192)]


def test_rows_without_a_time_are_read_unless_a_period_is_asked_for() -> None:
    lost = np.full(3, np.datetime64("NaT", "ns"))
    zones = ZoneMap.of(np.zeros(3), np.zeros(3), lost, chunk_rows=3)
    assert zones.rows_of(zones.runs(Region.from_bbox(-1, -1, 1, 1), None)).tolist() == [0, 1, 2]
    assert not zones.rows_of(zones.runs(None, (_BEGIN, _BEGIN + _STEP))).size


def test_of_rows_some_of_which_have_no_time_the_others_count() -> None:
    nat = np.datetime64("NaT", "ns")
    time = np.array([nat, _BEGIN + _STEP, _BEGIN, nat, nat, nat, nat, _BEGIN])
    zones = ZoneMap.of(np.zeros(8), np.zeros(8), time, chunk_rows=3)
    expected = np.array([(_BEGIN, _BEGIN + _STEP), (nat, nat), (_BEGIN, _BEGIN)])
    np.testing.assert_array_equal(zones.times, expected)


def test_a_period_is_half_open() -> None:
    zones = ZoneMap.of(np.zeros(2), np.zeros(2), _BEGIN + np.arange(2) * _STEP, chunk_rows=10)
    nanosecond = np.timedelta64(1, "ns")
    for start, stop, read in [
        (_BEGIN - _STEP, _BEGIN, 0),
        (_BEGIN - _STEP, _BEGIN + nanosecond, 2),
        (_BEGIN + _STEP, _BEGIN + 2 * _STEP, 2),
        (_BEGIN + _STEP + nanosecond, _BEGIN + 2 * _STEP, 0),
    ]:
        assert zones.rows_of(zones.runs(None, (start, stop))).size == read


def test_no_rows_have_no_runs() -> None:
    zones = ZoneMap.of(np.zeros(0), np.zeros(0), np.zeros(0, "M8[ns]"), chunk_rows=10)
    assert zones.starts.size == 0
    assert not zones.rows_of(zones.runs(Region.from_bbox(-1, -1, 1, 1), (_BEGIN, _BEGIN + _STEP))).size
    assert not zones.rows_of(zones.runs(None, None)).size


@given(tracks(), st.integers(1, 500))
def test_a_pickled_zone_map_is_the_same_zone_map(columns: Columns, chunk_rows: int) -> None:
    zones = _zones(columns, chunk_rows)
    again = pickle.loads(pickle.dumps(zones))  # noqa: S301  its own bytes
    assert again == zones
    assert hash(again) == hash(zones)
    if zones.rows:
        longer = ZoneMap(rows=zones.rows + 1, starts=zones.starts, boxes=zones.boxes, times=zones.times)
        assert longer != zones


@pytest.mark.parametrize(
    ("starts", "boxes", "reason"),
    [
        ([1, 5], 2, "do not tile 9 rows"),
        ([0, 5, 5], 3, "do not tile 9 rows"),
        ([0, 9], 2, "do not tile 9 rows"),
        ([], 0, "do not tile 9 rows"),
        ([0, 5], 3, r"2 runs of rows with boxes of shape \(3, 4\)"),
    ],
)
def test_runs_that_do_not_tile_the_rows_are_refused(starts: list[int], boxes: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ZoneMap(
            rows=9,
            starts=np.array(starts, np.int64),
            boxes=np.zeros((boxes, 4), np.float32),
            times=np.zeros((boxes, 2), "M8[ns]"),
        )
