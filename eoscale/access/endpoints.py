"""Endpoints: where the services are, which hosts may be reached, and where eoscale keeps what it knows.

URLs come from catalogues and lists, so they are hostile input: without this a list could make a worker
ask the machine's own services for secrets. Addresses of services come from here alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import platformdirs

from eoscale.errors import ForbiddenError, scrub

ALLOW_HOSTS = "EOSCALE_ALLOW_HOSTS"
"""Environment: hosts, with their port, that may be reached although private, and over http too."""
INDEX_STORE = "EOSCALE_INDEX_STORE"
"""Environment: where chunk indexes are kept, a folder or the URL of an object store with a prefix."""
S3_ENDPOINTS = ("EOSCALE_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Environment: the service to ask for buckets in place of AWS; the first one that is set."""
SERVICES: Mapping[str, str] = {
    "EOSCALE_CMR_URL": "https://cmr.earthdata.nasa.gov/search",
    "EOSCALE_EARTHDATA_URL": "https://urs.earthdata.nasa.gov",
    "EOSCALE_S3CREDENTIALS_URL": "",
    "EOSCALE_MAAP_STAC_URL": "https://catalog.maap.eo.esa.int/catalogue/",
    "EOSCALE_MAAP_TOKEN_URL": "https://iam.maap.eo.esa.int/realms/esa-maap/protocol/openid-connect/token",
    "EOSCALE_CDSE_ODATA_URL": "https://catalogue.dataspace.copernicus.eu/odata/v1/Products",
    "EOSCALE_CDSE_TOKEN_URL": (
        "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token"
    ),
    "EOSCALE_CDSE_ZIPPER_URL": "https://zipper.dataspace.copernicus.eu/odata/v1/Products",
    "EOSCALE_CDSE_NODES_URL": "https://download.dataspace.copernicus.eu/odata/v1/Products",
    "EOSCALE_CDSE_S3_URL": "https://eodata.dataspace.copernicus.eu",
}
"""Environment: addresses of services, and what they are unless set; empty where each archive has its own."""
_NAME = re.compile(r"([a-z0-9_-]+\.)+(?!localhost$)[a-z][a-z0-9-]*")
"""Of a host with a domain. Its last part begins with a letter: some take 127.1 and 0x7f.1 for addresses."""


def check(url: str) -> None:
    """Refuse a URL that must not be asked.

    Raises
    ------
    ForbiddenError
        If it is not https, names a user, another port, or an address instead of a host; unless
        ``EOSCALE_ALLOW_HOSTS`` lists the host.

    Examples
    --------
    >>> check("https://data.nsidc.earthdatacloud.nasa.gov/a.h5")
    >>> check("http://169.254.169.254/latest/meta-data")
    Traceback (most recent call last):
    eoscale.errors.ForbiddenError: http://169.254.169.254/latest/meta-data is refused: ...
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        reason = str(error).partition("'")[0]  # what it quotes may be a password
        raise ForbiddenError(f"a URL is refused: {reason}") from None
    if _allowed(parts.netloc):
        return
    fault = (
        "it is not https"
        if parts.scheme != "https"
        else "it names a user or password"
        if parts.username or parts.password
        else "it names a port"
        if port not in (None, 443)
        else "it names an address or this machine instead of a host"
        if not _NAME.fullmatch(parts.hostname or "")
        else ""
    )
    if fault:
        raise ForbiddenError(f"{scrub(url)} is refused: {fault}; list the host in {ALLOW_HOSTS} to allow it")


def check_address(host: str, address: str) -> None:
    """Refuse a host, given with its port, whose name leads to an address that is not public.

    Raises
    ------
    ForbiddenError
        If it is this machine's, its network's or a reserved one; unless ``EOSCALE_ALLOW_HOSTS`` lists the
        host.

    Examples
    --------
    >>> check_address("innocent.example.org:443", "127.0.0.1")
    Traceback (most recent call last):
    eoscale.errors.ForbiddenError: innocent.example.org is refused: its address 127.0.0.1 is not public; ...
    """
    name = host.removesuffix(":443").removesuffix(":80")  # as a URL need not say them
    if ip_address(address.partition("%")[0]).is_global or _allowed(name) or _allowed(host):
        return
    raise ForbiddenError(
        f"{name} is refused: its address {address} is not public; list the host in {ALLOW_HOSTS} to allow it"
    )


def _allowed(host: str) -> bool:
    return bool(host) and host in os.environ.get(ALLOW_HOSTS, "").split(",")


def service(name: str) -> str:
    """Return the address of a service, without a slash at its end.

    Parameters
    ----------
    name : str
        Of :data:`SERVICES`.

    Examples
    --------
    >>> service("EOSCALE_EARTHDATA_URL")
    'https://urs.earthdata.nasa.gov'
    """
    return (os.environ.get(name) or SERVICES[name]).rstrip("/")


def index_store() -> str:
    """Return where chunk indexes are kept: ``EOSCALE_INDEX_STORE``, or a folder of the user's cache.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict("os.environ", EOSCALE_INDEX_STORE="s3://bucket/indexes"):
    ...     index_store()
    's3://bucket/indexes'
    """
    return os.environ.get(INDEX_STORE) or default_index_store()


def default_index_store() -> str:
    """Return the folder of the user's cache where chunk indexes are kept if nothing else is said.

    Examples
    --------
    >>> default_index_store().endswith("/eoscale/indexes")
    True
    """
    return str(platformdirs.user_cache_path("eoscale") / "indexes")


def region() -> str:
    """Return the region of AWS that the environment names; empty where it names none.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict("os.environ", AWS_REGION="us-west-2"):
    ...     region()
    'us-west-2'
    """
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""


def s3_endpoint() -> str:
    """Return the address of the S3 service that the environment names; empty for AWS.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict("os.environ", EOSCALE_S3_ENDPOINT="http://127.0.0.1:9000"):
    ...     s3_endpoint()
    'http://127.0.0.1:9000'
    """
    return next((os.environ[name] for name in S3_ENDPOINTS if os.environ.get(name)), "")
