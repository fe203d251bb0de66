"""Providers: whose a host or a bucket is, and so which credentials a request to it may carry (pure).

A bearer goes to the hosts of its provider and to no other, whatever a catalogue or a redirect says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlsplit

from eoscale.access import endpoints

EARTHDATA, MAAP, CDSE = "earthdata", "maap", "cdse"
"""Names of bearers: NASA Earthdata Login, ESA MAAP, Copernicus Data Space."""
CDSE_KEYS = "cdse-s3"
"""Name of the keys of the bucket of Copernicus; those of NASA's are named by the address that gives them."""


@dataclass(frozen=True, kw_only=True)
class _Hosts:
    """Where a bearer may go."""

    services: tuple[str, ...]
    """Of :data:`endpoints.SERVICES`, whose hosts these are."""
    domains: tuple[str, ...] = ()
    """All hosts below are the provider's own."""
    more: str
    """Environment: further hosts, with their port unless it is 443."""


_BEARERS: Mapping[str, _Hosts] = {
    EARTHDATA: _Hosts(
        services=("EOSCALE_EARTHDATA_URL", "EOSCALE_S3CREDENTIALS_URL", "EOSCALE_CMR_URL"),
        domains=("earthdata.nasa.gov", "earthdatacloud.nasa.gov"),
        more="EOSCALE_EARTHDATA_HOSTS",
    ),
    MAAP: _Hosts(services=("EOSCALE_MAAP_STAC_URL",), more="EOSCALE_MAAP_HOSTS"),
    CDSE: _Hosts(services=("EOSCALE_CDSE_ZIPPER_URL", "EOSCALE_CDSE_NODES_URL"), more="EOSCALE_CDSE_HOSTS"),
}
_ARCHIVES: Mapping[str, str] = {
    "https://data.nsidc.earthdatacloud.nasa.gov/s3credentials": r"nsidc-cumulus-prod-(protected|public)",
    "https://data.lpdaac.earthdatacloud.nasa.gov/s3credentials": r"lp-(prod-)?(protected|public)",
    "https://data.ornldaac.earthdata.nasa.gov/s3credentials": r"ornl-cumulus-prod-(protected|public)",
    "https://data.gesdisc.earthdata.nasa.gov/s3credentials": r"gesdisc-cumulus-prod-(protected|public)",
    "https://archive.podaac.earthdata.nasa.gov/s3credentials": r"podaac-(swot-)?ops-cumulus-\w+",
    "https://data.laadsdaac.earthdatacloud.nasa.gov/s3credentials": r"prod-lads",
}
"""Buckets of NASA's archives, by who gives keys for them."""
_named: dict[str, str] = {}
"""Who gives keys for buckets, as catalogues have named them to this process."""
ARCHIVES_REGION = "us-west-2"
"""Of AWS, where NASA's archives are, and from where alone their buckets can be read."""
_LOGINS: Mapping[str, str] = {
    EARTHDATA: "set EARTHDATA_TOKEN, or EARTHDATA_USERNAME and EARTHDATA_PASSWORD, or write ~/.netrc",
    MAAP: "set MAAP_OFFLINE_TOKEN and MAAP_CLIENT_SECRET, or write credentials.txt, or token.txt",
    CDSE: "set CDSE_USERNAME and CDSE_PASSWORD",
    CDSE_KEYS: "set CDSE_S3_ACCESS_KEY and CDSE_S3_SECRET_KEY",
}
_SIGNED = frozenset(
    {"x-amz-signature", "x-amz-credential", "x-goog-signature", "signature", "sig", "key-pair-id"}
)
"""Parameters of URLs that carry a right by themselves; a header beside them is refused by S3."""


def bearer(url: str) -> str:
    """Return the name of the bearer that a request to a URL may carry; empty where it may carry none.

    Examples
    --------
    >>> bearer("https://data.nsidc.earthdatacloud.nasa.gov/bucket/a.h5")
    'earthdata'
    >>> bearer("https://earthdata.nasa.gov.example.org/a.h5")
    ''
    >>> bearer("https://data.nsidc.earthdatacloud.nasa.gov/a.h5?X-Amz-Signature=1")
    ''
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or _signed(parts):
        return ""
    return owner(url)


def owner(url: str) -> str:
    """Return the provider whose host or bucket a URL names, signed or not; empty where it is none's.

    Examples
    --------
    >>> owner("s3://eodata/Sentinel-3/a.nc"), owner("https://catalog.maap.eo.esa.int/data/a.h5?sig=1")
    ('cdse', 'maap')
    """
    parts = urlsplit(url)
    if parts.scheme in ("s3", "s3a"):
        name = keys(parts.netloc)
        return CDSE if name == CDSE_KEYS else EARTHDATA if name else ""
    return next((name for name, hosts in _BEARERS.items() if _belongs(parts, hosts)), "")


def keys(bucket: str) -> str:
    """Return the name of the keys for a bucket of S3; empty for those that AWS's own settings are for.

    Examples
    --------
    >>> keys("nsidc-cumulus-prod-protected")
    'https://data.nsidc.earthdatacloud.nasa.gov/s3credentials'
    >>> keys("eodata"), keys("my-own")
    ('cdse-s3', '')
    """
    if bucket == "eodata":
        return CDSE_KEYS
    found = _named.get(bucket) or _giver(bucket)
    return found and (endpoints.service("EOSCALE_S3CREDENTIALS_URL") or found)


def learn(givers: Mapping[str, str]) -> None:
    """Take who gives keys for some buckets from a catalogue, if it names hosts of NASA.

    Examples
    --------
    >>> learn({"asf-cumulus-prod-x": "https://sentinel1.asf.earthdatacloud.nasa.gov/s3credentials",
    ...        "my-own": "https://example.org/s3credentials"})
    >>> keys("asf-cumulus-prod-x"), keys("my-own")
    ('https://sentinel1.asf.earthdatacloud.nasa.gov/s3credentials', '')
    """
    _named.update({bucket: giver for bucket, giver in givers.items() if _is_giver(giver)})


def gives_keys(address: str) -> bool:
    """Return whether an address is one that gives keys of NASA's archives."""
    known = {*_ARCHIVES, *_named.values(), endpoints.service("EOSCALE_S3CREDENTIALS_URL")}
    return bool(address) and address in known


def looks_expired(name: str, status: int) -> bool:
    """Return whether an answer may mean that the bearer is no longer good, and not that a right is missing.

    Copernicus answers 403 for both.

    Examples
    --------
    >>> looks_expired("maap", 403), looks_expired("cdse", 403)
    (False, True)
    """
    return status == 401 or (status == 403 and name == CDSE)


def how_to_log_in(name: str) -> str:
    """Return what a user does who has no login for a provider, or one that is no longer good."""
    return _LOGINS.get(name, "log in")


def why_forbidden(bucket: str, name: str, region: str) -> str:
    """Return why a bucket may refuse keys that are good.

    Parameters
    ----------
    bucket, name : str
        What was asked, with keys of what name.
    region : str
        Where this machine is; empty where it is not known.

    Examples
    --------
    >>> nsidc = keys("nsidc-cumulus-prod-protected")
    >>> why_forbidden("nsidc-cumulus-prod-protected", nsidc, "eu-central-1")
    'wrong region: these keys are good in us-west-2 only, this is eu-central-1; read it by https'
    >>> why_forbidden("ornl-cumulus-prod-protected", nsidc, "us-west-2")
    'wrong archive: these keys are of data.nsidc.earthdatacloud.nasa.gov, it gives to those of ...'
    """
    if name == CDSE_KEYS:
        return "no right to this collection"
    giver = _giver(bucket) or name
    if region and region != ARCHIVES_REGION:
        return (
            f"wrong region: these keys are good in {ARCHIVES_REGION} only, this is {region}; read it by https"
        )
    if name in _ARCHIVES and giver != name:
        mine, other = (urlsplit(each).netloc for each in (name, giver))
        return f"wrong archive: these keys are of {mine}, it gives to those of {other}"
    unsure = (
        ""
        if region
        else f", or this is not {ARCHIVES_REGION}, where alone they are good: then read it by https"
    )
    return f"no right to this collection{unsure}"


def _is_giver(address: str) -> bool:
    return urlsplit(address).path.endswith("/s3credentials") and bearer(address) == EARTHDATA


def _giver(bucket: str) -> str:
    return next((giver for giver, pattern in _ARCHIVES.items() if re.fullmatch(pattern, bucket)), "")


def _signed(parts: SplitResult) -> bool:
    return any(name.lower() in _SIGNED for name, _ in parse_qsl(parts.query, keep_blank_values=True))


def _belongs(parts: SplitResult, hosts: _Hosts) -> bool:
    host = parts.netloc.lower().removesuffix(":443").removesuffix(":")
    services = (urlsplit(endpoints.service(name).lower()) for name in hosts.services)
    known = {(each.scheme, each.netloc.removesuffix(":443")) for each in services}
    more = os.environ.get(hosts.more, "").lower().split(",")
    if host and ((parts.scheme, host) in known or host in more):
        return True
    return parts.scheme == "https" and any(host.endswith(f".{domain}") for domain in hosts.domains)
