"""The https client: for hosts that redirect, set cookies or want bearers, and the first to ask any host."""

from __future__ import annotations

import asyncio
import json
import re
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp

from eoscale.access import endpoints, providers, redirects
from eoscale.access.attempts import PASSING, RangesRefusedError, Transient, refusal
from eoscale.access.credentials import Credential
from eoscale.access.head import Head
from eoscale.access.redirects import Sign, unsigned
from eoscale.errors import AccessError, ChangedError, CredentialsError, ForbiddenError, scrub

_LONGEST = 2**16
"""Bytes of an answer that is no granule: a token, keys, or why something is refused."""
_MOST = 2**28
"""Bytes of a page of a catalogue."""
_PIECE = 2**20
"""Bytes of an object that is given as a whole which are written at once."""
_PLACE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Refused(Exception):  # noqa: N818  no error yet: who asked knows what it means
    """A service answered by a status of 300 or more for which it is not asked again."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class Document(NamedTuple):
    """A short answer."""

    body: str
    date: str
    """When it was given, by the clock of the server."""


async def post(url: str, form: Mapping[str, str], bearer: Credential | None = None) -> str:
    """Return the answer to a form, which follows no redirect: it holds secrets.

    Raises
    ------
    Refused
        If the service answers by a status of 300 or more.
    AccessError, Transient
        If it cannot be reached.
    """
    endpoints.check(url)
    headers = {"Authorization": bearer.header} if bearer else {}
    async with _translated(url):
        asked = redirects.session().post(url, data=form, headers=headers, allow_redirects=False)
        async with asked as answer:
            return await _short(url, answer)


async def document(url: str, sign: Sign = unsigned) -> Document:
    """Return a short answer to a GET, from where its redirects end.

    Raises
    ------
    Refused
        If it is one of status 400 or more.
    AccessError, Transient
        If the service cannot be reached.
    """
    async with _translated(url), AsyncExitStack() as stack:
        answer = await redirects.answer(url, {}, stack, sign)
        return Document(await _short(url, answer), answer.headers.get("Date", ""))


class Reply(NamedTuple):
    """What a service answered, whole."""

    body: bytes
    headers: Mapping[str, str]
    """Looked up in any case of letters."""


async def reply(
    url: str, headers: Mapping[str, str], form: str | None = None, sign: Sign = unsigned
) -> Reply:
    """Return the answer of a service to a GET, or to the POST of a form, which follows no redirect.

    Raises
    ------
    Refused
        If it is one of status 300 or more that says nothing of logins and rights.
    AccessError, Transient
        If the service cannot be reached, wants a login or a right, or answers at more than 256 MiB.
    """
    sent = {**headers, "Accept-Encoding": "gzip"}
    async with _translated(url), AsyncExitStack() as stack:
        if form is None:
            answer = await redirects.answer(url, sent, stack, sign)
        else:
            answer = await stack.enter_async_context(redirects.posted(url, sent, form, sign))
        if answer.status in PASSING or answer.status in (401, 403):
            raise _refusal(url, answer, reason(await _beginning(answer)))
        if answer.status >= 300:
            raise Refused(answer.status, (await _unpacked(url, answer, _LONGEST)).decode(errors="replace"))
        return Reply(await _unpacked(url, answer, _MOST), answer.headers)


async def _unpacked(url: str, answer: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body of an answer; some kilobytes may unpack to any number of gigabytes."""
    packed = answer.headers.get("Content-Encoding") == "gzip"
    unpack, body = zlib.decompressobj(wbits=31), bytearray()
    async for piece in answer.content.iter_chunked(_PIECE):
        body += unpack.decompress(piece, most + 1 - len(body)) if packed else piece
        if len(body) > most:
            raise AccessError(f"{scrub(url)} answers at more than {most / 1e6:,.0f} MB: expected less")
    return bytes(body)


async def opening(url: str, nbytes: int, sign: Sign = unsigned) -> tuple[Head, memoryview]:
    """Return size and version of an object, and its first bytes, by one GET: it may be signed for GET alone.

    Raises
    ------
    AccessError, Transient
        If it cannot be reached, or the server ignores ranges.
    """
    async with _answered(url, {"Range": f"bytes=0-{nbytes - 1}"}, sign) as answer:
        version = answer.headers.get("ETag", "")
        if answer.status == 416:
            return Head(0, version), memoryview(b"")  # there is no first byte
        place = _PLACE.fullmatch(answer.headers.get("Content-Range", ""))
        size = int(place[3]) if place else 0
        return Head(size, version), await _body(url, answer, 0, min(nbytes, size))


async def get(url: str, start: int, stop: int, etag: str, sign: Sign = unsigned) -> memoryview:
    """Return the bytes ``start <= position < stop`` of one version of an object, asked for once.

    Raises
    ------
    AccessError, Transient
        As :func:`transports.get`.
    """
    headers = {"Range": f"bytes={start}-{stop - 1}"}
    if etag and not etag.startswith("W/"):  # If-Match never matches a weak tag (RFC 9110, 13.1.1)
        headers["If-Match"] = etag
    async with _answered(url, headers, sign) as answer:
        return await _body(url, answer, start, stop, etag)


async def whole(url: str, path: Path, sign: Sign = unsigned) -> None:
    """Write an object that is given as a whole only to a local file.

    Raises
    ------
    AccessError, Transient
        If it cannot be reached, or ends before its time.
    """
    async with _answered(url, {}, sign) as answer:
        with path.open("wb") as file:
            async for piece in answer.content.iter_chunked(_PIECE):
                file.write(piece)
            size = file.tell()
        if answer.content_length not in (None, size):
            raise Transient(AccessError(f"{scrub(url)} gave {size} of {answer.content_length} bytes"))


async def _body(
    url: str, answer: aiohttp.ClientResponse, start: int, stop: int, etag: str = ""
) -> memoryview:
    """Return the body of an answer that is the range that was asked for, of a version if one is given."""
    place = _PLACE.fullmatch(answer.headers.get("Content-Range", ""))
    exact = place and (int(place[1]), int(place[2]) + 1) == (start, stop)
    if answer.status != 206 or not exact or answer.content_length not in (None, stop - start):
        kind = RangesRefusedError if answer.status in (200, 416) else AccessError
        raise kind(_unexpected(url, answer, start, stop))
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


async def _short(url: str, answer: aiohttp.ClientResponse) -> str:
    """Return the text of an answer that is no granule."""
    if answer.status in PASSING:
        raise _refusal(url, answer)
    body = await _beginning(answer)
    if answer.status >= 300:
        raise Refused(answer.status, body)
    return body


async def _beginning(answer: aiohttp.ClientResponse) -> str:
    """Return the text of an answer, which comes in any number of pieces, or the beginning of a long one."""
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) >= _LONGEST:
            break
    return body[:_LONGEST].decode(errors="replace")


@asynccontextmanager
async def _answered(
    url: str, headers: Mapping[str, str], sign: Sign
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Yield the answer to a GET, from where its redirects end; no answer of 400 or more but 416."""
    async with _translated(url), AsyncExitStack() as stack:
        answer = await redirects.answer(url, headers, stack, sign)
        if answer.status >= 400 and answer.status != 416:
            raise _refusal(url, answer, reason(await _beginning(answer)))
        if answer.status == 200 and _is_login(answer):
            name = providers.bearer(url) or providers.EARTHDATA
            raise CredentialsError(f"{scrub(url)} leads to a login page: {providers.how_to_log_in(name)}")
        yield answer


@asynccontextmanager
async def _translated(url: str) -> AsyncIterator[None]:
    """Raise what errors of the client mean."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise AccessError(f"{scrub(url)} cannot be read: {error.certificate_error}") from None
    except (ValueError, aiohttp.NonHttpUrlClientError):
        raise AccessError(f"{scrub(url)} cannot be read: it leads to no URL of a web server") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _failed(url, error) from None


def _is_login(answer: aiohttp.ClientResponse) -> bool:
    return answer.url.authority == urlsplit(endpoints.service("EOSCALE_EARTHDATA_URL")).netloc


def _refusal(url: str, answer: aiohttp.ClientResponse, told: str = "") -> AccessError | Transient:
    status = answer.status
    phrase = f"{status} {HTTPStatus(status).phrase if status in set(HTTPStatus) else ''}".strip()
    message = f"{scrub(url)} cannot be read: {phrase}" + (f" ({told})" if told else "")
    name = providers.bearer(url)
    if status == 401 and name:
        return CredentialsError(f"{message}; {providers.how_to_log_in(name)}")
    if status == 403 and (told or name):
        return ForbiddenError(message if told else f"{message}: no right to this collection; ask for it")
    return refusal(message, status, after=_after(answer))


def reason(body: str) -> str:
    """Return what a refusal says of a licence that is not accepted, or of a right that is missing.

    Examples
    --------
    >>> reason('{"error": "EULA Acceptance Failure", "resolution_url": "https://urs.example.org/accept_eula"}')
    'its licence is not accepted: accept it at https://urs.example.org/accept_eula'
    >>> reason("<html>no</html>")
    ''
    """
    try:
        told = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(told, dict):
        return ""
    where = told.get("resolution_url")
    if isinstance(where, str) and where.startswith("https://"):
        what = (
            "its licence is not accepted: accept it"
            if "eula" in body.lower()
            else "an approval is missing: give it"
        )
        return f"{what} at {scrub(where)}"
    return "its licence is not accepted: accept it where you log in" if "eula" in body.lower() else ""


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
    # aiohttp names the URL that it asked for, and quotes the bytes that it does not understand
    quoted = isinstance(error, aiohttp.ClientResponseError)
    told = "its answer is not as HTTP has it" if quoted else f"{type(error).__name__}: {error}"
    reason = re.sub(r"\w+://\S+", lambda found: scrub(found[0]), told)
    return Transient(AccessError(f"{scrub(url)} cannot be read: {reason}"))
