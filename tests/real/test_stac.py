"""Items of real catalogues, as they were recorded or printed, served again and searched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from eoscale.catalog.search import Query
from eoscale.catalog.stac import catalogue as stac
from eoscale.catalog.stac import items
from eoscale.errors import CatalogError, IncompleteSearchError
from eoscale.model.vocabulary import Search
from eoscale.products import product
from tests.real.files import FOLDER, REAL
from tests.servers.redirects import Answer
from tests.servers.stac import MaapApi

pytestmark = REAL

MSI, OLCI = product("MSI_COP_2A"), product("OL_1_EFR")
QUERY = Query(product=MSI)
PRINTED = "ECA_EXBA_MSI_COP_2A_20251020T132215Z_20251020T162940Z_07929E"
"""Of five items the one that was printed with its assets."""
PLACE = f"earthcare-pdgs-01/EarthCARE/MSI_COP_2A/BA/2025/10/20/{PRINTED}"


def recorded(name: str) -> Any:  # noqa: ANN401  of JSON
    return json.loads((FOLDER / "api" / name).read_text())


def printed() -> list[dict[str, Any]]:
    """Return the items of ESA MAAP; geometry, links and most assets were not printed."""
    return list(recorded("esa_maap/earthcare_msi_cop_2a_items_printed.json")["items"])


def whole() -> list[dict[str, Any]]:
    """Return them with the line of their box, and with the assets whose names were printed."""
    found = printed()
    (model,) = (item for item in found if "assets" in item)
    text = json.dumps(model["assets"])
    for item in found:
        west, south, east, north = item["bbox"]
        item["geometry"] = {"type": "LineString", "coordinates": [[east, north], [west, south]]}
        day = "/".join((item["id"][20:24], item["id"][24:26], item["id"][26:28]))
        item["assets"] = json.loads(text.replace(PRINTED, item["id"]).replace("2025/10/20", day))
        assert set(item["assets"]) >= set(item["asset_keys_printed"])
    return found


@pytest.fixture
def maap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MaapApi]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with MaapApi(whole()) as api:
        for name, value in api.environment().items():
            monkeypatch.setenv(name, value)
        yield api


def test_the_item_that_was_printed_is_a_granule_with_all_that_it_tells() -> None:
    (item,) = (item for item in printed() if "assets" in item)
    granule = items.granule(item, MSI)
    assert (granule.id, granule.product, granule.version) == (PRINTED, "MSI_COP_2A", "BA")
    assert granule.revision == "20251020T162940"
    data = "https://catalog.maap.eo.esa.int/data"
    assert granule.urls == {"https": f"{data}/{PLACE}/{PRINTED}/{PRINTED}.h5"}
    assert granule.links == {
        "zip": f"{data}/zipper/{PLACE}/{PRINTED}",
        "hdr": f"{data}/{PLACE}/{PRINTED}/{PRINTED}.HDR",
        "quicklook": f"{data}/{PLACE}/public/{PRINTED}.BID_1.jpeg",
    }
    assert (granule.start, granule.end, granule.modified) == tuple(
        np.datetime64(text, "ns")
        for text in ("2025-10-20T13:22:15", "2025-10-20T13:33:50", "2025-10-20T19:32:35")
    )
    assert granule.provider == "EarthCAREL2Validated_MAAP"
    assert granule.footprint is not None
    assert granule.footprint.bounds == (2.265359, -22.686682, 12.536523, 22.561153)


def test_items_of_which_no_asset_was_printed_are_dropped_and_not_lost(maap: MaapApi) -> None:
    maap.items = [item | {"geometry": fit["geometry"]} for item, fit in zip(printed(), whole(), strict=True)]
    found = stac.maap().search(QUERY)
    assert [granule.id for granule in found] == [PRINTED]
    assert [why for _, why in found.dropped] == ["has no assets"] * 4
    assert found.found == 5


def test_the_items_are_found_again_to_the_last_one(maap: MaapApi) -> None:
    found = replace(stac.maap(), page=2).search(QUERY)
    assert [granule.id for granule in found] == sorted(item["id"] for item in maap.items)
    assert (found.found, found.truncated, len(maap.asked)) == (5, False, 3)
    assert all(granule.url.endswith(f"/{granule.id}.h5") for granule in found)
    some = stac.maap().search(replace(QUERY, search=Search(frame="A", orbit=(8000, 8093))))
    assert [granule.id[-6:] for granule in some] == ["08000A", "08093A"]


def test_a_list_that_is_cut_says_so(maap: MaapApi) -> None:
    for most in (1, 4, 5, 6):
        found = stac.maap().search(replace(QUERY, search=Search(max_items=most)))
        assert (len(found), found.truncated) == (min(most, 5), most < 5)
    assert len(maap.asked) == 4


def test_a_recording_that_stops_before_its_hits_is_an_error(maap: MaapApi) -> None:
    maap.distort = lambda _number, page: page | {"numberMatched": 163}
    with pytest.raises(IncompleteSearchError, match="twice: it tells of 163 items and gives 5"):
        stac.maap().search(QUERY)
    assert maap.faults == {"distorted": 2}


def test_an_answer_of_the_same_server_software_that_is_no_page_of_items_is_an_error(maap: MaapApi) -> None:
    name = "api/stac/pystac_client_TestCollectionSearch.test_q_results.yaml"
    answers = [each["response"] for each in yaml.safe_load((FOLDER / name).read_text())["interactions"]]
    bodies = [answer["body"]["string"] for answer in answers]
    assert sum('"numberMatched": 1' in body for body in bodies) == 2
    for body in bodies:
        maap.refuse = lambda _number, body=body: Answer(200, body=body.encode())  # type: ignore[misc]
        with pytest.raises(CatalogError, match="answers no page of items: is it the search of a STAC API"):
            stac.maap().search(QUERY)
    assert maap.faults["refused"] == len(bodies) >= 2


def test_a_real_item_of_olci_is_the_folder_of_its_files() -> None:
    short = "S3A_OL_1_EFR_20211021T073827_20211021T074112_0164_077_334_4320"
    item = recorded(f"stac/stactools_{short}.json")
    item["links"] = [{"rel": "self", "href": f"https://example.org/examples/{short}.json"}]
    granule = items.granule(item, OLCI)
    name = "S3A_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002"
    assert (granule.id, granule.version, granule.product) == (name, "002", "OL_1_EFR")
    assert granule.urls == {"https": f"https://example.org/tests/data-files/{name}.SEN3"}
    sizes = [asset["file:size"] for asset in item["assets"].values() if asset["href"].endswith(".nc")]
    assert (len(sizes) > 20, granule.size, granule.checksum) == (True, sum(sizes), "")
    assert (granule.start, granule.end) == (
        np.datetime64("2021-10-21T07:38:27.254946", "ns"),
        np.datetime64("2021-10-21T07:41:12.194233", "ns"),
    )
    assert granule.footprint is not None
    assert granule.footprint.geom_type == "Polygon"
