from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from eoscale.access import filesystems, objects, stores
from eoscale.access.loop import run
from eoscale.catalog import tables
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.errors import AccessError, CatalogError, EoscaleError, ForbiddenError
from eoscale.model.granule import ROUTES, Granule, GranuleList
from eoscale.model.vocabulary import Search
from eoscale.products import ATL06, ATL08
from tests.servers.buckets import BucketServer
from tests.servers.ranges import RangeServer
from tests.suites.catalogs import Case, CatalogLaws

NAMES = (
    "ATL06_20190613065109_11610303_002_01",
    "ATL06_20190416093911_02770303_002_01",
    "ATL06_20190625191102_13520305_002_01",
)
FOREIGN = ("ATL08_20190613065109_11610303_002_01", "README")
QUERY = Query(product=ATL06)
MINUTE = np.timedelta64(1, "m")


def touch(folder: Path, *names: str, ending: str = ".h5") -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}{ending}").write_bytes(name.encode())
    return folder


def ids(granules: GranuleList) -> list[str]:
    return [granule.id for granule in granules]


def moment(text: str) -> np.datetime64:
    return np.datetime64(text, "ns")


@pytest.fixture(scope="module")
def service() -> Iterator[BucketServer]:
    with BucketServer() as service:
        yield service


@pytest.fixture
def bucket(service: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of an empty folder in a bucket."""
    for name, value in service.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{service.bucket}/{tmp_path.name}"


def put(folder: str, *names: str) -> None:
    for name in names:
        assert run(stores.write(folder, name, name.encode()))


class TestListing(CatalogLaws):
    @pytest.fixture(params=["glob", "files", "text", "saved"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> Case:
        touch(tmp_path, *NAMES, *FOREIGN)
        touch(tmp_path, f"processed_{NAMES[0]}")
        files = [str(path) for path in tmp_path.glob("*.h5")]
        (tmp_path / "list.txt").write_text("\n".join(files))
        places = {
            "glob": [f"{tmp_path}/*.h5"],
            "files": files,
            "text": [f"{tmp_path}/list.txt"],
            "saved": [f"{tmp_path}/list.parquet"],
        }[str(request.param)]
        if request.param == "saved":
            tables.save(Listing(files).search(QUERY), tmp_path / "list.parquet")
        return Case(catalog=Listing(places), query=QUERY, found=6, foreign=2)


class TestListingOfABucket(CatalogLaws):
    @pytest.fixture(params=["glob", "urls", "text"])
    def case(self, request: pytest.FixtureRequest, tmp_path: Path, bucket: str) -> Case:
        names = [f"{name}.h5" for name in (*NAMES, *FOREIGN, f"processed_{NAMES[0]}")]
        put(bucket, *names)
        urls = [f"{bucket}/{name}" for name in names]
        (tmp_path / "list.txt").write_text("\n".join(urls))
        places = {"glob": [f"{bucket}/*.h5"], "urls": urls, "text": [f"{tmp_path}/list.txt"]}
        return Case(catalog=Listing(places[str(request.param)]), query=QUERY, found=6, foreign=2)


def test_a_name_tells_id_product_version_revision_time_and_size(tmp_path: Path) -> None:
    touch(tmp_path, f"processed_{NAMES[0]}_subset")
    (granule,) = Listing([str(tmp_path / "*.h5")]).search(QUERY)
    assert (granule.id, granule.product) == (NAMES[0], "ATL06")
    assert (granule.version, granule.revision) == ("002", "01")
    assert granule.start == moment("2019-06-13T06:51:09")
    assert granule.end is None
    assert granule.size == len(f"processed_{NAMES[0]}_subset")
    assert granule.urls == {"file": str(tmp_path / f"processed_{NAMES[0]}_subset.h5")}


@pytest.mark.parametrize("ending", [".h5", ".hdf5", ".nc", ".nc4", ".he5", ".H5"])
def test_one_file_is_a_list_of_one_whatever_its_ending(tmp_path: Path, ending: str) -> None:
    touch(tmp_path, NAMES[0], ending=ending)
    assert ids(Listing([f"{tmp_path}/{NAMES[0]}{ending}"]).search(QUERY)) == [NAMES[0]]


def test_globs_reach_into_folders_and_take_no_folder_for_a_file(tmp_path: Path) -> None:
    touch(tmp_path / "a", NAMES[0])
    touch(tmp_path / "b", NAMES[1])
    (tmp_path / "b" / f"{NAMES[2]}.h5").mkdir()
    assert ids(Listing([f"{tmp_path}/**/*.h5"]).search(QUERY)) == sorted(NAMES[:2])
    assert ids(Listing([f"{tmp_path}/[ab]/ATL06_2019041?*.h5"]).search(QUERY)) == [NAMES[1]]
    assert ids(Listing([f"file://{tmp_path}/a/*.h5"]).search(QUERY)) == [NAMES[0]]


def test_a_way_up_and_a_relative_path_become_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "a", NAMES[0])
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    for place in ("../a/*.h5", f"../a/{NAMES[0]}.h5", f"{tmp_path}/b/../a/*.h5"):
        (granule,) = Listing([place]).search(QUERY)
        assert granule.urls == {"file": str((tmp_path / "a" / f"{NAMES[0]}.h5").resolve())}


def test_a_text_file_may_have_comments_blank_lines_urls_and_globs(tmp_path: Path) -> None:
    touch(tmp_path, NAMES[0])
    url = f"https://data.example.org/ATLAS/{NAMES[1]}.h5?X-Signature=1"
    (tmp_path / "list.txt").write_text(f"# granules\n\n  {url}  \r\n\t\n#{NAMES[2]}.h5\n{tmp_path}/*.h5\n")
    granules = Listing([str(tmp_path / "list.txt")]).search(QUERY)
    assert ids(granules) == sorted(NAMES[:2])
    assert granules[0].urls == {"https": url}
    assert granules[0].size == 0


def test_a_text_file_is_read_over_http_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RangeServer(tmp_path) as server:
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        (tmp_path / "list.txt").write_text("\n".join(server.url(f"{name}.h5") for name in NAMES))
        granules = Listing([server.url("list.txt")]).search(QUERY)
        assert ids(granules) == sorted(NAMES)
        assert {granule.url for granule in granules} == {server.url(f"{name}.h5") for name in NAMES}


def test_private_hosts_are_refused_unless_allowed_and_never_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RangeServer(tmp_path) as server:
        (tmp_path / "local.txt").write_text(server.url(f"{NAMES[0]}.h5"))
        (tmp_path / "list.txt").write_text("https://data.example.org/a.h5")
        places = [server.url(f"{NAMES[0]}.h5"), server.url("list.txt"), server.url("list.parquet")]
        for place in [*places, str(tmp_path / "local.txt"), "http://169.254.169.254/latest/meta-data"]:
            with pytest.raises(ForbiddenError, match="is refused"):
                Listing([place]).search(QUERY)
        assert (server.heads, server.asked) == (0, [])
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", server.host)
        assert ids(Listing([places[0]]).search(QUERY)) == [NAMES[0]]


def test_a_copy_of_the_same_granule_is_dropped_with_its_reason(tmp_path: Path) -> None:
    touch(tmp_path / "a", NAMES[0])
    touch(tmp_path / "b", f"processed_{NAMES[0]}", NAMES[1])
    granules = Listing([f"{tmp_path}/a/*.h5", f"{tmp_path}/b/*.h5"]).search(QUERY)
    assert ids(granules) == sorted(NAMES[:2])
    ((copy, why),) = granules.dropped
    assert (copy.id, why) == (NAMES[0], "a second copy of a granule")
    assert copy.url.endswith(f"processed_{NAMES[0]}.h5")


def test_revisions_of_one_granule_are_granules_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path, NAMES[0], NAMES[0][:-2] + "02")
    assert [granule.revision for granule in Listing([f"{tmp_path}/*"]).search(QUERY)] == ["01", "02"]


def test_a_version_that_does_not_match_is_an_error_that_names_both(tmp_path: Path) -> None:
    touch(tmp_path, *NAMES, NAMES[0].replace("_002_", "_006_"))
    place = f"{tmp_path}/*.h5"
    with pytest.raises(CatalogError, match="version 006 was asked for, the list has 002"):
        Listing([place]).search(Query(product=ATL06, search=Search(version="006")))
    with pytest.raises(CatalogError, match="version 6 was asked for, the list has 002, 006"):
        Listing([place]).search(Query(product=ATL06, search=Search(version="6")))
    assert (
        len(Listing([f"{tmp_path}/*_006_*"]).search(Query(product=ATL06, search=Search(version="006")))) == 1
    )


START = moment("2019-06-13T06:51:09")
LONGEST = np.timedelta64(int(ATL06.longest), "s")


@given(st.integers(-5000, 5000), st.integers(1, 5000))
def test_a_period_keeps_what_may_overlap_it(first: int, length: int) -> None:
    start = START + np.timedelta64(first, "s")
    stop = start + np.timedelta64(length, "s")
    place = f"https://data.example.org/{NAMES[0]}.h5"
    granules = Listing([place]).search(Query(product=ATL06, period=(start, stop)))
    assert granules.found == 1
    # half-open; where the granule's end is not stated it may last as long as any
    assert (len(granules) == 1) == (stop > START and start <= START + LONGEST)
    assert [why for _, why in granules.dropped] == ["outside the period"] * (1 - len(granules))


@pytest.mark.parametrize(
    ("start", "stop", "kept"),
    [
        (START, START + MINUTE, 1),
        (START - MINUTE, START, 0),
        (START - MINUTE, START + np.timedelta64(1, "ns"), 1),
        (START + LONGEST, START + LONGEST + MINUTE, 1),
        (START + LONGEST + np.timedelta64(1, "ns"), START + LONGEST + MINUTE, 0),
    ],
)
def test_the_stop_of_a_period_is_outside_and_a_granules_last_moment_is_inside(
    start: np.datetime64, stop: np.datetime64, kept: int
) -> None:
    query = Query(product=ATL06, period=(start, stop))
    assert len(Listing([f"https://data.example.org/{NAMES[0]}.h5"]).search(query)) == kept


def test_a_stated_end_counts_more_than_the_longest_granule(tmp_path: Path) -> None:
    short = Granule(
        id=NAMES[0], product="ATL06", urls={"file": "/a.h5"}, start=START, end=START + np.timedelta64(10, "s")
    )
    tables.save(GranuleList(granules=[short]), tmp_path / "list.parquet")
    for after, kept in ((10, 1), (11, 0)):
        start = START + np.timedelta64(after, "s")
        query = Query(product=ATL06, period=(start, start + MINUTE))
        assert len(Listing([str(tmp_path / "list.parquet")]).search(query)) == kept


@pytest.mark.parametrize(
    "place", ["none.h5", "none/*.h5", "none.txt", "none.parquet", "folder", "no scheme://x"]
)
def test_a_place_that_holds_nothing_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    touch(tmp_path, NAMES[0])
    with pytest.raises(CatalogError, match=place.replace("*", r"\*")):
        Listing([f"{NAMES[0]}.h5", place]).search(QUERY)


def test_a_list_without_a_granule_of_the_product_is_an_error_that_says_what_it_has(tmp_path: Path) -> None:
    touch(tmp_path, *NAMES)
    with pytest.raises(CatalogError, match=f"no granule of ATL08 in .*: found ATL06_20190416.*, {NAMES[0]}"):
        Listing([f"{tmp_path}/*.h5"]).search(Query(product=ATL08))
    (tmp_path / "list.txt").write_text("# nothing\n")
    with pytest.raises(CatalogError, match=r"no granule of ATL06 in .*: found nothing"):
        Listing([f"{tmp_path}/list.txt"]).search(QUERY)
    with pytest.raises(CatalogError, match="found nothing"):
        Listing([]).search(QUERY)


def test_a_glob_in_a_bucket_is_listed_with_sizes_alone_or_in_a_text_file(tmp_path: Path, bucket: str) -> None:
    put(bucket, f"2019/{NAMES[0]}.h5", f"2019/04/{NAMES[1]}.h5", f"2018/{NAMES[2]}.h5")
    (tmp_path / "list.txt").write_text(f"{bucket}/2019/**/*.h5")
    for place in (f"{bucket}/2019/**/*.h5", f"{tmp_path}/list.txt"):
        second, first = Listing([place]).search(QUERY)
        assert first.urls == {"s3": f"{bucket}/2019/{NAMES[0]}.h5"}
        assert second.urls == {"s3": f"{bucket}/2019/04/{NAMES[1]}.h5"}
        assert (first.size, second.size) == (len(f"2019/{NAMES[0]}.h5"), len(f"2019/04/{NAMES[1]}.h5"))
    assert ids(Listing([f"{bucket}/20??/{NAMES[0][:14]}*.h5"]).search(QUERY)) == [NAMES[0]]


def test_a_glob_in_a_bucket_that_matches_nothing_is_an_error_that_names_it(bucket: str) -> None:
    put(bucket, f"{NAMES[0]}.h5")
    for place in (f"{bucket}/none/*.h5", f"{bucket}/*.nc"):
        with pytest.raises(CatalogError, match=f"there is no object {place}:".replace("*", r"\*")):
            Listing([place]).search(QUERY)
    with pytest.raises(AccessError, match=r"cannot be listed: .*[bB]ucket"):
        Listing(["s3://no-such-bucket/*.h5"]).search(QUERY)


@pytest.mark.parametrize("scheme", objects.BUCKETS)
def test_an_object_is_a_granule_that_nobody_asks_for_yet(scheme: str, tmp_path: Path) -> None:
    url = f"{scheme}://bucket/ATL06/{NAMES[0]}.h5"
    (tmp_path / "list.txt").write_text(url)
    for place in (url, str(tmp_path / "list.txt")):
        (granule,) = Listing([place]).search(QUERY)
        assert (granule.id, granule.urls, granule.size) == (NAMES[0], {scheme: url}, 0)


@pytest.mark.parametrize("scheme", filesystems._PROTOCOLS)
def test_other_protocols_lead_to_hosts_that_are_allowed(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{scheme}://data.example.org/ATL06/{NAMES[0]}.h5"
    with pytest.raises(ForbiddenError, match="it is not https; list the host"):
        Listing([url]).search(QUERY)
    monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", "data.example.org")
    (granule,) = Listing([url]).search(QUERY)
    assert granule.urls == {scheme: url}


def test_the_routes_of_granules_are_those_that_are_read() -> None:
    assert set(ROUTES) == {"file", "https", "http", *objects.BUCKETS, *filesystems._PROTOCOLS}


@pytest.mark.parametrize(
    "url", ["memory://x/a.h5", "simplecache::file:///etc/a.h5", "javascript:a.h5", "data:,a.h5"]
)
def test_a_scheme_that_leads_nowhere_is_refused_with_those_that_are_read(url: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(url)
    for place in (url, str(tmp_path / "list.txt")):
        with pytest.raises(
            EoscaleError, match=r"cannot be read: expected a path or a URL of file, s3, .*ftp"
        ):
            Listing([place]).search(QUERY)


def test_secrets_of_a_url_are_not_in_messages(tmp_path: Path) -> None:
    for place in ("s3://key:s3cr3t@bucket/*.h5", "https://data.example.org/a.h5?X-Signature=s3cr3t"):
        with pytest.raises(EoscaleError) as raised:
            Listing([place]).search(QUERY)
        assert "s3cr3t" not in str(raised.value)
    (tmp_path / "list.txt").write_text("https://[::1/a.h5")
    with pytest.raises(CatalogError, match="a listed URL is none"):
        Listing([str(tmp_path / "list.txt")]).search(QUERY)


def test_a_name_without_a_possible_time_is_an_error() -> None:
    with pytest.raises(CatalogError, match="20191332000000 in a granule's name is no time"):
        Listing(["https://data.example.org/ATL06_20191332000000_11610303_002_01.h5"]).search(QUERY)


def described() -> GranuleList:
    outline = shapely.box(-51, 69, -49, 72)
    full = Granule(
        id=NAMES[0],
        product="ATL06",
        version="002",
        revision="01",
        urls={"s3": "s3://bucket/a.h5", "https": "https://data.example.org/a.h5"},
        start=START,
        end=START + MINUTE,
        footprint=outline,
        size=2**33,
        checksum="md5:00ff",
    )
    bare = Granule(id=NAMES[1], product="ATL06", urls={"file": "/data/b.h5"})
    return GranuleList(
        granules=[full, bare], dropped=[(bare, "a second copy of a granule"), (full, "not selected")]
    )


def test_a_saved_list_comes_back_whole_with_what_was_dropped(tmp_path: Path) -> None:
    saved = described()
    tables.save(saved, tmp_path / "new" / "list.parquet")
    loaded = tables.load(str(tmp_path / "new" / "list.parquet"))
    assert loaded == saved
    for back, granule in zip(loaded, saved, strict=True):
        assert (back.urls, back.start, back.end) == (granule.urls, granule.start, granule.end)
        assert back.footprint == granule.footprint
    found = Listing([str(tmp_path / "new" / "list.parquet")]).search(QUERY)
    assert (ids(found), found.dropped) == (ids(saved), saved.dropped)


def test_a_saved_list_is_a_geoparquet_file_that_others_read(tmp_path: Path) -> None:
    tables.save(described(), tmp_path / "list.parquet")
    frame = gpd.read_parquet(tmp_path / "list.parquet")
    assert frame.crs == "EPSG:4326"
    assert sorted(frame["id"]) == sorted([*NAMES[:2]] * 2)
    assert frame.loc[frame["dropped"] == "", "url_s3"].tolist() == ["", "s3://bucket/a.h5"]


def test_a_parquet_that_is_no_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(CatalogError, match="no granule list"):
        tables.load(str(path))
    pd.DataFrame({"id": ["a"]}).to_parquet(path)
    with pytest.raises(CatalogError, match="no granule list"):
        tables.load(str(path))
    gpd.GeoDataFrame({"id": ["a"]}, geometry=[shapely.Point(0, 0)], crs="EPSG:4326").to_parquet(path)
    with pytest.raises(CatalogError, match="has no column"):
        Listing([str(path)]).search(QUERY)


@pytest.mark.parametrize("column", ["version", "start", "size", "checksum"])
def test_a_list_that_lacks_a_column_or_holds_nonsense_in_it_is_refused(tmp_path: Path, column: str) -> None:
    path = tmp_path / "list.parquet"
    frame = described().to_dataframe()
    frame.drop(columns=column).to_parquet(path)
    with pytest.raises(CatalogError, match=f"is no granule list: .*{column}"):
        tables.load(str(path))
    frame.assign(size=np.nan).to_parquet(path)
    with pytest.raises(CatalogError, match="is no granule list"):
        tables.load(str(path))


def test_a_list_of_urls_in_a_bucket_is_read_from_the_service_that_is_named(
    service: BucketServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("EOSCALE_S3_ENDPOINT", service.address)
    name = "ATL06_20190613065109_11610303_006_01"
    assert run(stores.write(bucket, "list.txt", f"https://example.org/{name}.h5\n".encode()))
    assert [one.id for one in Listing([f"{bucket}/list.txt"]).search(QUERY)] == [name]
