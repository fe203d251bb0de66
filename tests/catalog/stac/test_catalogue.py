from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eoscale.access import keeper, services
from eoscale.access.attempts import Patience
from eoscale.catalog.search import Query
from eoscale.catalog.stac import catalogue as stac
from eoscale.catalog.stac.catalogue import Stac
from eoscale.errors import AccessError, CatalogError, ForbiddenError, IncompleteSearchError, RecipeError
from eoscale.model.granule import GranuleList
from eoscale.model.region import Region
from eoscale.model.vocabulary import Search
from eoscale.products import ATL06, product
from tests.servers.logins import said
from tests.servers.redirects import Answer
from tests.servers.stac import CLOSED, OPEN, Api, Item, LaxApi, MaapApi, Page, earthcare
from tests.suites.catalogs import Case, CatalogLaws

ATL, MSI = product("ATL_FM__2A"), product("MSI_COP_2A")
QUERY = Query(product=ATL)
SECOND = np.timedelta64(1, "s")


def moment(text: str) -> np.datetime64:
    return np.datetime64(text, "ns")


def ids(granules: GranuleList) -> list[str]:
    return [granule.id for granule in granules]


def names(items: list[Item]) -> list[str]:
    return sorted(item["id"] for item in items)


def frames(number: int, **more: Any) -> list[Item]:  # noqa: ANN401  of items
    return [
        earthcare(orbit=6000 + place // 8, frame="ABCDEFGH"[place % 8], **more) for place in range(number)
    ]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Be somebody who has no login, and who does not wait for long."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    keeper.use(keeper.Keeper())
    monkeypatch.setattr(services, "_PATIENCE", Patience(attempts=4, pause_seconds=0.001))
    yield
    keeper.use(keeper.Keeper())


@pytest.fixture
def maap(monkeypatch: pytest.MonkeyPatch) -> Iterator[MaapApi]:
    with MaapApi(frames(12)) as api:
        for name, value in api.environment().items():
            monkeypatch.setenv(name, value)
        yield api


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    with Api(frames(12)) as api:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", api.host.host)
        yield api


def small(api: Api, page: int = 5) -> Stac:
    """Return a catalogue that takes three pages for twelve items."""
    return Stac(address=api.address, page=page)


class TestStac(CatalogLaws):
    @pytest.fixture(params=[100, 2, 1])
    def case(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
        items = [
            *frames(3),
            earthcare("ATL_AER_2A"),
            earthcare("MSI_COP_2A"),
            earthcare(collection=CLOSED[1]),
        ]
        with LaxApi(items) as api:
            monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", api.host.host)
            items[-1]["id"] = items[0]["id"]
            yield Case(catalog=small(api, request.param), query=QUERY, found=6, foreign=2)


REGION = Region.from_bbox(0, -20, 10, -10)
PERIOD = moment("2025-06-20"), moment("2025-07-01")


def test_a_feature_mask_of_one_frame_is_asked_for_as_the_tutorial_does(maap: MaapApi) -> None:
    query = Query(product=ATL, region=REGION, period=PERIOD, search=Search(frame="E", max_items=5))
    assert (
        ids(stac.maap().search(query)) == names([earthcare(frame="E"), earthcare(orbit=6001, frame="E")])[:1]
    )
    (asked,) = maap.host.asked
    assert (asked.method, asked.path, asked.body) == ("GET", "/catalogue/search", b"")
    assert asked.query == {
        "collections": "EarthCAREL2Validated_MAAP",
        "filter": "productType = 'ATL_FM__2A' and frame = 'E'",
        "filter-lang": "cql2-text",
        "bbox": "0.0,-20.0,10.0,-10.0",
        "datetime": "2025-06-20T00:00:00Z/2025-07-01T00:00:00Z",
        "limit": "5",
    }
    assert "authorization" not in asked.headers
    assert asked.headers["accept"] == "*/*"


def test_cloud_properties_are_asked_for_by_type_alone(maap: MaapApi) -> None:
    maap.items += frames(2, product="MSI_COP_2A")
    assert ids(stac.maap().search(Query(product=MSI))) == names(maap.items[-2:])
    assert maap.asked == [
        {
            "collections": "EarthCAREL2Validated_MAAP",
            "filter": "productType = 'MSI_COP_2A'",
            "filter-lang": "cql2-text",
            "limit": "100",
        }
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"collections": None},
        {"collections": "Unknown"},
        {"product": "ATL_FM__2A"},
        {"filter-lang": "cql2-json"},
        {"filter-lang": None},
        {"filter": "productType like 'ATL%'"},
        {"filter": "product:type = 'ATL_FM__2A'"},
        {"filter": "orbitNumber = '6000'"},
        {"filter": "frame = 'E' and"},
        {"filter": "(frame = 'E'"},
        {"filter": "frame = 'E';"},
        {"bbox": "10,-20,0,-10"},
        {"bbox": "0,10"},
        {"datetime": "2025-06-20"},
        {"datetime": "../.."},
        {"limit": "0"},
        {"limit": "201"},
        {"page": "2"},
    ],
)
def test_the_server_of_these_tests_refuses_what_is_not_documented(
    maap: MaapApi, wrong: Mapping[str, str | None]
) -> None:
    good = {"collections": OPEN[1], "filter": "frame = 'E'", "filter-lang": "cql2-text"}
    good["datetime"] = "../2025-06-20T00:00:00Z"
    asked = [(name, value) for name, value in {**good, **wrong}.items() if value]
    url = f"{maap.address}/search"
    services.get(url, good.items())
    with pytest.raises(services.Refused) as caught:
        services.get(url, asked)
    assert caught.value.status == 400
    with pytest.raises(services.Refused):
        services.post(url, good.items())
    with pytest.raises(services.Refused):
        services.get(f"{url}/", good.items())
    assert maap.answers == {200: 1, 400: 3}


@pytest.mark.parametrize(
    ("search", "clauses"),
    [
        (Search(), ""),
        (Search(orbit=6000), " and orbitNumber = 6000"),
        (Search(orbit=(1, 2)), " and (orbitNumber = 1 or orbitNumber = 2)"),
        (Search(frame=("A", "E")), " and (frame = 'A' or frame = 'E')"),
        (Search(frame="E", orbit=7), " and frame = 'E' and orbitNumber = 7"),
        (Search(filter="orbitNumber > 5000"), " and orbitNumber > 5000"),
        (Search(filter="frame = 'A' OR frame = 'B'"), " and (frame = 'A' OR frame = 'B')"),
        (Search(frame="E", filter="orbitNumber > 5"), " and frame = 'E' and orbitNumber > 5"),
    ],
)
def test_words_of_a_search_become_a_filter(search: Search, clauses: str) -> None:
    (asked,) = stac.maap().asked(Query(product=ATL, search=search))
    assert asked["filter"] == f"productType = 'ATL_FM__2A'{clauses}"


def test_a_quote_in_a_name_ends_no_text() -> None:
    (known,) = ATL.catalogued
    odd = replace(ATL, catalogued=(replace(known, name="a' or 'b"),))
    assert stac.maap().asked(Query(product=odd))[0]["filter"] == "productType = 'a'' or ''b'"


def test_collections_are_those_of_the_query_the_catalogue_or_the_product() -> None:
    mine = Query(product=ATL, search=Search(collections=("X", "Y")))
    named = replace(stac.maap(), collections=("Z",))
    assert [each.asked(mine)[0]["collections"] for each in (stac.maap(), named)] == [("X", "Y")] * 2
    assert named.asked(QUERY)[0]["collections"] == ("Z",)
    assert stac.maap().asked(QUERY)[0]["collections"] == (OPEN[1],)
    with pytest.raises(RecipeError, match="none is known for ATL06: name some in `search"):
        stac.maap().asked(Query(product=ATL06))


def test_elsewhere_nothing_is_known_of_products_and_a_filter_is_the_users() -> None:
    there = Stac(address="https://stac.example.org/v1/search/")
    asked = there.asked(Query(product=ATL, search=Search(frame="E", filter="a = 1 or b = 2")))
    assert asked == [
        {"collections": None, "datetime": None, "filter": "a = 1 or b = 2", "limit": 100, "bbox": None}
    ]
    assert there.asked(QUERY)[0]["filter"] is None


@pytest.mark.parametrize(
    ("start", "stop", "interval"),
    [
        ("2025-06-20", "2025-07-01", "2025-06-20T00:00:00Z/2025-07-01T00:00:00Z"),
        ("2025-06-20T01:02:03.9", "2025-07-01T00:00:00.1", "2025-06-20T01:02:03Z/2025-07-01T00:00:01Z"),
        ("1969-12-31T23:59:59.5", "1970-01-01", "1969-12-31T23:59:59Z/1970-01-01T00:00:00Z"),
    ],
)  # fmt: skip
def test_the_interval_holds_the_period(start: str, stop: str, interval: str) -> None:
    query = Query(product=ATL, period=(moment(start), moment(stop)))
    assert stac.maap().asked(query)[0]["datetime"] == interval


@pytest.mark.parametrize(
    ("box", "boxes"),
    [
        ((0, -20, 10, -10), [(0, -20, 10, -10)]),
        ((170, -20, -170, -10), [(170, -20, 180, -10), (-180, -20, -170, -10)]),
        ((-180, 60, 180, 90), [(-180, 60, 180, 90)]),
        ((170, -20, 180, -10), [(170, -20, 180, -10)]),
    ],
)
def test_a_region_across_the_antimeridian_is_searched_on_both_sides(
    box: tuple[float, float, float, float], boxes: list[tuple[float, ...]]
) -> None:
    asked = stac.maap().asked(Query(product=ATL, region=Region.from_bbox(*box)))
    assert [each["bbox"] for each in asked] == boxes


def test_what_lies_on_both_sides_of_the_antimeridian_is_found_once(maap: MaapApi) -> None:
    line = [[[178, -15], [180, -10]], [[-180, -10], [-178, -5]]]
    both, west, far = earthcare(frame="A"), earthcare(frame="B", at=(-176, -15)), earthcare(frame="C")
    both["geometry"] = {"type": "MultiLineString", "coordinates": line}
    maap.items = [both, west, far, earthcare(frame="D", at=(175, -15))]
    query = Query(product=ATL, region=Region.from_bbox(170, -20, -170, -10))
    found = stac.maap().search(query)
    assert [name[-1] for name in ids(found)] == ["A", "B", "D"]
    assert (found.found, found.truncated, len(maap.asked)) == (3, False, 2)
    few = replace(query, search=Search(max_items=2))
    assert (len(stac.maap().search(few)), stac.maap().search(few).truncated) == (2, True)
    three = replace(query, search=Search(max_items=3))
    assert (len(stac.maap().search(three)), stac.maap().search(three).truncated) == (3, False)


@pytest.mark.usefixtures("maap")
def test_a_granule_that_begins_when_the_period_ends_is_dropped_and_counted() -> None:
    start = moment("2025-06-21T12:00:00")
    assert len(stac.maap().search(replace(QUERY, period=(start - SECOND, start + SECOND)))) == 12
    found = stac.maap().search(replace(QUERY, period=(start - SECOND, start)))
    assert (len(found), {why for _, why in found.dropped}) == (0, {"outside the period"})
    assert found.found == 12


def test_the_version_that_was_asked_for_is_demanded(maap: MaapApi) -> None:
    with pytest.raises(CatalogError, match="version AZ was asked for, the list has BA"):
        stac.maap().search(replace(QUERY, search=Search(version="AZ")))
    assert len(stac.maap().search(replace(QUERY, search=Search(version="BA")))) == len(maap.items)


@pytest.mark.parametrize("name", CLOSED)
def test_a_collection_that_is_not_open_to_the_user_says_so(maap: MaapApi, name: str) -> None:
    query = replace(QUERY, search=Search(collections=(OPEN[1], name)))
    with pytest.raises(ForbiddenError, match=f"403.*: {name} is open only to whom ESA has given the right"):
        stac.maap().search(query)
    assert maap.answers == {403: 1}


def test_who_has_the_right_searches_all_collections(maap: MaapApi, monkeypatch: pytest.MonkeyPatch) -> None:
    maap.items += frames(3, collection=CLOSED[0])
    maap.right = "portal-token"
    monkeypatch.setenv("MAAP_TOKEN", maap.right)
    found = stac.maap().search(replace(QUERY, search=Search(collections=CLOSED[:1])))
    assert ids(found) == names(maap.items[12:])
    assert [asked.headers["authorization"] for asked in maap.host.asked] == ["Bearer portal-token"]


def test_a_refusal_says_what_the_service_says(maap: MaapApi) -> None:
    query = replace(QUERY, search=Search(filter="cloudy = 'yes'"))
    with pytest.raises(CatalogError, match=r"/catalogue/search refuses the search \(400\): unknown property"):
        stac.maap().search(query)
    assert maap.answers == {400: 1}
    for body, reason in (
        (b'{"detail": ["a", 1]}', r"\['a', 1\]"),
        (b"<p>no</p>", "<p>no</p>"),
        (b"", "without a reason"),
    ):
        maap.refuse = lambda _number, body=body: Answer(404, body=body)  # type: ignore[misc]
        with pytest.raises(CatalogError, match=rf"\(404\): {reason}"):
            stac.maap().search(QUERY)


def test_items_without_data_are_dropped_with_their_reason(maap: MaapApi) -> None:
    for item in maap.items[:2]:
        del item["assets"]["enclosure_h5"]
    maap.items[1]["assets"] = {}
    maap.items[1]["links"] = []
    found = stac.maap().search(QUERY)
    assert ids(found) == names(maap.items[2:])
    (packed, first), (nothing, second) = found.dropped
    assert (first, second) == ("has no file of data but a zip", "has no assets")
    assert packed.url == packed.links["zip"]
    assert nothing.url == f"{maap.address}/collections/{OPEN[1]}/items/{nothing.id}"


def test_a_granule_of_two_collections_counts_in_the_first_that_was_named(maap: MaapApi) -> None:
    maap.items += frames(2, collection=OPEN[2])
    for first, second in ((1, 2), (2, 1)):
        order = (OPEN[first], OPEN[second])
        found = stac.maap().search(replace(QUERY, search=Search(collections=order)))
        assert (len(found), found.found) == (12, 14)
        assert [why for _, why in found.dropped] == ["a second copy of a granule"] * 2
        assert {granule.provider for granule in found[:2]} == {OPEN[first]}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(st.tuples(st.integers(1, 9), st.sampled_from("ABCDEFGH")), unique=True, max_size=30),
    wanted=st.tuples(st.sets(st.sampled_from("ABCDEFGH")), st.sets(st.integers(1, 9))),
    page=st.integers(1, 12),
    counts=st.booleans(),
    shuffled=st.randoms(use_true_random=False),
)
def test_the_list_is_the_set_whatever_the_pages_and_their_order(
    maap: MaapApi,
    places: list[tuple[int, str]],
    wanted: tuple[set[str], set[int]],
    page: int,
    counts: bool,  # noqa: FBT001
    shuffled: Any,  # noqa: ANN401
) -> None:
    maap.items = [earthcare(orbit=orbit, frame=frame) for orbit, frame in places]
    maap.counts = counts
    frame, orbit = wanted
    query = replace(QUERY, search=Search(frame=tuple(frame), orbit=tuple(orbit)))
    catalog = replace(stac.maap(), page=page)
    kept = [
        earthcare(orbit=o, frame=f)
        for o, f in places
        if (not frame or f in frame) and (not orbit or o in orbit)
    ]
    found = catalog.search(query)
    assert (ids(found), len(found.dropped)) == (names(kept), 0)
    shuffled.shuffle(maap.items)
    assert catalog.search(query).digest == found.digest


@pytest.mark.parametrize(
    ("most", "counts"), [(m, c) for m in (1, 4, 5, 6, 11, 12, 13, 50) for c in (False, True)]
)
def test_a_list_that_is_cut_says_so_and_no_other(maap: MaapApi, most: int, *, counts: bool) -> None:
    maap.counts = counts
    found = small(maap).search(replace(QUERY, search=Search(max_items=most)))
    assert (len(found), found.truncated) == (min(most, 12), most < 12)
    assert len(maap.asked) == -(-min(most, 12) // min(5, most))


def test_a_list_that_is_cut_needs_no_further_pages_and_no_good_numbers(maap: MaapApi) -> None:
    maap.distort = lambda _number, page: page | {"numberMatched": 99, "numberReturned": 7}
    maap.refuse = lambda number: Answer(500) if number else None
    found = small(maap).search(replace(QUERY, search=Search(max_items=5)))
    assert (len(found), found.truncated, maap.faults) == (5, True, {"distorted": 1})


def first_time(page: Callable[[Page], Page]) -> Callable[[int, Page], Page | None]:
    """Return a fault of the third request alone."""
    return lambda number, given: page(given) if number == 2 else None


def less(page: Page) -> Page:
    return page | {"features": page["features"][:-1]}


def beside(page: Page) -> Page:
    """Return a page that begins as another one did."""
    return page | {"features": [*frames(1), *page["features"][1:]]}


def miscounted(page: Page) -> Page:
    return page | {"numberMatched": 99}


@pytest.mark.parametrize("fault", [less, beside, miscounted])
def test_a_list_that_is_not_what_was_told_is_searched_again(
    maap: MaapApi, fault: Callable[[Page], Page]
) -> None:
    maap.distort = first_time(fault)
    assert ids(small(maap).search(QUERY)) == names(maap.items)
    assert maap.faults == {"distorted": 1}
    assert maap.answers == {200: 6}


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (less, "12 items and gives 9"),
        (beside, "12 items and gives 10"),
        (miscounted, "99 items and gives 12"),
    ],
)
def test_a_list_that_is_never_what_was_told_is_an_error(
    maap: MaapApi, fault: Callable[[Page], Page], told: str
) -> None:
    maap.distort = lambda _number, page: fault(page)
    with pytest.raises(IncompleteSearchError, match=f"incomplete, twice: it tells of {told}; search again"):
        small(maap).search(QUERY)
    assert maap.faults == {"distorted": 6}
    assert maap.answers == {200: 6}


def test_a_page_that_is_shorter_than_it_says_is_an_error_where_the_whole_is_not_told(other: Api) -> None:
    other.distort = lambda _number, page: less(page) | {"context": {"returned": len(page["features"])}}
    with pytest.raises(IncompleteSearchError, match="a page tells of 2 items and has 1"):
        small(other).search(QUERY)
    assert other.faults == {"distorted": 6}


def test_an_item_that_comes_twice_counts_once(maap: MaapApi) -> None:
    def repeated(_number: int, page: Page) -> Page:
        features = [*page["features"], *frames(1)]
        return page | {"features": features, "numberReturned": len(features)}

    maap.distort = repeated
    found = small(maap).search(QUERY)
    assert (ids(found), found.found) == (names(maap.items), 12)
    assert maap.faults == {"distorted": 3}


def test_a_page_without_items_is_not_the_end(maap: MaapApi) -> None:
    def hollow(number: int, page: Page) -> Page | None:
        if number != 1:
            return None
        again = maap.host.origin + maap.host.asked[-1].target.replace("startRecord=5", "startRecord=05")
        return {"type": "FeatureCollection", "features": [], "links": [{"rel": "next", "href": again}]} | {
            "numberMatched": page["numberMatched"]
        }

    maap.distort = hollow
    assert ids(small(maap).search(QUERY)) == names(maap.items)
    assert (maap.faults, maap.answers) == ({"distorted": 1}, {200: 4})


def test_no_items_are_no_list_where_some_are_told(maap: MaapApi) -> None:
    maap.distort = lambda _number, page: page | {"features": [], "links": [], "numberReturned": 0}
    with pytest.raises(IncompleteSearchError, match="it tells of 12 items and gives 0"):
        stac.maap().search(QUERY)
    maap.distort = lambda _number, _page: None
    maap.items = []
    assert stac.maap().search(QUERY).found == 0


@pytest.mark.parametrize("page", [1, 2])
def test_a_link_that_leads_round_in_circles_is_an_error(other: Api, page: int) -> None:
    def circle(_number: int, given: Page) -> Page:
        target = other.host.asked[page - 1].target if len(other.host.asked) >= page else ""
        links = [{"rel": "next", "href": other.host.origin + target}] if target else given["links"]
        return given | {"links": links}

    other.distort = circle
    with pytest.raises(IncompleteSearchError, match="twice: its pages go round in circles after"):
        small(other).search(QUERY)
    assert other.faults.total() >= 4


def test_pages_that_never_end_and_bring_nothing_new_are_an_error(other: Api) -> None:
    def endless(number: int, page: Page) -> Page:
        return page | {
            "links": [{"rel": "next", "href": f"{other.address}/search?token=0&limit={number + 1}"}]
        }

    other.distort = endless
    with pytest.raises(IncompleteSearchError, match="its pages go round in circles after 12 items"):
        small(other).search(QUERY)
    assert 20 < other.faults["distorted"] < 60


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_page_that_fails_and_then_comes_is_not_missed(maap: MaapApi, status: int) -> None:
    maap.refuse = lambda number: Answer(status) if number in {0, 2, 3, 5} else None
    found = small(maap).search(QUERY)
    assert ids(found) == names(maap.items)
    assert maap.faults == {"refused": 4}
    assert maap.answers == {200: 3, status: 4}


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (Answer(503), AccessError, "503"),
        (Answer(500), AccessError, "500"),
        (said(400, {"description": "expired"}), CatalogError, r"\(400\): expired"),
        (Answer(403), ForbiddenError, "403"),
        (Answer(200, body=b"<html>"), CatalogError, "answers no page of items: is it the search of a STAC"),
        (said(200, {"message": "sorry"}), CatalogError, "answers no page of items"),
        (said(200, {"features": None}), CatalogError, "answers no page of items"),
        (Answer(200, body=b"[]"), CatalogError, "answers no page of items"),
        (said(200, {"features": [7]}), CatalogError, "a page of items holds what is none: 7"),
    ],
)
def test_a_page_in_the_middle_that_is_none_is_an_error(
    other: Api, answer: Answer, kind: type[Exception], message: str
) -> None:
    other.refuse = lambda number: answer if number else None
    with pytest.raises(kind, match=message):
        small(other).search(QUERY)
    assert other.faults["refused"] in (1, 4)
    assert other.answers.total() == other.faults["refused"] + 1


@pytest.mark.parametrize(
    ("link", "kind", "message"),
    [
        ({"href": "http://169.254.169.254/latest"}, ForbiddenError, "169.254.169.254/latest is refused"),
        ({"href": "file:///etc/passwd"}, ForbiddenError, "is refused"),
        ({"method": "POST", "body": {"token": "x"}}, CatalogError, "wants another request than a plain GET"),
        ({"href": None}, IncompleteSearchError, "round in circles"),
    ],
)
def test_a_link_to_what_must_not_be_asked_is_not_followed(
    other: Api, link: Mapping[str, object], kind: type[Exception], message: str
) -> None:
    onward = {"rel": "next", "href": f"{other.address}/search?token=5&limit=5"}
    other.distort = lambda _number, page: page | {"links": [{**onward, **link}]}
    with pytest.raises(kind, match=message):
        small(other).search(QUERY)
    assert 1 <= other.answers.total() <= 4


def test_a_private_host_is_not_searched_unless_allowed(other: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EOSCALE_ALLOW_HOSTS")
    with pytest.raises(ForbiddenError, match="is refused: it is not https"):
        small(other).search(QUERY)
    assert not other.host.asked


def olci(number: int, timeliness: str = "NT") -> Item:
    """Return an item as Copernicus has it: members in a bucket and by https, and all in a zip."""
    times = f"20240602T18{number:02d}07_20240602T18{number:02d}57_20240603T230737"
    name = f"S3A_OL_1_EFR____{times}_0179_113_027_{1620 + number}_PS1_O_{timeliness}_004.SEN3"
    web = "https://download.dataspace.copernicus.eu/odata/v1/Products(7)"
    bucket = f"s3://eodata/Sentinel-3/OLCI/OL_1_EFR___/2024/06/02/{name}"
    member = {
        file: {
            "href": f"{bucket}/{file}.nc",
            "type": "application/x-netcdf",
            "file:size": 100,
            "alternate": {"https": {"href": f"{web}/Nodes({name})/Nodes({file}.nc)/$value"}},
        }
        for file in ("Oa01_radiance", "geo_coordinates")
    }
    stamp = f"2024-06-02T18:{number:02d}:07.000Z", f"2024-06-02T18:{number:02d}:57.000Z"
    return {
        "type": "Feature",
        "id": name.removesuffix(".SEN3"),
        "collection": "sentinel-3-olci-1-efr-ntc",
        "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]]},
        "properties": {
            "start_datetime": stamp[0],
            "end_datetime": stamp[1],
            "product:timeliness": timeliness,
        },
        "assets": {**member, "Product": {"href": f"{web}/$value", "type": "application/zip"}},
        "links": [],
    }


def test_another_api_is_searched_in_the_same_way_and_names_tell_the_product(other: Api) -> None:
    other.items = [*(olci(number) for number in range(7)), olci(8, "NR"), earthcare()]
    region, period = Region.from_bbox(1, 1, 2, 2), (moment("2024-06-02"), moment("2024-06-03"))
    search = Search(collections=("sentinel-3-olci-1-efr-ntc",), timeliness="NT")
    found = small(other).search(
        Query(product=product("OL_1_EFR"), region=region, period=period, search=search)
    )
    assert ids(found) == names(other.items[:7])
    assert [why for _, why in found.dropped] == ["timeliness is NR"]
    assert found[0].url.endswith(f"/{found[0].id}.SEN3")
    assert (found[0].size, set(found[0].urls), set(found[0].links)) == (200, {"s3"}, {"zip"})
    first, second = other.asked
    assert first == {
        "collections": "sentinel-3-olci-1-efr-ntc",
        "bbox": "1.0,1.0,2.0,2.0",
        "datetime": "2024-06-02T00:00:00Z/2024-06-03T00:00:00Z",
        "limit": "5",
    }
    assert second == {**first, "token": "5"}


def test_pages_may_be_relative_to_the_one_before(other: Api) -> None:
    other.distort = lambda _number, page: json.loads(json.dumps(page).replace(other.host.origin, ""))
    assert ids(small(other).search(QUERY)) == names(other.items)
    assert other.faults == {"distorted": 3}
