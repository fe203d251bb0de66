"""Logins: how a user gets credentials, and where that is written down.

It is looked for anew each time: who mends a file while a job runs is heard.
"""

from __future__ import annotations

import json
import netrc
import os
import stat
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from eoscale.access import endpoints, providers
from eoscale.errors import CredentialsError


@dataclass(frozen=True, kw_only=True, repr=False)
class Token:
    """A bearer that the user has, and that nobody can renew."""

    token: str
    source: str
    """Where it was found, to tell the user."""


@dataclass(frozen=True, kw_only=True, repr=False)
class OfflineToken:
    """What short-lived bearers are had for, of the token service of ESA MAAP."""

    client_id: str
    client_secret: str
    token: str
    source: str


@dataclass(frozen=True, kw_only=True, repr=False)
class Password:
    """A user's name and password at a service."""

    username: str
    password: str
    source: str

    @property
    def basic(self) -> str:
        """What the scheme Basic sends (RFC 7617)."""
        return b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True, kw_only=True, repr=False)
class Keys:
    """Keys of S3 that the user has."""

    access_key: str
    secret_key: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Archive:
    """Who gives keys of S3 for a while to those who are logged in to Earthdata."""

    address: str
    source: str


Login: TypeAlias = Token | OfflineToken | Password | Keys | Archive


def find(name: str) -> Login | None:
    """Return how a credential is had: from the platform, the environment or a file, the first that is there.

    Parameters
    ----------
    name : str
        As :mod:`~eoscale.access.providers` has them.

    Returns
    -------
    Login or None
        None where the user has no login: what is public can be read without.

    Raises
    ------
    CredentialsError
        If a login is there in part, or in a file that others may read.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict("os.environ", EARTHDATA_TOKEN="s3cr3t"):
    ...     find("earthdata").source
    'EARTHDATA_TOKEN'
    """
    match name:
        case providers.EARTHDATA:
            return _token("EARTHDATA_TOKEN") or _password("EARTHDATA") or _cmr_token() or _netrc(
                endpoints.service("EOSCALE_EARTHDATA_URL")
            )  # fmt: skip
        case providers.MAAP:
            return (
                _hub_token()
                or _offline(os.environ, "the environment")
                or _token("MAAP_TOKEN")
                or _maap_files()
            )
        case providers.CDSE:
            return _password("CDSE") or _netrc(endpoints.service("EOSCALE_CDSE_TOKEN_URL"))
        case providers.CDSE_KEYS:
            pair = _pair("CDSE_S3_ACCESS_KEY", "CDSE_S3_SECRET_KEY")
            return pair and Keys(access_key=pair[0], secret_key=pair[1], source="CDSE_S3_ACCESS_KEY")
    if providers.gives_keys(name) and (login := find(providers.EARTHDATA)):
        return Archive(address=name, source=login.source)
    return None


def claims(token: str) -> Mapping[str, object]:
    """Return what a token says of itself if it is a JSON Web Token (RFC 7519), unverified; else nothing.

    Examples
    --------
    >>> claims("eyJhbGciOiJub25lIn0.eyJleHAiOjE3MDB9.")
    {'exp': 1700}
    >>> claims("opaque")
    {}
    """
    try:
        body = token.split(".")[1]
        told = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (ValueError, IndexError):
        return {}
    return told if isinstance(told, dict) else {}


def _token(variable: str) -> Token | None:
    token = os.environ.get(variable, "").strip()
    return Token(token=token, source=variable) if token else None


def _pair(first: str, second: str) -> tuple[str, str] | None:
    one, other = (os.environ.get(each, "") for each in (first, second))
    if bool(one) != bool(other):
        there, lacking = (first, second) if one else (second, first)
        raise CredentialsError(f"{there} is set and {lacking} is not: set both or none")
    return (one, other) if one else None


def _password(prefix: str) -> Password | None:
    pair = _pair(f"{prefix}_USERNAME", f"{prefix}_PASSWORD")
    return pair and Password(username=pair[0], password=pair[1], source=f"{prefix}_USERNAME")


def _hub_token() -> Token | None:
    """Return the token of a hub whose users ESA MAAP knows, and of no other."""
    token = os.environ.get("KC_ACCESS_TOKEN", "")
    realm = endpoints.service("EOSCALE_MAAP_TOKEN_URL").partition("/protocol/")[0]
    return Token(token=token, source="KC_ACCESS_TOKEN") if claims(token).get("iss") == realm else None


def _offline(said: Mapping[str, str], source: str, prefix: str = "MAAP_") -> OfflineToken | None:
    token, secret = (said.get(prefix + each, "") for each in ("OFFLINE_TOKEN", "CLIENT_SECRET"))
    if not token:
        return None
    if not secret:
        raise CredentialsError(
            f"{source} has {prefix}OFFLINE_TOKEN and no {prefix}CLIENT_SECRET: it needs both"
        )
    client = said.get(f"{prefix}CLIENT_ID") or "offline-token"
    return OfflineToken(client_id=client, client_secret=secret, token=token, source=source)


def _maap_files() -> Login | None:
    for folder in (Path.cwd(), Path.home()):
        path = folder / "credentials.txt"
        lines = (line.strip() for line in _text(path).splitlines())
        pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
        login = _offline({key.strip(): value.strip() for key, _, value in pairs}, str(path), prefix="")
        if login:
            _demand_private(path)
            return login
    return _token_file(Path("token.txt"))


def _cmr_token() -> Token | None:
    named = os.environ.get("EARTHDATA_TOKEN_FILE")
    return _token_file(Path(named) if named else Path.home() / ".cmr_token")


def _token_file(path: Path) -> Token | None:
    token = _text(path).strip()
    if not token:
        return None
    _demand_private(path)
    return Token(token=token, source=str(path))


def _netrc(service: str) -> Password | None:
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    if not path.is_file():
        return None
    _demand_private(path)
    try:
        # its default entry is for hosts that nobody named
        found = netrc.netrc(path).hosts.get(urlsplit(service).hostname or "")
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None)
        raise CredentialsError(
            f"{path} cannot be read" + (f": line {line} is wrong" if line else "")
        ) from None
    return Password(username=found[0], password=found[2], source=str(path)) if found else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsError(f"{path} cannot be read: {type(error).__name__}") from None


def _demand_private(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise CredentialsError(f"{path} may be read by others (mode {mode:04o}): chmod 600 {path}")
