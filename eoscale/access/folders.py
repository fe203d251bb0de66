"""Folders: which objects of a bucket a glob names."""

from __future__ import annotations

import re

import obstore
from fsspec.utils import glob_translate

from eoscale.access import archives, budgets, objects
from eoscale.access.attempts import insist
from eoscale.access.credentials import Credential
from eoscale.errors import scrub


async def matching(glob: str) -> list[tuple[str, int]]:
    """Return URL and size of each object of a bucket that a glob matches.

    A pattern means what it means on a disk: ``*`` and ``?`` stop at ``/``, ``**`` does not. The service lists
    all that lies below the part of the path that has no such sign: the longer that is, the faster.

    Parameters
    ----------
    glob : str
        Such as ``s3://bucket/ATL06/2019/*.h5``; of a scheme in :data:`objects.BUCKETS`.

    Returns
    -------
    list of (str, int)
        By URL, with sizes in bytes; empty where nothing matches.

    Raises
    ------
    AccessError
        If the bucket cannot be listed.

    Examples
    --------
    >>> import asyncio
    >>> asyncio.run(matching("s3://not a bucket/*.h5"))
    Traceback (most recent call last):
    eoscale.errors.ForbiddenError: s3://not a bucket/*.h5 is refused: a bucket's name has letters, ...
    """
    _, pattern = objects.locate(glob)
    root = glob.removesuffix(pattern)
    folder = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0]
    match = re.compile(glob_translate(pattern)).match

    async def ask(keys: Credential | None) -> list[tuple[str, int]]:
        store, _ = objects.locate(glob, keys)
        found = []
        try:
            async with budgets.here().connections:
                async for page in obstore.list(store, folder, chunk_size=1000):
                    found += [(root + each["path"], each["size"]) for each in page if match(each["path"])]
        except objects.FAULTS as error:
            raise objects.translated(error, f"{scrub(glob)} cannot be listed") from None
        return found

    return sorted(await insist(lambda: archives.asked(glob, ask), budgets.PATIENCE, scrub(glob)))
