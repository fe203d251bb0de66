from __future__ import annotations

import random

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eoscale.errors import CatalogError
from eoscale.model.granule import ROUTES, Granule, GranuleList
from tests.strategies import granule_lists, granules


def _granule(name: str, **facts: object) -> Granule:
    words = {"product": "ATL06", "urls": {"https": f"https://host/{name}.h5"}, **facts}
    return Granule(id=name, **words)  # type: ignore[arg-type]


def _facts(granule: Granule) -> tuple[object, ...]:
    """Return everything a granule knows, also what its equality leaves out."""
    urls, links = dict(granule.urls), dict(granule.links)
    beside = (granule.modified, granule.provider, granule.footprint)
    return (granule, urls, links, granule.start, granule.end, *beside)


@settings(max_examples=30)
@given(granule_lists())
def test_a_list_is_sorted_by_id_and_kept_and_dropped_are_all_that_was_found(listed: GranuleList) -> None:
    ids = [granule.id for granule in listed]
    assert ids == sorted(ids)
    assert listed.found == len(listed) + len(listed.dropped)
    assert listed.nbytes == sum(granule.size for granule in listed)


@settings(max_examples=30)
@given(granule_lists(), st.randoms(use_true_random=False))
def test_the_order_given_changes_nothing(listed: GranuleList, shuffle: random.Random) -> None:
    kept, dropped = list(listed.granules), list(listed.dropped)
    shuffle.shuffle(kept)
    shuffle.shuffle(dropped)
    again = GranuleList(granules=kept, dropped=dropped, truncated=listed.truncated)
    assert [granule.id for granule in again] == [granule.id for granule in listed]
    if len({granule.id for granule, _ in dropped}) == len(dropped):
        assert again == listed


@settings(max_examples=15)
@given(granule_lists())
def test_a_table_gives_the_list_back(listed: GranuleList) -> None:
    frame = listed.to_dataframe()
    again = GranuleList.from_dataframe(frame)
    assert frame.crs == "EPSG:4326"
    assert again == listed
    assert again.truncated == listed.truncated
    assert [_facts(granule) for granule in again] == [_facts(granule) for granule in listed]
    dropped = [(reason, *_facts(granule)) for granule, reason in listed.dropped]
    assert [(reason, *_facts(granule)) for granule, reason in again.dropped] == dropped


def test_a_table_has_a_row_a_granule_with_reasons_and_without_made_up_times() -> None:
    listed = GranuleList(
        granules=[_granule("b", start=np.datetime64("2024-04-01", "ns"), size=5), _granule("a")],
        dropped=[(_granule("c"), "too old")],
    )
    frame = listed.to_dataframe()
    assert frame["id"].tolist() == ["a", "b", "c"]
    assert frame["dropped"].tolist() == ["", "", "too old"]
    assert frame["start"].isna().tolist() == [True, False, True]
    assert frame["url_https"].str.startswith("https://").all()
    assert frame.geometry.isna().all()


@pytest.mark.parametrize("column", ["id", "version", "dropped", "geometry"])
def test_a_table_without_a_column_is_no_list(column: str) -> None:
    frame = GranuleList(granules=[_granule("a")]).to_dataframe()
    with pytest.raises(CatalogError, match=f"no granule list: it has no column .*{column}"):
        GranuleList.from_dataframe(pd.DataFrame(frame).drop(columns=column))


def test_a_table_has_a_column_for_each_route_that_is_used() -> None:
    listed = GranuleList(
        granules=[_granule("a"), _granule("b", urls={"gs": "gs://b/b.h5", "https": "https://host/b.h5"})],
        dropped=[(_granule("c", urls={"file": "/c.h5"}), "too old")],
    )
    frame = listed.to_dataframe()
    columns = [name for name in frame if name.startswith("url_")]
    assert columns == ["url_file", "url_gs", "url_https"]
    assert frame["url_gs"].tolist() == ["", "gs://b/b.h5", ""]
    joined = pd.concat([frame.assign(url_gs=[None, "gs://b/b.h5", np.nan]), frame.iloc[:0]])
    for table in (frame, joined):
        assert [_facts(granule) for granule in GranuleList.from_dataframe(table)] == [
            _facts(granule) for granule in listed
        ]
    with pytest.raises(CatalogError, match="needs an id and a URL"):
        GranuleList.from_dataframe(frame.drop(columns=columns))


def test_an_empty_table_is_an_empty_list() -> None:
    frame = GranuleList(granules=[]).to_dataframe()
    assert isinstance(frame, gpd.GeoDataFrame)
    assert GranuleList.from_dataframe(frame) == GranuleList(granules=[])


@given(granules(), st.sampled_from(ROUTES))
def test_the_route_does_not_make_a_granule_another(granule: Granule, route: str) -> None:
    other = Granule(
        id=granule.id,
        product=granule.product,
        urls={route: "anywhere"},
        version=granule.version,
        revision=granule.revision,
        size=granule.size,
        checksum=granule.checksum,
    )
    assert other == granule
    assert hash(other) == hash(granule)
    assert GranuleList(granules=[other]).digest == GranuleList(granules=[granule]).digest


@pytest.mark.parametrize(
    "fact", [{"size": 7}, {"version": "007"}, {"revision": "02"}, {"checksum": "md5:1"}, {"product": "ATL08"}]
)
def test_other_bytes_make_a_granule_another(fact: dict[str, object]) -> None:
    assert _granule("a") != _granule("a", **fact)
    assert _granule("a") != _granule("b")


def test_the_nearest_route_is_taken() -> None:
    urls = {"https": "https://h/a", "s3": "s3://b/a"}
    assert _granule("a", urls=urls).url == "s3://b/a"
    assert _granule("a", urls={**urls, "file": "/a"}).url == "/a"
    assert (
        _granule("a", urls={"ftp": "ftp://h/a", "gs": "gs://b/a", "https": "https://h/a"}).url == "gs://b/a"
    )


def test_an_id_listed_twice_is_refused() -> None:
    with pytest.raises(CatalogError, match="2 granules are listed twice, first a: keep one of each"):
        GranuleList(granules=[_granule(name) for name in "babac"])


@pytest.mark.parametrize("words", [{"id": ""}, {"urls": {}}, {"urls": {"memory": "memory://h/a"}}])
def test_a_granule_without_id_or_known_route_is_refused(words: dict[str, object]) -> None:
    facts = {"id": "a", "product": "ATL06", "urls": {"file": "/a.h5"}, **words}
    with pytest.raises(CatalogError, match=r"needs an id and a URL for one of the routes file, s3, .*, ftp"):
        Granule(**facts)  # type: ignore[arg-type]


@settings(max_examples=30)
@given(granule_lists(), st.slices(6))
def test_a_slice_counts_the_rest_as_dropped(listed: GranuleList, part: slice) -> None:
    kept = listed[part]
    wanted = sorted(granule.id for granule in list(listed)[part])
    assert [granule.id for granule in kept] == wanted
    assert kept.found == listed.found
    assert sum(reason == "not selected" for _, reason in kept.dropped) == len(listed) - len(kept)


def test_a_list_is_a_sequence_of_granules() -> None:
    listed = GranuleList(granules=[_granule(name, size=2 * 10**6) for name in "ab"])
    assert listed[0].id == "a"
    assert listed[-1].id == "b"
    assert _granule("a", size=2 * 10**6) in listed
    assert repr(listed) == "<GranuleList: 2 granules, 4.0 MB>"
    assert repr(listed[:1]) == "<GranuleList: 1 granules, 2.0 MB, 1 dropped>"
    assert repr(listed[0]) == "<Granule a: 2.0 MB by https>"


def test_what_was_dropped_and_why_is_part_of_a_list() -> None:
    kept = [_granule("a")]
    old, other = ([(_granule("b"), reason)] for reason in ("too old", "another version"))
    assert GranuleList(granules=kept, dropped=old) != GranuleList(granules=kept, dropped=other)
    assert GranuleList(granules=kept, dropped=old) != GranuleList(granules=kept)


@settings(max_examples=40)
@given(granule_lists(), granule_lists())
def test_lists_are_joined_and_taken_from_each_other_and_nothing_is_lost(
    one: GranuleList, other: GranuleList
) -> None:
    both = one | other
    ids = {granule.id for granule in both}
    assert ids == {granule.id for granule in [*one, *other]}
    assert both.found == one.found + other.found
    assert both.truncated == (one.truncated or other.truncated)
    rest = one - other
    assert {granule.id for granule in rest} == ids - {granule.id for granule in other}
    assert rest.found == one.found
    assert (one | one).granules == one.granules
    assert len(one - one) == 0


def test_a_filter_drops_with_its_reason() -> None:
    listed = GranuleList(granules=[_granule("a", size=1), _granule("b", size=3)], truncated=True)
    large = listed.filter(lambda granule: granule.size > 2, reason="too small")
    assert [granule.id for granule in large] == ["b"]
    assert [(granule.id, why) for granule, why in large.dropped] == [("a", "too small")]
    assert large.truncated


@pytest.mark.parametrize(
    ("urls", "links", "h5", "whole"),
    [
        ({"https": "https://h/a.h5"}, {}, "https://h/a.h5", "https://h/a.h5"),
        ({"s3": "s3://b/a.nc", "https": "https://h/a.nc"}, {}, "https://h/a.nc", "s3://b/a.nc"),
        ({"s3": "s3://b/a.SEN3"}, {"zip": "https://h/z"}, None, "https://h/z"),
        ({"https": "https://h/a.h5"}, {"zip": "https://h/z"}, "https://h/a.h5", "https://h/a.h5"),
        ({"s3": "s3://b/a.SEN3"}, {}, None, "s3://b/a.SEN3"),
    ],
)
def test_of_a_folder_the_zip_is_all_of_it(
    urls: dict[str, str], links: dict[str, str], h5: str | None, whole: str
) -> None:
    granule = _granule("a", urls=urls, links=links)
    assert (granule.h5_url, granule.whole) == (h5, whole)


def test_a_link_has_a_known_name() -> None:
    with pytest.raises(CatalogError, match=r"may have links zip, .*links \['movie'\]"):
        _granule("a", links={"movie": "https://h/a.mp4"})
