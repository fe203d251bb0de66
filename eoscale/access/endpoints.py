"""Endpoints: which hosts may be reached.

URLs come from catalogues and lists, so they are hostile input: without this a list could make a worker
ask the machine's own services for secrets.
"""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

from eoscale.errors import ForbiddenError, scrub

ALLOW_HOSTS = "EOSCALE_ALLOW_HOSTS"
"""Environment: hosts, with their port, that may be reached although private, and over http too."""


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
    parts = urlsplit(url)
    if parts.netloc in os.environ.get(ALLOW_HOSTS, "").split(","):
        return
    host = parts.hostname or ""
    fault = (
        "it is not https"
        if parts.scheme != "https"
        else "it names a user or password"
        if parts.username or parts.password
        else "it names a port"
        if parts.port not in (None, 443)
        else "it names an address or this machine instead of a host"
        if _is_address(host) or host == "localhost" or "." not in host
        else ""
    )
    if fault:
        raise ForbiddenError(f"{scrub(url)} is refused: {fault}; list the host in {ALLOW_HOSTS} to allow it")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
