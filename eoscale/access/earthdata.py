"""Earthdata Login: bearers of NASA, and the keys of S3 that its archives give for an hour."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from eoscale.access import endpoints, https, providers
from eoscale.access.credentials import Credential
from eoscale.access.https import Document, Refused
from eoscale.access.logins import Archive, Password
from eoscale.access.redirects import Sign
from eoscale.errors import CredentialsError, ForbiddenError, scrub

_BASIC = "Basic"


async def from_password(login: Password) -> Credential:
    """Return a bearer for a user's name and password, one that the user has already if there is one.

    The service keeps two of them for a user, each for 60 days
    (https://urs.earthdata.nasa.gov/documentation/for_users/user_token).

    Raises
    ------
    CredentialsError
        If name and password are refused.
    AccessError, Transient
        If the service cannot be reached.
    """
    address = f"{endpoints.service('EOSCALE_EARTHDATA_URL')}/api/users/find_or_create_token"
    try:
        answer = await https.post(
            address, {}, Credential(name=providers.EARTHDATA, scheme=_BASIC, token=login.basic)
        )
        return Credential(name=providers.EARTHDATA, token=str(json.loads(answer)["access_token"]))
    except Refused as error:
        raise CredentialsError(f"the login of {login.source} is refused ({error.status})") from None
    except (ValueError, KeyError, TypeError):
        raise CredentialsError(f"{scrub(address)} gave no token: is it Earthdata Login?") from None


async def keys(archive: Archive, bearer: Sign, password: Password | None) -> Credential:
    """Return keys of S3 for the buckets of an archive, good for an hour or what the archive says.

    Parameters
    ----------
    archive : Archive
    bearer : callable
        Gives what the archive is asked with.
    password : Password, optional
        For the login page that some archives lead to.

    Raises
    ------
    CredentialsError
        If the archive does not know the user.
    ForbiddenError
        If it does and gives no keys: a licence may be to accept.
    AccessError, Transient
        If it cannot be reached.
    """
    login = urlsplit(endpoints.service("EOSCALE_EARTHDATA_URL")).netloc

    async def sign(url: str, refused: Credential | None) -> Credential | None:
        if password and urlsplit(url).netloc == login:
            basic = Credential(name=providers.EARTHDATA, scheme=_BASIC, token=password.basic)
            return None if refused else basic
        return await bearer(url, refused)

    try:
        document = await https.document(archive.address, sign)
        return _keys(archive.address, document)
    except Refused as error:
        raise _refused(archive, error) from None
    except (ValueError, KeyError, TypeError):
        raise CredentialsError(
            f"{scrub(archive.address)} gave a page and no keys: is the login of {archive.source} good there?"
        ) from None


def _refused(archive: Archive, error: Refused) -> CredentialsError | ForbiddenError:
    """Return what it means that an archive gives no keys."""
    where = scrub(archive.address)
    if error.status == 401:
        return CredentialsError(
            f"{where} refuses the login of {archive.source}: {providers.how_to_log_in(providers.EARTHDATA)}"
        )
    return ForbiddenError(
        f"{where} gives no keys ({error.status}): {https.reason(error.body) or 'no right to them'}"
    )


def _keys(name: str, document: Document) -> Credential:
    told: Mapping[str, str] = json.loads(document.body)
    return Credential(
        name=name,
        access_key=str(told["accessKeyId"]),
        secret_key=str(told["secretAccessKey"]),
        session=str(told["sessionToken"]),
        lifetime=_left(told["expiration"], document.date),
    )


def _left(expiration: str, date: str) -> float:
    """Return the seconds until a moment, by the clock of the server that named it: others may be wrong."""
    end = datetime.fromisoformat(expiration)
    now = parsedate_to_datetime(date) if date else datetime.now(UTC)
    return max(1.0, (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp() - now.timestamp())
