from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import earthaccess
import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pystac
import pytest
import shapely
from hypothesis import given, settings

from eoscale.catalog import tables
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.errors import CatalogError
from eoscale.model.granule import GranuleList
from eoscale.products import ATL06, product
from tests.servers.cmr import Record
from tests.strategies import granule_lists

NAMES = ("ATL06_20190613065109_11610303_002_01", "ATL06_20190416093911_02770303_002_01")
URLS = [f"https://data.example.org/{name}.h5" for name in NAMES]
FRAME = "ECA_EXBA_ATL_FM__2A_20250620T131444Z_20250620T145502Z_05999E"
ITEM: dict[str, Any] = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": FRAME,
    "collection": "EarthCAREL2Validated_MAAP",
    "geometry": {"type": "LineString", "coordinates": [[1.0, -20.0], [4.0, -5.0]]},
    "bbox": [1.0, -20.0, 4.0, -5.0],
    "properties": {"datetime": "2025-06-20T13:14:44Z", "updated": "2025-06-21T00:00:00Z"},
    "links": [],
    "assets": {
        "enclosure_h5": {"href": f"https://host.example.org/{FRAME}.h5"},
        "enclosure_hdr": {"href": f"https://host.example.org/{FRAME}.HDR"},
    },
}
FEATURES = product("ATL_FM__2A")


def ids(granules: GranuleList) -> list[str]:
    return [granule.id for granule in granules]


@settings(max_examples=25)
@given(granule_lists())
def test_a_list_that_was_written_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, listed: GranuleList
) -> None:
    path = tmp_path_factory.mktemp("lists") / "list.parquet"
    tables.save(listed, path)
    again = tables.load(str(path))
    assert again == listed
    assert again.truncated == listed.truncated
    one, other = listed.to_dataframe(), again.to_dataframe()
    pd.testing.assert_frame_equal(pd.DataFrame(one), pd.DataFrame(other))


def test_a_list_that_was_cut_stays_so_when_it_is_listed(tmp_path: Path) -> None:
    whole = Listing(URLS).search(Query(product=ATL06))
    for truncated in (True, False):
        tables.save(replace(whole, truncated=truncated), tmp_path / "list.parquet")
        place = str(tmp_path / "list.parquet")
        assert Listing([place]).search(Query(product=ATL06)).truncated is truncated
        assert Listing([URLS[0], place]).among([ATL06])[1].truncated is truncated


def test_a_list_has_the_columns_that_others_know_and_is_geoparquet(tmp_path: Path) -> None:
    tables.save(Listing([ITEM]).search(Query(product=FEATURES)), tmp_path / "list.parquet")
    frame = gpd.read_parquet(tmp_path / "list.parquet")
    wanted = [
        "id",
        "product_type",
        "start",
        "end",
        "last_modified",
        "zip_url",
        "quicklook_url",
        "h5_url",
        "hdr_url",
    ]
    assert set(wanted) <= set(frame.columns)
    (row,) = frame.to_dict("records")
    assert row["h5_url"].endswith(f"{FRAME}.h5")
    assert row["hdr_url"].endswith(f"{FRAME}.HDR")
    assert row["zip_url"] is None
    assert row["quicklook_url"] is None
    assert str(row["start"]) == "2025-06-20 13:14:44"
    assert str(row["last_modified"]) == "2025-06-21 00:00:00"
    assert frame.crs == "EPSG:4326"
    described = json.loads(pq.read_schema(tmp_path / "list.parquet").metadata[b"geo"])
    assert described["primary_column"] == "geometry"
    assert tables.is_list(tmp_path / "list.parquet")


@pytest.mark.parametrize("column", ["h5_url", "url", "href", "where"])
def test_csv_is_read_by_its_column_of_urls(column: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    pd.DataFrame({"number": [1, 2], column: URLS}).to_csv(path)
    found = Listing([str(path)]).search(Query(product=ATL06))
    assert ids(found) == sorted(NAMES)
    assert {granule.url for granule in found} == set(URLS)


def test_csv_of_a_granule_list_keeps_what_was_dropped_dropped(tmp_path: Path) -> None:
    listed = Listing(URLS).search(Query(product=ATL06))[:1]
    listed.to_dataframe().to_csv(tmp_path / "list.csv", index=False)
    again = Listing([str(tmp_path / "list.csv")]).search(Query(product=ATL06))
    assert ids(again) == ids(listed)
    assert [why for _, why in again.dropped] == ["not selected"]


def test_a_table_without_urls_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,size\na,1\n")
    (tmp_path / "b.csv").write_text(f"url\n{URLS[0]}\n\n,\n")
    (tmp_path / "c.csv").write_text("")
    (tmp_path / "d.json").write_text("{")
    (tmp_path / "e.json").write_text('{"type": "Topology"}')
    pd.DataFrame({"name": ["a"]}).to_parquet(tmp_path / "f.parquet")
    for name, message in [
        ("a.csv", "has no column of URLs: expected one of h5_url, .*, got name, size"),
        ("b.csv", "is no table in CSV|has a row without a URL"),
        ("c.csv", "is no table in CSV"),
        ("d.json", "is no JSON"),
        ("e.json", "is no STAC Item and no ItemCollection"),
        ("f.parquet", "has no column of URLs"),
    ]:
        with pytest.raises(CatalogError, match=message):
            Listing([str(tmp_path / name)]).search(Query(product=ATL06))


def test_geoparquet_of_others_is_read_by_its_urls(tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame({"href": URLS}, geometry=[shapely.Point(0, 0)] * 2, crs=4326)
    frame.to_parquet(tmp_path / "others.parquet")
    assert ids(Listing([str(tmp_path / "others.parquet")]).search(Query(product=ATL06))) == sorted(NAMES)


def test_items_are_read_from_a_file_a_table_and_as_pystac_has_them(tmp_path: Path) -> None:
    collection = {"type": "FeatureCollection", "features": [ITEM]}
    (tmp_path / "items.json").write_text(json.dumps(collection))
    row = {**ITEM["properties"], **{name: ITEM[name] for name in ("id", "collection", "assets")}}
    row["datetime"] = pd.Timestamp(row["datetime"])
    line = shapely.LineString([(1.0, -20.0), (4.0, -5.0)])
    gpd.GeoDataFrame([row], geometry=[line], crs=4326).to_parquet(tmp_path / "items.parquet")
    item = pystac.Item.from_dict(json.loads(json.dumps(ITEM)))
    places: list[list[object]] = [
        [str(tmp_path / "items.json")],
        [str(tmp_path / "items.parquet")],
        [item],
        [pystac.ItemCollection([item])],
        [[item]],
        [ITEM],
    ]
    found = [Listing(place).search(Query(product=FEATURES)) for place in places]
    for one in found:
        (granule,) = one
        assert (granule.id, granule.version, granule.provider) == (FRAME, "BA", "EarthCAREL2Validated_MAAP")
        assert granule.url == f"https://host.example.org/{FRAME}.h5"
        assert granule.links == {"hdr": f"https://host.example.org/{FRAME}.HDR"}
        assert granule.footprint == line
        assert str(granule.start) == "2025-06-20T13:14:44.000000000"


@pytest.mark.filterwarnings("ignore:As of version 1.0:FutureWarning")
def test_what_earthaccess_found_is_a_list() -> None:
    start = np.datetime64("2019-06-13", "ns")
    records = [Record(name, "C2153574670-NSIDC_CPRD", start) for name in NAMES]
    results = [earthaccess.DataGranule(record.umm(), cloud_hosted=True) for record in records]
    for places in ([results], results):
        found = Listing(places).search(Query(product=ATL06))
        assert ids(found) == sorted(NAMES)
        assert {granule.urls["s3"].partition("//")[2].partition("/")[0] for granule in found} == {
            "nsidc-cumulus-prod-protected"
        }


def test_what_is_no_granule_is_refused() -> None:
    with pytest.raises(CatalogError, match="int is no granule: expected paths, URLs, or what earthaccess"):
        Listing([3]).search(Query(product=ATL06))
    with pytest.raises(CatalogError, match="this is no record of a granule"):
        Listing([{"umm": 3}]).search(Query(product=ATL06))
