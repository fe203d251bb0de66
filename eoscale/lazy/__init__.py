"""The lazy face: granules as Dask collections, computed by whatever scheduler the user has.

``open`` gives rows as a GeoDataFrame, ``aggregate`` their statistics as a Dataset. They share the functions
of a run, not its trust: there is no ledger, and a granule that cannot be used raises when it is computed.
"""

from eoscale.lazy.aggregate import aggregate
from eoscale.lazy.tracks import open  # noqa: A004  as xarray, zarr and rasterio have it

__all__ = ["aggregate", "open"]
