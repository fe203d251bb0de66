from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.access import endpoints, providers

NASA = ("data.nsidc.earthdatacloud.nasa.gov", "urs.earthdata.nasa.gov", "archive.podaac.earthdata.nasa.gov")
OTHERS = (
    "catalog.maap.eo.esa.int",
    "zipper.dataspace.copernicus.eu",
    "download.dataspace.copernicus.eu",
    "iam.maap.eo.esa.int",
    "identity.dataspace.copernicus.eu",
    "eodata.dataspace.copernicus.eu",
    "nsidc-cumulus-prod-protected.s3.us-west-2.amazonaws.com",
    "d1nklfio7vscoe.cloudfront.net",
    "localhost",
    "127.0.0.1",
)
BEARERS = {
    **dict.fromkeys(NASA, "earthdata"),
    "catalog.maap.eo.esa.int": "maap",
    "zipper.dataspace.copernicus.eu": "cdse",
    "download.dataspace.copernicus.eu": "cdse",
}


@pytest.mark.parametrize("host", [*NASA, *OTHERS])
def test_a_bearer_goes_to_the_hosts_of_its_provider(host: str) -> None:
    assert providers.bearer(f"https://{host}/a.h5") == BEARERS.get(host, "")


@pytest.mark.parametrize(
    "url",
    [
        "http://{}/a.h5",
        "https://{}:8443/a.h5",
        "https://me:p@{}/a.h5",
        "https://{}.example.org/a.h5",
        "https://x{}/a.h5@",
        "https://example.org/{}",
        "https://example.org?{}",
        "https://example.org#{}",
        "https://{}@example.org/",
        "https://{}/a.h5?X-Amz-Signature=1",
        "https://{}/a.h5?a=1&x-amz-signature=",
        "https://{}/a.h5?Signature=1&Key-Pair-Id=2",
        "s3://{}/a.h5",
        "ftp://{}/a.h5",
    ],
)
@pytest.mark.parametrize("host", ["earthdata.nasa.gov", "catalog.maap.eo.esa.int"])
def test_it_goes_to_no_other_port_scheme_or_look_alike_nor_beside_a_signature(url: str, host: str) -> None:
    assert providers.bearer(url.format(host)) == ""


def test_hosts_are_added_by_name_and_by_the_addresses_of_services(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://data.example.org/a.h5"
    assert providers.bearer(url) == ""
    monkeypatch.setenv("EOSCALE_EARTHDATA_HOSTS", "one.example.org:8443,data.example.org")
    assert providers.bearer(url) == "earthdata"
    assert providers.bearer("https://one.example.org:8443/a") == "earthdata"
    assert providers.bearer("https://one.example.org/a") == ""
    monkeypatch.setenv("EOSCALE_MAAP_STAC_URL", "https://stac.example.org/catalogue/")
    assert providers.bearer("https://stac.example.org:443/data/a.h5") == "maap"
    assert providers.bearer("https://catalog.maap.eo.esa.int/data/a.h5") == ""


@given(st.text("abcdeghnrtv.-:@/?#&=_0189", max_size=40), st.sampled_from([*NASA, *OTHERS]), st.booleans())
def test_whatever_a_url_says_its_bearer_is_of_its_host(text: str, host: str, before: bool) -> None:  # noqa: FBT001
    url = f"https://{text}{host}" if before else f"https://{host}{text}"
    try:
        parts = urlsplit(url)
        endpoints.check(url)
    except (ValueError, OSError):
        return
    name = providers.bearer(url)
    hostname = parts.hostname or ""
    own = hostname.endswith((".earthdata.nasa.gov", ".earthdatacloud.nasa.gov"))
    # what names a user, even an empty one, or may be signed, carries nothing
    unsure = "?" in url or "@" in parts.netloc
    assert name == ("earthdata" if own else BEARERS.get(hostname, "")) or (unsure and not name)


@pytest.mark.parametrize(
    ("bucket", "giver"),
    [
        ("nsidc-cumulus-prod-protected", "https://data.nsidc.earthdatacloud.nasa.gov/s3credentials"),
        ("lp-prod-protected", "https://data.lpdaac.earthdatacloud.nasa.gov/s3credentials"),
        ("ornl-cumulus-prod-protected", "https://data.ornldaac.earthdata.nasa.gov/s3credentials"),
        ("nsidc-cumulus-prod-protected-evil", ""),
        ("my-nsidc-cumulus-prod-protected", ""),
        ("my-own", ""),
    ],
)
def test_keys_are_of_who_owns_the_bucket(monkeypatch: pytest.MonkeyPatch, bucket: str, giver: str) -> None:
    assert providers.keys(bucket) == giver
    assert providers.gives_keys(giver) == bool(giver)
    monkeypatch.setenv("EOSCALE_S3CREDENTIALS_URL", "https://one.example.org/s3credentials")
    assert providers.keys(bucket) == (giver and "https://one.example.org/s3credentials")
    assert providers.gives_keys("https://one.example.org/s3credentials")
