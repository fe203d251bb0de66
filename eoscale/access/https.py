"""The https client: for hosts that redirect or set cookies, and the first to ask any host."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp

from eoscale.access import redirects
from eoscale.access.attempts import Transient, refusal
from eoscale.access.head import Head
from eoscale.errors import AccessError, ChangedError, ForbiddenError, scrub

_PLACE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


async def opening(url: str, nbytes: int) -> tuple[Head, memoryview]:
    """Return size and version of an object, and its first bytes, by one GET: it may be signed for GET alone.

    Raises
    ------
    AccessError, Transient
        If it cannot be reached, or the server ignores ranges.
    """
    async with _answered(url, {"Range": f"bytes=0-{nbytes - 1}"}) as answer:
        version = answer.headers.get("ETag", "")
        if answer.status == 416:
            return Head(0, version), memoryview(b"")  # there is no first byte
        place = _PLACE.fullmatch(answer.headers.get("Content-Range", ""))
        size = int(place[3]) if place else 0
        return Head(size, version), await _body(url, answer, 0, min(nbytes, size))


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
        return await _body(url, answer, start, stop, etag)


async def _body(
    url: str, answer: aiohttp.ClientResponse, start: int, stop: int, etag: str = ""
) -> memoryview:
    """Return the body of an answer that is the range that was asked for, of a version if one is given."""
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
    try:
        async with AsyncExitStack() as stack:
            yield _accepted(url, await redirects.answer(url, headers, stack))
    except aiohttp.ClientConnectorCertificateError as error:
        raise AccessError(f"{scrub(url)} cannot be read: {error.certificate_error}") from None
    except (ValueError, aiohttp.NonHttpUrlClientError):
        raise AccessError(f"{scrub(url)} cannot be read: it leads to no URL of a web server") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _failed(url, error) from None


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
    # aiohttp names the URL that it asked for, and quotes the bytes that it does not understand
    quoted = isinstance(error, aiohttp.ClientResponseError)
    told = "its answer is not as HTTP has it" if quoted else f"{type(error).__name__}: {error}"
    reason = re.sub(r"\w+://\S+", lambda found: scrub(found[0]), told)
    return Transient(AccessError(f"{scrub(url)} cannot be read: {reason}"))
