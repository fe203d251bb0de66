"""Disks: local files, read in place by the crew of the process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from eoscale.access import budgets, objects
from eoscale.errors import AccessError, ChangedError, GranuleError, scrub

Read: TypeAlias = Callable[[int, int], memoryview]
"""From offset and length, in bytes, to what lies there."""


async def reading(url: str, etag: str, path: Path, work: Callable[[Read], object]) -> None:
    """Have a function read one version of a local file, in a thread of the crew.

    Parameters
    ----------
    url, etag : str
        Name and version of the file.
    path : Path
        Where it lies.
    work : callable
        Called with the function that reads.

    Raises
    ------
    AccessError
        If the file cannot be read, or is of another version afterwards (:class:`ChangedError`); and whatever
        the function raises.
    """

    def opened() -> None:
        with path.open("rb", buffering=0) as file:

            def read(offset: int, length: int) -> memoryview:
                body = os.pread(file.fileno(), length, offset)
                if len(body) != length:
                    raise ChangedError(f"{scrub(url)} ends {length - len(body)} bytes too early: it changed")
                return memoryview(body)

            work(read)

    try:
        await budgets.here().crew.do(opened)
    except (AccessError, GranuleError):  # some are errors of the system's kind, too
        raise
    except OSError as error:
        raise AccessError(f"{scrub(url)} cannot be read: {error.strerror}") from None
    if (await objects.version(path)).etag != etag:
        raise ChangedError(f"{scrub(url)} changed while it was read: it was version {etag}")
