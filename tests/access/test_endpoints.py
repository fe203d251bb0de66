from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.access import endpoints
from eoscale.errors import ForbiddenError

PUBLIC = "https://data.nsidc.earthdatacloud.nasa.gov"


@pytest.mark.parametrize(
    "url",
    [
        f"{PUBLIC}/nsidc-cumulus-prod-protected/ATLAS/ATL06/006/a.h5",
        f"{PUBLIC}:443/a.h5",
        "https://Data.NSIDC.example/a.h5",
        "https://a_bucket.s3.us-west-2.amazonaws.com/a.h5",
        f"{PUBLIC}/a.h5?X-Amz-Signature=1#part",
        "https://xn--bcher-kva.example/a.h5",
    ],
)
def test_public_https_is_allowed(url: str) -> None:
    endpoints.check(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://data.nsidc.earthdatacloud.nasa.gov/a.h5", "not https"),
        ("ftp://data.nsidc.earthdatacloud.nasa.gov/a.h5", "not https"),
        ("file:///etc/passwd", "not https"),
        ("//data.nsidc.earthdatacloud.nasa.gov/a.h5", "not https"),
        ("http://169.254.169.254/latest/meta-data", "not https"),
        ("https://169.254.169.254/latest/meta-data", "address"),
        ("https://127.0.0.1/a.h5", "address"),
        ("https://10.0.0.7/a.h5", "address"),
        ("https://8.8.8.8/a.h5", "address"),
        ("https://[::1]/a.h5", "address"),
        ("https://[fd00:ec2::254]/a.h5", "address"),
        ("https://localhost/a.h5", "this machine"),
        ("https://metadata/a.h5", "this machine"),
        ("https:///a.h5", "this machine"),
        ("https://2130706433/a.h5", "this machine"),
        ("https://0x7f000001/a.h5", "this machine"),
        ("https://localhost./a.h5", "this machine"),
        ("https://a.localhost/a.h5", "this machine"),
        ("https://LOCALHOST/a.h5", "this machine"),
        ("https://127.1/a.h5", "address"),
        ("https://127.0.0.1./a.h5", "address"),
        ("https://0177.0.0.1/a.h5", "address"),
        ("https://0x7f.0.0.0x1/a.h5", "address"),
        ("https://127.0.0.%31/a.h5", "address"),
        ("https://127.0.0.\uff11/a.h5", "address"),
        ("https://example.org\\.127.0.0.1/a.h5", "address"),
        ("https://example.org:99999/a.h5", "out of range"),
        ("https://example.org:port/a.h5", "Port"),
        ("https://[::1/a.h5", "Invalid IPv6"),
        ("https://me:secret@example.org/a.h5", "user or password"),
        ("https://me:secret@example\u2100.org/a.h5", "netloc"),
        ("https://me:secret/a.h5", "Port"),
        ("https://me@example.org/a.h5", "user or password"),
        ("https://example.org:8443/a.h5", "port"),
        ("https://example.org:22/a.h5", "port"),
    ],
)
def test_everything_else_is_refused_and_says_why(url: str, reason: str) -> None:
    with pytest.raises(ForbiddenError, match=reason) as raised:
        endpoints.check(url)
    assert "is refused" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "listed", ["127.0.0.1:8000", "one.example,127.0.0.1:8000", "127.0.0.1:8000,two.example"]
)
def test_a_listed_host_is_allowed_over_http_by_host_and_port(
    listed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", listed)
    endpoints.check("http://127.0.0.1:8000/a.h5")
    for other in ("127.0.0.1", "127.0.0.1:8001", "127.0.0.10:8000", "localhost:8000", "me@127.0.0.1:8000"):
        with pytest.raises(ForbiddenError):
            endpoints.check(f"http://{other}/a.h5")


@given(st.ip_addresses().map(lambda ip: f"[{ip}]" if ip.version == 6 else str(ip)))
def test_no_address_is_allowed_unless_it_is_listed(address: str) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(ForbiddenError):
            endpoints.check(f"{scheme}://{address}/latest/meta-data")


def test_an_empty_list_allows_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", "")
    for url in ("https:///a.h5", "/a.h5", "http://localhost/a.h5"):
        with pytest.raises(ForbiddenError):
            endpoints.check(url)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "93.184.216.34"])
def test_a_name_may_lead_to_any_public_address(address: str) -> None:
    endpoints.check_address("data.example.org:443", address)


NETWORKS = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "100.64.0.0/10",
    "0.0.0.0/8",
    "240.0.0.0/4",
    "::1/128",
    "::/128",
    "fe80::/10",
    "fd00::/8",
    "::ffff:127.0.0.0/104",
    "::ffff:169.254.0.0/112",
]
"""Of machines, of links, of organisations and of providers (RFC 6890)."""


@given(st.sampled_from(NETWORKS).flatmap(lambda network: st.ip_addresses(network=network)))
def test_no_name_may_lead_into_a_private_network(address: IPv4Address | IPv6Address) -> None:
    with pytest.raises(ForbiddenError, match=f"data.example.org is refused: its address {address} is not"):
        endpoints.check_address("data.example.org:443", str(address))


def test_the_zone_of_an_address_does_not_hide_it() -> None:
    with pytest.raises(ForbiddenError, match="is not public"):
        endpoints.check_address("data.example.org:443", "fe80::1%eth0")


@pytest.mark.parametrize(
    ("listed", "host"),
    [
        ("minio.local:9000", "minio.local:9000"),
        ("minio.local", "minio.local:443"),
        ("minio.local", "minio.local:80"),
        ("minio.local:443", "minio.local:443"),
        ("minio.local:80", "minio.local:80"),
        ("one.local,minio.local:9000", "minio.local:9000"),
    ],
)
def test_a_listed_host_may_lead_into_a_private_network(
    listed: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", listed)
    endpoints.check_address(host, "10.1.2.3")
    for other in ("other.local:9000", f"x{host}", "minio.local:9001"):
        with pytest.raises(ForbiddenError):
            endpoints.check_address(other, "10.1.2.3")
