from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from eoscale.catalog.geojson import footprint
from eoscale.catalog.stac import items
from eoscale.errors import CatalogError
from eoscale.products import product
from tests.servers.stac import TOKENS, earthcare

ATL, OLCI = product("ATL_FM__2A"), product("OL_1_EFR")
FOLDER = "S3A_OL_1_EFR____20240602T181007_20240602T181307_20240603T230737_0179_113_027_1620_PS1_O_NT_004.SEN3"


def moment(text: str) -> np.datetime64:
    return np.datetime64(text, "ns")


def bare(name: str, **assets: object) -> dict[str, Any]:
    return {"id": name, "collection": "c", "properties": {}, "assets": assets}


def href(url: str, **more: object) -> dict[str, object]:
    return {"href": url, **more}


def test_an_item_of_maap_tells_all_of_a_granule() -> None:
    item = earthcare()
    item["assets"]["enclosure_h5"] |= {"file:size": 90_000_000, "file:checksum": "d50110" + "0af" * 10 + "12"}
    granule = items.granule(item, ATL)
    name = "ECA_EXBA_ATL_FM__2A_20250621T120000Z_20250621T140000Z_06000E"
    place = f"earthcare-pdgs-01/EarthCARE/ATL_FM__2A/BA/2025/06/21/{name}"
    assert (granule.id, granule.product) == (name, "ATL_FM__2A")
    assert (granule.version, granule.revision) == ("BA", "20250621T140000")
    assert granule.urls == {"https": f"https://catalog.maap.eo.esa.int/data/{place}/{name}/{name}.h5"}
    assert (granule.start, granule.end) == (moment("2025-06-21T12:00:00"), moment("2025-06-21T12:11:36"))
    assert granule.modified == moment("2025-06-25T12:00:00")
    assert granule.provider == "EarthCAREL2Validated_MAAP"
    assert (granule.size, granule.checksum) == (90_000_000, "md5:" + "0af" * 10 + "12")
    assert granule.links == {
        "zip": f"https://catalog.maap.eo.esa.int/data/zipper/{place}/{name}",
        "hdr": f"https://catalog.maap.eo.esa.int/data/{place}/{name}/{name}.HDR",
        "quicklook": f"https://catalog.maap.eo.esa.int/data/{place}/public/{name}.QL.jpeg",
    }
    assert granule.footprint is not None
    assert granule.footprint.wkt == "LINESTRING (5 -15, 7 -5)"


def test_no_host_of_tokens_is_taken_from_an_item() -> None:
    item = earthcare()
    assert TOKENS in str(item)
    granule = items.granule(item, ATL)
    assert "icsgate" not in str([granule.urls, granule.links, granule.provider, granule.version])


@pytest.mark.parametrize(
    "keys", [("enclosure_1", "enclosure_2"), ("enclosure_h5", "enclosure_hdr"), ("a", "product")]
)
@pytest.mark.parametrize("swapped", [False, True])
def test_the_data_are_found_by_their_ending_whatever_the_key_and_the_type(
    keys: tuple[str, str], *, swapped: bool
) -> None:
    item = earthcare()
    data, header = (item["assets"].pop(key)["href"] for key in ("enclosure_h5", "enclosure_hdr"))
    del item["assets"]["product"]
    first, second = (header, data) if swapped else (data, header)
    item["assets"] |= {
        keys[0]: href(first, type="image/vnd.radiance"),
        keys[1]: href(second, type="text/xml"),
    }
    granule = items.granule(item, ATL)
    assert (granule.url, granule.links["hdr"]) == (data, header)
    assert "zip" not in granule.links


@pytest.mark.parametrize(
    ("asset", "kind"),
    [
        (href("https://host/a.H5"), "data"),
        (href("https://host/a.he5?sig=1"), "data"),
        (href("https://host/a.nc"), "data"),
        (href("https://host/Nodes(a.nc)/$value", type="application/x-netcdf"), "data"),
        (href("https://host/download/7", type="application/x-hdf5; version=1"), "data"),
        (href("https://host/a.h5.zip", type="application/x-hdf5"), "zip"),
        (href("https://host/data/zipper/a", type="application/x-hdf5"), "zip"),
        (href("https://host/Products(7)/$value", type="application/zip"), "zip"),
        (href("https://host/a.HDR", type="application/x-hdf5"), "hdr"),
    ],
)
def test_an_ending_counts_more_than_a_type_and_a_zip_is_no_data(asset: dict[str, object], kind: str) -> None:
    granule, lack = items.described(bare("a", some=asset), ATL, "https://host/items/a")
    assert bool(lack) is (kind != "data")
    assert (granule.url if kind == "data" else granule.links[kind]) == asset["href"]


@pytest.mark.parametrize(
    ("keys", "best"),
    [
        (("thumbnail", "quicklook", "quicklook_jpeg"), "quicklook"),
        (("thumbnail", "quicklook_jpeg"), "quicklook_jpeg"),
        (("thumbnail",), "thumbnail"),
        ((), None),
    ],
)
def test_the_picture_is_the_quicklook_or_else_the_thumbnail(keys: tuple[str, ...], best: str | None) -> None:
    pictures = {key: href(f"https://host/{key}.jpeg") for key in keys}
    granule = items.granule(bare("a", data=href("https://host/a.h5"), **pictures), ATL)
    assert granule.links.get("quicklook") == (f"https://host/{best}.jpeg" if best else None)


def test_each_scheme_of_an_asset_is_a_route_alternates_too() -> None:
    data = href(
        "s3://bucket/a.h5", alternate={"web": href("https://host/a.h5"), "odd": href("gopher://host/a.h5")}
    )
    assert items.granule(bare("a", data=data), ATL).urls == {
        "s3": "s3://bucket/a.h5",
        "https": "https://host/a.h5",
    }


def test_a_relative_place_is_that_of_the_item_and_no_file_of_this_machine() -> None:
    item = bare("a", data=href("../data/a.h5"), other=href("/etc/a.h5"), third=href("file:///etc/a.h5"))
    item["links"] = [href("https://host/items/a.json", rel="self")]
    assert items.granule(item, ATL).urls == {"https": "https://host/data/a.h5"}
    assert items.granule(bare("a", data=href("/data/a.h5")), ATL).urls == {"file": "/data/a.h5"}
    assert items.granule(bare("a", data=href("file:///data/a.h5")), ATL).urls == {"file": "/data/a.h5"}


def test_of_several_files_the_one_called_as_the_item_is_the_granule() -> None:
    name = earthcare()["id"]
    item = bare(name, browse=href("https://host/BRW.h5"), data=href(f"https://host/{name}.h5"))
    assert items.granule(item, ATL).url == f"https://host/{name}.h5"


def test_of_files_that_make_a_granule_together_their_folder_is_it() -> None:
    files = {
        band: href(f"s3://eodata/2024/{FOLDER}/{band}_radiance.nc", **{"file:size": 10})
        for band in ("Oa01", "Oa02")
    }
    nodes = href(f"https://host/Nodes({FOLDER})/Nodes(a.nc)/$value", type="application/x-netcdf")
    granule = items.granule(bare("short", **files, one=nodes), OLCI)
    assert granule.urls["s3"] == f"s3://eodata/2024/{FOLDER}"
    assert (granule.id, granule.product) == (FOLDER.removesuffix(".SEN3"), "OL_1_EFR")
    assert granule.size == 20


def test_several_files_of_no_name_and_no_folder_are_no_granule() -> None:
    item = bare("a", one=href("https://host/x/1.nc"), two=href("https://host/y/2.nc"))
    with pytest.raises(CatalogError, match="item a has several files of data, and none of them is called"):
        items.granule(item | {"links": [href("https://host/a", rel="self")]}, ATL)


def test_an_item_without_data_is_known_by_its_zip_or_by_itself() -> None:
    item = earthcare()
    del item["assets"]["enclosure_h5"]
    granule, lack = items.described(item, ATL)
    assert granule.url == granule.links["zip"]
    assert lack == "has no file of data but a zip"
    del item["assets"]["product"]
    granule, lack = items.described(item, ATL)
    assert granule.url.endswith(f"/collections/EarthCAREL2Validated_MAAP/items/{granule.id}")
    assert lack == "has no file of data among its assets enclosure_hdr, quicklook_jpeg, thumbnail"
    assert items.described(bare("a"), ATL, "https://host/a")[1] == "has no assets"
    with pytest.raises(CatalogError, match=r"has no file of data among .*: give an item with"):
        items.granule(item, ATL)
    with pytest.raises(CatalogError, match="item a has neither data nor a link to itself"):
        items.granule(bare("a"), ATL)


def test_the_id_of_another_product_stays_as_it_is() -> None:
    granule = items.granule(bare("ECA_X.SEN3", data=href("https://host/b.h5")), ATL)
    assert (granule.id, granule.product, granule.version) == ("ECA_X.SEN3", "", "")


def test_what_the_name_does_not_tell_properties_may() -> None:
    item = bare("odd", data=href("https://host/b.h5"))
    item["properties"] = {
        "product:type": "ATL_FM__2A",
        "version": "BB",
        "datetime": "2025-06-21T12:00:00+02:00",
    }
    granule = items.granule(item, ATL)
    assert (granule.id, granule.product, granule.version) == ("odd", "ATL_FM__2A", "BB")
    assert (granule.start, granule.end) == (moment("2025-06-21T10:00:00"), None)


@pytest.mark.parametrize(
    "text",
    ["now", "2025", "2025-13-01T00:00:00Z", "9999999-01-01T", 7, None, "2999-01-01T00:00:00Z"],
)
def test_a_time_that_is_none_is_unknown(text: object) -> None:
    item = bare("a", data=href("https://host/b.h5"))
    item["properties"] = {"start_datetime": text, "end_datetime": text, "updated": text}
    granule = items.granule(item, ATL)
    assert (granule.start, granule.end, granule.modified) == (None, None, None)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("1220" + "ab" * 32, "sha256:" + "ab" * 32),
        ("1114" + "AB" * 20, "sha1:" + "ab" * 20),
        ("1340" + "ab" * 64, "sha512:" + "ab" * 64),
        ("5ad1048b273bc14754315055e5a5fcd3", ""),
        ("1220ab", ""),
        (7, ""),
    ],
)
def test_a_checksum_is_taken_where_it_says_of_which_kind_it_is(said: object, kept: str) -> None:
    data = href("https://host/b.h5", **{"file:checksum": said, "file:size": "many"})
    granule = items.granule(bare("a", data=data), ATL)
    assert (granule.checksum, granule.size) == (kept, 0)


@pytest.mark.parametrize(
    "item", [{}, {"id": ""}, {"id": 7}, {"id": "a", "assets": [1]}, {"id": "a", "properties": "x"}]
)
def test_what_is_no_item_is_an_error(item: dict[str, Any]) -> None:
    with pytest.raises(CatalogError, match="this is no STAC item: expected an id, properties and assets"):
        items.granule(item, ATL)


def test_a_polygon_across_the_antimeridian_is_cut_there_however_it_is_written() -> None:
    jumping = [[175, -10], [-175, -10], [-175, 10], [175, 10], [175, -10]]
    beyond = [[175, -10], [185, -10], [185, 10], [175, 10], [175, -10]]
    cut = [[[[175, -10], [180, -10], [180, 10], [175, 10], [175, -10]]],
           [[[-180, -10], [-175, -10], [-175, 10], [-180, 10], [-180, -10]]]]  # fmt: skip
    ways = [
        {"type": "Polygon", "coordinates": [jumping]},
        {"type": "Polygon", "coordinates": [beyond]},
        {"type": "MultiPolygon", "coordinates": cut},
    ]
    for way in ways:
        shape = footprint({"geometry": way})
        assert shape is not None
        assert shape.area == pytest.approx(200, rel=0.01)
        assert [bool(shapely.contains_xy(shape, *at)) for at in [(178, 0), (-178, 0), (0, 0)]] == [
            True,
            True,
            False,
        ]
    box = footprint({"geometry": None, "bbox": [175, -10, 0, -175, 10, 900]})
    assert box is not None
    assert box.area == pytest.approx(200, rel=0.01)


@given(
    st.floats(-180, 180), st.lists(st.tuples(st.floats(-20, 20), st.floats(-8, 8)), min_size=2, max_size=9)
)
def test_a_line_is_as_long_as_before_wherever_it_crosses(
    start: float, steps: list[tuple[float, float]]
) -> None:
    moves = np.cumsum([(start, 0.0), *((east or 1.0, north) for east, north in steps)], axis=0)
    wrapped = moves.copy()
    wrapped[:, 0] = (moves[:, 0] + 180) % 360 - 180
    shape = footprint({"geometry": {"type": "LineString", "coordinates": wrapped.tolist()}})
    assert shape is not None
    west, _, east, _ = shape.bounds
    assert -180 <= west <= east <= 180
    if np.ptp(moves[:, 0]) < 170 and np.all(np.diff(moves[:, 0]) > 0):  # it may not go over itself
        assert shape.length == pytest.approx(shapely.LineString(moves).length, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    "geometry",
    [
        None,
        {},
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": []},
        {"type": "Blob", "coordinates": [1, 2]},
        {"type": "LineString", "coordinates": [[0, 0]]},
        {"type": "LineString", "coordinates": [["a", "b"], [1, 2]]},
        {"type": "LineString", "coordinates": [[float("nan"), 0], [1, 2]]},
        "POINT (1 2)",
    ],
)
def test_a_geometry_that_is_none_loses_no_granule(geometry: object) -> None:
    granule = items.granule(bare("a", data=href("https://host/b.h5")) | {"geometry": geometry}, ATL)
    assert granule.footprint is None
