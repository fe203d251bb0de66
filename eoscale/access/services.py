"""Services: what catalogues are asked for and answer, page by page, with the login of their provider.

Requests are repeated as :mod:`~eoscale.access.attempts` says, and only here: no client of a catalogue asks
again by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlencode

from eoscale.access import endpoints, https, keeper, loop
from eoscale.access.attempts import Patience, Transient, insist
from eoscale.access.https import Refused, Reply
from eoscale.errors import AccessError, scrub

__all__ = ["Refused", "Reply", "get", "post"]

_PATIENCE = Patience(attempts=8, answer_seconds=120.0)
"""Some searches take a minute, and catalogues are out of order for some."""
_PLAIN = "*,:/$()"
"""Written as they are, as the services' own examples do."""


def get(
    url: str, parameters: Iterable[tuple[str, str]] = (), headers: Mapping[str, str] | None = None
) -> Reply:
    """Return the answer to a GET, asked again where that may help.

    Parameters
    ----------
    url : str
        With or without a query of its own.
    parameters : iterable of (name, value)
        Encoded, and added to it.
    headers : mapping, optional

    Raises
    ------
    Refused
        If the service answers that it cannot be asked so: status 300 or more, but 401 and 403.
    AccessError
        If it cannot be reached, wants a login or a right, or asks for fewer requests for too long.
    """
    query = encoded(parameters)
    whole = f"{url}{'&' if '?' in url else '?'}{query}" if query else url
    return _asked(whole, headers or {}, None)


def post(url: str, form: Iterable[tuple[str, str]], headers: Mapping[str, str] | None = None) -> Reply:
    """Return the answer to the POST of a form, as :func:`get` does to a GET."""
    return _asked(url, headers or {}, encoded(form))


def encoded(parameters: Iterable[tuple[str, str]]) -> str:
    """Return parameters as they stand in a URL.

    Examples
    --------
    >>> encoded([("producerGranuleId", "*_0384*"), ("$filter", "Name eq 'a'")])
    'producerGranuleId=*_0384*&$filter=Name%20eq%20%27a%27'
    """
    return urlencode(list(parameters), safe=_PLAIN, quote_via=quote)


def _asked(url: str, headers: Mapping[str, str], form: str | None) -> Reply:
    endpoints.check(url)

    async def ask() -> Reply:
        try:
            async with asyncio.timeout(_PATIENCE.answer_seconds):
                return await https.reply(url, headers, form, keeper.sign)
        except TimeoutError as error:
            if isinstance(error, AccessError):  # which may be a TimeoutError too
                raise
            seconds = f"{_PATIENCE.answer_seconds:.0f} s"
            raise Transient(AccessError(f"{scrub(url)} did not answer within {seconds}")) from None

    return loop.run(insist(ask, _PATIENCE, url))
