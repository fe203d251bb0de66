"""Checkup: which logins a user has, and whether each works; never what they are."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime

from eoscale.access import keeper, logins, loop, providers, stores
from eoscale.access.logins import Token
from eoscale.errors import AccessError, CredentialsError

NAMES = {
    "NASA Earthdata": providers.EARTHDATA,
    "ESA MAAP": providers.MAAP,
    "Copernicus": providers.CDSE,
    "Copernicus S3": providers.CDSE_KEYS,
}
"""What a user calls a provider, and the name of its credentials."""


def login(name: str) -> tuple[bool, str]:
    """Return whether nothing is wrong with a login, and where it is from and what became of using it.

    Parameters
    ----------
    name : str
        Of :data:`NAMES`.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict("os.environ", CDSE_USERNAME="me", CDSE_PASSWORD=""):
    ...     login("cdse")
    (False, 'CDSE_USERNAME is set and CDSE_PASSWORD is not: set both or none')
    """
    try:
        found = logins.find(name)
        if found is None:
            return True, "no login"
        held = loop.run(keeper.get(name))
        if name == providers.EARTHDATA:
            # who is known to Earthdata Login is given keys by any of its archives
            loop.run(keeper.get(providers.keys("nsidc-cumulus-prod-protected")))
    except AccessError as error:
        return False, str(error)
    if isinstance(found, Token):
        return _still_good(found)
    lasts = (
        ""
        if held is None or held.lifetime == float("inf")
        else f", renewed every {held.lifetime / 60:.0f} min"
    )
    return True, f"{found.source}: works{lasts}"


def _still_good(found: Token) -> tuple[bool, str]:
    """Return what a token says of its end, which nobody can put off."""
    end = logins.claims(found.token).get("exp")
    if not isinstance(end, int | float):
        return True, f"{found.source}: there"
    moment = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if end <= time.time():
        return False, f"{found.source}: expired at {moment}"
    return True, f"{found.source}: there, expires at {moment} and cannot be renewed"


def ending(urls: Iterable[str]) -> str:
    """Return which tokens that some URLs are read with end, and cannot be renewed; empty if there are none.

    Raises
    ------
    CredentialsError
        If one of them has ended: nothing could be read with it.
    """
    names = sorted({providers.bearer(url) for url in urls} - {""})
    told = []
    for found in map(logins.find, names):
        if isinstance(found, Token):
            good, words = _still_good(found)
            if not good:
                raise CredentialsError(f"{words}: get another one")
            told += [words] if "expires" in words else []
    return "; ".join(f"{words}: a run that lasts longer goes on with another one" for words in told)


def store(root: str) -> tuple[bool, str]:
    """Return whether a folder or bucket can be written and read, and what it is or why not."""
    key = f"eoscale-doctor-{time.time_ns()}"
    try:
        loop.run(stores.replace(root, key, b"written"))
        kept = loop.run(stores.read(root, key))
        loop.run(stores.delete(root, key))
    except AccessError as error:
        return False, str(error)
    return (
        (True, "writable") if kept and kept.content == b"written" else (False, "what is written is not there")
    )
