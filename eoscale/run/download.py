"""Downloading: granules as files of this machine."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd

from eoscale.access import copies
from eoscale.errors import AccessError, GranuleError, RunError
from eoscale.model.granule import Granule
from eoscale.model.product import Product
from eoscale.run.progress import Watcher, shown
from eoscale.steps.listed import Granules, listed

STAGE = "granules downloaded"
AT_ONCE = 4
"""Granules; each in as many pieces at once."""


@dataclass(frozen=True, kw_only=True)
class _Copied:
    """What became of a granule."""

    id: str
    path: str
    status: str
    checksum: str = ""
    reason: str = ""


def download(
    granules: Granules,
    folder: str | PathLike[str],
    *,
    product: str | Product | None = None,
    watcher: Watcher | None = None,
) -> pd.DataFrame:
    """Copy granules into a folder, some at a time. Called again, it goes on where it ended.

    Parameters
    ----------
    granules : GranuleList, str, path, or sequence of them
    folder : path
        Made if need be.
    product : str or Product, optional
        Needed where file names do not tell.
    watcher : Watcher, optional
        Hears of progress; bars or lines on standard error unless given.

    Returns
    -------
    pandas.DataFrame
        A row for each granule, in the order of their ids: ``id``, ``path``, ``status`` (copied or failed),
        ``checksum`` (verified, or none to verify) and ``reason``.

    Raises
    ------
    CatalogError, RecipeError
        If there are no granules, or of several products.
    RunError
        If the folder cannot be made.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from eoscale import synthetic
    >>> from eoscale.products import ATL06
    >>> from eoscale.run.progress import Silent
    >>> there, here = TemporaryDirectory(), TemporaryDirectory()
    >>> paths = synthetic.make(ATL06, 2, folder=Path(there.name))
    >>> told = download(paths, here.name, watcher=Silent())
    >>> told[["status", "checksum"]].values.tolist()
    [['copied', 'none to verify'], ['copied', 'none to verify']]
    >>> [Path(path).read_bytes() == other.read_bytes() for path, other in zip(told["path"], paths)]
    [True, True]
    >>> there.cleanup(), here.cleanup()
    (None, None)
    """
    _, found = listed(granules, product)
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be made: {error.strerror}") from error
    with ExitStack() as stack:
        seen = watcher or stack.enter_context(shown())
        seen.begin(STAGE, len(found))
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE, thread_name_prefix="eoscale-download"))
        futures = [pool.submit(_one, *each) for each in _placed(found.granules, Path(folder))]
        for _ in as_completed(futures):
            seen.advance(STAGE, 1)
        copied = [future.result() for future in futures]
    return pd.DataFrame([vars(one) for one in copied], columns=list(_Copied.__annotations__))


def _placed(granules: Sequence[Granule], folder: Path) -> Iterator[tuple[Granule, Path]]:
    """Yield where each goes: by its own name, and no two at one place."""
    taken: set[str] = set()
    for granule in granules:
        name = copies.safe_name(_name(granule))
        if name.lower() in taken:  # some disks know no case
            name = f"{hashlib.sha256(granule.id.encode()).hexdigest()[:8]}-{name}"
        taken.add(name.lower())
        yield granule, folder / name


def _name(granule: Granule) -> str:
    """Return what a file is called: as at its URL, and what a folder is packed in after the folder."""
    path = unquote(urlsplit(granule.whole).path)
    if granule.whole == granule.url or granule.id in path.rpartition("/")[2]:
        return path
    folder = re.search(rf"{re.escape(granule.id)}[\w.]*", unquote(granule.url))
    return f"{folder[0] if folder else granule.id}.zip"


def _one(granule: Granule, path: Path) -> _Copied:
    try:
        right = copies.copy(granule.whole, path, size=granule.size, checksum=granule.checksum)
    except (AccessError, GranuleError) as error:
        return _Copied(id=granule.id, path="", status="failed", reason=f"{type(error).__name__}: {error}")
    except OSError as error:
        return _Copied(
            id=granule.id, path="", status="failed", reason=f"{path} cannot be written: {error.strerror}"
        )
    checksum = "verified" if right else "none to verify"
    return _Copied(id=granule.id, path=str(path), status="copied", checksum=checksum)
