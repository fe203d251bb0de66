"""OpenID: short-lived bearers, of the token services of ESA MAAP and of Copernicus (RFC 6749).

A service tries once, and is asked again where that may help, by whoever keeps credentials.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import inf

from eoscale.access import endpoints, https, providers
from eoscale.access.credentials import Credential
from eoscale.access.https import Refused
from eoscale.access.logins import OfflineToken, Password
from eoscale.errors import CredentialsError, scrub

_PUBLIC_CLIENT = "cdse-public"


async def from_offline_token(login: OfflineToken) -> Credential:
    """Return a bearer of ESA MAAP, by the grant of a refresh token (RFC 6749, 6).

    Raises
    ------
    CredentialsError
        If the service refuses the offline token or its client.
    AccessError, Transient
        If it cannot be reached.
    """
    form = {
        "client_id": login.client_id,
        "client_secret": login.client_secret,
        "grant_type": "refresh_token",
        "refresh_token": login.token,
        "scope": "offline_access openid",
    }
    try:
        return _credential(providers.MAAP, await _exchanged("EOSCALE_MAAP_TOKEN_URL", form))
    except Refused as error:
        raise CredentialsError(
            f"the offline token of {login.source} is refused{_told(error)}: make a new one"
        ) from None


async def from_password(login: Password, previous: Credential | None) -> Credential:
    """Return a bearer of Copernicus, for the refresh token of the previous one if that is still good.

    Raises
    ------
    CredentialsError
        If the service refuses name and password.
    AccessError, Transient
        If it cannot be reached.
    """
    client = {"client_id": _PUBLIC_CLIENT}
    if previous and previous.refresh:
        form = {**client, "grant_type": "refresh_token", "refresh_token": previous.refresh}
        try:
            return _credential(providers.CDSE, await _exchanged("EOSCALE_CDSE_TOKEN_URL", form))
        except Refused:
            pass  # a refresh token lasts an hour, and a session so long as its service likes
    form = {**client, "grant_type": "password", "username": login.username, "password": login.password}
    try:
        return _credential(providers.CDSE, await _exchanged("EOSCALE_CDSE_TOKEN_URL", form))
    except Refused as error:
        raise CredentialsError(f"the login of {login.source} is refused{_told(error)}") from None


async def _exchanged(service: str, form: Mapping[str, str]) -> Mapping[str, object]:
    """Return the answer of a token service, whose address is configured and never comes from a catalogue."""
    address = endpoints.service(service)
    answer = await https.post(address, form)
    try:
        told = json.loads(answer)
        if isinstance(told["access_token"], str):
            return dict(told)
    except (ValueError, KeyError, TypeError):
        pass
    raise CredentialsError(f"{scrub(address)} gave no token: is it the token service?")


def _credential(name: str, told: Mapping[str, object]) -> Credential:
    seconds, refresh = told.get("expires_in"), told.get("refresh_token")
    return Credential(
        name=name,
        token=str(told["access_token"]),
        refresh=refresh if isinstance(refresh, str) else "",
        lifetime=float(seconds) if isinstance(seconds, int | float) and seconds > 0 else inf,
    )


def _told(error: Refused) -> str:
    """Return the code of a refusal (RFC 6749, 5.2), which holds no secret."""
    found = re.search(r'"error"\s*:\s*"([a-z_]{1,40})"', error.body)
    return f" ({found[1]})" if found else f" ({error.status})"
