"""Objects: disks, buckets and plain https hosts, through obstore.

obstore tries once here: what to ask again is decided in :mod:`~eoscale.access.attempts`. Stores are built
from names in each process, and never travel.
"""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

import obstore
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import HTTPStore, LocalStore, MemoryStore, ObjectStore, S3Store, from_url

from eoscale.access import endpoints, providers
from eoscale.access.attempts import Transient, refusal
from eoscale.access.credentials import Credential
from eoscale.access.head import Head
from eoscale.errors import AccessError, ChangedError, CredentialsError, ForbiddenError, scrub

if TYPE_CHECKING:
    # types only: obstore has no such names at run time
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential

FAULTS = (BaseError, OSError, ValueError, NotImplementedError)
"""What obstore raises."""
DISKS = ("", "file")
"""Schemes of this machine's own files."""
BUCKETS = ("s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss")
"""Schemes of object stores, with keys from where their own tools look for them."""
_STATUSES = {
    (UnauthenticatedError,): 401,
    (PermissionDeniedError, PermissionError): 403,
    (PreconditionError,): 412,
}
_BUCKET = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._@-]{0,200}")
"""One name, so that no part of a hostile one becomes another host (``abfs`` has ``container@account``)."""
_ONCE: RetryConfig = {"max_retries": 0, "retry_timeout": timedelta(seconds=1)}
_EXPIRED = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
"""Codes of S3 that say that keys are no longer good, whatever the status
(https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html)."""


class ExpiredError(CredentialsError):
    """Keys that had been good are refused: others may be taken."""


def parsed(url: str) -> SplitResult:
    """Return the parts of a URL.

    Raises
    ------
    AccessError
        If it is none.
    """
    try:
        return urlsplit(url)
    except ValueError as error:
        reason = str(error).partition("'")[0]  # what it quotes may be a password
        raise AccessError(f"a URL cannot be read: {reason}") from None


def local(url: str) -> Path | None:
    """Return the path of a URL on this machine's disks, whole and without ``..``; None of any other.

    Raises
    ------
    AccessError
        If the URL is none.
    """
    parts = parsed(url)
    if parts.scheme not in DISKS:
        return None
    path = Path(unquote(parts.path) if parts.scheme else url).absolute()
    # obstore takes no `..`, which a link on the way may lead elsewhere than the text says
    return path.resolve() if ".." in path.parts else path


def locate(url: str, keys: Credential | None = None) -> tuple[ObjectStore, str]:
    """Return the store and the path in it of an object.

    Parameters
    ----------
    url : str
    keys : Credential, optional
        Of a bucket; those that AWS's own tools would use unless given.

    Raises
    ------
    ForbiddenError
        If its bucket has a name that no bucket has.
    AccessError
        If its key has an empty part at one end, which obstore leaves out, or its store cannot be built.
    """
    path = local(url)
    if path is not None:
        return disk(), path.as_posix().lstrip("/")
    parts = urlsplit(url)
    if parts.scheme in BUCKETS:
        # a key is what it is, with `?`, `#` and `%`: so s3fs and the tools of AWS take it too
        bucket, _, key = url.partition("://")[2].partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise ForbiddenError(
                f"{scrub(url)} is refused: a bucket's name has letters, digits, '.', '-', '_'"
            )
        if not key or key != key.strip("/"):
            raise AccessError(f"{scrub(url)} cannot be read: its key is empty, or begins or ends with '/'")
        try:
            return opened(f"{parts.scheme}://{bucket}", keys), key
        except FAULTS as error:
            raise translated(error, f"{scrub(url)} cannot be read") from None
    # obstore encodes a path itself
    return _host(f"{parts.scheme}://{parts.netloc}"), unquote(parts.path).lstrip("/")


def opened(root: str, keys: Credential | None = None) -> ObjectStore:
    """Return the store of a URL, with the endpoint that the environment names, and some keys."""
    if keys and keys.name == providers.CDSE_KEYS:
        return _bucket(root, endpoints.service("EOSCALE_CDSE_S3_URL"), keys)
    return _bucket(root, endpoints.s3_endpoint() if root.startswith(("s3:", "s3a:")) else "", keys)


@lru_cache(maxsize=1)
def disk() -> ObjectStore:
    """Return the store of all local files, by path from the root."""
    return LocalStore()


@lru_cache(maxsize=64)
def _host(origin: str) -> ObjectStore:
    return HTTPStore.from_url(origin, client_options=_client(origin), retry_config=_ONCE)


@lru_cache(maxsize=64)
def _bucket(root: str, endpoint: str, keys: Credential | None) -> ObjectStore:
    if root.startswith("memory:"):
        return MemoryStore()
    client = _client(endpoint or root)
    if not root.startswith(("s3:", "s3a:")):
        return from_url(root, client_options=client, retry_config=_ONCE)
    config: S3Config = {"region": endpoints.region() or providers.ARCHIVES_REGION}
    if endpoint:
        config["endpoint"] = endpoint
    if keys and keys.name == providers.CDSE_KEYS:
        config["region"] = "default"  # as its service has it
        client["pool_max_idle_per_host"] = "0"  # one that is kept would count for the quota
    if keys is None:
        return S3Store.from_url(root, config=config, client_options=client, retry_config=_ONCE)
    told: S3Credential = {
        "access_key_id": keys.access_key,
        "secret_access_key": keys.secret_key,
        "token": keys.session or None,
        "expires_at": None,  # there is another store by then
    }
    # as configuration they would be mixed with what the environment says of other keys
    return S3Store.from_url(
        root,
        config=config,
        client_options=client,
        retry_config=_ONCE,
        credential_provider=lambda: told,
    )


def _client(origin: str) -> ClientConfig:
    # what a whole answer may take is the caller's to say
    return {
        "allow_http": origin.startswith("http:"),
        "connect_timeout": timedelta(seconds=10),
        "timeout": timedelta(hours=1),
    }


async def version(path: Path) -> Head:
    """Return size and version of a local file.

    Raises
    ------
    AccessError
        If it cannot be reached.
    """
    try:
        meta = await obstore.head_async(disk(), path.as_posix().lstrip("/"))
    except FAULTS as error:
        failure = translated(error, f"{path} cannot be read")
        raise failure.error if isinstance(failure, Transient) else failure from None
    return Head(meta["size"], meta["e_tag"] or "")


async def opening(url: str, nbytes: int, keys: Credential | None = None) -> tuple[Head, memoryview]:
    """Return size and version of an object, and its first bytes.

    By one GET, for which alone a URL may be signed; of a local file there is no need for bytes beforehand.

    Raises
    ------
    AccessError, Transient
        If it cannot be reached.
    """
    nothing = memoryview(b"")
    file = local(url)
    if file is not None:
        return await version(file), nothing
    store, path = locate(url, keys)
    try:
        answer = await obstore.get_async(store, path, options={"range": (0, nbytes)})
        body = memoryview(await answer.bytes_async())
    except FAULTS as error:
        if _status(error) == 416:
            return Head(0, ""), nothing  # there is no first byte
        raise translated(error, f"{scrub(url)} cannot be read") from None
    head = Head(answer.meta["size"], answer.meta["e_tag"] or "")
    if answer.range != (0, len(body)) or len(body) != min(nbytes, head.size):
        raise _unexpected(url, answer, body, (0, nbytes))
    return head, body


async def get(url: str, start: int, stop: int, etag: str, keys: Credential | None = None) -> memoryview:
    """Return the bytes ``start <= position < stop`` of one version of an object, asked for once.

    Raises
    ------
    AccessError, Transient
        As :func:`transports.get`.
    """
    store, path = locate(url, keys)
    options: obstore.GetOptions = {"range": (start, stop)}
    if etag and not etag.startswith("W/"):  # If-Match never matches a weak tag (RFC 9110, 13.1.1)
        options["if_match"] = etag
    try:
        answer = await obstore.get_async(store, path, options=options)
        body = memoryview(await answer.bytes_async())
    except FAULTS as error:
        raise translated(error, f"{scrub(url)} cannot be read") from None
    if answer.range != (start, stop) or len(body) != stop - start:
        raise _unexpected(url, answer, body, (start, stop))
    if etag and answer.meta["e_tag"] != etag:
        raise ChangedError(f"{scrub(url)} changed while it was read: it was version {etag}")
    return body


def _unexpected(url: str, answer: obstore.GetResult, body: memoryview, asked: tuple[int, int]) -> AccessError:
    return AccessError(
        f"{scrub(url)} answered bytes {answer.range[0]} to {answer.range[1]} ({len(body)} received), "
        f"asked for {asked[0]} to {asked[1]}: the object changed, or the server ignores ranges"
    )


def translated(error: Exception, message: str) -> AccessError | Transient:
    """Return what an error of obstore means.

    Parameters
    ----------
    error : one of FAULTS
    message : str
        What could not be done to what.
    """
    text = str(error)
    if isinstance(error, FileNotFoundError):
        return AccessError(
            f"{message}: {'there is no such bucket' if 'NoSuchBucket' in text else 'not found'}"
        )
    if "//169.254." in text:
        # obstore asks the machine for a role when it finds no keys
        return CredentialsError(f"{message}: neither environment nor machine has keys for it; log in")
    status = _status(error)
    if status:
        # services answer with a page of XML that may name the key used
        found = re.search(r"<Code>(\w+)</Code>", text)
        code = found[1] if found else ""
        reason = f"{message}: {status} {HTTPStatus(status).phrase}" + (f" ({code})" if code else "")
        if code in _EXPIRED:
            return ExpiredError(f"{reason}; its keys are no longer good: log in again")
        if code == "RequestTimeTooSkewed":
            return AccessError(f"{reason}; the clock of this machine is wrong: set it")
        return refusal(reason, status)
    told = re.sub(r"^Generic \S+ error: |Error performing \w+ \S+ in \S+ - ", "", text.partition("\n")[0])
    # obstore names the URL that it asked for, with its password and signature
    reason = re.sub(r"\w+://[^\s\"]+", lambda found: scrub(found[0]), told)
    failure = AccessError(f"{message}: {reason}")
    no_answer = isinstance(error, BaseError) and told.startswith("HTTP error:")  # or half of one
    return Transient(failure) if no_answer else failure


def _status(error: Exception) -> int:
    """Return the HTTP status behind an error of obstore; 0 where it tells none."""
    for kinds, status in _STATUSES.items():
        if isinstance(error, kinds):
            return status
    told = re.search(r"status code: (\d{3})", str(error))
    return int(told[1]) if told and int(told[1]) in set(HTTPStatus) else 0
