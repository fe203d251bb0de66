"""Services that give credentials which expire, and refuse all that they do not document; and what they guard.

Each has hosts of its own, and ``environment`` says what a user would set to use it.
"""

from __future__ import annotations

import json
import re
import secrets
from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Lock
from time import monotonic, sleep
from typing import Self
from urllib.parse import urlencode

from tests.servers.redirects import Answer, Asked, Host, part, redirect

PASSWORD, OFFLINE, CLIENT_SECRET = "p4ss&w=rd", "0ffline-t0ken", "cl1ent-s3cret"
"""What the user has, and what is nowhere to be seen."""


@dataclass
class Issued:
    """Tokens that a service has given, each good for a while."""

    lifetime: float = 300.0
    """Seconds."""
    ends: dict[str, float] = field(default_factory=dict)
    given: list[float] = field(default_factory=list)
    """When."""
    lock: Lock = field(default_factory=Lock)

    def new(self, prefix: str) -> str:
        """Give another token."""
        token = f"{prefix}-{secrets.token_urlsafe(24)}"
        with self.lock:
            now = monotonic()
            self.ends[token] = now + self.lifetime
            self.given.append(now)
        return token

    def good(self, token: str) -> bool:
        """Return whether it was given, and is not over."""
        return self.ends.get(token, 0.0) > monotonic()

    def revoke(self) -> None:
        """Refuse all that were given so far."""
        self.ends.clear()


def bearer(asked: Asked) -> str:
    """Return the token of a request."""
    scheme, _, token = asked.headers.get("authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


def basic(asked: Asked) -> str:
    """Return name and password of a request."""
    scheme, _, token = asked.headers.get("authorization", "").partition(" ")
    return b64decode(token).decode() if scheme == "Basic" else ""


def said(status: int, told: Mapping[str, object]) -> Answer:
    """Return an answer in JSON."""
    return Answer(status, [("Content-Type", "application/json")], json.dumps(told).encode())


def unauthorized(status: int = 401) -> Answer:
    """Return what a service says to whom it does not know."""
    return said(status, {"error": "invalid_token"})


def _part(content: bytes | Callable[[str], bytes], asked: Asked) -> Answer:
    """Return a range of what there is, which may go by the path."""
    try:
        return part(content if isinstance(content, bytes) else content(asked.path), asked)
    except KeyError:
        return Answer(404)


class Service:
    """Hosts that run for as long as the context lasts."""

    def __init__(self, *hosts: Host) -> None:
        self.hosts = hosts
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for host in self.hosts:
            self._stack.enter_context(host)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class TokenService:
    """An OpenID token service of one realm (RFC 6749): a path, a client and its grants, and nothing else."""

    def __init__(
        self, path: str, lifetime: float, grants: Mapping[str, Callable[[dict[str, str]], bool]]
    ) -> None:
        self.path = path
        self.issued = Issued(lifetime)
        self.refreshing = Issued(20 * lifetime)
        self.grants = grants
        self.calls: list[str] = []
        """Grant types of all requests, refused ones among them."""
        self.down: Callable[[], bool] = lambda: False
        self.host = Host(self.reply, "localhost")

    @property
    def address(self) -> str:
        """URL of the service."""
        return f"{self.host.origin}{self.path}"

    def reply(self, asked: Asked) -> Answer:
        """Give a token, or say why not (RFC 6749, 5)."""
        form = asked.form
        self.calls.append(form.get("grant_type", ""))
        if self.down():
            return Answer(503)
        if asked.path != self.path or asked.method != "POST" or "?" in asked.target:
            return Answer(404)
        if form.get("grant_type", "") not in self.grants:
            return said(400, {"error": "unsupported_grant_type"})
        if not self.grants[form["grant_type"]](form):
            return said(400, {"error": "invalid_grant", "error_description": f"not {form}"})
        told = {"access_token": self.issued.new("bearer"), "expires_in": self.issued.lifetime}
        return said(200, told | {"refresh_token": self.refreshing.new("refresh"), "token_type": "Bearer"})


class Maap(Service):
    """ESA MAAP: bearers for an offline token, and granules for a bearer, each after so many seconds."""

    def __init__(
        self, content: bytes | Callable[[str], bytes], lifetime: float = 300.0, seconds: float = 0.0
    ) -> None:
        self.content = content
        self.seconds = seconds
        self.tokens = TokenService(
            "/realms/esa-maap/protocol/openid-connect/token", lifetime, {"refresh_token": self._known}
        )
        self.data = Host(self._data)
        super().__init__(self.tokens.host, self.data)

    @property
    def url(self) -> str:
        """URL of a granule."""
        return f"{self.data.origin}/data/a.h5"

    def environment(self) -> dict[str, str]:
        """Return what a user sets."""
        return {
            "EOSCALE_MAAP_TOKEN_URL": self.tokens.address,
            "EOSCALE_MAAP_STAC_URL": f"{self.data.origin}/catalogue/",
            "EOSCALE_ALLOW_HOSTS": ",".join(host.host for host in self.hosts),
            "MAAP_OFFLINE_TOKEN": OFFLINE,
            "MAAP_CLIENT_SECRET": CLIENT_SECRET,
        }

    def _known(self, form: dict[str, str]) -> bool:
        return form == {
            "client_id": "offline-token",
            "client_secret": CLIENT_SECRET,
            "grant_type": "refresh_token",
            "refresh_token": OFFLINE,
            "scope": "offline_access openid",
        }

    def _data(self, asked: Asked) -> Answer:
        if not self.tokens.issued.good(bearer(asked)):
            return unauthorized()
        if "InstChecked" in asked.path:
            return said(403, {"error": "not entitled"})
        sleep(self.seconds)
        return _part(self.content, asked)


class Copernicus(Service):
    """Copernicus Data Space: bearers for a password or the last refresh token; members of products."""

    def __init__(self, content: bytes, lifetime: float = 300.0) -> None:
        self.content = content
        self.tokens = TokenService(
            "/auth/realms/CDSE/protocol/openid-connect/token",
            lifetime,
            {"password": self._login, "refresh_token": self._refresh},
        )
        self.nodes = Host(self._nodes)
        self.refused = 401
        """Status for who has no good bearer; 401 or 403."""
        self.seconds = 0.0
        """That an answer takes."""
        self.times: list[float] = []
        """When each was asked for."""
        super().__init__(self.tokens.host, self.nodes)

    @property
    def url(self) -> str:
        """URL of a member of a product."""
        return f"{self.nodes.origin}/odata/v1/Products(1)/Nodes(a.SEN3)/Nodes(a.nc)/$value"

    def environment(self) -> dict[str, str]:
        """Return what a user sets."""
        return {
            "EOSCALE_CDSE_TOKEN_URL": self.tokens.address,
            "EOSCALE_CDSE_NODES_URL": f"{self.nodes.origin}/odata/v1/Products",
            "EOSCALE_ALLOW_HOSTS": ",".join(host.host for host in self.hosts),
            "CDSE_USERNAME": "me@example.org",
            "CDSE_PASSWORD": PASSWORD,
        }

    def _login(self, form: dict[str, str]) -> bool:
        return form == {
            "client_id": "cdse-public",
            "grant_type": "password",
            "username": "me@example.org",
            "password": PASSWORD,
        }

    def _refresh(self, form: dict[str, str]) -> bool:
        token = form.pop("refresh_token", "")
        # each is good once
        good = self.tokens.refreshing.good(token) and bool(self.tokens.refreshing.ends.pop(token, 0))
        return good and form == {"client_id": "cdse-public", "grant_type": "refresh_token"}

    def _nodes(self, asked: Asked) -> Answer:
        with self.nodes.lock:
            self.times.append(monotonic())
        if not self.tokens.issued.good(bearer(asked)):
            return unauthorized(self.refused)
        sleep(self.seconds)
        return part(self.content, asked)


class Earthdata(Service):
    """Earthdata Login, an archive, and the storage to which it sends who may read.

    The archive takes a bearer, or sends its bearer-less guests to the login page, which takes a name and a
    password, and sends them back with a code for a cookie. Granules lie behind signed URLs of a third host.
    """

    def __init__(
        self,
        content: bytes | Callable[[str], bytes],
        lifetime: float = 300.0,
        *,
        takes_bearers: bool = True,
    ) -> None:
        self.content = content
        self.takes_bearers = takes_bearers
        self.tokens = Issued(lifetime)
        self.keys = Issued(lifetime)
        self.secrets: dict[str, tuple[str, str]] = {}
        """Secret key and session of each access key."""
        self.codes = Issued()
        self.sessions = Issued()
        self.signatures = Issued(lifetime)
        self.refusal: Answer | None = None
        """Instead of keys and granules."""
        self.skew = timedelta(0)
        """Of the archive's clock."""
        self.login = Host(self._login, "localhost")
        self.data = Host(self._data)
        self.storage = Host(self._storage, "127.0.0.2")
        super().__init__(self.login, self.data, self.storage)

    @property
    def url(self) -> str:
        """URL of a granule."""
        return f"{self.data.origin}/nsidc-cumulus-prod-protected/a.h5"

    def environment(self) -> dict[str, str]:
        """Return what a user sets, but for the login."""
        return {
            "EOSCALE_EARTHDATA_URL": self.login.origin,
            "EOSCALE_S3CREDENTIALS_URL": f"{self.data.origin}/s3credentials",
            "EOSCALE_ALLOW_HOSTS": ",".join(host.host for host in self.hosts),
        }

    def refuses(self, environ: Mapping[str, str]) -> str:
        """Return why a bucket of the archive refuses a request, as the code of S3 says it."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return ""
        found = re.search(r"Credential=([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
        if not found:
            return "AccessDenied"
        if found[1] not in self.secrets:
            return "InvalidAccessKeyId"
        if environ.get("HTTP_X_AMZ_SECURITY_TOKEN", "") != self.secrets[found[1]][1]:
            return "InvalidToken"
        return "" if self.keys.good(found[1]) else "ExpiredToken"

    def _login(self, asked: Asked) -> Answer:
        known = basic(asked) == f"me:{PASSWORD}"
        if asked.path == "/api/users/find_or_create_token" and asked.method == "POST":
            if not known:
                return Answer(401)
            good = next((token for token in self.tokens.ends if self.tokens.good(token)), "")
            return said(200, {"access_token": good or self.tokens.new("edl"), "token_type": "Bearer"})
        if asked.path != "/oauth/authorize" or asked.query.keys() != {
            "client_id",
            "redirect_uri",
            "response_type",
        }:
            return Answer(404)
        if not known:
            return Answer(200, [("Content-Type", "text/html")], b"<html>Please log in</html>")
        return redirect(f"{asked.query['redirect_uri']}?code={self.codes.new('code')}")

    def _data(self, asked: Asked) -> Answer:
        if asked.path == "/login":
            return self._welcomed(asked)
        session = next((each.partition("=")[2] for each in asked.cookies if each.startswith("session=")), "")
        if bearer(asked) and self.takes_bearers and not self.tokens.good(bearer(asked)):
            return unauthorized()
        if not self.sessions.good(session) and not (self.takes_bearers and bearer(asked)):
            back = {"client_id": "7", "response_type": "code", "redirect_uri": f"{self.data.origin}/login"}
            return redirect(f"{self.login.origin}/oauth/authorize?{urlencode(back)}")
        if self.refusal:
            return self.refusal
        if asked.path == "/s3credentials":
            return self._given()
        return redirect(
            f"{self.storage.origin}{asked.path}?X-Amz-Signature={self.signatures.new('signature')}"
        )

    def _welcomed(self, asked: Asked) -> Answer:
        if not self.codes.good(asked.query.get("code", "")):
            return Answer(400)
        return redirect("/s3credentials", f"session={self.sessions.new('session')}; Path=/; HttpOnly")

    def _given(self) -> Answer:
        access = self.keys.new("ASIA")
        self.secrets[access] = secrets.token_urlsafe(30), secrets.token_urlsafe(60)
        now = datetime.now(UTC) + self.skew
        told = {
            "accessKeyId": access,
            "secretAccessKey": self.secrets[access][0],
            "sessionToken": self.secrets[access][1],
            "expiration": str(now + timedelta(seconds=self.keys.lifetime)),
        }
        date = format_datetime(now, usegmt=True)
        return Answer(200, [("Date", date)], json.dumps(told).encode())

    def _storage(self, asked: Asked) -> Answer:
        if "authorization" in asked.headers:
            return Answer(400, body=b"<Error><Code>InvalidArgument</Code>Only one auth mechanism</Error>")
        if not self.signatures.good(asked.query.get("X-Amz-Signature", "")):
            return Answer(403, body=b"<Error><Code>AccessDenied</Code></Error>")
        return _part(self.content, asked)
