"""Answers of CMR as they were recorded, served again and searched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapely
import yaml

from eoscale.catalog.cmr import umm
from eoscale.catalog.cmr.catalogue import Cmr
from eoscale.catalog.search import Query
from eoscale.errors import IncompleteSearchError
from eoscale.model.product import Catalogued, Product
from eoscale.model.region import Region
from eoscale.model.vocabulary import Search
from eoscale.products import ATL03, ATL06, ATL08
from tests.real.files import FOLDER, REAL
from tests.servers.redirects import Answer, Asked, Host

pytestmark = REAL

MODIS = replace(
    ATL08,
    name="MOD02QKM",
    name_pattern=r"MOD02QKM\.A\d{7}\.\d{4}\.(?P<version>\d{3})\.(?P<revision>\d{13})",
    catalogued=(Catalogued(provider="cmr", name="MOD02QKM"),),
    identity=(),
    longest=300.0,
)


def interactions(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / "api" / "cmr" / name).read_text()
    return list(yaml.safe_load(text)["interactions"])


def record(name: str) -> dict[str, Any]:
    told = json.loads((FOLDER / "api" / "cmr" / name).read_text())
    return dict(told["items"][0] if "items" in told else told)


PAGES = "python_cmr_TestMultipleQueries.test_results_unparsed_format.yaml"


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Serve the ten pages of two granules each by what they were searched after."""
    pages = {}
    for each in interactions(PAGES):
        (after,) = each["request"]["headers"].get("cmr-search-after", [""])
        headers = each["response"]["headers"]
        kept = [(name, headers[name][0]) for name in ("CMR-Hits", "CMR-Search-After")]
        pages[after] = Answer(200, kept, each["response"]["body"]["string"].encode())
    assert len(pages) == 10

    def reply(asked: Asked) -> Answer:
        after = asked.headers.get("cmr-search-after", "")
        known = asked.path == "/search/granules.umm_json" and asked.query["short_name"] == "MOD02QKM"
        return pages[after] if known and after in pages else Answer(400, body=b'{"errors": ["not recorded"]}')

    with Host(reply) as host:
        monkeypatch.setenv("EOSCALE_CMR_URL", f"{host.origin}/search")
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", host.host)
        yield host


def test_ten_recorded_pages_give_the_exact_list_that_says_it_is_truncated(recorded: Host) -> None:
    found = Cmr(page_size=2).search(Query(product=MODIS, search=Search(max_items=20)))
    bodies = [json.loads(each["response"]["body"]["string"]) for each in interactions(PAGES)]
    names = [
        item["umm"]["DataGranule"]["Identifiers"][0]["Identifier"]
        for body in bodies
        for item in body["items"]
    ]
    assert [granule.id for granule in found] == sorted(name.removesuffix(".hdf") for name in names)
    assert (len(found), found.found, found.truncated) == (20, 20, True)
    assert len(recorded.asked) == 10
    assert found[0].id == "MOD02QKM.A2000055.0005.061.2017171194850"
    assert found[0].urls == {
        "https": f"https://data.laadsdaac.earthdatacloud.nasa.gov/prod-lads/MOD02QKM/{found[0].id}.hdf",
        "s3": f"s3://prod-lads/MOD02QKM/{found[0].id}.hdf",
    }
    assert found[1].size == 47_859_665
    assert found[1].checksum == "md5:00d5aff45c4f45d0ae15476c347deb6f"
    assert found[1].links["quicklook"].endswith(".jpg")
    assert found[0].footprint is not None
    assert shapely.intersects_xy(found[0].footprint, 0, 87)  # which its corners go around, by great circles


def test_a_recording_that_stops_short_of_its_hits_is_an_error(recorded: Host) -> None:
    with pytest.raises(
        IncompleteSearchError, match=r"gave 20 of 1404440; it ended with: not recorded .*twice"
    ):
        Cmr(page_size=2).search(Query(product=MODIS))
    assert len(recorded.asked) == 22


def test_granules_whose_footprints_are_elsewhere_are_dropped(recorded: Host) -> None:
    region = Region.from_bbox(-30, 70, -20, 80)
    query = Query(product=MODIS, region=region, search=Search(max_items=20))
    found = Cmr(page_size=2).search(query)
    assert 0 < len(found) < 20
    assert found.found == 20
    assert len(recorded.asked) == 10


@pytest.mark.parametrize(
    ("name", "known", "facts"),
    [
        (
            "earthaccess_atl03_umm.json",
            ATL03,
            ("ATL03_20221012161617_03351705_005_01", "005", "01", 617_912_784, "2022-10-12T16:16:17.770"),
        ),
        (
            "earthaccess_atl06_umm.json",
            ATL06,
            ("ATL06_", "005", "01", None, ""),
        ),
        (
            "earthaccess_atl08_umm.json",
            ATL08,
            ("ATL08_20190221121851_08410203_005_01", "005", "01", None, "2019-02-21T12:18:57.077"),
        ),
    ],
)
def test_a_record_of_icesat_2_is_a_granule_with_the_line_of_its_orbit(
    name: str,
    known: Product,
    facts: tuple[str, str, str, int | None, str],
) -> None:
    told = record(name)
    granule, reason = umm.granule(told, known)
    identity, version, revision, size, start = facts
    assert not reason
    assert granule.id.startswith(identity)
    assert (granule.product, granule.version, granule.revision) == (known.name, version, revision)
    assert granule.provider == "NSIDC_ECS"
    assert granule.url.endswith(f"/{granule.id}.h5")
    assert set(granule.urls) == {"https"}
    assert granule.size == size if size else granule.size > 0
    assert str(granule.start).startswith(start)
    orbit = told["umm"]["SpatialExtent"]["HorizontalSpatialDomain"]["Orbit"]
    assert granule.footprint is not None
    _, south, _, north = granule.footprint.bounds
    low, high = sorted([orbit["StartLatitude"], orbit["EndLatitude"]])
    assert np.allclose([south, north], [low, high], atol=0.2)


def test_a_record_in_the_cloud_names_bucket_and_who_gives_keys_for_it() -> None:
    rain = replace(MODIS, name="GPM_3IMERGHH", catalogued=(Catalogued(provider="cmr", name="GPM_3IMERGHH"),))
    granule, reason = umm.granule(record("earthaccess_GPM_3IMERGHH_umm.json"), rain)
    assert not reason
    assert granule.product == "GPM_3IMERGHH"
    assert granule.urls["s3"].startswith("s3://gesdisc-cumulus-prod-protected/GPM_L3/")
    assert granule.links["s3credentials"] == "https://data.gesdisc.earthdata.nasa.gov/s3credentials"
    assert granule.size == 10_562_588
    assert (granule.version, granule.revision) == ("06", "3")
    assert granule.footprint == shapely.box(-180, -90, 180, 90)
