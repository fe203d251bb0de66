"""The catalogue of Copernicus, against a server that refuses what is not documented."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from eoscale.access import services
from eoscale.access.attempts import Patience
from eoscale.access.services import encoded
from eoscale.catalog.odata import filters as odata_filter
from eoscale.catalog.odata.areas import covering
from eoscale.catalog.odata.catalogue import OData
from eoscale.catalog.odata.filters import Span, filters, span
from eoscale.catalog.odata.rows import OFFLINE, Row, granule
from eoscale.catalog.search import OUTSIDE_PERIOD, Query
from eoscale.errors import (
    AccessError,
    CatalogError,
    ForbiddenError,
    IncompleteSearchError,
    RecipeError,
    ThrottledError,
)
from eoscale.model.granule import SECOND_COPY, GranuleList
from eoscale.model.region import LONGITUDE_LATITUDE, Region, transformer
from eoscale.model.vocabulary import Search
from eoscale.products import ATL06
from eoscale.products.sentinel3 import OL_1_EFR
from tests.servers.odata import LAUNCH, PATH, Catalogue, Kept, frame, frames
from tests.servers.redirects import Answer, Asked, Host
from tests.strategies import polar_regions, projected_regions, regions_in_any_turn
from tests.suites.catalogs import Case, CatalogLaws

QUERY = Query(product=OL_1_EFR)
CANADA = shapely.Polygon([(-81.7, 71.7), (-81.7, 73.8), (-75.1, 73.8), (-75.1, 71.7)])
THERE = shapely.box(-90, 60, -70, 75)
Spoils = Callable[[int, dict[str, Any]], dict[str, Any]]


def moment(text: str) -> np.datetime64:
    return np.datetime64(text, "ns")


def days(start: str, stop: str) -> tuple[np.datetime64, np.datetime64]:
    return moment(start), moment(stop)


def ids(granules: GranuleList) -> set[str]:
    return {granule.id for granule in granules}


def names(kept: Sequence[Kept]) -> set[str]:
    return {each.name.removesuffix(".SEN3") for each in kept}


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "_PATIENCE", Patience(attempts=4, pause_seconds=0.001, answer_seconds=60))


def known(monkeypatch: pytest.MonkeyPatch, catalogue: Catalogue) -> Catalogue:
    for name, value in catalogue.environment().items():
        monkeypatch.setenv(name, value)
    return catalogue


@pytest.fixture(scope="module")
def _large() -> Iterator[Catalogue]:
    """Run a catalogue of half a year: more than the service would page through."""
    with Catalogue(frames(12_345, 20)) as catalogue:
        yield catalogue


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, _large: Catalogue) -> Catalogue:
    _large.filters.clear()
    _large.refused.clear()
    _large.host.asked.clear()
    _large.fails, _large.spoils, _large.faults = lambda _: False, lambda _, page: page, 0
    return known(monkeypatch, _large)


@pytest.fixture
def keeping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Catalogue]]:
    """Return what runs a catalogue of some products until the test ends."""
    running: list[Catalogue] = []

    def keep(*kept: Kept) -> Catalogue:
        running.append(Catalogue(kept).__enter__())
        return known(monkeypatch, running[-1])

    yield keep
    for each in running:
        each.__exit__()


class TestOData(CatalogLaws):
    @pytest.fixture
    def case(self, keeping: Callable[..., Catalogue]) -> Case:
        foreign = replace(frame(8, LAUNCH, THERE), name="S3A_OL_1_EFR_TEST.SEN3")
        others = [replace(frame(9, LAUNCH, THERE), type="OL_1_ERR___")]
        keeping(*(frame(i, LAUNCH + timedelta(hours=i), THERE) for i in range(7)), foreign, *others)
        return Case(catalog=OData(), query=QUERY, found=8, foreign=1)

    def test_a_period_drops_and_loses_nothing(self, case: Case) -> None:
        # the service itself leaves out what begins at another time, and reports no more than that
        never = case.catalog.search(replace(case.query, period=days("1970-01-01", "1970-01-02")))
        assert never.found == 0
        inside = replace(case.query, period=days("2018-06-01", "2018-06-01T02:00:00"))
        assert len(case.catalog.search(inside)) == 2


def test_the_search_of_the_tutorial_is_asked_in_its_own_form(keeping: Callable[..., Catalogue]) -> None:
    there = frame(1, datetime(2018, 6, 2, 18, 10, 7, tzinfo=UTC), shapely.box(-90, 70, -70, 75))
    catalogue = keeping(there, frame(2, LAUNCH, shapely.box(0, 0, 1, 1)))
    june = Query(product=OL_1_EFR, period=days("2018-06-01", "2018-07-01"), region=Region(geometry=CANADA))
    assert ids(OData().search(june)) == names([there])
    (asked,) = catalogue.host.asked
    assert asked.path == PATH
    assert parse_qsl(urlsplit(asked.target).query) == [
        (
            "$filter",
            (
                "Collection/Name eq 'SENTINEL-3' and Attributes/OData.CSC.StringAttribute/any(att:att/Name "
                "eq 'productType' and att/Value eq 'OL_1_EFR___') and ContentDate/Start gt "
                "2018-05-31T23:54:59.999Z and ContentDate/Start lt 2018-07-01T00:00:00.000Z and "
                "OData.CSC.Intersects(area=geography'SRID=4326;"
                "POLYGON ((-81.7 71.7, -81.7 73.8, -75.1 73.8, -75.1 71.7, -81.7 71.7))')"
            ),
        ),
        ("$top", "1000"),
        ("$count", "true"),
    ]
    assert "authorization" not in asked.headers


def test_all_pages_are_followed(keeping: Callable[..., Catalogue]) -> None:
    kept = frames(3456, 20)
    catalogue = keeping(*kept)
    assert ids(OData().search(QUERY)) == names(kept)
    assert len(catalogue.host.asked) == 4
    assert not catalogue.refused


def test_more_than_the_service_pages_through_is_asked_for_in_parts(large: Catalogue) -> None:
    period = days("2018-06-01", "2019-01-01")
    found = OData().search(Query(product=OL_1_EFR, period=period))
    assert ids(found) == names(large.kept)
    assert (len(found), found.dropped, found.truncated) == (12_345, (), False)
    # the whole, and two halves in thirteen or fourteen pages
    assert len(large.filters) == 3
    assert len(large.host.asked) <= 1 + 14
    assert not large.refused
    early, late = (re.findall(r"Start [gl]t (\S+)", text) for text in large.filters[1:])
    assert late[0] == str(np.datetime64(early[1][:-1]) - np.timedelta64(1, "ms")) + "Z"


def test_without_a_period_all_times_are_parted(large: Catalogue) -> None:
    assert ids(OData().search(QUERY)) == names(large.kept)
    assert large.filters[0].count("ContentDate") == 0
    assert len(large.filters) < 30


def test_the_service_has_no_page_behind_ten_thousand(large: Catalogue) -> None:
    url = f"{large.host.origin}{PATH}?" + encoded(
        [("$filter", filters(QUERY)[0].text(None)), ("$top", "1000"), ("$count", "true")]
    )
    pages = 0
    while url:
        page = re.search(rb'"@odata.nextLink": "([^"]+)"', services.get(url).body)
        url, pages = page[1].decode() if page else "", pages + 1
    assert pages == 10


def test_what_passes_is_asked_again(large: Catalogue) -> None:
    large.fails = lambda number: number % 3 == 2
    found = OData().search(Query(product=OL_1_EFR, period=days("2018-06-01", "2019-01-01")))
    assert ids(found) == names(large.kept)
    assert large.faults >= 6


def test_a_service_that_stays_out_of_order_in_the_middle_is_an_error(large: Catalogue) -> None:
    large.fails = lambda number: number > 5
    with pytest.raises(ThrottledError, match="503 Service Unavailable"):
        OData().search(QUERY)
    assert large.faults == 4
    assert len(large.host.asked) == 9


def _doubled(skip: int, page: dict[str, Any]) -> dict[str, Any]:
    """Give one row of a page in place of another: as when rows are added before it meanwhile."""
    rows = page["value"]
    return {**page, "value": [rows[1], *rows[1:]]} if skip == 1000 else page


def _shorter(skip: int, page: dict[str, Any]) -> dict[str, Any]:
    return {**page, "value": page["value"][:-1]} if skip == 2000 else page


def _without_link(skip: int, page: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in page.items() if name != "@odata.nextLink" or skip != 1000}


def _in_circles(skip: int, page: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in page.items() if name != "@odata.nextLink"}
    return {**kept, "@odata.nextLink": f"{PATH}?$skip=1000"} if skip == 1000 else page


def _more(skip: int, page: dict[str, Any]) -> dict[str, Any]:
    return page if skip else {**page, "@odata.count": page["@odata.count"] - 1}


def _later_count(skip: int, page: dict[str, Any]) -> dict[str, Any]:
    return {**page, "@odata.count": 3001} if skip == 2000 else page


@pytest.mark.parametrize("spoils", [_doubled, _shorter, _without_link, _more, _later_count])
def test_another_number_than_the_service_reports_is_an_error_if_it_stays(
    keeping: Callable[..., Catalogue], spoils: Spoils
) -> None:
    kept = frames(3000, 20)
    catalogue = keeping(*kept)
    catalogue.spoils = spoils
    with pytest.raises(
        IncompleteSearchError, match=r"reports 3,00\d products and gave|reports 2,999"
    ) as told:
        OData().search(QUERY)
    assert "2 times: search again later" in str(told.value)
    assert catalogue.faults == 2
    assert len(catalogue.filters) == 2


@pytest.mark.parametrize("spoils", [_doubled, _shorter, _without_link, _more, _later_count])
def test_another_number_than_the_service_reports_is_asked_for_once_more(
    keeping: Callable[..., Catalogue], spoils: Spoils
) -> None:
    kept = frames(3000, 20)
    catalogue = keeping(*kept)
    catalogue.spoils = lambda skip, page: page if catalogue.faults else spoils(skip, page)
    assert ids(OData().search(QUERY)) == names(kept)
    assert catalogue.faults == 1
    assert len(catalogue.filters) == 2


def test_a_part_that_is_short_is_noticed_where_another_is_longer_by_as_much(large: Catalogue) -> None:
    def spoil(skip: int, page: dict[str, Any]) -> dict[str, Any]:
        rows = page["value"]
        if len(large.filters) == 2 and skip == 1000:
            return {**page, "value": rows[1:]}
        if len(large.filters) == 3 and skip == 0:
            new = {**rows[0], "Id": "another"}
            return {**page, "value": [*rows, new], "@odata.count": page["@odata.count"] + 1}
        return page

    large.spoils = spoil
    found = OData().search(Query(product=OL_1_EFR, period=days("2018-06-01", "2019-01-01")))
    assert ids(found) == names(large.kept)
    assert large.faults == 2
    assert len(large.filters) == 6


def test_a_service_that_does_not_count_is_not_trusted(keeping: Callable[..., Catalogue]) -> None:
    catalogue = keeping(*frames(3, 20))
    catalogue.spoils = lambda _, page: {name: page[name] for name in page if name != "@odata.count"}
    with pytest.raises(IncompleteSearchError, match="does not say how many products there are"):
        OData().search(QUERY)
    assert catalogue.faults == 1


def test_too_many_products_of_one_millisecond_are_an_error_that_says_so(
    keeping: Callable[..., Catalogue],
) -> None:
    begin = LAUNCH + timedelta(microseconds=123_456)
    keeping(*(frame(i, begin, THERE) for i in range(10_001)))
    with pytest.raises(
        IncompleteSearchError,
        match=r"10,001 products begin within a millisecond of 2018-06-01T00:00:00\.123Z .* narrow the search",
    ):
        OData().search(Query(product=OL_1_EFR, period=days("2018-06-01", "2018-06-02")))


@pytest.mark.parametrize(
    ("most", "requests"), [(1, 1), (5, 1), (1000, 1), (1001, 2), (10_000, 10), (12_000, 16), (12_345, 16)]
)
def test_a_list_that_is_cut_says_so_and_asks_for_no_more(large: Catalogue, most: int, requests: int) -> None:
    search = Search(max_items=most)
    found = OData().search(Query(product=OL_1_EFR, period=days("2018-06-01", "2019-01-01"), search=search))
    assert found.found == len(found) == most
    assert found.truncated == (most < 12_345)
    assert ids(found) <= names(large.kept)
    assert len(large.host.asked) <= requests


def test_a_list_of_all_there_is_was_not_cut(keeping: Callable[..., Catalogue]) -> None:
    kept = frames(7, 20)
    keeping(*kept)
    for most in (7, 8):
        found = OData().search(Query(product=OL_1_EFR, search=Search(max_items=most)))
        assert (ids(found), found.truncated) == (names(kept), False)


def test_rows_that_reach_into_the_period_are_wanted_and_those_that_end_before_it_are_not(
    keeping: Callable[..., Catalogue],
) -> None:
    noon = datetime(2018, 6, 2, 12, tzinfo=UTC)
    begins = (-300, -299.9995, -180, -179, -0.0005, 0, 3599.9995, 3600)
    kept = [frame(i, noon + timedelta(seconds=seconds), THERE) for i, seconds in enumerate(begins)]
    early, late = (frame(10 + i, noon + timedelta(seconds=s), THERE) for i, s in enumerate((-301, 3601)))
    keeping(*kept, early, late)
    found = OData().search(Query(product=OL_1_EFR, period=days("2018-06-02T12", "2018-06-02T13")))
    assert ids(found) == names(kept[3:7])
    # what ends just before is found too, and says why it is dropped; what is hours off is not even found
    assert {granule.id for granule, _ in found.dropped} == names(kept[:3])
    assert {why for _, why in found.dropped} == {OUTSIDE_PERIOD}


def test_exact_names_are_asked_for_in_the_form_of_the_service(keeping: Callable[..., Catalogue]) -> None:
    kept = frames(50, 20)
    catalogue = keeping(*kept)
    wanted = [each.name for each in kept[:40]]
    mixed = [name if i % 2 else name.removesuffix(".SEN3") for i, name in enumerate(wanted)]
    found = OData().search(Query(product=OL_1_EFR, search=Search(name=tuple(mixed))))
    assert ids(found) == names(kept[:40])
    assert not found.dropped
    assert len(catalogue.filters) == 3
    assert f"Name eq '{wanted[0]}'" in catalogue.filters[0]
    one = OData().search(Query(product=OL_1_EFR, search=Search(name=wanted[7])))
    assert ids(one) == names([kept[7]])
    assert catalogue.filters[-1].endswith(f" and Name eq '{wanted[7]}'")


@pytest.mark.parametrize(
    ("name", "clause"),
    [
        ("S3A_OL_1_EFR____20180601T0[01]*", "startswith(Name,'S3A_OL_1_EFR____20180601T0')"),
        ("*_LN1_O_NT_0?2", "contains(Name,'_LN1_O_NT_0')"),
        ("*", ""),
    ],
)
def test_names_with_signs_are_narrowed_as_the_service_can_and_then_by_themselves(
    keeping: Callable[..., Catalogue], name: str, clause: str
) -> None:
    kept = frames(50, 20)
    catalogue = keeping(*kept)
    found = OData().search(Query(product=OL_1_EFR, search=Search(name=name)))
    pattern = re.compile(name.replace("*", ".*").replace("?", "."))
    assert ids(found) == {each for each in names(kept) if pattern.fullmatch(each)}
    assert len(found) > 1
    assert clause in catalogue.filters[0]
    assert ("Name," in catalogue.filters[0]) == bool(clause)


def test_of_several_names_one_that_may_be_anything_leaves_all(keeping: Callable[..., Catalogue]) -> None:
    kept = frames(7, 20)
    catalogue = keeping(*kept)
    found = OData().search(Query(product=OL_1_EFR, search=Search(name=(kept[0].name, "*"))))
    assert ids(found) == names(kept)
    assert "Name eq 'S3" not in catalogue.filters[0]


def test_words_of_a_search_are_attributes(keeping: Callable[..., Catalogue]) -> None:
    kept = frames(400, 20)
    catalogue = keeping(*kept)
    own = "Attributes/OData.CSC.IntegerAttribute/any(att:att/Name eq 'cycleNumber' and att/Value eq 30)"
    search = Search(orbit=(1, 6, 11, 12), cycle=30, timeliness="NR", filter=own)
    found = OData().search(Query(product=OL_1_EFR, search=search))
    assert ids(found) == names(
        [each for each in kept if each.orbit in (1, 6, 11) and each.timeliness == "NR"]
    )
    assert len(found) > 3
    assert not found.dropped
    (asked,) = catalogue.filters
    assert asked.endswith(f" and ({own})")
    assert asked.count("relativeOrbitNumber") == 4


def test_other_collections_are_searched_each_by_itself(keeping: Callable[..., Catalogue]) -> None:
    mine = frame(1, LAUNCH, THERE)
    theirs = replace(frame(2, LAUNCH, THERE), collection="SENTINEL-3-OLD")
    catalogue = keeping(mine, theirs)
    search = Search(collections=("SENTINEL-3", "SENTINEL-3-OLD"))
    found = OData().search(Query(product=OL_1_EFR, search=search))
    assert {granule.id: granule.provider for granule in found} == {
        mine.name.removesuffix(".SEN3"): "SENTINEL-3",
        theirs.name.removesuffix(".SEN3"): "SENTINEL-3-OLD",
    }
    assert len(catalogue.filters) == 2
    cut = OData().search(Query(product=OL_1_EFR, search=search.model_copy(update={"max_items": 1})))
    assert (len(cut), cut.truncated) == (1, True)


def test_products_that_are_not_online_are_dropped_and_say_so(keeping: Callable[..., Catalogue]) -> None:
    keeping(frame(1, LAUNCH, THERE), frame(2, LAUNCH, THERE, Online=False))
    found = OData().search(QUERY)
    assert (len(found), [why for _, why in found.dropped]) == (1, [OFFLINE])


def test_of_what_was_published_twice_the_last_counts(keeping: Callable[..., Catalogue]) -> None:
    days = ("03", "09", "05")
    kept = [frame(1, LAUNCH, THERE, ModificationDate=f"2018-06-{day}T00:00:00.000Z") for day in days]
    keeping(*kept)
    found = OData().search(QUERY)
    assert [each.modified for each in found] == [moment("2018-06-09")]
    assert [why for _, why in found.dropped] == [SECOND_COPY] * 2


def described(**more: object) -> Row:
    start = datetime(2018, 6, 2, 18, 10, 7, 394_868, tzinfo=UTC)
    return frame(27, start, shapely.box(-90, 70, -70, 75), **more).row


def test_a_row_tells_all_that_is_known_of_a_granule() -> None:
    checksums = [
        {"Algorithm": "BLAKE3", "Value": "0F", "ChecksumDate": ""},
        {"Algorithm": "MD5", "Value": "D41D8CD98F00B204E9800998ECF8427E", "ChecksumDate": ""},
    ]
    row = described(
        ContentLength=585_123_456,
        Checksum=checksums,
        Assets=[{"Type": "QUICKLOOK", "DownloadLink": "https://catalogue.example.org/Assets(1)/$value"}],
    )
    found = granule(row, OL_1_EFR, "SENTINEL-3")
    name = "S3B_OL_1_EFR____20180602T181007_20180602T181306_20180603T181007_0179_030_028_0027_LN1_O_NT_002"
    assert (found.id, found.product, found.version) == (name, "OL_1_EFR", "002")
    assert found.revision == "20180603T181007"
    assert found.start == moment("2018-06-02T18:10:07.394868")
    assert found.end == moment("2018-06-02T18:13:06.394868")
    assert found.modified == moment("2018-06-03T18:10:07.394868")
    assert found.footprint is not None
    assert found.footprint.equals(shapely.box(-90, 70, -70, 75))
    assert found.size == 585_123_456
    assert found.checksum == "md5:d41d8cd98f00b204e9800998ecf8427e"
    assert found.provider == "SENTINEL-3"
    place = f"https://download.dataspace.copernicus.eu/odata/v1/Products({row['Id']})/Nodes({name}.SEN3)"
    assert found.urls == {
        "s3": f"s3://eodata/Sentinel-3/OLCI/OL_1_EFR___/2018/06/02/{name}.SEN3",
        "https": place,
    }
    assert found.links == {
        "zip": f"https://zipper.dataspace.copernicus.eu/odata/v1/Products({row['Id']})/$value",
        "quicklook": "https://catalogue.example.org/Assets(1)/$value",
    }


@pytest.mark.parametrize(
    ("more", "field", "value"),
    [
        ({"ContentLength": 0}, "size", 0),
        ({"ContentLength": None}, "size", 0),
        ({"Checksum": None}, "checksum", ""),
        ({"Checksum": [{"Algorithm": "BLAKE3", "Value": "0f"}]}, "checksum", "blake3:0f"),
        ({"Checksum": [{"Algorithm": "SHA-256", "Value": "0f"}]}, "checksum", "sha-256:0f"),
        ({"ContentDate": None}, "end", None),
        ({"ContentDate": None}, "start", moment("2018-06-02T18:10:07")),
        ({"ContentDate": {"Start": None, "End": "9999-12-31T23:59:59.999Z"}}, "end", None),
        (
            {"ContentDate": {"Start": "2018-06-02T20:10:07+02:00"}},
            "start",
            moment("2018-06-02T18:10:07"),
        ),
        ({"ModificationDate": None}, "modified", None),
        ({"GeoFootprint": None, "Footprint": None}, "footprint", None),
        ({"GeoFootprint": {"type": "Polygon", "coordinates": 7}, "Footprint": None}, "footprint", None),
        ({"GeoFootprint": None, "Footprint": "geography'SRID=4326;POLYGON ((1 2,'"}, "footprint", None),
        (
            {"GeoFootprint": None, "Footprint": "geography'SRID=4326;POLYGON ((0 0, 1 0, 1 1, 0 0))'"},
            "footprint",
            shapely.Polygon([(0, 0), (1, 0), (1, 1)]),
        ),
    ],
)
def test_what_a_row_does_not_say_is_unknown(more: dict[str, object], field: str, value: object) -> None:
    assert getattr(granule(described(**more), OL_1_EFR, "SENTINEL-3"), field) == value


def test_a_product_outside_the_bucket_is_read_by_https() -> None:
    for path in (None, "", "eodata/a", "/other/a"):
        assert list(granule(described(S3Path=path), OL_1_EFR, "SENTINEL-3").urls) == ["https"]


def test_what_a_row_says_leads_to_no_other_place() -> None:
    row = {**described(), "Id": "1)/../x?", "Name": described()["Name"] + "/../y#z"}
    found = granule(row, OL_1_EFR, "SENTINEL-3")
    assert "(1%29%2F..%2Fx%3F)/Nodes(S3B" in found.urls["https"]
    assert found.urls["https"].endswith("SEN3%2F..%2Fy%23z)")


@pytest.mark.parametrize(
    "more",
    [
        {"ContentLength": "much"},
        {"ContentDate": {"Start": "yesterday"}},
        {"ContentDate": 7},
        {"Checksum": [{"Algorithm": "MD5"}]},
        {"S3Path": 7},
        {"Assets": [7]},
    ],
)
def test_a_row_that_is_not_as_documented_is_an_error_that_names_it(more: dict[str, object]) -> None:
    with pytest.raises(CatalogError, match=r"describes S3B_OL_1_EFR____20180602T181007\S+\.SEN3 in a way"):
        granule(described(**more), OL_1_EFR, "SENTINEL-3")


def test_what_the_service_says_of_a_search_that_it_refuses_is_told(keeping: Callable[..., Catalogue]) -> None:
    catalogue = keeping(*frames(3, 20))
    with pytest.raises(
        CatalogError, match=r"refuses the search \(400\): Invalid field or operator: Size gt 7"
    ):
        OData().search(Query(product=OL_1_EFR, search=Search(filter="Size gt 7")))
    assert catalogue.refused == ["Invalid field or operator: Size gt 7"]


BASE = filters(QUERY)[0].text(None)
AREA = f"{BASE} and OData.CSC.Intersects(area=geography'SRID=4326;"


@pytest.mark.parametrize(
    "parameters",
    [
        {"$filter": BASE.replace("OL_1_EFR___", "OL_1_EFR")},
        {"$filter": BASE.replace(" eq 'SENTINEL", " ne 'SENTINEL")},
        {"$filter": BASE.partition(" and ")[2]},
        {"$filter": f"{BASE} and ContentDate/Start ge 2018-06-01T00:00:00.000Z"},
        {"$filter": f"{BASE} and ContentDate/Start gt 2018-06-01"},
        {"$filter": f"{BASE} and Name eq 'S3A'"},
        {"$filter": f"{AREA}POLYGON ((190 0, 191 0, 191 1, 190 0))')"},
        {"$filter": f"{AREA}MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)))')"},
        {"$top": "1001"},
        {"$top": "0"},
        {"$count": "false"},
        {"$skip": "1000"},
        {"$orderby": "Name"},
    ],
)  # fmt: skip
def test_the_server_of_these_tests_refuses_what_is_not_documented(
    keeping: Callable[..., Catalogue], parameters: dict[str, str]
) -> None:
    catalogue = keeping(*frames(3, 20))
    right = {"$filter": BASE, "$top": "1000", "$count": "true"}
    address = f"{catalogue.host.origin}{PATH}"
    assert b'"@odata.count": 3' in services.get(address, right.items()).body
    with pytest.raises(services.Refused):
        services.get(address, (right | parameters).items())
    with pytest.raises(services.Refused):
        services.get(f"{address}/", right.items())
    assert len(catalogue.refused) == 2


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], Host]]:
    running: list[Host] = []

    def answer(given: Answer) -> Host:
        def reply(_: Asked) -> Answer:
            return given

        running.append(Host(reply).__enter__())
        monkeypatch.setenv("EOSCALE_CDSE_ODATA_URL", f"{running[-1].origin}{PATH}")
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", running[-1].host)
        return running[-1]

    yield answer
    for host in running:
        host.__exit__()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"value": 7}',
        b'{"value": [7]}',
        b'{"value": [{"Id": "1"}]}',
        b'{"value": [{"Id": 1, "Name": "a"}]}',
        b'{"value": [{"Id": "1", "Name": null}]}',
        b'{"value": [], "@odata.count": "x"}',
        b'{"value": [], "@odata.count": 0, "@odata.nextLink": 7}',
    ],
)
def test_an_answer_that_is_no_list_of_products_is_an_error(
    answering: Callable[[Answer], Host], body: bytes
) -> None:
    host = answering(Answer(200, body=body))
    with pytest.raises(CatalogError, match="gave no list of products: is it the OData catalogue"):
        OData().search(QUERY)
    assert len(host.asked) == 1


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, b'{"detail": "Invalid field: Nme"}', r"\(400\): Invalid field: Nme"),
        (
            422,
            b'{"detail": [{"loc": ["query", "$skip"], "msg": "too large"}]}',
            r"\(422\): \$skip: too large",
        ),
        (404, b"<html>", r"\(404\): it does not say why"),
        (400, b'{"detail": 7}', r"\(400\): it does not say why"),
        (400, b'{"detail": [{}]}', r"\(400\): it does not say why"),
    ],
)
def test_a_refusal_is_told_in_the_words_of_the_service(
    answering: Callable[[Answer], Host], status: int, body: bytes, told: str
) -> None:
    answering(Answer(status, body=body))
    with pytest.raises(CatalogError, match=rf"/odata/v1/Products refuses the search {told}"):
        OData().search(QUERY)


@pytest.mark.parametrize(
    "following",
    ["http://127.0.0.2:1/odata/v1/Products?$skip=1", "//example.org/odata/v1/Products", "/other?$skip=1", "http://["],
)  # fmt: skip
def test_the_next_page_is_not_fetched_from_another_place(
    keeping: Callable[..., Catalogue], following: str
) -> None:
    catalogue = keeping(*frames(3, 20))
    catalogue.spoils = lambda _, page: {**page, "@odata.nextLink": following}
    with pytest.raises(CatalogError, match=r"next page at another service|no list of products"):
        OData().search(QUERY)
    assert len(catalogue.host.asked) == catalogue.faults == 1


def test_pages_that_go_round_in_circles_come_to_an_end(keeping: Callable[..., Catalogue]) -> None:
    catalogue = keeping(*frames(3000, 20))
    first: list[dict[str, Any]] = []

    def again(_: int, page: dict[str, Any]) -> dict[str, Any]:
        first.append(page)
        return {**first[0], "@odata.count": 9000}

    catalogue.spoils = again
    with pytest.raises(IncompleteSearchError, match="reports 9,000 products and gave 1,000, 2 times"):
        OData().search(QUERY)
    assert len(catalogue.host.asked) == 4
    assert catalogue.faults == 4


def test_a_service_that_reports_too_many_of_everything_comes_to_an_end(
    keeping: Callable[..., Catalogue],
) -> None:
    catalogue = keeping(*frames(3, 20))
    catalogue.spoils = lambda _, page: {**page, "@odata.count": 20_000}
    with pytest.raises(IncompleteSearchError, match="20,000 products begin within a millisecond"):
        OData().search(QUERY)
    assert catalogue.faults == len(catalogue.host.asked) < 50


def test_hosts_that_are_not_allowed_are_not_asked(
    keeping: Callable[..., Catalogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = keeping(*frames(3, 20))
    monkeypatch.delenv("EOSCALE_ALLOW_HOSTS")
    with pytest.raises(ForbiddenError, match="is refused"):
        OData().search(QUERY)
    assert not catalogue.host.asked


def test_a_service_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with Catalogue([]) as catalogue:
        known(monkeypatch, catalogue)
    with pytest.raises(AccessError, match="cannot be read"):
        OData().search(QUERY)


def test_nothing_at_all_is_an_error_and_nothing_there_and_then_is_none(
    keeping: Callable[..., Catalogue],
) -> None:
    keeping()
    with pytest.raises(CatalogError, match="no granule of OL_1_EFR for this search: found nothing"):
        OData().search(QUERY)
    for narrowed in (
        replace(QUERY, period=days("2018-06-01", "2018-07-01")),
        replace(QUERY, region=Region(geometry=CANADA)),
    ):
        assert OData().search(narrowed) == GranuleList(granules=[])


def test_products_of_other_names_alone_are_an_error(keeping: Callable[..., Catalogue]) -> None:
    keeping(replace(frame(8, LAUNCH, THERE), name="S3A_OL_1_EFR_TEST.SEN3"))
    with pytest.raises(CatalogError, match=r"no granule of OL_1_EFR .* found S3A_OL_1_EFR_TEST; mend"):
        OData().search(replace(QUERY, region=Region(geometry=CANADA)))


def test_what_copernicus_does_not_have_is_not_searched_for() -> None:
    with pytest.raises(RecipeError, match=r"ATL06 is not known to be at Copernicus: .*\(cmr\)"):
        OData().search(Query(product=ATL06))
    for search in (Search(concept_id="C1-NSIDC_CPRD"), Search(cloud_hosted=True)):
        with pytest.raises(RecipeError, match="is of CMR: leave it out for Copernicus"):
            OData().search(Query(product=OL_1_EFR, search=search))


def test_quotes_in_words_stay_words() -> None:
    (asked,) = filters(Query(product=OL_1_EFR, search=Search(collections="A' or 'B", name="it's*")))
    assert asked.text(None).startswith("Collection/Name eq 'A'' or ''B' and ")
    assert asked.text(None).endswith(" and startswith(Name,'it''s')")


_SPANS = st.tuples(st.integers(0, 4 * 10**12), st.integers(2, 10**9)).map(
    lambda pair: Span(pair[0], sum(pair))
)


def _meets(start: int, span: Span) -> bool:
    """Return whether a product that begins at some microsecond is found, as the service compares."""
    (_, low), (_, high) = (clause.removesuffix("Z").rsplit(" ", 1) for clause in span.clauses)
    moment = np.datetime64(start, "us")
    return bool(np.datetime64(low) < moment < np.datetime64(high))


@given(_SPANS, st.data())
def test_halves_of_a_span_leave_out_nothing_and_no_whole_millisecond_is_in_both(
    span: Span, data: st.DataObject
) -> None:
    early, late = span.halves
    assert (early.start, early.stop, late.stop) == (span.start, late.start, span.stop)
    assert early.start < early.stop
    assert late.start < late.stop
    edges = st.sampled_from([span.start, late.start, span.stop]).map(lambda edge: 1000 * edge)
    near = data.draw(st.tuples(edges, st.integers(-2500, 2500)).map(sum))
    inside = data.draw(st.integers(1000 * span.start, 1000 * span.stop))
    for moment in (near, inside):
        found = [_meets(moment, half) for half in (early, late)]
        assert any(found) == _meets(moment, span)
        assert sum(found) < 2 or moment % 1000
        assert sum(found) < 2 or late.start * 1000 - 1000 < moment < late.start * 1000


@given(
    st.integers(0, 10**18),
    st.integers(1, 10**15),
    st.tuples(st.integers(0, 2), st.integers(-(10**12), 10**12)),
)
def test_what_may_overlap_a_period_is_in_its_span(first: int, length: int, where: tuple[int, int]) -> None:
    longest = int(OL_1_EFR.longest * 1e9)
    edge = (first, first + length, first - longest)[where[0]]
    # products of the service begin at a microsecond
    start = (edge + where[1]) // 1000
    query = replace(QUERY, period=(np.datetime64(first, "ns"), np.datetime64(first + length, "ns")))
    asked = span(query)
    assert asked is not None
    if first - longest <= 1000 * start < first + length:
        assert _meets(start, asked)
    # at most a millisecond more at each end
    if _meets(start, asked):
        assert first - longest - 2_000_000 <= 1000 * start < first + length + 1_000_000


def _drawn(text: str) -> list[shapely.Polygon]:
    return [shapely.from_wkt(found) for found in re.findall(r"SRID=4326;(POLYGON [^']+)'", text)]


def _asked(region: Region) -> list[shapely.Polygon]:
    """Return the polygons that are asked for, read from the URL."""
    (asked,) = filters(replace(QUERY, region=region))
    url = encoded([("$filter", asked.text(None))])
    assert len(url) < 4500
    return _drawn(dict(parse_qsl(url))["$filter"])


@given(regions_in_any_turn() | polar_regions() | projected_regions(), st.integers(0, 2**32))
def test_the_polygons_that_are_asked_for_hold_the_whole_region(region: Region, seed: int) -> None:
    polygons = _asked(region)
    assert all(polygon.is_valid for polygon in polygons)
    assert all(shapely.box(-180, -90, 180, 90).covers(polygon) for polygon in polygons)
    west, south, east, north = region.bounds
    points = np.random.default_rng(seed).uniform((west, south), (east, north), (4000, 2))
    points[:, 0] = (points[:, 0] + 180) % 360 - 180
    inside = points[region.contains(*points.T)]
    held = shapely.intersects_xy(np.array(polygons)[:, None], *inside.T).any(axis=0)
    assert held.all()


_BESIDE_THE_POLE = st.tuples(
    st.floats(-3e3, 3e3), st.sampled_from([-2e5, 2e5]), st.sampled_from([1e6, 1.2e7])
).map(lambda at: Region(geometry=shapely.box(-at[2], min(at[:2]), at[2], max(at[:2])), crs="EPSG:3413"))


@given(polar_regions() | projected_regions() | _BESIDE_THE_POLE, st.integers(0, 2**32))
def test_edges_of_regions_of_another_crs_are_held_where_they_bulge(region: Region, seed: int) -> None:
    polygons = covering(region, lambda _: True)
    rings = shapely.get_rings(shapely.get_parts(region.geometry))
    # many near the origin too, which may be a pole
    around = shapely.line_locate_point(rings, shapely.Point(0, 0)) + np.linspace(-2e4, 2e4, 401)[:, None]
    along = np.random.default_rng(seed).uniform(0, 1, (500, 1)) * shapely.length(rings)
    edge = shapely.get_coordinates(shapely.line_interpolate_point(rings, np.concatenate([around, along])))
    degrees = transformer(region.crs, LONGITUDE_LATITUDE).transform(*edge.T)
    assert shapely.intersects_xy(np.array(polygons)[:, None], *degrees).any(axis=0).all()


_CORNERS = st.floats(-0.3, 0.3)


@given(
    st.lists(st.tuples(_CORNERS, _CORNERS), min_size=4, max_size=4), st.floats(-170, 170), st.floats(-80, 80)
)
def test_no_digit_of_a_polygon_is_lost_in_its_text(
    bent: list[tuple[float, float]], x: float, y: float
) -> None:
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) + bent + np.array([x, y])
    hole = np.array([(-0.1, -0.1), (0.1, -0.1), (0.1, 0.1)]) + np.array([x, y])
    polygon = shapely.Polygon(square, [hole])
    (back,) = _drawn(odata_filter._intersects([polygon])[0])
    assert back == polygon
    assert "e" not in odata_filter._well_known(polygon)[7:]


def test_a_region_across_the_antimeridian_is_asked_for_in_two_parts(
    keeping: Callable[..., Catalogue],
) -> None:
    places = [(170, -20), (-175, -20), (165, -20), (-169, -20)]
    kept = [frame(i, LAUNCH, shapely.box(x, y, x + 3, y + 3)) for i, (x, y) in enumerate(places)]
    catalogue = keeping(*kept)
    found = OData().search(replace(QUERY, region=Region.from_bbox(172, -20, -171, -10)))
    assert ids(found) == names(kept[:2])
    assert re.search(
        r" and \(OData\.CSC\.Intersects\(.*172 -20.*\) or OData\.CSC\.Intersects\(.*-171 .*\)\)$",
        catalogue.filters[0],
    )


def test_heights_of_a_region_are_not_asked_for() -> None:
    flat, high = (shapely.force_3d(CANADA, height) for height in (0, 7))
    for region in (Region(geometry=flat), Region(geometry=high)):
        assert _asked(region) == [CANADA]


def test_a_region_around_a_pole_finds_what_is_at_the_pole(keeping: Callable[..., Catalogue]) -> None:
    places = [(0, 86), (150, 80), (0, 60)]
    kept = [frame(i, LAUNCH, shapely.box(x, y, x + 9, y + 4)) for i, (x, y) in enumerate(places)]
    keeping(*kept)
    around = Region(geometry=shapely.Point(0, 0).buffer(1e6), crs="EPSG:3413")
    assert ids(OData().search(replace(QUERY, region=around))) == names(kept[:2])


def _coast(corners: int) -> Region:
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    reach = 12 + 3 * np.sin(7 * angles) + 0.3 * np.sin(400 * angles)
    return Region(geometry=shapely.Polygon(np.column_stack([reach * np.cos(angles), reach * np.sin(angles)])))


@pytest.mark.parametrize("corners", [190, 500, 50_000])
def test_many_corners_become_few_and_hardly_more_is_found(corners: int) -> None:
    region = _coast(corners)
    (polygon,) = _asked(region)
    assert polygon.covers(region.geometry)
    assert polygon.area < 1.2 * region.geometry.area


def test_many_parts_become_few() -> None:
    boxes = [shapely.box(x, y, x + 0.3, y + 0.3) for x in range(-170, 171, 20) for y in range(-80, 80, 20)]
    scattered = Region(geometry=shapely.MultiPolygon(boxes))
    polygons = _asked(scattered)
    assert len(polygons) < 10
    assert shapely.union_all(polygons).covers(scattered.geometry)
    islands = Region(
        geometry=shapely.MultiPolygon([shapely.box(x / 50, 0, x / 50 + 0.01, 1) for x in range(99)])
    )
    (one,) = _asked(islands)
    assert one.covers(islands.geometry)
    assert one.area < 3


def test_what_never_fits_is_the_box_of_the_region() -> None:
    region = _coast(500)
    (box,) = covering(region, lambda _: False)
    assert box.equals(shapely.box(*region.bounds))
    across = Region.from_bbox(170, -20, -170, -10)
    assert [each.bounds for each in covering(across, lambda _: False)] == [
        (170, -20, 180, -10),
        (-180, -20, -170, -10),
    ]
