"""Redirects, followed hop by hop, each checked as the first URL was.

Where a chain ends is kept, and asked from there on until it refuses: one signed URL serves all ranges of a
granule. A URL that has answered by itself, of a host that has neither redirected nor set a cookie, nor is
given credentials, is *plain*: obstore may read it, which is faster, and would follow a redirect unseen.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from socket import AddressFamily
from typing import TypeAlias
from urllib.parse import urljoin, urlsplit
from weakref import WeakKeyDictionary, WeakValueDictionary

import aiohttp
from aiohttp.abc import ResolveResult
from yarl import URL

from eoscale.access import endpoints, loop, providers, quota
from eoscale.access.credentials import Credential
from eoscale.errors import AccessError, scrub

_HOPS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REFUSALS = frozenset({400, 401, 403, 404, 410})
"""Answers of a URL that was signed for a while, when the while is over."""
_MOST_ENDS = 4096

Sign: TypeAlias = Callable[[str, Credential | None], Awaitable[Credential | None]]
"""Returns the bearer for a URL, another one than what was refused there; None where it is to carry none."""


async def unsigned(_url: str, _refused: Credential | None) -> None:
    """Have requests carry nothing."""


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
    unkept: aiohttp.ClientSession
    """Keeps no connection: for hosts where one that is open counts for a quota."""
    jars: defaultdict[str, aiohttp.CookieJar] = field(
        default_factory=lambda: defaultdict(lambda: aiohttp.CookieJar(unsafe=True, quote_cookie=False))
    )
    """By origin: a cookie goes back to the host that set it and to no other, whatever domain it names."""
    ends: dict[str, str] = field(default_factory=dict)
    """Where the chain of a URL ended, if only where it began."""
    walks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """Held while it is not known where the chain of a URL ends."""
    bare: set[str] = field(default_factory=set)
    """URLs that ended where they began, and carry nothing: no signature, no bearer."""
    steered: set[str] = field(default_factory=set)
    """Origins that have redirected, set a cookie, or asked for fewer requests."""

    def keep(self, url: str, end: str) -> None:
        """Remember where a chain ended."""
        while len(self.ends) >= _MOST_ENDS:
            self.forget(next(iter(self.ends)))
        self.ends[url] = end
        if end == url and not urlsplit(url).query and not providers.bearer(url):
            self.bare.add(url)

    def forget(self, url: str) -> None:
        """Have a chain walked again."""
        self.ends.pop(url, None)
        self.bare.discard(url)


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, _Client] = WeakKeyDictionary()


def _client() -> _Client:
    running = asyncio.get_running_loop()
    if running not in _clients:
        _clients[running] = _Client(_session(keeps=True), _session(keeps=False))
    return _clients[running]


def _session(*, keeps: bool) -> aiohttp.ClientSession:
    """Return a session that keeps connections, or says with each request that it does not, and does not."""
    made = aiohttp.ClientSession(
        # ranges bound the connections
        connector=aiohttp.TCPConnector(limit=0, resolver=_Resolver(), force_close=not keeps),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        headers={"Accept-Encoding": "identity"} | ({} if keeps else {"Connection": "close"}),
        auto_decompress=False,
    )
    made._retry_connection = False  # noqa: SLF001  it would ask again by itself, without being counted
    loop.at_stop(made.close)
    return made


def plain(url: str) -> bool:
    """Return whether a URL answered by itself, is not signed, and its host needs no watching."""
    client = _client()
    return url in client.bare and _origin(url) not in client.steered


def trust(url: str) -> None:
    """Take a URL for plain that was when its file was indexed, unless its host has been seen to redirect."""
    client = _client()
    if url not in client.ends:
        client.keep(url, url)


def watch(url: str) -> None:
    """Have the host of a URL read by this client from now on."""
    _client().steered.add(_origin(url))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def session() -> aiohttp.ClientSession:
    """Return what makes requests of this process: by hand, hop by hop, to public addresses alone."""
    return _client().session


async def answer(
    url: str, headers: Mapping[str, str], stack: AsyncExitStack, sign: Sign = unsigned
) -> aiohttp.ClientResponse:
    """Return the answer to a GET from where the redirects of a URL end: who asks first finds that for all.

    Parameters
    ----------
    url : str
    headers : mapping
        To send with each hop.
    stack : AsyncExitStack
        On whose end the answer is closed.
    sign : callable
        Asked for a bearer at each hop, and once more where that is refused.

    Raises
    ------
    ForbiddenError
        If a hop must not be asked.
    AccessError
        If there are too many of them.
    aiohttp.ClientError, OSError, ValueError
        If a host does not answer, or leads to what is no URL.
    """
    client = _client()
    while True:
        async with client.walks.setdefault(url, asyncio.Lock()):
            if url not in client.ends:
                end, answered = await stack.enter_async_context(_followed(client, url, headers, sign))
                if answered.status == 206:
                    client.keep(url, end)
                return answered
        end = client.ends[url]
        _, answered = await stack.enter_async_context(_followed(client, end, headers, sign))
        if end == url or answered.status not in _REFUSALS:
            return answered
        if client.ends.get(url) == end:
            client.forget(url)


@asynccontextmanager
async def posted(
    url: str, headers: Mapping[str, str], form: str, sign: Sign = unsigned
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Yield the answer to the POST of an encoded form, which follows no redirect.

    Raises
    ------
    ForbiddenError
        If the URL must not be asked.
    aiohttp.ClientError, OSError, ValueError
        If the host does not answer.
    """
    sent = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    async with _hop(_client(), url, sent, sign, form) as answer:
        yield answer


@asynccontextmanager
async def _followed(
    client: _Client, url: str, headers: Mapping[str, str], sign: Sign
) -> AsyncIterator[tuple[str, aiohttp.ClientResponse]]:
    """Yield where the redirects of a URL end, and the answer from there."""
    here = url
    for _ in range(_HOPS + 1):
        async with _hop(client, here, headers, sign) as answer:
            if answer.status not in _REDIRECTS:
                yield here, answer
                return
            here = urljoin(here, answer.headers.get("Location", ""))
    raise AccessError(
        f"{scrub(url)} cannot be read: redirected more than {_HOPS} times, last to {scrub(here)}"
    )


@asynccontextmanager
async def _hop(
    client: _Client, url: str, headers: Mapping[str, str], sign: Sign, form: str | None = None
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Yield what one host answers to a request, which is made again if its bearer is refused for another."""
    endpoints.check(url)
    bearer = await sign(url, None)
    async with AsyncExitStack() as stack:
        answer = await stack.enter_async_context(_asked(client, url, headers, bearer, form))
        if bearer and providers.looks_expired(bearer.name, answer.status):
            renewed = await sign(url, bearer)
            if renewed:
                await stack.aclose()
                answer = await stack.enter_async_context(_asked(client, url, headers, renewed, form))
        yield answer


@asynccontextmanager
async def _asked(
    client: _Client, url: str, headers: Mapping[str, str], bearer: Credential | None, form: str | None
) -> AsyncIterator[aiohttp.ClientResponse]:
    origin, address, sent = _origin(url), URL(url, encoded=True), dict(headers)
    if bearer:
        sent["Authorization"] = bearer.header
    if origin in client.jars:
        cookies = client.jars[origin].filter_cookies(address).output(attrs=[], header="", sep=";").strip()
        if cookies:
            sent["Cookie"] = cookies
    method = "GET" if form is None else "POST"
    session = client.unkept if quota.quota(url) else client.session
    asked = session.request(method, address, data=form, headers=sent, allow_redirects=False)
    async with asked as answer:
        if answer.cookies:
            client.jars[origin].update_cookies(answer.cookies, address)
        if answer.status in _REDIRECTS or answer.cookies:
            client.steered.add(origin)
        yield answer
