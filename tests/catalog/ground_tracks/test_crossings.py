from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod
from shapely.geometry.base import BaseGeometry

from eoscale.catalog.ground_tracks.crossings import Crossing, crossings, footprint, ground_track, patterns
from eoscale.catalog.ground_tracks.files import read_tracks
from eoscale.catalog.ground_tracks.orbits import GRANULE_REGIONS, MARGIN, STEP, TRACKS, node, track
from eoscale.errors import CatalogError, RecipeError
from eoscale.model.region import LONGITUDE_LATITUDE, Region, transformer
from tests.strategies import polar_regions, regions_in_any_turn
from tests.suites.distances import Floats, metres_to_line, placed

GEOD = Geod(ellps="WGS84")
TASMANIA = Region.from_bbox(144.5, -43.7, 148.5, -40.5)
NUMBERS = st.integers(1, TRACKS)
BEYOND = 400.0
"""Metres that a track found may be further away than asked."""


def whole(rgt: int) -> Floats:
    (line,) = track(rgt).lines
    return line


def numbers(found: Sequence[Crossing]) -> list[int]:
    return [crossing.rgt for crossing in found]


def speck(longitude: float, latitude: float) -> Region:
    """Return a region of some ten metres."""
    side = 1e-4
    return Region(geometry=shapely.box(longitude, latitude - side, longitude + side, latitude))


def metres_to_all(longitude: float, latitude: float) -> Floats:
    """Return (1387,) metres from a point to each track: the point is turned, for all tracks are one shape."""
    turned = longitude - np.array([node(rgt) for rgt in range(1, TRACKS + 1)])
    return metres_to_line(np.column_stack([turned, np.full(TRACKS, latitude)]), whole(1) - [node(1), 0.0])


def corner_at(longitude: float, latitude: float, east: float, north: float) -> Region:
    """Return a triangle with a corner at a point."""
    tip = np.array([longitude, latitude])
    away = np.array([[east, north], [east + 0.3, north * 0.5]])
    corners = np.vstack([tip, tip + away])
    corners[:, 1] = corners[:, 1].clip(-90, 90)
    return Region(geometry=shapely.Polygon(corners).convex_hull)


def test_a_track_is_the_one_before_it_moved_west_by_91_of_1387_parts_of_a_turn() -> None:
    moved = whole(700) - whole(699)
    np.testing.assert_allclose((moved[:, 0] + 180) % 360 - 180, -360 * 91 / 1387, atol=1e-9)
    np.testing.assert_array_equal(moved[:, 1], 0)


def test_a_track_ends_where_the_next_one_begins_and_the_last_one_where_the_first_one_does() -> None:
    for rgt, following in ((1, 2), (386, 387), (TRACKS, 1)):
        ends = placed(np.stack([whole(rgt)[-1], whole(following)[0]]))
        assert np.linalg.norm(ends[0] - ends[1]) < 1


def test_all_tracks_cross_the_equator_at_even_distances() -> None:
    nodes = np.sort([node(rgt) for rgt in range(1, TRACKS + 1)])
    np.testing.assert_allclose(np.diff(nodes), 360 / TRACKS, atol=1e-9)


def test_a_track_goes_westward_from_the_equator_to_88_degrees_north_and_south() -> None:
    line = whole(5)
    assert abs(line[[0, -1], 1]).max() < 1e-6
    assert (np.diff(line[:, 0]) < 0).all()
    assert line[:, 1].argmax() < line[:, 1].argmin()
    assert [line[:, 1].max(), line[:, 1].min()] == pytest.approx([88, -88], abs=0.02)
    steps = np.linalg.norm(np.diff(placed(line), axis=0), axis=1)
    assert steps.max() <= STEP


def test_the_14_regions_of_a_track_follow_each_other_and_are_the_track() -> None:
    parts = [shapely.get_coordinates(ground_track(3, number)) for number in range(1, 15)]
    for one, following in zip(parts, [*parts[1:], parts[0]], strict=True):
        assert one[-1, 1] == pytest.approx(following[0, 1], abs=1e-6)
    joined = np.concatenate([parts[0], *(part[1:] for part in parts[1:])])
    assert metres_to_line(joined, whole(3)).max() < 20
    assert metres_to_line(whole(3), joined).max() < 20


@pytest.mark.parametrize(
    ("number", "south", "north"), [(1, 0, 27), (3, 59.5, 80), (9, -50, -27), (14, -27, 0)]
)
def test_a_region_of_a_track_lies_between_its_parallels(number: int, south: float, north: float) -> None:
    _, low, _, high = ground_track(100, number).bounds
    assert [low, high] == pytest.approx([south, north], abs=1e-3)


@pytest.mark.parametrize("rgt", [0, -1, 1388])
def test_a_track_that_does_not_exist_is_an_error(rgt: int) -> None:
    with pytest.raises(RecipeError, match=f"no reference ground track {rgt}"):
        track(rgt)


@pytest.mark.parametrize("region", [0, 15])
def test_a_region_that_does_not_exist_is_an_error(region: int) -> None:
    with pytest.raises(RecipeError, match=f"no region {region}"):
        ground_track(1, region)


def test_tasmania_is_crossed_in_one_region_going_down_and_one_going_up() -> None:
    found = crossings(TASMANIA)
    assert 30 < len(found) < 50
    assert {crossing.regions for crossing in found} == {(9,), (13,)}
    for crossing in found:
        assert GRANULE_REGIONS[crossing.regions[0] - 1].start_direction in "DA"
        line = shapely.get_coordinates(ground_track(crossing.rgt, crossing.regions[0]))
        assert ((line[:, 0] > 144) & (line[:, 0] < 149) & (line[:, 1] < -40) & (line[:, 1] > -44.2)).any()


@settings(max_examples=12)
@given(st.floats(-180, 180), st.floats(-89.9, 89.9), st.sampled_from([0.0, 3.0, 30.0, 120.0]))
def test_the_tracks_near_a_point_are_those_that_brute_force_finds(
    longitude: float, latitude: float, within: float
) -> None:
    away = metres_to_all(longitude, latitude)
    found = np.array(numbers(crossings(speck(longitude, latitude), within)), np.int64)
    near = np.flatnonzero(away <= within * 1000) + 1
    assert set(near) <= set(found)
    good = away[found - 1] <= within * 1010 + BEYOND
    # next to the ascending node, the granule beside may be of the track before or after
    at_node = abs(latitude) <= MARGIN + within / 100
    beside = {number % TRACKS + 1 for number in found[good]} | {
        (number - 2) % TRACKS + 1 for number in found[good]
    }
    assert all(at_node and number in beside for number in found[~good])


@settings(max_examples=25)
@given(
    NUMBERS,
    st.floats(0, 1),
    st.floats(0, 360),
    st.floats(0, 0.9999),
    st.tuples(st.floats(-4, 4), st.floats(0.01, 5) | st.floats(-5, -0.01)),
)
def test_a_track_that_passes_a_corner_of_a_region_is_among_its_crossings_in_the_right_region(
    rgt: int, share: float, azimuth: float, part: float, towards: tuple[float, float]
) -> None:
    line, within = whole(rgt), 30.0
    at = int(share * (len(line) - 2))
    longitude, latitude = ((line[at] + line[at + 1]) / 2).tolist()
    number = next(
        each.number
        for each in GRANULE_REGIONS
        if each.holds(np.array([latitude]), np.array([line[at + 1, 1] > line[at, 1]]))[0]
    )
    x, y, _ = GEOD.fwd((longitude + 180) % 360 - 180, latitude, azimuth, part * within * 1000)
    found = {crossing.rgt: crossing.regions for crossing in crossings(corner_at(x, y, *towards), within)}
    assert number in found[rgt]


@settings(max_examples=8)
@given(regions_in_any_turn() | polar_regions(), st.floats(0, 300), st.floats(0, 50))
def test_a_larger_distance_never_loses_a_crossing(region: Region, within: float, more: float) -> None:
    near = {crossing.rgt: set(crossing.regions) for crossing in crossings(region, within)}
    far = {crossing.rgt: set(crossing.regions) for crossing in crossings(region, within + more)}
    assert all(regions <= far[rgt] for rgt, regions in near.items())


@settings(max_examples=15)
@given(regions_in_any_turn() | polar_regions(), NUMBERS)
def test_a_track_with_points_inside_a_region_is_among_its_crossings_at_no_distance(
    region: Region, rgt: int
) -> None:
    inside = region.contains(*whole(rgt).T)
    assert (rgt in numbers(crossings(region, 0))) or not inside.any()


def test_a_region_has_the_same_crossings_in_every_turn_and_in_parts_at_the_antimeridian() -> None:
    east, west = shapely.box(176.5, -19, 180, -16), shapely.box(-180, -19, -178, -16)
    fiji = crossings(Region(geometry=shapely.MultiPolygon([east, west])), 10)
    assert fiji == crossings(Region.from_bbox(176.5, -19, -178, -16), 10)
    assert fiji == crossings(Region(geometry=shapely.box(176.5, -19, 182, -16)), 10)
    assert {crossing.regions for crossing in fiji} == {(8,), (14,)}
    both = crossings(Region(geometry=east), 10), crossings(Region(geometry=west), 10)
    assert numbers(fiji) == sorted({*numbers(both[0]), *numbers(both[1])})


def test_all_tracks_come_near_a_pole_in_one_region() -> None:
    for region, number in (
        (Region.from_bbox(-180, 87, 180, 90), 4),
        (Region.from_bbox(-180, -90, 180, -87), 11),
    ):
        assert crossings(region) == tuple(
            Crossing(rgt=rgt, regions=(number,)) for rgt in range(1, TRACKS + 1)
        )


def test_no_track_comes_within_200_km_of_a_pole() -> None:
    around_the_pole = Region(geometry=shapely.Point(0, 0).buffer(5_000), crs="EPSG:3031")
    assert crossings(around_the_pole, 200) == ()
    assert len(crossings(around_the_pole, 222)) == TRACKS


def test_edges_are_straight_in_the_region_s_own_crs() -> None:
    box = shapely.box(-200_000, -2_300_000, 100_000, -2_000_000)
    edge = shapely.get_coordinates(shapely.segmentize(box, 2_000))
    bent = shapely.Polygon(np.column_stack(transformer("EPSG:3413", LONGITUDE_LATITUDE).transform(*edge.T)))
    polar = crossings(Region(geometry=box, crs="EPSG:3413"))
    assert 50 < len(polar) < TRACKS
    assert len(set(polar) ^ set(crossings(Region(geometry=bent)))) <= 2


def test_a_hole_is_no_region() -> None:
    pole = shapely.Point(0, 0)
    ring = Region(geometry=pole.buffer(3e6).difference(pole.buffer(2e6)), crs="EPSG:3413")
    found = crossings(ring, 30)
    assert len(found) == TRACKS
    assert {number for crossing in found for number in crossing.regions} == {3, 5}


@pytest.mark.parametrize(
    ("south", "north", "expected"),
    [
        (26.0, 26.5, {(1,), (7,)}),
        (26.9, 26.95, {(1, 2), (6, 7)}),
        (27.05, 27.1, {(1, 2), (6, 7)}),
        (-0.1, -0.05, {(7, 8), (14,), (1,)}),
        (0.05, 0.1, {(7, 8), (14,), (1,)}),
    ],
)
def test_next_to_where_granules_are_cut_both_granules_are_meant(
    south: float, north: float, expected: set[tuple[int, ...]]
) -> None:
    found = crossings(Region.from_bbox(10, south, 12, north), 1)
    assert {crossing.regions for crossing in found} == expected


def test_next_to_the_ascending_node_the_second_granule_is_of_another_revolution() -> None:
    found = crossings(speck(node(100), 0.05), 1)
    assert {(99, (14,)), (100, (1,))} <= {(crossing.rgt, crossing.regions) for crossing in found}
    first = crossings(speck(node(1), -0.05), 1)
    assert {(TRACKS, (14,)), (1, (1,))} <= {(crossing.rgt, crossing.regions) for crossing in first}


@pytest.mark.parametrize("within", [-1.0, 1000.5, float("nan")])
def test_a_distance_out_of_range_is_an_error(within: float) -> None:
    with pytest.raises(RecipeError, match="`within` is"):
        crossings(TASMANIA, within)


def test_a_pattern_names_track_and_region_and_any_cycle_or_those_given() -> None:
    found = [Crossing(rgt=7, regions=(9, 13)), Crossing(rgt=1387, regions=(1,))]
    assert patterns(found) == ("*_0007??09_*", "*_0007??13_*", "*_1387??01_*")
    assert patterns(found[1:], (3, 12)) == ("*_13870301_*", "*_13871201_*")
    assert patterns([Crossing(rgt=7, regions=())]) == ("*_0007????_*",)
    assert patterns([]) == ()


def test_a_cycle_of_three_digits_is_an_error() -> None:
    with pytest.raises(RecipeError, match="no cycle 100"):
        patterns([], [100])


def test_a_footprint_is_cut_at_the_antimeridian() -> None:
    line = footprint(-179.0, 0, "A", 27, "A")
    first, second = shapely.get_parts(line)
    assert (first.coords[-1][0], second.coords[0][0]) == (-180, 180)
    assert [first.coords[0][1], second.coords[-1][1]] == pytest.approx([0, 27], abs=1e-3)
    moved = footprint(541.0, 0, "A", 27, "A")
    assert shapely.equals_exact(line, moved, 1e-9)


def test_a_footprint_from_a_place_to_the_same_place_is_a_whole_revolution() -> None:
    line = footprint(10.0, 0, "A", 0, "A")
    assert line.bounds[1::2] == pytest.approx((-88, 88), abs=0.02)
    assert isinstance(line, shapely.MultiLineString)


def test_a_footprint_over_a_pole_begins_and_ends_at_one_parallel() -> None:
    line = shapely.get_coordinates(footprint(10.0, 80, "A", 80, "D"))
    assert line[[0, -1], 1] == pytest.approx([80, 80], abs=1e-3)
    assert line[:, 1].max() == pytest.approx(88, abs=0.02)


@pytest.mark.parametrize(
    ("crossing", "latitude", "direction", "told"),
    [
        (0.0, 89.0, "A", "89.0 degrees north"),
        (0.0, -89.0, "D", "-89.0 degrees north"),
        (0.0, float("nan"), "A", "nan degrees north"),
        (float("inf"), 0.0, "A", "inf"),
        (0.0, 0.0, "N", "'N'"),
    ],
)
def test_a_footprint_that_no_orbit_has_is_an_error(
    crossing: float, latitude: float, direction: str, told: str
) -> None:
    with pytest.raises(CatalogError, match=told):
        footprint(crossing, latitude, direction, 0.0, "A")  # type: ignore[arg-type]


AROUND = range(330, 380)
"""Tracks that are written to files: two of them cross Tasmania."""


def jumping(rgt: int) -> BaseGeometry:
    """Return a track as one line that jumps from -180 to 180."""
    line = whole(rgt)
    return shapely.LineString(np.column_stack([(line[:, 0] + 180) % 360 - 180, line[:, 1]]))


def table(shapes: Sequence[BaseGeometry], column: str = "orbit") -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame({column: list(AROUND)}, geometry=list(shapes), crs=LONGITUDE_LATITUDE)


def kml(places: str, name: str) -> str:
    style = "<LineString><coordinates>" + places + "</coordinates></LineString>"
    point = (
        "<Folder><name>12-Sep-2026 23:14:01</name><Placemark><Point><coordinates>0,0,1</coordinates></Point>"
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
        f"<name>tracks</name><Placemark><name>{name}</name>{style}</Placemark>"
        f"{point}</Placemark></Folder></Document></kml>"
    )


def expected(region: Region, within: float, known: Sequence[int]) -> tuple[Crossing, ...]:
    return tuple(crossing for crossing in crossings(region, within) if crossing.rgt in known)


@pytest.mark.parametrize("ending", ["gpkg", "geojson", "shp", "fgb", "parquet"])
@pytest.mark.parametrize("region", [TASMANIA, Region.from_bbox(176, -20, -178, -15)])
def test_a_file_of_orbits_gives_the_same_crossings_as_computed_ones(
    ending: str, region: Region, tmp_path: Path
) -> None:
    path = tmp_path / f"orbits.{ending}"
    frame = table([jumping(rgt) for rgt in AROUND])
    if ending == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_file(path)
    found = crossings(region, 20, path)
    assert found
    assert found == expected(region, 20, AROUND)


def test_lines_may_be_cut_turned_round_named_in_capitals_and_of_another_crs(tmp_path: Path) -> None:
    cut = [ground_track(rgt) for rgt in AROUND]
    table(cut, "ORBIT").to_file(tmp_path / "cut.gpkg")
    table([shapely.reverse(jumping(rgt)) for rgt in AROUND], "Orbit").to_file(tmp_path / "back.gpkg")
    dense = [shapely.segmentize(line, 0.05) for line in cut]
    table(dense).to_crs("EPSG:4979").to_file(tmp_path / "other.gpkg")
    for name in ("cut", "back", "other"):
        assert crossings(TASMANIA, 20, tmp_path / f"{name}.gpkg") == expected(TASMANIA, 20, AROUND)


def test_kml_names_its_track_in_the_line_or_the_file(tmp_path: Path) -> None:
    line = whole(337)
    places = " ".join(f"{(x + 180) % 360 - 180},{y},0" for x, y in line.tolist())
    named, unnamed = tmp_path / "mine.kml", tmp_path / "IS2_RGT_0337_cycle33_12-Sep-2026.kml"
    named.write_text(kml(places, "RGT 337"), encoding="utf-8")
    unnamed.write_text(kml(places, "a line"), encoding="utf-8")
    for path in (named, unnamed):
        (read,) = read_tracks(path)
        assert read.rgt == 337
        assert crossings(TASMANIA, 20, str(path)) == expected(TASMANIA, 20, [337])


def test_points_far_apart_are_joined_by_the_shortest_way(tmp_path: Path) -> None:
    path = tmp_path / "sparse.geojson"
    coarse = shapely.LineString([(-170, 60), (130, 60)])
    gpd.GeoDataFrame({"orbit": [1]}, geometry=[coarse], crs=LONGITUDE_LATITUDE).to_file(path)
    (line,) = read_tracks(path)[0].lines
    assert np.linalg.norm(np.diff(placed(line), axis=0), axis=1).max() <= STEP
    assert line[:, 1].max() == pytest.approx(63.4, abs=0.2)
    assert abs(np.diff(line[:, 0])).max() < 1


def lines(count: int = 1) -> list[BaseGeometry]:
    return [shapely.LineString([(0, 0), (-1, 10)])] * count


BAD = {
    "no column": (gpd.GeoDataFrame({"track": [1]}, geometry=lines(), crs=4326), "column `orbit`"),
    "text": (gpd.GeoDataFrame({"orbit": ["first"]}, geometry=lines(), crs=4326), "first"),
    "a fraction": (gpd.GeoDataFrame({"orbit": [1.5]}, geometry=lines(), crs=4326), "1.5"),
    "too many": (gpd.GeoDataFrame({"orbit": [1, 1388]}, geometry=lines(2), crs=4326), "1388"),
    "zero": (gpd.GeoDataFrame({"orbit": [0]}, geometry=lines(), crs=4326), "orbit .*0"),
    "missing": (gpd.GeoDataFrame({"orbit": [1, None]}, geometry=lines(2), crs=4326), "nan"),
    "a point": (
        gpd.GeoDataFrame({"orbit": [7]}, geometry=[shapely.Point(0, 0)], crs=4326),
        "Point for orbit 7",
    ),
    "no line": (
        gpd.GeoDataFrame({"orbit": [7, 8]}, geometry=[*lines(), None], crs=4326),
        "nothing for orbit 8",
    ),
    "no CRS": (gpd.GeoDataFrame({"orbit": [7]}, geometry=lines()), "no CRS"),
    "off the Earth": (
        gpd.GeoDataFrame({"orbit": [7]}, geometry=[shapely.LineString([(0, 0), (0, 95)])], crs=4326),
        "off the Earth",
    ),
    "far apart": (
        gpd.GeoDataFrame({"orbit": [7]}, geometry=[shapely.LineString([(0, 0), (180, 0)])], crs=4326),
        "a quarter of the Earth apart for orbit 7",
    ),
    "empty": (gpd.GeoDataFrame({"orbit": pd.Series([], dtype=int)}, geometry=[], crs=4326), "no reference"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_of_something_else_says_what_is_expected(what: str, tmp_path: Path) -> None:
    frame, told = BAD[what]
    frame.to_parquet(tmp_path / "orbits.parquet")
    with pytest.raises(CatalogError, match=told):
        crossings(TASMANIA, orbits=tmp_path / "orbits.parquet")


@pytest.mark.parametrize("ending", ["kml", "gpkg", "parquet", "csv"])
def test_a_file_that_cannot_be_read_is_an_error(ending: str, tmp_path: Path) -> None:
    missing, torn = tmp_path / f"missing.{ending}", tmp_path / f"torn.{ending}"
    torn.write_bytes(b"\0nothing that anyone reads")
    for path in (missing, torn):
        with pytest.raises(CatalogError, match=str(path)):
            read_tracks(path)


@pytest.mark.parametrize("name", ["a line", "RGT 1388", "RGT 0"])
def test_kml_without_the_number_of_a_track_is_an_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.kml"
    path.write_text(kml("0,0,0 -1,10,0", name), encoding="utf-8")
    with pytest.raises(CatalogError, match=name):
        read_tracks(path)
