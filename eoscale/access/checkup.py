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


def ending(urls: Iterable[str], seconds: float = 0.0) -> str:
    """Return which tokens that some URLs are read with end, and cannot be renewed; empty if there are none.

    Parameters
    ----------
    urls : iterable of str
    seconds : float
        About how long they are read.

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
            end = logins.claims(found.token).get("exp")
            told += [f"{words}: {_outlived(float(end), seconds)}"] if isinstance(end, int | float) else []
    return "; ".join(told)


def _outlived(end: float, seconds: float) -> str:
    """Return what it means for a run of about some seconds that a token ends at a moment."""
    left = end - time.time()
    if seconds <= left:
        return "a run that lasts longer goes on with another one"
    return (
        f"WARNING: that is in {left / 3600:.1f} h and this may take {seconds / 3600:.1f} h: get a newer one, "
        "or give another one when it ends"
    )


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
