from __future__ import annotations

import numpy as np
import pytest
import shapely

from eoscale.errors import RecipeError
from eoscale.model.region import Region
from eoscale.products.icesat2 import ATL06
from eoscale.synthetic import tracks
from eoscale.synthetic.passes import EPOCH, Pass, plan

GREENLAND = Region.from_bbox(-55, 62, -25, 82)
SPRING = (np.datetime64("2024-04-01"), np.datetime64("2024-07-01"))
DAY = (np.datetime64("2024-04-01"), np.datetime64("2024-04-02"))


def _plan(number: int = 60, seed: int = 0, region: Region = GREENLAND) -> tuple[Pass, ...]:
    return plan(number, seed=seed, region=region, period=SPRING)


def test_a_larger_number_extends_a_smaller_one() -> None:
    assert _plan(20)[:7] == _plan(7)


def test_another_seed_gives_other_passes() -> None:
    assert not set(_plan(20)) & set(_plan(20, seed=1))


def test_passes_lie_inside_the_period_and_are_spread_evenly() -> None:
    passes = _plan(100)
    starts = np.sort([one.start for one in passes])
    ends = [one.start + one.duration for one in passes]
    first, last = ((moment - EPOCH) / np.timedelta64(1, "s") for moment in SPRING)
    assert starts[0] >= first
    assert max(ends) < last
    assert np.diff(starts).max() < 3 * (last - first) / 100


@pytest.mark.parametrize(
    "region",
    [
        GREENLAND,
        Region.from_bbox(-51, 69, -49, 70),
        Region.from_bbox(170, -89, 180, -60),
        Region.from_bbox(-180, -90, 180, 90),
        Region.from_bbox(10, 44, 14, 48),
        Region(geometry=shapely.box(-200e3, -2300e3, 100e3, -2000e3), crs="EPSG:3413"),
        # a sliver that random points of its bounds will miss
        Region(geometry=shapely.LineString([(10, 40), (30, 60)]).buffer(1e-3)),
    ],
    ids=repr,
)
def test_every_reference_track_crosses_the_region(region: Region) -> None:
    for one in _plan(12, region=region):
        track = tracks.fly(one.node, np.linspace(one.first, one.last, 200_000), 0.0)
        assert region.contains(track.longitude, track.latitude).any()


def test_points_keep_to_the_latitudes_of_their_granule_region() -> None:
    for one in _plan(20):
        track = tracks.fly(one.node, one.arguments, 0.0)
        if one.region in (3, 5):
            assert track.latitude.min() > 59.4
            assert track.latitude.max() < 80.1
        else:
            assert one.region == 4
            assert track.latitude.min() > 79.9


def test_names_match_the_product_and_say_when_and_where() -> None:
    for one in _plan():
        match = ATL06.pattern.fullmatch(one.granule("ATL06"))
        assert match
        assert 1 <= int(match["rgt"]) <= 1387
        assert match["version"] == "006"
        days = (EPOCH + one.start - np.datetime64("2018-10-13", "s")) / np.timedelta64(1, "D")
        assert abs(int(match["cycle"]) - (1 + days / 91)) < 1.01
        assert match["start"].startswith("2024")


def test_the_reference_track_counts_revolutions_within_the_cycle() -> None:
    for one in _plan():
        into_the_cycle = one.crossing - float((np.datetime64("2018-10-13", "s") - EPOCH).astype(int))
        into_the_cycle -= (one.cycle - 1) * 91 * 86_400
        assert one.reference_track == 1 + int(into_the_cycle // tracks.PERIOD)


def test_about_one_pass_in_six_lacks_a_pair_of_beams() -> None:
    lacking = [one for one in _plan(300) if len(one.beams) == 4]
    assert 30 < len(lacking) < 70
    assert all({beam[:3] for beam in one.beams} < {"gt1", "gt2", "gt3"} for one in lacking)
    assert all(len(one.beams) == 6 for one in _plan(300) if one not in lacking)


def test_beams_differ_in_length_and_share_their_clouds() -> None:
    one = next(one for one in _plan() if len(one.beams) == 6)
    kept = [one.fly(beam)[1] for beam in one.beams]
    assert len({rows.size for rows in kept}) > 1
    assert all(600 <= rows.size <= 1500 for rows in kept)
    assert all((np.diff(rows) > 0).all() for rows in kept)
    cloudiness = one.cloudiness()
    assert np.mean(cloudiness > 0.8) == pytest.approx(0.2, abs=0.01)
    assert np.corrcoef(cloudiness[1:], cloudiness[:-1])[0, 1] > 0.9


def test_a_period_too_short_is_refused() -> None:
    minute = (np.datetime64("2024-04-01T00:00:00"), np.datetime64("2024-04-01T00:01:00"))
    with pytest.raises(RecipeError, match="60 s, a granule"):
        plan(1, seed=0, region=GREENLAND, period=minute)


def test_more_granules_than_seconds_are_refused() -> None:
    half_an_hour = (np.datetime64("2024-04-01T00:00:00"), np.datetime64("2024-04-01T00:30:00"))
    with pytest.raises(RecipeError, match="do not fit"):
        plan(3000, seed=0, region=GREENLAND, period=half_an_hour)


def test_a_period_before_the_mission_is_refused() -> None:
    with pytest.raises(RecipeError, match="2018-10-14"):
        plan(1, seed=0, region=GREENLAND, period=(np.datetime64("2018-01-01"), np.datetime64("2019-01-01")))


def test_a_region_that_no_track_reaches_is_refused() -> None:
    with pytest.raises(RecipeError, match="88 degrees"):
        plan(1, seed=0, region=Region.from_bbox(0, 88.5, 10, 89.5), period=DAY)
