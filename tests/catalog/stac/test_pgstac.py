"""Against a real STAC API: stac-fastapi-pgstac over PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eoscale.catalog.search import Query
from eoscale.catalog.stac import catalogue as stac
from eoscale.catalog.stac.catalogue import Stac
from eoscale.errors import CatalogError
from eoscale.model.granule import GranuleList
from eoscale.model.region import Region
from eoscale.model.vocabulary import Search
from eoscale.products import product
from tests.servers.pgstac import ABSENT, PgStac, binaries
from tests.servers.stac import OPEN, Item, earthcare

pytestmark = pytest.mark.skipif(binaries() is None, reason=ABSENT)

ATL, MSI = product("ATL_FM__2A"), product("MSI_COP_2A")
HOUR = np.timedelta64(1, "h")


def _item(number: int) -> Item:
    """Return one of 1,200: two products, a frame every twelve minutes, all round the Earth."""
    kind = ("ATL_FM__2A", "MSI_COP_2A", "ATL_FM__2A")[number % 3]
    frame = number // 3
    begins = np.datetime64("2025-06-01", "s") + np.timedelta64(12 * frame, "m")
    at = (float((37 * frame) % 358 - 179.5), float((23 * frame) % 140 - 75.25))
    baseline = "BB" if number % 3 == 2 else "BA"
    where = OPEN[2] if frame % 10 == 0 else OPEN[1]
    item = earthcare(
        kind, 6000 + frame // 8, "ABCDEFGH"[frame % 8], str(begins), at, baseline=baseline, collection=where
    )
    item["properties"] |= {"productType": kind, "frame": item["id"][-1], "orbitNumber": 6000 + frame // 8}
    return item


ITEMS = [_item(number) for number in range(1200)]
COLLECTIONS = [
    {
        "type": "Collection",
        "id": name,
        "stac_version": "1.1.0",
        "description": name,
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2024-05-28T00:00:00Z", None]]},
        },
        "links": [],
    }
    for name in OPEN
]


@pytest.fixture(scope="module")
def api() -> Iterator[PgStac]:
    with PgStac(COLLECTIONS, ITEMS) as api:
        yield api


@pytest.fixture(autouse=True)
def _asked(api: PgStac, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have it searched as ESA MAAP, by somebody without a login."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", api.host)
    monkeypatch.setenv("EOSCALE_MAAP_STAC_URL", f"{api.address}/")


def wanted(query: Query) -> set[str]:
    """Return the ids that a query is for, worked out from the items."""
    return {item["id"] for item in ITEMS if _is_wanted(item, query)}


def _is_wanted(item: Item, query: Query) -> bool:
    told, search = item["properties"], query.search
    bounds = query.region.bounds if query.region else (-180.0, -90.0, 180.0, 90.0)
    boxes = [shapely.box(*bounds), shapely.box(bounds[0] - 360, bounds[1], bounds[2] - 360, bounds[3])]
    line = shapely.geometry.shape(item["geometry"])
    begins, ends = (
        np.datetime64(told[name].removesuffix("Z"), "ns") for name in ("start_datetime", "end_datetime")
    )
    start, stop = query.period or (begins, ends + HOUR)
    return all(
        [
            told["productType"] == query.product.name,
            item["collection"] in (search.collections or OPEN[1:2]),
            not search.frame or told["frame"] in search.frame,
            not search.orbit or told["orbitNumber"] in search.orbit,
            any(line.intersects(box) for box in boxes),
            stop is None or begins < stop,
            start is None or ends >= start,
        ]
    )


def ids(granules: GranuleList) -> list[str]:
    return [granule.id for granule in granules]


def query(found: Any = ATL, **words: Any) -> Query:  # noqa: ANN401  of a search
    period, region = words.pop("period", None), words.pop("region", None)
    span = tuple(np.datetime64(day, "ns") for day in period) if period else None
    box = Region.from_bbox(*region) if region else None
    return Query(product=found, period=span, region=box, search=Search(**words))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "asked",
    [
        query(),
        query(MSI),
        query(collections=OPEN[1:]),
        query(frame="E"),
        query(frame=("A", "H"), orbit=(6001, 6002, 6049)),
        query(orbit=6000, filter="frame = 'B' or frame = 'C'"),
        query(region=(0, -20, 10, -10)),
        query(MSI, region=(-100, -60, 80, 30)),
        query(region=(150, -60, -150, 60), collections=OPEN[1:]),
        query(period=("2025-06-02", "2025-06-03")),
        query(period=("2025-06-01T12:00:00", "2025-06-01T12:12:00"), collections=OPEN[1:]),
        query(MSI, frame="D", region=(-180, -90, 180, 0), period=("2025-06-02", "2025-06-04")),
    ],
    ids=str.split(
        "all other two-collections frame frames-orbits filter box large-box antimeridian day moment several"
    ),
)
def test_the_list_is_the_set_of_all_items_that_are_wanted(asked: Query) -> None:
    expected = wanted(asked)
    if asked.search.filter:
        expected = {name for name in expected if name[-1] in "BC"}
    found = stac.maap().search(asked)
    assert len(expected) >= 2
    assert ids(found) == sorted(expected)
    assert {why for _, why in found.dropped} <= {"outside the period"}
    assert not found.truncated


@pytest.mark.parametrize("page", [7, 100, 1000])
def test_pages_of_any_size_make_the_same_list(page: int) -> None:
    asked = query(frame=("A", "C", "E"))
    found = replace(stac.maap(), page=page).search(asked)
    assert ids(found) == sorted(wanted(asked))
    assert found.digest == stac.maap().search(asked).digest


def test_all_items_are_received_where_nothing_is_known_of_their_properties(
    api: PgStac, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EOSCALE_MAAP_STAC_URL")
    everything = Stac(address=api.address, page=250).search(query(collections=OPEN))
    assert everything.found == 1200
    assert ids(everything) == sorted(wanted(query(collections=OPEN)))
    assert {why for _, why in everything.dropped} == {"is of product unknown, not ATL_FM__2A"}


def test_a_list_that_is_cut_says_so() -> None:
    expected = wanted(query(frame="E"))
    for most, cut in ((5, True), (len(expected) - 1, True), (len(expected), False), (5000, False)):
        found = replace(stac.maap(), page=20).search(query(frame="E", max_items=most))
        assert (len(found), found.truncated) == (min(most, len(expected)), cut)
        assert set(ids(found)) <= expected


def test_a_filter_that_the_service_cannot_read_is_an_error_in_its_words() -> None:
    with pytest.raises(CatalogError, match=r"refuses the search \(4\d\d\): \S+"):
        stac.maap().search(query(filter="frame === 'E'"))


boxes = st.tuples(st.integers(-18, 17), st.integers(-8, 7), st.integers(1, 30), st.integers(1, 8))


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    box=boxes,
    first=st.integers(0, 80),
    hours=st.integers(1, 40),
    frame=st.sets(st.sampled_from("ABCDEFGH")),
    page=st.integers(5, 200),
)
def test_any_box_period_and_frames_find_exactly_what_is_there(
    box: tuple[int, int, int, int], first: int, hours: int, frame: set[str], page: int
) -> None:
    west, south, wide, high = (10 * number for number in box)
    region = Region(geometry=shapely.box(west, south, west + min(wide, 350), min(90, south + high)))
    start = np.datetime64("2025-06-01", "ns") + first * HOUR
    asked = replace(
        query(frame=tuple(sorted(frame)), collections=OPEN[1:]),
        region=region,
        period=(start, start + hours * HOUR),
    )
    found = replace(stac.maap(), page=page).search(asked)
    assert ids(found) == sorted(wanted(asked))
