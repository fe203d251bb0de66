"""Filesystems: protocols that obstore lacks, through fsspec; not the fast path."""

from __future__ import annotations

import asyncio
import ftplib
from collections.abc import Callable
from typing import Any, TypeVar

import fsspec

from eoscale.access import endpoints
from eoscale.access.attempts import Transient
from eoscale.access.head import Head
from eoscale.errors import AccessError, ChangedError, RecipeError, scrub

T = TypeVar("T")

_PROTOCOLS = ("ftp", "sftp", "smb", "hdfs", "webhdfs")
"""Of servers. fsspec has others that chain, cache, or lead to this machine's own files."""


async def opening(url: str, _nbytes: int) -> tuple[Head, memoryview]:
    """Return size and version of a file, and none of its bytes yet: protocols know no such thing as both.

    Raises
    ------
    AccessError, Transient
        If it cannot be reached.
    RecipeError
        If nothing here speaks its protocol.
    """
    return await _asked(url, _head), memoryview(b"")


async def get(url: str, start: int, stop: int, etag: str) -> memoryview:
    """Return the bytes ``start <= position < stop`` of one version of a file, asked for once.

    Raises
    ------
    AccessError, Transient
        As :func:`transports.get`.
    RecipeError
        If nothing here speaks its protocol.
    """

    def cut(filesystem: Any, path: str) -> bytes:  # noqa: ANN401  fsspec is not typed
        body: bytes = filesystem.cat_file(path, start=start, end=stop)
        if len(body) != stop - start:
            raise AccessError(f"{scrub(url)} gave {len(body)} bytes, asked for {start} to {stop}: it was cut")
        # afterwards: what has not changed by now had not while it was read
        filesystem.invalidate_cache()
        if etag and _head(filesystem, path).etag != etag:
            raise ChangedError(f"{scrub(url)} changed since it was indexed: run again")
        return body

    return memoryview(await _asked(url, cut))


def _head(filesystem: Any, path: str) -> Head:  # noqa: ANN401  fsspec is not typed
    return Head(int(filesystem.info(path)["size"]), str(filesystem.ukey(path)))


async def _asked(url: str, ask: Callable[[Any, str], T]) -> T:
    protocol = url.partition("://")[0]
    if protocol not in _PROTOCOLS or "::" in url:
        raise RecipeError(
            f"{scrub(url)} cannot be read by {protocol}://: give a path, or a URL of https, s3, gs, az, "
            f"{', '.join(_PROTOCOLS)}"
        )
    endpoints.check(url)
    try:
        return await asyncio.to_thread(lambda: ask(*fsspec.core.url_to_fs(url)))
    except AccessError:
        raise
    except ImportError as error:  # it says which package is lacking
        raise AccessError(f"{scrub(url)} cannot be read: {error}") from None
    except (FileNotFoundError, PermissionError) as error:
        raise AccessError(f"{scrub(url)} cannot be read: {type(error).__name__}") from None
    except (OSError, EOFError, ftplib.error_temp) as error:
        raise Transient(AccessError(f"{scrub(url)} cannot be read: {type(error).__name__}")) from None
    except Exception as error:  # noqa: BLE001  each protocol has errors of its own
        raise AccessError(f"{scrub(url)} cannot be read: {type(error).__name__}") from None
