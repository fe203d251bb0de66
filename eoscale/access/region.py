"""Region: where of AWS this machine is."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

from eoscale.access import endpoints

_METADATA = "http://169.254.169.254"
_SECONDS = 0.5
"""For which the metadata service of a machine is waited for: a machine without one may never say so."""


def here() -> str:
    """Return the region of this machine: as the environment or AWS's own service on it says; else empty.

    The service is asked as its version 2 demands, unless ``AWS_EC2_METADATA_DISABLED`` is set
    (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html).

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict("os.environ", AWS_REGION="us-west-2"):
    ...     here()
    'us-west-2'
    """
    if named := endpoints.region():
        return named
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return ""
    return _told(os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _METADATA)


@lru_cache(maxsize=8)  # machines do not move
def _told(service: str) -> str:
    opener = build_opener(ProxyHandler({}))
    try:
        lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        asked = Request(f"{service}/latest/api/token", method="PUT", headers=lifetime)  # noqa: S310  configured
        with opener.open(asked, timeout=_SECONDS) as answer:
            token = answer.read(4096).decode("ascii")
        place = f"{service}/latest/meta-data/placement/region"
        asked = Request(place, headers={"X-aws-ec2-metadata-token": token})  # noqa: S310  configured
        with opener.open(asked, timeout=_SECONDS) as answer:
            told: str = answer.read(100).decode("ascii")
    except (URLError, OSError, ValueError):
        return ""
    return told if re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", told) else ""
