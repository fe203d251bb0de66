"""Computed reference ground tracks against the published one, real granules and CMR's own records."""

from __future__ import annotations

import json
import re
from pathlib import Path

import geopandas as gpd
import h5py
import numpy as np
import pytest
import shapely

from eoscale.catalog.ground_tracks.crossings import Crossing, crossings, footprint, ground_track
from eoscale.catalog.ground_tracks.files import read_tracks
from eoscale.catalog.ground_tracks.orbits import GRANULE_REGIONS, TRACKS, TURN, node, track
from eoscale.model.region import Region
from tests.suites.distances import Floats, metres_to_line

pytestmark = pytest.mark.real

KML = "IS2_RGT_0001_cycle33_12-Sep-2026.kml"
NAME = re.compile(r"_(?P<rgt>\d{4})\d\d(?P<region>\d\d)_")
OUTER_BEAMS = 3_345.0
"""Metres from the reference track to the beams furthest from it."""
COUNTRIES = ("Ghana", "Spain", "Greenland", "Russia", "Fiji", "Antarctica", "New Zealand")
"""Track 1 comes near five of them."""
DAYS = 1387 * 5657.4 / 86_400
"""Of a cycle."""


@pytest.fixture(scope="module")
def published(real_data: Path) -> Floats:
    """Return the points of the published track 1."""
    frame = gpd.read_file(real_data / "polygons" / KML, layer=0)
    points: Floats = shapely.get_coordinates(frame.geometry.iloc[0])
    return points


def granules(real_data: Path) -> list[Path]:
    return sorted((real_data / "icesat2" / "atl06_greenland_v002").glob("*.h5"))


def beam(path: Path, name: str) -> Floats:
    """Return (n, 2) some points of a beam of an ATL06 granule; none where it is lacking."""
    with h5py.File(path) as file:
        if name not in file:
            return np.empty((0, 2))
        group = file[f"{name}/land_ice_segments"]
        points: Floats = np.column_stack([group["longitude"][:], group["latitude"][:]]).astype(np.float64)
    return points[np.abs(points[:, 1]) <= 90][::20]


def test_every_published_point_of_track_1_is_within_100_m_of_the_computed_line(published: Floats) -> None:
    assert len(published) > 5000
    assert metres_to_line(published, track(1).lines[0]).max() < 100


def test_every_computed_point_of_track_1_is_within_100_m_of_the_published_line(published: Floats) -> None:
    (line,) = track(1).lines
    # a point a second is published: from the last one, 0.12 south, the line goes on to the first of track 2
    following = published[:1] - [TURN, 0.0]
    assert 0 < published[0, 1] < 0.064
    assert -0.15 < published[-1, 1] < 0
    away = metres_to_line(line, np.concatenate([published, following]))
    assert (away[1:] < 100).all()
    # the first one lies before the first second
    assert away[0] < 3_200


def test_the_published_file_gives_the_same_crossings_as_the_computed_track(real_data: Path) -> None:
    path = real_data / "polygons" / KML
    assert [one.rgt for one in read_tracks(path)] == [1]
    shapes = gpd.read_file(real_data / "polygons" / "naturalearth_lowres_110m")
    met = 0
    for shape in shapes[shapes.name.isin(COUNTRIES)].geometry:
        region = Region(geometry=shape)
        expected = [each for each in crossings(region, 50) if each.rgt == 1]
        assert list(crossings(region, 50, path)) == expected
        met += len(expected)
    assert met == 5


def test_the_node_of_each_granule_is_within_300_m_of_its_track_s(real_data: Path) -> None:
    others = [real_data / "icesat2" / "ICESat2VegR_atl08_clip.h5"]
    for path in [*granules(real_data), *others]:
        with h5py.File(path) as file:
            rgt, ascending = int(file["orbit_info/rgt"][0]), float(file["orbit_info/lan"][0])
        assert (ascending - node(rgt)) * 111_300 == pytest.approx(0, abs=300)


def test_real_beams_lie_where_their_track_is(real_data: Path) -> None:
    paths = granules(real_data)
    assert len(paths) == 8
    for path in paths:
        match = NAME.search(path.name)
        assert match is not None
        line = shapely.get_coordinates(ground_track(int(match["rgt"]), int(match["region"])))
        for name in ("gt1l", "gt1r", "gt2l", "gt2r", "gt3l", "gt3r"):
            away = metres_to_line(beam(path, name), line)
            nominal = 45 if name.startswith("gt2") else OUTER_BEAMS
            assert (np.abs(away - nominal) < 500).all()


def test_the_middle_beams_find_their_own_track_among_the_crossings(real_data: Path) -> None:
    for path in granules(real_data):
        match = NAME.search(path.name)
        assert match is not None
        points = beam(path, "gt2r")
        around = shapely.MultiPoint(points).convex_hull.buffer(1e-4)
        found = crossings(Region(geometry=around), within=0.5)
        assert Crossing(rgt=int(match["rgt"]), regions=(int(match["region"]),)) in found
        assert len(found) < 30


@pytest.mark.parametrize("product", ["atl03", "atl06", "atl08"])
def test_the_footprint_of_a_record_of_cmr_is_its_region_of_its_track(real_data: Path, product: str) -> None:
    path = real_data / "api" / "cmr" / f"earthaccess_{product}_umm.json"
    (record,) = json.loads(path.read_text())["items"]
    orbit = record["umm"]["SpatialExtent"]["HorizontalSpatialDomain"]["Orbit"]
    match = NAME.search(record["umm"]["RelatedUrls"][0]["URL"])
    assert match is not None
    line = footprint(
        orbit["AscendingCrossing"],
        orbit["StartLatitude"],
        orbit["StartDirection"],
        orbit["EndLatitude"],
        orbit["EndDirection"],
    )
    region = GRANULE_REGIONS[int(match["region"]) - 1]
    assert (region.start_latitude, region.start_direction) == (
        orbit["StartLatitude"],
        orbit["StartDirection"],
    )
    assert (region.end_latitude, region.end_direction) == (orbit["EndLatitude"], orbit["EndDirection"])
    computed = shapely.get_coordinates(ground_track(int(match["rgt"]), region.number))
    assert metres_to_line(shapely.get_coordinates(line), computed).max() < 300


def test_a_track_crosses_the_sliver_of_tasmania_in_one_region_not_in_14(real_data: Path) -> None:
    sliver = Region.from_file(real_data / "polygons" / "harmony_Tasmania_sliver.geojson")
    found = crossings(sliver)
    assert 20 < len(found) < 40
    assert {crossing.regions for crossing in found} == {(9,), (13,)}


def test_the_row_of_the_tutorial_is_within_reach_of_a_track_flown_in_january_2019() -> None:
    longitude, latitude = 147.36943, -43.138596
    spot = shapely.box(longitude, latitude, longitude + 1e-4, latitude + 1e-4)
    near = [crossing.rgt for crossing in crossings(Region(geometry=spot), within=15)]
    # cycle 33 begins as its published track 1 does, cycle 2 is 31 cycles before
    start = np.datetime64("2026-09-12T21:40:01") - np.timedelta64(round(31 * DAYS * 86_400), "s")
    days = {rgt: start + np.timedelta64(round((rgt - 1) / TRACKS * DAYS * 86_400), "s") for rgt in near}
    assert any(np.datetime64("2019-01-01") <= day < np.datetime64("2019-02-01") for day in days.values())


@pytest.mark.parametrize("name", ["Fiji", "Russia", "Antarctica"])
def test_countries_on_the_antimeridian_or_a_pole_are_crossed_where_tracks_have_points_in_them(
    real_data: Path, name: str
) -> None:
    shapes = gpd.read_file(real_data / "polygons" / "naturalearth_lowres_110m")
    region = Region.from_frame(shapes[shapes.name == name])
    found = {crossing.rgt for crossing in crossings(region, 0)}
    for rgt in range(1, TRACKS + 1, 9):
        assert rgt in found or not region.contains(*track(rgt).lines[0].T).any()


def test_the_ross_sea_is_the_same_in_longitudes_above_180(real_data: Path) -> None:
    sea = Region.from_file(real_data / "polygons" / "harmony_Ross_Sea_positive_lon_only.geojson")
    moved = Region(geometry=shapely.transform(sea.geometry, lambda points: points - [360.0, 0.0]))
    assert crossings(sea) == crossings(moved)
    assert len(crossings(sea)) > 100
