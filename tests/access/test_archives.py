from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from eoscale.access import providers
from eoscale.catalog.routes import routed
from eoscale.errors import CredentialsError, ForbiddenError
from eoscale.model.granule import Granule, GranuleList
from tests.access import pieces
from tests.access.remote import CONTENT, EXPECTED, OFFSETS, SIZES, whole
from tests.servers.buckets import BucketServer
from tests.servers.logins import Earthdata
from tests.servers.redirects import Host

pytestmark = pytest.mark.usefixtures("fresh")

BUCKET = "nsidc-cumulus-prod-protected"
URL = f"s3://{BUCKET}/ATLAS/a.h5"


@pytest.fixture
def nasa(monkeypatch: pytest.MonkeyPatch) -> Iterator[Earthdata]:
    """Return an archive with a bucket, and log in."""
    with Earthdata(b"", lifetime=1.5) as service, BucketServer(service.refuses) as buckets:
        buckets.create(BUCKET)
        buckets.put(BUCKET, "ATLAS/a.h5", CONTENT)
        environment = service.environment() | {
            "EOSCALE_S3_ENDPOINT": buckets.address,
            "EARTHDATA_TOKEN": service.tokens.new("edl"),
            "AWS_REGION": "us-west-2",
        }
        service.tokens.lifetime = 300.0
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        yield service


def read() -> list[bytes]:
    """Return fifteen pieces of the object."""
    return [bytes(body) for body in pieces.read(URL, pieces.head(URL).etag, OFFSETS, SIZES)[0]]


def test_a_bucket_of_an_archive_is_read_with_its_keys(nasa: Earthdata) -> None:
    assert read() == EXPECTED
    assert len(nasa.keys.given) == 1


def test_eight_threads_read_on_while_keys_expire_and_none_of_them_hears_of_it(nasa: Earthdata) -> None:
    nasa.tokens.ends = dict.fromkeys(nasa.tokens.ends, time.monotonic() + 300)
    failed: list[BaseException] = []
    began = time.monotonic()

    def work() -> None:
        try:
            while time.monotonic() < began + 6:
                assert read() == EXPECTED
        except BaseException as error:  # noqa: BLE001  told by the test
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    took = time.monotonic() - began
    assert 3 <= len(nasa.keys.given) <= -(-took // (0.75 * 1.5)) + 2


def test_keys_that_are_refused_before_their_time_are_had_anew(nasa: Earthdata) -> None:
    assert read() == EXPECTED
    nasa.keys.revoke()
    assert read() == EXPECTED
    assert len(nasa.keys.given) == 2


@pytest.mark.parametrize(
    ("region", "why"),
    [
        ("us-west-2", "no right to this collection$"),
        (
            "eu-central-1",
            "wrong region: these keys are good in us-west-2 only, this is eu-central-1; read it by",
        ),
        ("", "no right to this collection, or this is not us-west-2, where alone they are good"),
    ],
)
def test_a_refusal_says_whether_right_or_region_is_wrong(
    monkeypatch: pytest.MonkeyPatch, nasa: Earthdata, region: str, why: str
) -> None:
    monkeypatch.setenv("AWS_REGION", region)
    monkeypatch.setattr(nasa, "refuses", lambda _environ: "AccessDenied")
    with BucketServer(
        lambda environ: nasa.refuses(environ) * (environ["REQUEST_METHOD"] == "GET")
    ) as buckets:
        monkeypatch.setenv("EOSCALE_S3_ENDPOINT", buckets.address)
        with pytest.raises(ForbiddenError, match=rf"403 Forbidden \(AccessDenied\).*: {why}"):
            pieces.head(URL)


def test_who_is_not_logged_in_reads_as_the_platform_says_or_is_told_how(
    monkeypatch: pytest.MonkeyPatch, nasa: Earthdata
) -> None:
    monkeypatch.delenv("EARTHDATA_TOKEN")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", nasa.keys.new("ASIA"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of a role")
    with pytest.raises(ForbiddenError, match="InvalidAccessKeyId"):
        pieces.head(URL)
    monkeypatch.setattr(nasa, "refuses", lambda _environ: "")
    with pytest.raises(CredentialsError, match="set CDSE_S3_ACCESS_KEY and CDSE_S3_SECRET_KEY"):
        pieces.head("s3://eodata/Sentinel-3/a.nc")


def test_keys_of_one_service_are_not_mixed_with_those_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Host(whole) as host:
        monkeypatch.setenv("EOSCALE_CDSE_S3_URL", host.origin)
        for name, value in {"CDSE_S3_ACCESS_KEY": "CDSEKEY", "CDSE_S3_SECRET_KEY": "s"}.items():
            monkeypatch.setenv(name, value)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.setenv(name, "of-a-role")
        assert pieces.head("s3://eodata/a.nc").size == len(CONTENT)
        (asked,) = host.asked
    assert "Credential=CDSEKEY/" in asked.headers["authorization"]
    assert "of-a-role" not in str(asked.headers)


def test_copernicus_has_an_endpoint_and_keys_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with BucketServer(
        lambda environ: (
            ""
            if environ["REQUEST_METHOD"] == "PUT" or "CDSEKEY" in environ["HTTP_AUTHORIZATION"]
            else "AccessDenied"
        )
    ) as buckets:
        buckets.create("eodata")
        buckets.put("eodata", "a.nc", CONTENT)
        monkeypatch.setenv("EOSCALE_CDSE_S3_URL", buckets.address)
        monkeypatch.setenv("EOSCALE_S3_ENDPOINT", "http://127.0.0.1:1")
        monkeypatch.setenv("CDSE_S3_ACCESS_KEY", "CDSEKEY")
        monkeypatch.setenv("CDSE_S3_SECRET_KEY", "s3cr3t")
        found, _ = pieces.read(
            "s3://eodata/a.nc", pieces.head("s3://eodata/a.nc").etag, np.array([5]), np.array([9])
        )
    assert bytes(found[0]) == CONTENT[5:14]


def test_keys_come_from_who_the_catalogue_of_a_granule_names(
    monkeypatch: pytest.MonkeyPatch, nasa: Earthdata
) -> None:
    bucket, giver = "asf-cumulus-prod-browse", f"{nasa.data.origin}/s3credentials"
    monkeypatch.delenv("EOSCALE_S3CREDENTIALS_URL")
    monkeypatch.setenv("EOSCALE_EARTHDATA_HOSTS", nasa.data.host)
    monkeypatch.setattr(providers, "_named", {})
    granule = Granule(
        id="a",
        product="ATL06",
        urls={"s3": f"s3://{bucket}/a.h5", "https": "https://data.example.org/a.h5"},
        links={"s3credentials": giver},
    )
    strange = replace(granule, id="b", links={"s3credentials": "https://evil.example.org/s3credentials"})
    granules = GranuleList(granules=[granule, replace(strange, urls={"s3": "s3://my-own/b.h5"})])
    assert providers.keys(bucket) == ""
    found, _ = routed(granules, lambda: "us-west-2")
    assert found[0].url == f"s3://{bucket}/a.h5"
    assert (providers.keys(bucket), providers.keys("my-own")) == (giver, "")
    with BucketServer(nasa.refuses) as buckets:
        monkeypatch.setenv("EOSCALE_S3_ENDPOINT", buckets.address)
        buckets.create(bucket)
        buckets.put(bucket, "a.h5", CONTENT)
        assert pieces.head(found[0].url).size == len(CONTENT)
    assert len(nasa.keys.given) == 1
