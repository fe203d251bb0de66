from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from eoscale.synthetic import tracks

ARGUMENTS = np.linspace(0.0, 2 * np.pi, 4000)


def _vectors(track: tracks.Track) -> NDArray[np.float64]:
    x, y = np.radians(track.longitude), np.radians(track.latitude)
    return np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)])


def _metres(one: tracks.Track, other: tracks.Track) -> NDArray[np.float64]:
    chord = np.linalg.norm(_vectors(one) - _vectors(other), axis=0)
    return np.asarray(2 * np.arcsin(chord / 2) * tracks.EARTH_RADIUS)


def test_the_beams_of_a_pair_keep_90_metres_everywhere_even_near_the_poles() -> None:
    left, right = (tracks.fly(30.0, ARGUMENTS, tracks.ACROSS[beam]) for beam in ("gt2l", "gt2r"))
    np.testing.assert_allclose(_metres(left, right), 90.0, rtol=1e-4)


def test_pairs_lie_3300_metres_apart() -> None:
    first, second = (tracks.fly(30.0, ARGUMENTS, tracks.ACROSS[beam]) for beam in ("gt1l", "gt2l"))
    np.testing.assert_allclose(_metres(first, second), 3300.0, rtol=1e-4)


def test_the_right_beam_lies_to_the_east_when_flying_north_and_to_the_west_when_flying_south() -> None:
    north, south = np.array([0.3]), np.array([np.pi - 0.3])
    for arguments, sign in ((north, 1), (south, -1)):
        left, right = (tracks.fly(0.0, arguments, tracks.ACROSS[beam]) for beam in ("gt1l", "gt3r"))
        assert np.sign(right.longitude - left.longitude) == sign


def test_the_ground_passes_by_at_about_seven_kilometres_a_second() -> None:
    track = tracks.fly(0.0, ARGUMENTS, 0.0)
    steps = 2 * np.arcsin(np.linalg.norm(np.diff(_vectors(track), axis=1), axis=0) / 2)
    speed = steps * tracks.EARTH_RADIUS / np.diff(track.elapsed)
    assert speed.min() > 6900
    assert speed.max() < 7200


def test_longitudes_stay_within_180_degrees_and_latitudes_within_reach() -> None:
    for node in (-179.9, 0.0, 179.9):
        track = tracks.fly(node, ARGUMENTS, tracks.ACROSS["gt3r"])
        assert np.abs(track.longitude).max() <= 180
        assert np.abs(track.latitude).max() < tracks.NORTHERNMOST + 0.05


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("latitude", [-86.0, -51.5, -1.0, 0.0, 26.0, 71.25, 87.9])
def test_a_track_through_a_point_passes_it_in_the_direction_asked(
    latitude: float, *, ascending: bool
) -> None:
    argument = tracks.argument_of_latitude(latitude, ascending=ascending)
    track = tracks.fly(tracks.node_through(-48.0, argument), argument + np.array([0.0, 1e-4]), 0.0)
    assert track.longitude[0] == pytest.approx(-48.0)
    assert track.latitude[0] == pytest.approx(latitude)
    assert (track.latitude[1] > track.latitude[0]) == ascending


@pytest.mark.parametrize(
    ("latitude", "ascending", "number"),
    [
        (10, True, 1),
        (45, True, 2),
        (70, True, 3),
        (85, True, 4),
        (85, False, 4),
        (70, False, 5),
        (45, False, 6),
        (10, False, 7),
        (-10, False, 8),
        (-40, False, 9),
        (-70, False, 10),
        (-85, False, 11),
        (-85, True, 11),
        (-70, True, 12),
        (-40, True, 13),
        (-10, True, 14),
    ],
)
def test_regions_follow_latitude_and_direction(latitude: float, number: int, *, ascending: bool) -> None:
    argument = tracks.argument_of_latitude(latitude, ascending=ascending)
    found, first, last = tracks.region_of(argument)
    assert found == number
    assert first <= argument <= last


def test_azimuth_is_the_direction_over_ground() -> None:
    track = tracks.fly(0.0, np.array([0.5, np.pi - 0.5]), 0.0)
    assert -12 < track.azimuth[0] < 0  # ascending, a little west of north
    assert 180 < track.azimuth[1] % 360 < 192
