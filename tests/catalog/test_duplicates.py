from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.catalog import naming
from eoscale.catalog.duplicates import LATER, Policy, one_of_each
from eoscale.model.granule import ROUTES, Granule, GranuleList
from eoscale.model.product import Product
from eoscale.model.vocabulary import Duplicates
from eoscale.products import ATL06, OL_1_EFR, product

FEATURES = product("ATL_FM__2A")
FRAME = "20180602T181007_20180602T181307"


def made(known: Product, name: str, provider: str = "", route: str = "https", **facts: object) -> Granule:
    named = naming.named(known, name)
    words = {**named._asdict(), "urls": {route: f"{route}://host/{name}"}, "provider": provider, **facts}
    return Granule(**words)


def olci(
    created: str, frame: str = FRAME, satellite: str = "S3A", platform: str = "O", soon: str = "NT"
) -> Granule:
    name = f"{satellite}_OL_1_EFR____{frame}_{created}_0179_032_027_1620_LN1_{platform}_{soon}_002"
    return made(OL_1_EFR, name)


def settled(*granules: Granule, known: Product, rule: object = "newest") -> GranuleList:
    return Policy(product=known, rule=rule).settle(GranuleList(granules=granules))  # type: ignore[arg-type]


@st.composite
def lists(draw: st.DrawFn) -> GranuleList:
    """Lists in which observations come in several versions, at times that differ by seconds or hours."""
    tracks = draw(st.lists(st.integers(1, 3), min_size=1, max_size=9))
    names = {
        f"ATL06_20190101{draw(st.integers(0, 2)):02d}00{draw(st.integers(0, 59)):02d}_{track:04d}0203"
        f"_{draw(st.sampled_from(['005', '006', '007']))}_{draw(st.sampled_from(['01', '02']))}"
        for track in tracks
    }
    return GranuleList(granules=[made(ATL06, name) for name in names])


@given(lists())
def test_deduplication_is_idempotent_and_loses_nothing_without_a_reason(granules: GranuleList) -> None:
    once = Policy(product=ATL06).settle(granules)
    assert Policy(product=ATL06).settle(once) == once
    assert once.found == granules.found
    assert sorted([*once, *(granule for granule, _ in once.dropped)], key=lambda each: each.id) == list(
        granules
    )
    for _, why in once.dropped:
        assert "of the same observation is kept" in why


@given(lists())
def test_of_what_is_kept_no_two_are_one_observation_and_none_older_than_what_is_dropped(
    granules: GranuleList,
) -> None:
    once = Policy(product=ATL06).settle(granules)
    for granule, why in once.dropped:
        better = [
            one
            for one in once
            if (one.id[21:29], one.id[6:16]) == (granule.id[21:29], granule.id[6:16])  # track, and hour
            and (granule.version, granule.revision) < (one.version, one.revision)
        ]
        assert better
        assert why == LATER or f"is {granule.version}, and {better[-1].version} of" in why
    for one in once:
        for other in once:
            same = one.id[21:29] == other.id[21:29] and one.id != other.id
            assert one.start is not None
            assert other.start is not None
            assert not (same and one.start == other.start)


@given(lists())
def test_all_are_kept_where_that_is_asked_for(granules: GranuleList) -> None:
    assert Policy(product=ATL06, rule="keep").settle(granules) == granules


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(ROUTES)), max_size=8))
def test_of_copies_the_nearest_counts_and_all_others_are_dropped(places: list[tuple[str, str]]) -> None:
    found = [made(ATL06, name, route=route) for name, route in places]
    kept, dropped = one_of_each(found)
    assert Counter(map(id, [*kept, *(granule for granule, _ in dropped)])) == Counter(map(id, found))
    for granule in kept:
        (route,) = granule.urls
        rivals = [next(iter(other.urls)) for other in found if other.id == granule.id]
        assert ROUTES.index(route) == min(map(ROUTES.index, rivals))


def test_the_newest_version_then_revision_counts_though_versions_move_the_start_by_a_second() -> None:
    names = [
        "ATL06_20190405123456_01010303_005_02",
        "ATL06_20190405123457_01010303_006_01",
        "ATL06_20190405123457_01010303_006_02",
    ]
    kept = settled(*(made(ATL06, name) for name in names), known=ATL06)
    assert [granule.id for granule in kept] == names[2:]
    assert [why for _, why in kept.dropped] == [
        "its version is 005, and 006 of the same observation is kept",
        LATER,
    ]


def test_tracks_of_one_number_on_other_days_are_other_observations() -> None:
    names = ["ATL06_20181105123456_01010103_006_01", "ATL06_20181106123456_01010103_006_01"]
    assert len(settled(*(made(ATL06, name) for name in names), known=ATL06)) == 2


def test_of_sentinel_3_later_processing_counts_and_never_another_satellite() -> None:
    soon = olci("20180602T200000", soon="NR")
    late = olci("20180603T230737", soon="NT")
    again = olci("20220101T000000", soon="NT", platform="R")
    sooner = olci("20230101T000000", frame="20180602T181008_20180602T181307", soon="NR")
    other = olci("20180602T200000", satellite="S3B", soon="NR")
    kept = settled(soon, late, again, sooner, other, known=OL_1_EFR)
    assert list(kept) == sorted([again, other], key=lambda granule: granule.id)
    assert {granule.id: why for granule, why in kept.dropped} == {
        soon.id: "its timeliness is NR, and NT of the same observation is kept",
        sooner.id: "its timeliness is NR, and NT of the same observation is kept",
        late.id: "its platform is O, and R of the same observation is kept",
    }


@pytest.mark.parametrize(
    ("pin", "expected"),
    [
        (Duplicates(timeliness="NR"), "S3A_OL_1_EFR____20180602T181007_20180602T181307_20180602T200000"),
        (Duplicates(timeliness="ST"), "S3A_OL_1_EFR____20180602T181007_20180602T181307_20180603T230737"),
    ],
)
def test_a_pin_counts_before_all_else_and_where_nothing_has_it_the_newest_is_kept(
    pin: Duplicates, expected: str
) -> None:
    soon, late = olci("20180602T200000", soon="NR"), olci("20180603T230737")
    (kept,) = settled(soon, late, known=OL_1_EFR, rule=pin)
    assert kept.id.startswith(expected)


def test_an_old_version_and_a_provider_can_be_pinned() -> None:
    old, new = (made(ATL06, f"ATL06_20190405123456_01010303_{version}_01") for version in ("005", "006"))
    (kept,) = settled(old, new, known=ATL06, rule=Duplicates(version="005"))
    assert kept is old
    here = made(ATL06, "ATL06_20190405123456_01010303_005_02", "NSIDC_ECS")
    there = made(ATL06, "ATL06_20190405123456_01010303_006_02", "NSIDC_CPRD")
    (kept,) = settled(here, there, known=ATL06, rule=Duplicates(provider="NSIDC_ECS"))
    assert kept is here


def test_of_earthcare_the_newest_baseline_then_processing_counts_for_each_frame() -> None:
    names = [
        "ECA_EXAZ_ATL_FM__2A_20250620T131444Z_20250725T145502Z_05999E",
        "ECA_EXBA_ATL_FM__2A_20250620T131444Z_20250620T145502Z_05999E",
        "ECA_EXBA_ATL_FM__2A_20250620T131444Z_20250621T145502Z_05999E",
        "ECA_EXBA_ATL_FM__2A_20250620T132602Z_20250620T145502Z_05999F",
    ]
    kept = settled(*(made(FEATURES, name) for name in names), known=FEATURES)
    assert [granule.id for granule in kept] == names[2:]


def test_without_a_time_the_name_alone_tells() -> None:
    old, new = (
        made(ATL06, f"ATL06_20190405123456_01010303_{version}_01", start=None) for version in ("005", "006")
    )
    assert list(settled(old, new, known=ATL06)) == [new]
    assert np.datetime64("NaT") not in [granule.start for granule in settled(old, known=ATL06)]
