"""Building the chunk indexes of granules ahead, on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import pandas as pd
from distributed import Client

from eoscale.model.granule import GranuleList
from eoscale.model.job import Job
from eoscale.model.product import Product
from eoscale.model.receipt import Receipt
from eoscale.model.recipe import Recipe
from eoscale.run.cluster import connected
from eoscale.run.futures import windowed
from eoscale.run.progress import Watcher, shown
from eoscale.steps.indexing import GRANULES_PER_BATCH, index_batch
from eoscale.steps.listed import Granules, listed

_STAGE = "granules indexed"


def index(
    granules: Granules,
    *,
    variables: Sequence[str] | None = None,
    product: str | Product | None = None,
    cluster: str | Client = "local",
    workers: int | None = None,
    watcher: Watcher | None = None,
) -> pd.DataFrame:
    """Build the chunk indexes and zone maps of granules ahead.

    Later runs read no HDF5 metadata, and only what can be inside their region and period. Both are kept in
    the index store: a folder of the user's cache, or what ``EOSCALE_INDEX_STORE`` names, a folder or object
    store that workers share.

    Parameters
    ----------
    granules : GranuleList, str, path, or sequence of them
        Paths may be globs, text files of URLs, and saved lists.
    variables : sequence of str, optional
        Names of the product or paths in its groups; all that the product lists unless given. Coordinates
        are always among them.
    product : str or Product, optional
        Needed where file names do not tell.
    cluster : str or distributed.Client
        ``local``, an address, or a client.
    workers : int, optional
        Of a local cluster; one a processor unless given.
    watcher : Watcher, optional
        Hears of progress; a bar or lines on standard error unless given.

    Returns
    -------
    pandas.DataFrame
        A row for each granule, in the order of their ids: ``id``, ``status`` (indexed or failed),
        ``reason``, ``variables`` and ``absent`` (how many there are and are not), ``fallback`` (why libhdf5
        had to read the metadata), ``requests`` and ``bytes`` that it cost; nothing where it was known.

    Raises
    ------
    CatalogError, RecipeError
        If there are no granules, of several products, or a variable is not known.
    RunError
        If workers died.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from eoscale import synthetic
    >>> from eoscale.products import ATL06
    >>> from eoscale.run.progress import Silent
    >>> folder = TemporaryDirectory()
    >>> paths = synthetic.make(ATL06, 1, folder=Path(folder.name))
    >>> with Client(processes=False, dashboard_address="127.0.0.1:0") as client:
    ...     told = index(paths, variables=["h_li"], cluster=client, watcher=Silent())
    >>> told[["status", "variables"]].values.tolist()
    [['indexed', 24]]
    >>> folder.cleanup()
    """
    known, found = listed(granules, product)
    # coordinates are variables too here, under names that no table's own columns have
    wanted = known.variables if variables is None else variables
    recipe = Recipe(product=known, variables={f"column {n}": name for n, name in enumerate(wanted)})
    # what a task carries is small: no list of granules
    job = Job(recipe=recipe, product=known, region=None, granules=GranuleList(granules=()))
    starts = range(0, len(found), GRANULES_PER_BATCH)
    batches = [tuple(found.granules[start : start + GRANULES_PER_BATCH]) for start in starts]
    receipts: list[Receipt] = []
    with ExitStack() as stack:
        client = stack.enter_context(connected(cluster, workers=workers))
        seen = watcher or stack.enter_context(shown())
        seen.begin(_STAGE, len(found))
        for _, done in windowed(client, partial(index_batch, job), batches):
            receipts += done
            seen.advance(_STAGE, len(done))
    rows = [_row(receipt, len(job.full_paths)) for receipt in receipts]
    return pd.DataFrame(rows, columns=list(_row(Receipt(granule=""), 0))).sort_values("id", ignore_index=True)


def _row(receipt: Receipt, paths: int) -> dict[str, Any]:
    return {
        "id": receipt.granule,
        "status": "failed" if receipt.failure else "indexed",
        "reason": receipt.failure,
        "variables": 0 if receipt.failure else paths - len(receipt.absent),
        "absent": len(receipt.absent),
        "fallback": receipt.fallback,
        "requests": receipt.requests,
        "bytes": receipt.bytes,
    }
