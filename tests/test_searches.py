"""Recipes that search: exactly what they ask of each catalogue, and what they find."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from distributed import Client

from eoscale import search, synthetic
from eoscale.access import keeper
from eoscale.catalog import tables
from eoscale.catalog.ground_tracks.orbits import ground_track
from eoscale.errors import CatalogError, RecipeError
from eoscale.model.recipe import Recipe
from eoscale.model.region import Region
from eoscale.products import ATL08
from eoscale.run import prepare, run
from eoscale.run.download import download
from eoscale.run.progress import Silent
from tests.servers import odata, stac
from tests.servers.cmr import Cmr, Faults, Record
from tests.servers.odata import Catalogue
from tests.servers.ranges import RangeServer
from tests.servers.redirects import Answer, Host
from tests.servers.stac import MaapApi
from tests.test_cli import eoscale

RECIPES = Path(__file__).parents[1] / "recipes"
SIX, PHOTONS = "C2565090645-NSIDC_CPRD", "C2027878642-NSIDC_CPRD"
JUNE = "2025-06-20T00:00:00Z/2025-07-01T00:00:00Z"
TASMANIA = Region.from_bbox(144.5, -43.7, 148.5, -40.5)

Use = Callable[..., None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """Give a function that starts servers, and has this process ask them and no others."""
    with ExitStack() as stack:

        def start(*servers: Cmr | MaapApi | Catalogue, hosts: str = "") -> None:
            allowed = [hosts] if hosts else []
            for server in servers:
                stack.enter_context(server)
                told = server.environment()
                allowed.append(told.pop("EOSCALE_ALLOW_HOSTS"))
                for name, value in told.items():
                    monkeypatch.setenv(name, value)
            monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", ",".join(allowed))
            keeper.use(keeper.Keeper())

        yield start


def test_a_frame_of_the_feature_mask_is_asked_of_esa_maap(use: Use, tmp_path: Path) -> None:
    there = [stac.earthcare(), stac.earthcare(frame="D"), stac.earthcare(orbit=6001, at=(5.0, 5.0))]
    server = MaapApi(there)
    use(server)
    done = eoscale("search", RECIPES / "search-feature-mask.yaml", "-o", "list.parquet", folder=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert "1 found, 1 kept" in done.out
    assert server.asked == [
        {
            "collections": "EarthCAREL2Validated_MAAP",
            "filter": "productType = 'ATL_FM__2A' and frame = 'E'",
            "filter-lang": "cql2-text",
            "bbox": "0.0,-20.0,10.0,-10.0",
            "datetime": JUNE,
            "limit": "100",
        }
    ]
    assert [asked.path for asked in server.host.asked] == ["/catalogue/search"]
    (granule,) = tables.load(str(tmp_path / "list.parquet"))
    assert granule.id == there[0]["id"]
    assert granule.h5_url == there[0]["assets"]["enclosure_h5"]["href"]


def test_so_many_of_the_cloud_properties_from_an_orbit_on(use: Use, tmp_path: Path) -> None:
    there = [stac.earthcare("MSI_COP_2A", orbit) for orbit in range(4998, 5010)]
    server = MaapApi(there)
    use(server)
    done = eoscale("search", RECIPES / "search-cloud-properties.yaml", "--json", folder=tmp_path)
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert told["granules"] == "5 found, 5 kept"
    assert told["truncated"].startswith("yes")
    (asked,) = server.asked
    assert asked == {
        "collections": "EarthCAREL2Validated_MAAP",
        "filter": "productType = 'MSI_COP_2A' and orbitNumber > 5000",
        "filter-lang": "cql2-text",
        "datetime": "2025-06-01T00:00:00Z/..",
        "limit": "5",
    }


def test_photons_near_juneau_are_asked_of_cmr_by_concept_id(use: Use, tmp_path: Path) -> None:
    start = np.datetime64("2018-10-15T12:43:59", "ns")
    here = Record("ATL03_20181015124359_02580106_004_01", PHOTONS, start, (-135.0, 58.0, -134.0, 59.0))
    there = Record("ATL03_20181016124359_02730106_004_01", PHOTONS, start, (-131.0, 58.0, -130.0, 59.0))
    server = Cmr([here, there])
    use(server)
    done = eoscale("search", RECIPES / "search-photons-juneau.yaml", "-o", "list.parquet", folder=tmp_path)
    assert done.status == 0, done.err
    (question,) = server.questions()
    told = dict(question)
    west, south, east, north = map(float, told.pop("bounding_box").split(","))
    assert told == {
        "collection_concept_id": PHOTONS,
        "temporal": "2018-10-01T00:00:00Z,2019-01-01T00:00:00Z",
        "page_size": "2000",
    }
    assert np.allclose([west, south, east, north], [-135.72, 58.06, -132.82, 59.25], atol=0.02)
    (granule,) = tables.load(str(tmp_path / "list.parquet"))
    assert granule.id == here.name
    assert granule.urls["s3"] == f"s3://nsidc-cumulus-prod-protected/{here.name}.h5"


def test_radiances_over_a_polygon_are_asked_of_copernicus(use: Use, tmp_path: Path) -> None:
    june = datetime(2018, 6, 2, 18, 10, 7)  # noqa: DTZ001  UTC, as all of that server
    inside = odata.frame(1, june, shapely.box(-80, 72, -76, 73))
    server = Catalogue([inside, odata.frame(3, june, shapely.box(0, 0, 4, 4))])
    use(server)
    words = ["-o", "list.parquet"]
    done = eoscale("search", RECIPES / "search-arctic-colour.yaml", *words, folder=tmp_path)
    assert done.status == 0, done.err
    (asked,) = server.filters
    assert asked.startswith(
        "Collection/Name eq 'SENTINEL-3' and Attributes/OData.CSC.StringAttribute/any(att:att/Name eq "
        "'productType' and att/Value eq 'OL_1_EFR___') and ContentDate/Start gt 2018-05-31T23:"
    )
    assert asked.endswith(
        "and ContentDate/Start lt 2018-07-01T00:00:00.000Z and OData.CSC.Intersects(area=geography'SRID=4326;"
        "POLYGON ((-81.7 71.7, -75.1 71.7, -75.1 73.8, -81.7 73.8, -81.7 71.7))')"
    )
    (granule,) = tables.load(str(tmp_path / "list.parquet"))
    assert granule.id == inside.name.removesuffix(".SEN3")
    assert granule.links["zip"].endswith("/$value")


def test_tracks_that_cross_tasmania_are_asked_of_cmr_and_their_granules_read(
    use: Use, tmp_path: Path
) -> None:
    recipe = Recipe.from_file(RECIPES / "tasmania-canopy-by-track.yaml")
    made = synthetic.make(ATL08, 3, folder=tmp_path / "made", region=TASMANIA, period=recipe.span)
    for path, track in zip(made, ("00170209", "00550213", "00780209"), strict=True):
        path.rename(tmp_path / "made" / f"{path.name[:21]}{track}_006_01.h5")
    with RangeServer(tmp_path / "made") as archive:
        records = [
            Record(
                path.stem, SIX, np.datetime64(f"2019-01-{path.name[12:14]}", "ns"), url=archive.url(path.name)
            )
            for path in sorted((tmp_path / "made").glob("*.h5"))
        ]
        elsewhere = Record("ATL08_20190105000000_00180209_006_01", SIX, np.datetime64("2019-01-05", "ns"))
        server = Cmr([*records, elsewhere])
        use(server, hosts=archive.host)
        plan = prepare(recipe)
        with Client(processes=False, dashboard_address="127.0.0.1:0") as client:
            result = run(plan, output=tmp_path / "canopy.zarr", cluster=client, watcher=Silent())
    assert plan.job.granules.found == len(records)
    assert result.ledger.counts()["used"] == len(records)
    assert int(result.open()["h_canopy_count"].sum()) == result.ledger.binned("h_canopy") > 0
    (question,) = server.questions()
    patterns = [value for name, value in question if name == "producerGranuleId"]
    assert {"*_0017??09_*", "*_0055??13_*", "*_0078??09_*"} <= set(patterns)
    assert len(patterns) == 40
    assert dict(question)["temporal"] == "2019-01-01T00:00:00Z,2019-02-01T00:00:00Z"


def test_reference_orbits_of_a_file_beside_the_recipe_are_those_that_cross(use: Use, tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    recipe = tmp_path / "recipes" / "tasmania.yaml"
    words = (
        (RECIPES / "tasmania-canopy-by-track.yaml")
        .read_text()
        .replace("rgt: crossing", "rgt: {orbits: orbits.gpkg, within: 10}")
    )
    recipe.write_text(words)
    tracks = gpd.GeoDataFrame(
        {"orbit": [17, 18]}, geometry=[ground_track(17), ground_track(18)], crs="EPSG:4326"
    )
    tracks.to_file(tmp_path / "recipes" / "orbits.gpkg")
    server = Cmr([Record("ATL08_20190105000000_00170209_006_01", SIX, np.datetime64("2019-01-05", "ns"))])
    use(server)
    done = eoscale("search", recipe, "-o", "list.parquet", folder=tmp_path)
    assert done.status == 0, done.err
    patterns = [value for name, value in server.questions()[0] if name == "producerGranuleId"]
    assert patterns == ["*_0017??09_*"]
    assert len(tables.load(str(tmp_path / "list.parquet"))) == 1


def test_a_search_that_ends_short_ends_the_command(use: Use, tmp_path: Path) -> None:
    start = np.datetime64("2018-10-15T12:43:59", "ns")
    records = [Record(f"ATL03_20181015124359_{i:04}0106_004_01", PHOTONS, start) for i in range(1, 9)]
    server = Cmr(records, Faults(lost=1))
    use(server)
    words = ["-o", "list.parquet"]
    done = eoscale("search", RECIPES / "search-photons-juneau.yaml", *words, folder=tmp_path)
    assert done.status == 2
    assert "CMR gave 7 of 8 granules of ATL03, twice: nothing is listed" in " ".join(done.err.split())
    assert not (tmp_path / "list.parquet").exists()
    assert server.faults.done["lost"]


def test_collections_are_listed(use: Use, tmp_path: Path) -> None:
    use(Cmr([]))
    done = eoscale("search", "--collections", "ATL03", folder=tmp_path)
    assert done.status == 0
    assert PHOTONS in done.out
    assert "cloud hosted" in done.out
    done = eoscale("search", "--collections", "ATL0?", "--json", folder=tmp_path)
    (first, *_) = json.loads(done.out)["collections"]
    assert set(first) >= {"concept_id", "title", "abstract", "provider", "cloud_hosted"}
    assert eoscale("search", folder=tmp_path).status == 2


def test_a_granule_list_is_a_map(use: Use, tmp_path: Path) -> None:
    use(MaapApi([stac.earthcare(orbit=6000 + number) for number in range(4)]))
    recipe = RECIPES / "search-feature-mask.yaml"
    assert eoscale("search", recipe, "-o", "list.parquet", folder=tmp_path).status == 0
    done = eoscale("plot", "list.parquet", folder=tmp_path)
    assert done.status == 0, done.err
    assert (tmp_path / "list.png").read_bytes()[:4] == b"\x89PNG"
    assert len(gpd.read_parquet(tmp_path / "list.parquet")) == 4


def test_in_a_notebook_a_search_takes_the_words_of_a_recipe(use: Use) -> None:
    use(MaapApi([stac.earthcare(), stac.earthcare(baseline="AZ"), stac.earthcare(frame="D")]))
    region, period = (0, -20, 10, -10), ("2025-06-20", "2025-07-01")
    found = search("ATL_FM__2A", region=region, period=period, frame="E")
    assert [granule.version for granule in found] == ["BA"]
    assert [why for _, why in found.dropped] == ["its version is AZ, and BA of the same observation is kept"]
    everything = search("ATL_FM__2A", region=region, period=period, duplicates="keep")
    assert len(everything) == 3
    for words, message in [
        ({"fraem": "E"}, "`fraem` is no word of a recipe; did you mean frame"),
        ({"rgt": "crossing"}, "ATL_FM__2A has no rgt in the names"),
        ({"cycle": 3}, "ATL_FM__2A has no cycle in the names"),
        ({"period": ("2025-07-01", "2025-06-01")}, "the period starts at"),
    ]:
        with pytest.raises(RecipeError, match=message):
            search("ATL_FM__2A", **words)  # type: ignore[arg-type]


def test_what_cannot_be_read_yet_says_so_before_it_is_searched_for(use: Use, tmp_path: Path) -> None:
    server = MaapApi([stac.earthcare()])
    use(server)
    recipe = tmp_path / "mask.yaml"
    recipe.write_text("product: ATL_FM__2A\nvariables: [featuremask]\noutput: {csv: a.csv}\n")
    with pytest.raises(RecipeError, match="ATL_FM__2A can be searched for and downloaded, and not yet read"):
        prepare(recipe)
    with pytest.raises(RecipeError, match="`variables` is missing"):
        prepare(RECIPES / "search-feature-mask.yaml")
    assert server.asked == []


@pytest.mark.parametrize(
    ("period", "datetime_", "temporal", "dates"),
    [
        (
            ("2018-06-02", None),
            "2018-06-02T00:00:00Z/..",
            "2018-06-02T00:00:00Z,",
            ("2018-06-01T23:", "2100"),
        ),
        ((None, "2018-06-03"), "../2018-06-03T00:00:00Z", ",2018-06-03T00:00:00Z", ("1969", "2018-06-03T00")),
    ],
)
def test_a_period_may_be_open_at_either_end(
    period: tuple[str | None, str | None], datetime_: str, temporal: str, dates: tuple[str, str], use: Use
) -> None:
    start, then = np.datetime64("2018-06-02T12:00:00"), datetime(2018, 6, 2, 18, 10, 7)  # noqa: DTZ001
    frames = Catalogue([odata.frame(1, then, shapely.box(0, 0, 4, 4))])
    records = Cmr([Record("ATL03_20180602120000_02580106_004_01", PHOTONS, start)])
    items = MaapApi([stac.earthcare(start="2018-06-02T12:00:00")])
    use(frames, records, items)
    assert len(search("OL_1_EFR", period=period)) == 1
    assert len(search("ATL03", period=period)) == 1
    assert len(search("ATL_FM__2A", period=period)) == 1
    assert items.asked[0]["datetime"] == datetime_
    assert dict(records.questions()[0])["temporal"] == temporal
    first, last = re.findall(r"[gl]t (\d{4}[^ ]*)", frames.filters[0])
    assert first.startswith(dates[0])
    assert last.startswith(dates[1])
    with pytest.raises(RecipeError, match="the period is open at its"):
        prepare(Recipe(product="ATL06", variables=["h_li"], period=period, output={"csv": "a.csv"}))


def test_a_plan_of_a_list_that_was_cut_says_so(use: Use) -> None:
    start = np.datetime64("2019-01-05", "ns")
    use(Cmr([Record(f"ATL08_20190105000000_{i:04}0209_006_01", SIX, start) for i in range(1, 9)]))
    recipe = Recipe.from_file(RECIPES / "tasmania-canopy-by-track.yaml", {"search": "{max_items: 3}"})
    facts = prepare(recipe).facts()
    assert facts["granules"] == "3 found, 3 to read"
    assert facts["truncated"].startswith("yes")


# by name and by id


def test_a_granule_is_downloaded_by_its_name(use: Use, tmp_path: Path) -> None:
    name = "ATL08_20190105000000_00170209_006_01"
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / f"{name}.h5").write_bytes(b"what it holds")
    with RangeServer(tmp_path / "archive") as archive:
        start = np.datetime64("2019-01-05", "ns")
        record = Record(name, SIX, start, size=13, url=archive.url(f"{name}.h5"))
        use(
            Cmr([record, Record(name.replace("0017", "0018"), SIX, start)]),
            hosts=archive.url("a").split("/")[2],
        )
        done = eoscale("download", name, "here", folder=tmp_path)
        assert done.status == 0, done.err
        with pytest.raises(
            CatalogError, match="the catalogue of ATL08 has no granule ATL08_20190105000000_00190209"
        ):
            download(name.replace("0017", "0019"), tmp_path, watcher=Silent())
    assert (tmp_path / "here" / f"{name}.h5").read_bytes() == b"what it holds"


@pytest.mark.parametrize("by", ["name", "name.SEN3", "id"])
def test_a_product_of_copernicus_is_downloaded_by_its_name_and_by_its_id(
    by: str, use: Use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    june = datetime(2018, 6, 2, 18, 10, 7)  # noqa: DTZ001
    packed = b"all of its files"
    kept = odata.frame(1, june, shapely.box(-80, 72, -76, 73), ContentLength=len(packed))
    server = Catalogue([kept, odata.frame(3, june, shapely.box(0, 0, 4, 4))])
    with Host(lambda _: Answer(200, body=packed)) as zipper:
        use(server, hosts=zipper.host)
        monkeypatch.setenv("EOSCALE_CDSE_ZIPPER_URL", f"{zipper.origin}/odata/v1/Products")
        what = {"name": kept.name.removesuffix(".SEN3"), "name.SEN3": kept.name, "id": kept.id}[by]
        done = eoscale("download", what, "here", folder=tmp_path)
        assert done.status == 0, done.err
        assert {asked.path for asked in zipper.asked} == {f"/odata/v1/Products({kept.id})/$value"}
    assert (tmp_path / "here" / f"{kept.name}.zip").read_bytes() == packed
