"""Granule lists to lazy Dask graphs to Zarr.

A recipe says which granules, which rows of them and which statistics; :func:`plan` says what that would
read and write, :func:`run` does it and publishes a Zarr store or a table with a ledger beside it. In a
notebook, :func:`open` gives observations as a lazy GeoDataFrame and :func:`aggregate` their statistics as a
lazy Dataset; :func:`index` prepares granules for all of these. The types are in :mod:`eoscale.model`, the
errors in :mod:`eoscale.errors`.
"""

from typing import TYPE_CHECKING, Any

from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.errors import EoscaleError
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.cube import Cube
from eoscale.model.granule import Granule, GranuleList
from eoscale.model.grid import Grid
from eoscale.model.job import Job
from eoscale.model.period import Period
from eoscale.model.product import Product
from eoscale.model.recipe import Recipe
from eoscale.model.reduction import Partial, Reduction
from eoscale.model.region import Region
from eoscale.model.sink import Sink
from eoscale.products import product
from eoscale.run import Ledger, Plan, Result, run
from eoscale.run import prepare as plan
from eoscale.run.broker import connect
from eoscale.run.download import download
from eoscale.run.indexing import index
from eoscale.steps.searched import search

if TYPE_CHECKING:
    from eoscale.lazy import aggregate, open  # noqa: A004  as xarray, zarr and rasterio have it

__all__ = [
    "ChunkIndex",
    "Cube",
    "EoscaleError",
    "Granule",
    "GranuleList",
    "Grid",
    "Job",
    "Ledger",
    "Listing",
    "Partial",
    "Period",
    "Plan",
    "Product",
    "Query",
    "Recipe",
    "Reduction",
    "Region",
    "Result",
    "Sink",
    "aggregate",
    "connect",
    "download",
    "index",
    "open",
    "plan",
    "product",
    "run",
    "search",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  a module has attributes of any kind
    # dask.dataframe takes as long to import as a third of everything: workers of runs do without
    if name in ("aggregate", "open"):
        from eoscale import lazy  # noqa: PLC0415

        return getattr(lazy, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
