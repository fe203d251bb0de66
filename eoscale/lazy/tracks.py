"""Opening tracks: granules of points as a lazy GeoDataFrame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import environ

import dask_geopandas
import geopandas as gpd
import platformdirs
import shapely

from eoscale.catalog.duplicates import Policy
from eoscale.errors import CatalogError, RecipeError, RunError
from eoscale.hdf5.index import indexes
from eoscale.lazy import reading
from eoscale.lazy.reader import Reader
from eoscale.model.digest import digest
from eoscale.model.granule import GranuleList
from eoscale.model.job import Job
from eoscale.model.product import Product
from eoscale.model.recipe import Recipe
from eoscale.model.region import Region
from eoscale.steps import batches
from eoscale.steps.indexing import GRANULES_PER_BATCH
from eoscale.steps.listed import Granules, listed
from eoscale.steps.observe import describe
from eoscale.write.places import Place, place
from eoscale.write.work import Work


def open(  # noqa: A001  the library's front door
    granules: Granules,
    *,
    variables: Sequence[str] | Mapping[str, str],
    region: object = None,
    period: tuple[str, str] | None = None,
    quality: str | None = None,
    where: str | None = None,
    product: str | Product | None = None,
) -> dask_geopandas.GeoDataFrame:
    """Return the observations of tracks as a lazy GeoDataFrame, one partition for some granules.

    Nothing but the index of the first granule is read before it is computed. Then only the chunks are
    read that hold rows inside the region, of the columns that the graph asks for, each once. A granule that
    cannot be used raises: nothing is left out in silence.

    Parameters
    ----------
    granules : GranuleList, str, path, or sequence of them
        Paths may be globs, text files of URLs, and saved lists: of several versions of an observation the
        newest counts, as in a run. A GranuleList is taken as it is.
    variables : sequence of str, or mapping
        Names of the product or paths in its beams; a mapping gives them new names.
    region : Region, (west, south, east, north), GeoDataFrame, polygon or path, optional
        Only rows inside; the boundary is outside.
    period : (start, stop), optional
        UTC, half-open.
    quality : str, optional
        A preset of the product.
    where : str, optional
        A condition such as ``"h_li_sigma < 1"``; rows that lack a value of it do not meet it.
    product : str or Product, optional
        Needed where file names do not tell.

    Returns
    -------
    dask_geopandas.GeoDataFrame
        Columns ``granule``, ``beam`` (categorical), ``time`` (UTC, without zone), ``longitude``,
        ``latitude``, the variables, and ``geometry``, which is built only where it is asked for. A missing
        value is NaN in floats and NA in integers, which keep their type. Rows are in the order of the
        files, which are in the order of their ids. ``spatial_partitions`` are the region's bounds.

    Raises
    ------
    RecipeError
        If an argument says something that cannot be done.
    CatalogError
        If there are no granules, or of several products.
    AccessError, GranuleError
        If the first granule cannot be indexed; any other raises when it is computed.
    RunError
        If the folder for jobs cannot be written, ``EOSCALE_WORK`` or the user's cache folder.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from eoscale import synthetic
    >>> from eoscale.products import ATL06
    >>> folder = TemporaryDirectory()
    >>> paths = synthetic.make(ATL06, 2, folder=Path(folder.name))
    >>> ice = open(paths, variables=["h_li"], region=(-55, 60, -20, 84), quality="best")
    >>> ice.columns.tolist()
    ['granule', 'beam', 'time', 'longitude', 'latitude', 'h_li', 'geometry']
    >>> bool(ice[ice.beam == "gt1l"].h_li.mean().compute(scheduler="threads") > 0)
    True
    >>> folder.cleanup()
    """
    known, found = listed(granules, product)
    if not isinstance(granules, GranuleList):
        found = Policy(product=known).settle(found)
    _demand_track(known)
    recipe = Recipe(product=known, variables=variables, period=period, quality=quality, where=where)
    area = None if region is None else Region.of(region)
    job = Job(recipe=recipe, product=known, region=area, granules=found)
    cut = batches.cut(job)
    # routes and batching are not in a job's digest, and belong to this graph: they are in the folder's name
    work = Work(folder=str(_shared() / digest(job.to_json())[:16]), digest=job.digest)
    try:
        work.save_job(job)
    except OSError as error:
        raise RunError(
            f"{work.folder} cannot be written ({error}): set EOSCALE_WORK to a folder that can"
        ) from error
    reader = Reader(work=work, beams=known.groups, described=_described(job))
    frame = reading.frame(reader, cut, label=f"open-{known.name.lower()}")
    if area is not None:
        frame.spatial_partitions = gpd.GeoSeries([_hull(area)] * len(cut), crs="EPSG:4326")
    return frame


def _demand_track(known: Product) -> None:
    if known.kind != "track":
        raise RecipeError(f"{known.name} is a {known.kind}: only tracks are opened as rows")


def _described(job: Job) -> dict[str, dict[str, str]]:
    """Return dtype, units and long name of each column, from the first granule that has all of them."""
    start, count = 0, 1
    while some := job.granules.granules[start : start + count]:
        for granule, found in zip(some, indexes(some, job.full_paths), strict=True):
            described = describe(job, granule, found)
            if all("dtype" in each for each in described.values()):
                return described
        start, count = start + count, GRANULES_PER_BATCH
    raise CatalogError(f"none of the {len(job.granules)} granules holds any beam: there is nothing to open")


def _shared() -> Place:
    """Return the folder for jobs that graphs refer to by digest."""
    return place(environ.get("EOSCALE_WORK") or platformdirs.user_cache_path("eoscale") / "jobs")


def _hull(region: Region) -> shapely.MultiPolygon:
    """Return boxes, cut at the antimeridian, that hold every row inside a region."""
    west, south, east, north = region.bounds
    boxes = [shapely.box(west, south, min(east, 180), north)]
    if east > 180:
        boxes.append(shapely.box(-180, south, east - 360, north))
    return shapely.MultiPolygon(boxes)
