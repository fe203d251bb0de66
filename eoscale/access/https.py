"""The https client: for hosts that redirect or set cookies, and the first to ask any host.

Redirects are followed hop by hop, and each hop is checked as the first URL was. Where a chain ends is kept,
and asked from there on until it refuses: one signed URL serves all ranges of a granule. A host that answered
without redirect and cookie is *plain*, and obstore may read it, which is faster and would follow a redirect
unseen.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from socket import AddressFamily
from urllib.parse import urljoin, urlsplit
from weakref import WeakKeyDictionary, WeakValueDictionary

import aiohttp
from aiohttp.abc import ResolveResult
from yarl import URL

from eoscale.access import endpoints, loop
from eoscale.access.attempts import Transient, refusal
from eoscale.access.head import Head
from eoscale.errors import AccessError, ChangedError, ForbiddenError, scrub

_HOPS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REFUSALS = frozenset({400, 401, 403, 404, 410})
"""Answers of a URL that was signed for a while, when the while is over."""
_PLACE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_MOST_ENDS = 4096


class _Resolver(aiohttp.ThreadedResolver):
    """Names that lead into this machine or its network are not followed there."""

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        for each in found:
            endpoints.check_address(f"{host}:{port}", each["host"])
        return found


@dataclass
class _Client:
    """What a process knows of the hosts that it asks."""

    session: aiohttp.ClientSession
    jars: defaultdict[str, aiohttp.CookieJar]
    """By origin: a cookie goes back to the host that set it and to no other, whatever domain it names."""
    ends: dict[str, str] = field(default_factory=dict)
    """Where the chain of a URL ended, if only where it began."""
    walks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """Held while it is not known where the chain of a URL ends."""
    plain: set[str] = field(default_factory=set)
    steered: set[str] = field(default_factory=set)
    """Origins that have redirected, set a cookie, or asked for fewer requests."""

    def steer(self, origin: str) -> None:
        """Take note of a host that needs this client."""
        self.steered.add(origin)
        self.plain.discard(origin)

    def keep(self, url: str, end: str) -> None:
        """Remember where a chain ended."""
        while len(self.ends) >= _MOST_ENDS:
            del self.ends[next(iter(self.ends))]
        self.ends[url] = end


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, _Client] = WeakKeyDictionary()


def _client() -> _Client:
    running = asyncio.get_running_loop()
    if running not in _clients:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, resolver=_Resolver()),  # ranges bound the connections
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        session._retry_connection = False  # noqa: SLF001  it would ask again by itself, without being counted
        loop.at_stop(session.close)
        jars = defaultdict(lambda: aiohttp.CookieJar(unsafe=True, quote_cookie=False))
        _clients[running] = _Client(session, jars)
    return _clients[running]


def plain(url: str) -> bool:
    """Return whether the host of a URL answered without redirect and cookie, and the URL is not signed."""
    parts = urlsplit(url)
    return not parts.query and f"{parts.scheme}://{parts.netloc}" in _client().plain


def watch(url: str) -> None:
    """Have the host of a URL read by this client from now on."""
    parts = urlsplit(url)
    _client().steer(f"{parts.scheme}://{parts.netloc}")


async def head(url: str) -> Head:
    """Return size and version of an object, by asking for its first byte: a URL may be signed for GET alone.

    Raises
    ------
    AccessError, Transient
        If it cannot be reached, or the server ignores ranges.
    """
    async with _answered(url, {"Range": "bytes=0-0"}) as answer:
        place = _PLACE.fullmatch(answer.headers.get("Content-Range", ""))
        if answer.status == 416:
            return Head(0, answer.headers.get("ETag", ""))  # there is no first byte
        if answer.status != 206 or not place:
            raise AccessError(_unexpected(url, answer, 0, 1))
        return Head(int(place[3]), answer.headers.get("ETag", ""))


async def get(url: str, start: int, stop: int, etag: str) -> memoryview:
    """Return the bytes ``start <= position < stop`` of one version of an object, asked for once.

    Raises
    ------
    AccessError, Transient
        As :func:`transports.get`.
    """
    headers = {"Range": f"bytes={start}-{stop - 1}"}
    if etag and not etag.startswith("W/"):  # If-Match never matches a weak tag (RFC 9110, 13.1.1)
        headers["If-Match"] = etag
    async with _answered(url, headers) as answer:
        place = _PLACE.fullmatch(answer.headers.get("Content-Range", ""))
        exact = place and (int(place[1]), int(place[2]) + 1) == (start, stop)
        if answer.status != 206 or not exact or answer.content_length not in (None, stop - start):
            raise AccessError(_unexpected(url, answer, start, stop))
        if etag and answer.headers.get("ETag") != etag:
            raise ChangedError(f"{scrub(url)} changed while it was read: it was version {etag}")
        try:
            body = await answer.content.readexactly(stop - start)
        except asyncio.IncompleteReadError as error:
            raise AccessError(
                f"{_unexpected(url, answer, start, stop)} ({len(error.partial)} received)"
            ) from None
        if not answer.content.at_eof() and await answer.content.read(1):
            raise AccessError(f"{_unexpected(url, answer, start, stop)} (and more received)")
        return memoryview(body)


def _unexpected(url: str, answer: aiohttp.ClientResponse, start: int, stop: int) -> str:
    told = answer.headers.get("Content-Range") or "no range"
    return (
        f"{scrub(url)} answered status {answer.status} with {told}, asked for bytes {start}-{stop - 1}: "
        "the object changed, or the server ignores ranges"
    )


@asynccontextmanager
async def _answered(url: str, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
    """Yield the answer to a GET, from where its redirects end; no answer of 400 or more but 416."""
    client = _client()
    try:
        async with AsyncExitStack() as stack:
            yield _accepted(url, await _from_end(client, url, headers, stack))
    except aiohttp.ClientConnectorCertificateError as error:
        raise AccessError(f"{scrub(url)} cannot be read: {error.certificate_error}") from None
    except (ValueError, aiohttp.NonHttpUrlClientError):
        raise AccessError(f"{scrub(url)} cannot be read: it leads to no URL of a web server") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _failed(url, error) from None


async def _from_end(
    client: _Client, url: str, headers: Mapping[str, str], stack: AsyncExitStack
) -> aiohttp.ClientResponse:
    """Return the answer from where the redirects of a URL end: who asks first finds that out for all."""
    while True:
        end = client.ends.get(url)
        if end is None:
            async with client.walks.setdefault(url, asyncio.Lock()):
                if url not in client.ends:
                    found, answer = await stack.enter_async_context(_followed(client, url, headers))
                    if answer.status == 206:
                        client.keep(url, found)
                    return answer
            continue
        _, answer = await stack.enter_async_context(_followed(client, end, headers))
        if end == url or answer.status not in _REFUSALS:
            return answer
        if client.ends.get(url) == end:
            del client.ends[url]


@asynccontextmanager
async def _followed(
    client: _Client, url: str, headers: Mapping[str, str]
) -> AsyncIterator[tuple[str, aiohttp.ClientResponse]]:
    """Yield where the redirects of a URL end, and the answer from there."""
    here = url
    for _ in range(_HOPS + 1):
        endpoints.check(here)
        origin = f"{urlsplit(here).scheme}://{urlsplit(here).netloc}"
        jar, address = client.jars[origin], URL(here, encoded=True)
        cookies = jar.filter_cookies(address).output(attrs=[], header="", sep=";").strip()
        sent = {**headers, "Cookie": cookies} if cookies else headers
        async with client.session.get(address, headers=sent, allow_redirects=False) as answer:
            jar.update_cookies(answer.cookies, address)
            if answer.status in _REDIRECTS or answer.cookies:
                client.steer(origin)
            if answer.status not in _REDIRECTS:
                if origin not in client.steered and answer.status == 206:
                    client.plain.add(origin)
                yield here, answer
                return
            here = urljoin(here, answer.headers.get("Location", ""))
    raise AccessError(
        f"{scrub(url)} cannot be read: redirected more than {_HOPS} times, last to {scrub(here)}"
    )


def _accepted(url: str, answer: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
    if answer.status < 400 or answer.status == 416:
        return answer
    reason = f"{answer.status} {HTTPStatus(answer.status).phrase if answer.status in set(HTTPStatus) else ''}"
    raise refusal(f"{scrub(url)} cannot be read: {reason.strip()}", answer.status, after=_after(answer))


def _after(answer: aiohttp.ClientResponse) -> float:
    """Return the seconds that ``Retry-After`` asks for, a number or a date (RFC 9110, 10.2.3)."""
    told = answer.headers.get("Retry-After", "")
    if told.strip().isdecimal():
        return float(told)
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _failed(url: str, error: Exception) -> AccessError | Transient:
    if isinstance(error, AccessError):  # which is an OSError too
        return error
    cause = getattr(error, "os_error", None)
    if isinstance(cause, ForbiddenError):
        return cause
    # aiohttp names the URL that it asked for, and quotes what it does not understand
    told = f"{type(error).__name__}: {error}".partition("\n")[0]
    reason = re.sub(r"\w+://\S+", lambda found: scrub(found[0]), told)
    return Transient(AccessError(f"{scrub(url)} cannot be read: {reason}"))
