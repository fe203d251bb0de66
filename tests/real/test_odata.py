"""Five pages that the catalogue of Copernicus gave, of 47 auxiliary products of Sentinel-1."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from eoscale.catalog.odata.catalogue import OData
from eoscale.catalog.search import Query
from eoscale.errors import IncompleteSearchError
from eoscale.model.granule import GranuleList
from eoscale.model.product import Catalogued, Product
from eoscale.model.vocabulary import Search
from tests.servers.redirects import Answer, Asked, Host

pytestmark = pytest.mark.real

AUXILIARY = Product(
    name="AUX",
    title="Sentinel-1: auxiliary files",
    kind="track",
    groups=(),
    rates=(),
    variables={},
    epoch="2000-01-01T00:00:00",
    name_pattern=r"S1[A-D_]_(OPER_)?AUX_\w+",
    longest=26 * 3600.0 + 1,
    catalogued=(Catalogued(provider="cdse", name="AUX", collections=("SENTINEL-1",)),),
)
PERIOD = np.datetime64("2014-04-05", "ns"), np.datetime64("2014-04-14", "ns")
QUERY = Query(product=AUXILIARY, period=PERIOD)
SERVICE = "https://catalogue.dataspace.copernicus.eu"
Page: TypeAlias = dict[str, Any]
Replay: TypeAlias = Callable[[Sequence[Page]], Host]


@pytest.fixture
def pages(real_data: Path) -> list[Page]:
    folder = real_data / "api" / "cdse"
    return [json.loads((folder / f"cdsetool_s1_odata_page_{i}.json").read_bytes()) for i in range(1, 6)]


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    """Return what runs a server that gives pages by the rows that are skipped."""
    running: list[Host] = []

    def start(given: Sequence[Page]) -> Host:
        def reply(asked: Asked) -> Answer:
            assert asked.query["$filter"].startswith("Collection/Name eq 'SENTINEL-1' and ")
            page = json.dumps(given[int(asked.query.get("$skip", "0")) // 10])
            return Answer(200, body=page.replace(SERVICE, running[0].origin).encode())

        running.append(Host(reply).__enter__())
        monkeypatch.setenv("EOSCALE_CDSE_ODATA_URL", f"{running[0].origin}/odata/v1/Products")
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", running[0].host)
        return running[0]

    yield start
    for host in running:
        host.__exit__()


def described(granules: GranuleList) -> list[tuple[object, ...]]:
    return [
        (one.id, one.start, one.end, one.size, one.checksum, one.urls["s3"], one.modified, one.footprint)
        for one in granules
    ]


def moment(text: str) -> np.datetime64:
    return np.datetime64(text.removesuffix("Z"), "ns")


def test_recorded_pages_are_the_exact_list(replay: Replay, pages: list[Page]) -> None:
    host = replay(pages)
    found = OData().search(QUERY)
    rows = sorted((row for page in pages for row in page["value"]), key=lambda row: str(row["Name"]))
    assert described(found) == [
        (
            row["Name"].removesuffix(".SAFE").removesuffix(".EOF"),
            moment(row["ContentDate"]["Start"]),
            moment(row["ContentDate"]["End"]),
            row["ContentLength"],
            f"md5:{row['Checksum'][0]['Value']}",
            f"s3:/{row['S3Path']}",
            moment(row["ModificationDate"]),
            None,
        )
        for row in rows
    ]
    assert (len(found), found.dropped, found.truncated) == (47, (), False)
    assert len(host.asked) == 5
    assert {one.provider for one in found} == {"SENTINEL-1"}


@pytest.mark.parametrize("left_out", [1, 2, 3])
def test_a_recorded_page_that_is_left_out_is_an_error(
    replay: Replay, pages: list[Page], left_out: int
) -> None:
    pages[left_out - 1]["@odata.nextLink"] = pages[left_out]["@odata.nextLink"]
    host = replay(pages)
    with pytest.raises(IncompleteSearchError, match="reports 47 products and gave 37, 2 times"):
        OData().search(QUERY)
    assert len(host.asked) == 2 * 4


def test_a_last_page_that_is_left_out_is_an_error(replay: Replay, pages: list[Page]) -> None:
    del pages[3]["@odata.nextLink"]
    replay(pages)
    with pytest.raises(IncompleteSearchError, match="gave 40"):
        OData().search(QUERY)


@pytest.mark.parametrize("page", range(5))
def test_a_recorded_row_that_is_missing_or_doubled_is_an_error(
    replay: Replay, pages: list[Page], page: int
) -> None:
    rows = pages[page]["value"]
    pages[page]["value"] = rows[1:] if page % 2 else [rows[1], *rows[1:]]
    host = replay(pages)
    with pytest.raises(IncompleteSearchError, match="reports 47 products and gave 46"):
        OData().search(QUERY)
    assert len(host.asked) == 2 * 5


@pytest.mark.parametrize("most", [1, 10, 15, 46, 47, 48])
def test_the_first_recorded_rows_are_a_list_that_is_cut(replay: Replay, pages: list[Page], most: int) -> None:
    host = replay(pages)
    found = OData().search(Query(product=AUXILIARY, period=PERIOD, search=Search(max_items=most)))
    first = [row["Name"] for page in pages for row in page["value"]][:most]
    assert {one.id for one in found} == {re.sub(r"\.(SAFE|EOF)$", "", name) for name in first}
    assert found.truncated == (most < 47)
    assert len(host.asked) == min(-(-most // 10), 5)
