from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import pytest
import shapely

from eoscale.access import keeper
from eoscale.catalog.cmr import catalogue as cmr
from eoscale.catalog.cmr.catalogue import Cmr
from eoscale.catalog.cmr.questions import questions
from eoscale.catalog.search import Query
from eoscale.errors import CatalogError, IncompleteSearchError, RecipeError, ThrottledError
from eoscale.model.granule import GranuleList
from eoscale.model.region import Region
from eoscale.model.vocabulary import Search
from eoscale.products import ATL03, ATL08, product
from tests.servers import cmr as servers
from tests.servers.cmr import Faults, Record
from tests.suites.catalogs import Case, CatalogLaws

ECS, CPRD, SIX = "C2144424132-NSIDC_ECS", "C2153574670-NSIDC_CPRD", "C2565090645-NSIDC_CPRD"
PHOTONS = "C2027878642-NSIDC_CPRD"
BEGIN = np.datetime64("2019-01-01T00:00:00", "ns")
QUERY = Query(product=ATL08, search=Search(version="005"))
TASMANIA = Region.from_bbox(144.5, -43.7, 148.5, -40.5)
JANUARY = (np.datetime64("2019-01-01", "ns"), np.datetime64("2019-02-01", "ns"))

Serve = Callable[..., servers.Cmr]


def record(number: int, collection: str = CPRD, version: str = "005", short_name: str = "ATL08") -> Record:
    """Return a granule that begins some minutes after the one before."""
    start = BEGIN + np.timedelta64(number * 7, "m")
    digits = "".join(character for character in str(start.astype("M8[s]")) if character.isdecimal())
    orbit, region = divmod(number, 14)
    name = f"{short_name}_{digits}_{orbit % 1387 + 1:04d}{orbit // 1387 + 2:02d}{region + 1:02d}_{version}_01"
    line = {"AscendingCrossing": -40.4, "StartLatitude": 59.5, "StartDirection": "A"}
    return Record(name, collection, start, orbit={**line, "EndLatitude": 80.0, "EndDirection": "A"})


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Give a function that starts a catalogue and has this process ask it."""
    with ExitStack() as stack:

        def start(records: list[Record], faults: Faults | None = None, token: str = "") -> servers.Cmr:
            server = stack.enter_context(servers.Cmr(records, faults, token))
            for name, value in server.environment().items():
                monkeypatch.setenv(name, value)
            keeper.use(keeper.Keeper())
            return server

        yield start


def ids(granules: GranuleList) -> list[str]:
    return [granule.id for granule in granules]


class TestCmr(CatalogLaws):
    @pytest.fixture
    def case(self, serve: Serve) -> Case:
        ours = [record(number) for number in range(7)]
        twins = [record(number, ECS) for number in range(3)]
        others = [record(number, PHOTONS, "004", "ATL03") for number in (1, 2)]
        serve([*ours, *twins, *others])
        query = Query(product=ATL08, search=Search(concept_id=[ECS, CPRD, PHOTONS]))
        return Case(catalog=Cmr(page_size=5), query=query, found=12, foreign=2)

    def test_a_period_drops_and_loses_nothing(self, case: Case) -> None:
        """CMR itself leaves out what is outside a period: there is nothing to drop."""
        never = np.datetime64("1970-01-01", "ns"), np.datetime64("1970-01-02", "ns")
        assert case.catalog.search(Query(product=ATL08, period=never)).found == 0

    def test_another_version_than_the_one_asked_for_is_an_error(self, case: Case) -> None:
        """CMR is asked for the version: it has none, or none in that collection."""
        with pytest.raises(CatalogError, match="CMR knows no collection ATL08 version 999"):
            case.catalog.search(Query(product=ATL08, search=Search(version="999")))
        with pytest.raises(CatalogError, match="version 006 was asked for, the list has 005"):
            case.catalog.search(Query(product=ATL08, search=Search(version="006", concept_id=CPRD)))


def test_a_granule_in_the_cloud_counts_and_its_twin_on_the_premises_is_a_copy(serve: Serve) -> None:
    serve([record(number, collection) for number in range(4) for collection in (ECS, CPRD)])
    found = Cmr().search(QUERY)
    assert ids(found) == [record(number).name for number in range(4)]
    assert {granule.provider for granule in found} == {"NSIDC_CPRD"}
    assert {(granule.provider, why) for granule, why in found.dropped} == {
        ("NSIDC_ECS", "a second copy of a granule")
    }
    granule = found[0]
    assert granule.urls["s3"] == f"s3://nsidc-cumulus-prod-protected/{granule.id}.h5"
    assert granule.urls["https"].endswith(f"/nsidc-cumulus-prod-protected/{granule.id}.h5")
    assert granule.links["s3credentials"] == "https://data.nsidc.earthdatacloud.nasa.gov/s3credentials"
    assert (granule.size, granule.version, granule.revision) == (1_000_000, "005", "01")
    assert granule.start == BEGIN
    assert granule.end == BEGIN + np.timedelta64(300, "s")
    assert str(granule.modified) == "2024-08-10T11:32:12.503000000"
    assert isinstance(granule.footprint, shapely.LineString)


@pytest.mark.parametrize(
    ("words", "collection"),
    [
        ({"concept_id": ECS}, ECS),
        ({"cloud_hosted": False}, ECS),
        ({"cloud_hosted": True, "version": "005"}, CPRD),
        ({"concept_id": [SIX]}, SIX),
        ({"version": "006"}, SIX),
    ],
)
def test_words_of_a_search_are_asked_of_the_catalogue(
    words: dict[str, object], collection: str, serve: Serve
) -> None:
    version = "006" if collection == SIX else "005"
    records = [
        record(number, each, "006" if each == SIX else "005")
        for number in range(3)
        for each in (ECS, CPRD, SIX)
    ]
    server = serve(records)
    found = Cmr().search(Query(product=ATL08, search=Search.model_validate(words)))
    assert ids(found) == [record(number, version=version).name for number in range(3)]
    assert found.found == 3
    assert len(server.questions()) == 1
    provider = Cmr(provider=collection.partition("-")[2])
    assert provider.search(Query(product=ATL08, search=Search.model_validate(words))) == found


def test_names_and_cycles_are_asked_for_by_patterns(serve: Serve) -> None:
    server = serve([record(number) for number in range(14 * 1388)])
    first = record(14 * 1387)
    found = Cmr().search(Query(product=ATL08, search=Search(cycle=3)))
    assert ids(found) == [record(14 * 1387 + number).name for number in range(14)]
    assert ("producerGranuleId", "*_????03??_*") in server.questions()[-1]
    assert ids(Cmr().search(Query(product=ATL08, search=Search(name=first.name)))) == [first.name]
    by_pattern = Search(name=[f"{first.name[:20]}*"], cycle=3)
    assert ids(Cmr().search(Query(product=ATL08, search=by_pattern))) == [first.name]


def test_many_patterns_go_by_post_and_in_some_questions(serve: Serve) -> None:
    server = serve([record(number) for number in range(14 * 400)])
    rgts = tuple(range(1, 251))
    found = Cmr().search(Query(product=ATL08, search=Search(rgt=rgts)))
    assert len(found) == 14 * 250
    assert {asked.method for asked in server.asked} == {"POST"}
    assert len(server.questions()) == 3


def test_a_region_is_asked_for_with_some_room_and_footprints_that_tell_are_looked_at_again(
    serve: Serve,
) -> None:
    here = [(145.0, -43.0, 146.0, -42.0), (148.52, -42.0, 149.0, -41.0)]
    near = [(148.7, -42.0, 149.0, -41.0)]
    far = [(150.0, -42.0, 151.0, -41.0)]
    records = [
        Record(record(number).name, CPRD, BEGIN, box) for number, box in enumerate([*here, *near, *far])
    ]
    server = serve([*records, record(20)])  # of the last one an orbit is known, and no more
    found = Cmr().search(Query(product=ATL08, region=TASMANIA))
    assert ids(found) == [records[0].name, records[1].name, record(20).name]
    assert [(granule.id, why) for granule, why in found.dropped] == [(records[2].name, cmr.ELSEWHERE)]
    (box,) = (value for name, value in server.questions()[0] if name == "bounding_box")
    west, south, east, north = map(float, box.split(","))
    assert 144.0 < west < 144.2
    assert 148.8 < east < 149.0
    assert (round(south, 2), round(north, 2)) == (-43.97, -40.23)


@pytest.mark.parametrize(
    ("box", "asked"),
    [
        ((170, -20, -170, -10), (169.7, -169.7)),
        ((-180, 60, 180, 90), (-180, 180)),
        ((0, 85, 10, 89.9), (-180, 180)),
    ],
)
def test_a_region_across_the_antimeridian_or_at_a_pole_is_asked_for_as_the_catalogue_has_it(
    box: tuple[float, float, float, float], asked: tuple[float, float]
) -> None:
    (parameters,) = questions(Query(product=ATL08, region=Region.from_bbox(*box)))
    west, _, east, north = map(float, dict(parameters)["bounding_box"].split(","))
    assert (round(west, 1), round(east, 1)) == asked
    assert north <= 90


@pytest.mark.parametrize("faults", [{}, {"shuffled": True}, {"repeated": 3}, {"busy": {0: 1, 7: 2}}])
def test_pages_reordered_repeated_and_refused_for_a_while_give_the_exact_set(
    faults: dict[str, object], serve: Serve
) -> None:
    records = [record(number) for number in range(1234)]
    server = serve(records, Faults(**faults))  # type: ignore[arg-type]
    found = Cmr(page_size=100).search(QUERY)
    assert ids(found) == sorted(each.name for each in records)
    assert found.found == len(records)
    assert bool(server.faults.done) == bool(faults)


@pytest.mark.parametrize(
    "faults",
    [{"lost": 1}, {"expires": 5}, {"lost": 3, "shuffled": True}],
    ids=["lost", "expired", "shuffled"],
)
@pytest.mark.parametrize("passes", [True, False])
def test_a_search_that_ends_short_is_made_once_more_and_is_no_shorter_list(
    faults: dict[str, int],
    passes: bool,  # noqa: FBT001
    serve: Serve,
) -> None:
    records = [record(number) for number in range(1000)]
    once = {"lost_in": 1, "expires_in": 1} if passes else {}
    server = serve(records, Faults(**faults, **once))  # type: ignore[arg-type]
    if passes:
        assert Cmr(page_size=100).search(QUERY).found == len(records)
    else:
        with pytest.raises(IncompleteSearchError, match=r"CMR gave \d+ of 1000.* granules of ATL08, twice"):
            Cmr(page_size=100).search(QUERY)
    assert server.searches == 2
    assert server.faults.done


def test_a_catalogue_that_stays_busy_is_an_error_and_no_shorter_list(serve: Serve) -> None:
    server = serve([record(number) for number in range(300)], Faults(busy={1: 10_000}))
    with pytest.raises(ThrottledError, match="503 Service Unavailable"):
        Cmr(page_size=100).search(QUERY)
    assert server.faults.done["busy 1"] == 8


def test_so_many_items_and_no_more_say_that_the_list_is_truncated(serve: Serve) -> None:
    server = serve([record(number) for number in range(1000)])
    found = Cmr().search(Query(product=ATL08, search=Search(max_items=150)))
    assert ids(found) == [record(number).name for number in range(150)]
    assert found.truncated
    assert len(server.asked) == 1
    assert not Cmr().search(Query(product=ATL08, search=Search(max_items=1000))).truncated
    assert not Cmr().search(QUERY).truncated


def test_what_is_for_registered_users_is_found_with_their_login(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serve([record(number) for number in range(3)], token="edl-1")
    assert Cmr().search(QUERY).found == 0
    assert "shows none without a login" in caplog.text
    monkeypatch.setenv("EARTHDATA_TOKEN", "edl-1")
    keeper.use(keeper.Keeper())
    assert Cmr().search(QUERY).found == 3


def test_a_collection_that_there_is_not_is_an_error(serve: Serve) -> None:
    serve([])
    for query in (
        Query(product=ATL08, search=Search(version="999")),
        Query(product=ATL08, search=Search(collections="ATL99")),
    ):
        with pytest.raises(CatalogError, match="CMR knows no collection ATL"):
            Cmr().search(query)


def test_what_cannot_be_asked_says_so(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve([record(0)])
    for words, region, message in [
        ({"rgt": "crossing"}, None, "needs a region that tracks come near"),
        ({"rgt": 1}, TASMANIA, "none of 1 comes within 30 km"),
    ]:
        with pytest.raises((RecipeError, CatalogError), match=message):
            Cmr().search(Query(product=ATL08, region=region, search=Search.model_validate(words)))
    with pytest.raises(RecipeError, match="ATL_FM__2A is in no collection of CMR"):
        Cmr().search(Query(product=product("ATL_FM__2A")))
    monkeypatch.setenv("EOSCALE_CMR_URL", "https://127.0.0.1/search")
    with pytest.raises(PermissionError, match="is refused"):
        Cmr().search(QUERY)


def test_collections_are_listed(serve: Serve) -> None:
    serve([])
    found = cmr.collections("ATL08")
    assert found["concept_id"].tolist() == [ECS, CPRD, SIX]
    assert found["cloud_hosted"].tolist() == [False, True, True]
    assert found["title"].tolist() == ["ATL08 V005", "ATL08 V005", "ATL08 V006"]
    assert len(cmr.collections("ATL*")) == 5
    assert cmr.collections(SIX)["version"].tolist() == ["006"]
    assert cmr.collections("NONE").empty


# the forms that PROVIDERS say, word for word


def test_atl03_near_juneau_by_concept_id_has_exactly_this_form(serve: Serve) -> None:
    server = serve([record(3, "C2027878642-NSIDC_CPRD", "004", "ATL03")])
    query = Query(
        product=ATL03,
        region=Region.from_bbox(-135.1977, 58.3325, -133.3410, 58.9839),
        period=JANUARY,
        search=Search(concept_id="C2027878642-NSIDC_CPRD"),
    )
    assert len(Cmr().search(query)) == 1
    (first, *_) = server.asked
    assert (first.method, first.path) == ("GET", "/search/granules.umm_json")
    told = dict(server.questions()[0])
    box = [float(side) for side in told.pop("bounding_box").split(",")]
    assert told == {
        "collection_concept_id": "C2027878642-NSIDC_CPRD",
        "temporal": "2019-01-01T00:00:00Z,2019-02-01T00:00:00Z",
        "page_size": "2000",
    }
    assert np.allclose(box, [-135.72, 58.0627, -132.82, 59.2537], atol=0.02)
    assert "authorization" not in first.headers
    after = [asked.headers["cmr-search-after"] for asked in server.asked[1:]]
    assert [json.loads(each) for each in after] == [[1, 1]]


def test_atl08_by_track_over_tasmania_has_exactly_this_form(serve: Serve) -> None:
    wanted = record(0, version="005")
    server = serve([Record(wanted.name.replace("_00010201_", "_00170209_"), CPRD, BEGIN)])
    query = Query(
        product=ATL08, region=TASMANIA, period=JANUARY, search=Search(version="005", rgt="crossing")
    )
    assert len(Cmr().search(query)) == 1
    (parameters,) = server.questions()
    patterns = [value for name, value in parameters if name == "producerGranuleId"]
    assert len(patterns) == 40
    assert {pattern[8:10] for pattern in patterns} == {"09", "13"}
    assert [(name, value) for name, value in parameters if name != "producerGranuleId"] == [
        ("short_name", "ATL08"),
        ("version", "005"),
        ("temporal", "2019-01-01T00:00:00Z,2019-02-01T00:00:00Z"),
        ("options[producerGranuleId][pattern]", "true"),
        ("page_size", "2000"),
    ]
    one = Query(product=ATL08, region=TASMANIA, search=Search(rgt=17))
    (parameters,) = questions(one)
    assert ("producerGranuleId", "*_0017??09_*") in parameters


def test_questions_that_are_not_asked_any_more_are_counted(serve: Serve) -> None:
    server = serve([record(number) for number in range(14 * 400)])
    found = Cmr().search(Query(product=ATL08, search=Search(rgt=tuple(range(1, 251)), max_items=5)))
    assert len(found) == 5
    assert found.truncated
    assert [dict(asked)["page_size"] for asked in server.questions()] == ["5", "0", "0"]
