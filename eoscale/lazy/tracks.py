"""Opening tracks: granules of points as a lazy GeoDataFrame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, environ
from pathlib import Path
from typing import TypeAlias

import dask_geopandas
import geopandas as gpd
import platformdirs
import shapely

from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.errors import CatalogError, RecipeError, RunError
from eoscale.lazy import reading
from eoscale.lazy.reader import Reader
from eoscale.model.digest import digest
from eoscale.model.granule import GranuleList
from eoscale.model.job import Job
from eoscale.model.product import Product
from eoscale.model.recipe import Recipe
from eoscale.model.region import Region
from eoscale.products import REGISTRY
from eoscale.products import product as registered
from eoscale.steps import batches
from eoscale.steps.observe import describe
from eoscale.write.work import Work

Granules: TypeAlias = GranuleList | str | PathLike[str] | Sequence[str | PathLike[str]]
"""A granule list; or paths, globs, text files of URLs, saved lists, one or several."""


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

    Nothing but the index of one granule is read before it is computed. Then only the chunks are read that
    hold rows inside the region, of the columns that the graph asks for, each once. A granule that cannot
    be used raises: nothing is left out in silence.

    Parameters
    ----------
    granules : GranuleList, str, path, or sequence of them
        Paths may be globs, text files of URLs, and saved lists.
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
    >>> from tempfile import TemporaryDirectory
    >>> from eoscale import synthetic
    >>> folder = TemporaryDirectory()
    >>> paths = synthetic.make(registered("ATL06"), 2, folder=Path(folder.name))
    >>> ice = open(paths, variables=["h_li"], region=(-55, 60, -20, 84), quality="best")
    >>> ice.columns.tolist()
    ['granule', 'beam', 'time', 'longitude', 'latitude', 'h_li', 'geometry']
    >>> bool(ice[ice.beam == "gt1l"].h_li.mean().compute(scheduler="threads") > 0)
    True
    >>> folder.cleanup()
    """
    known, listed = _listed(granules, product)
    recipe = Recipe(product=known, variables=variables, period=period, quality=quality, where=where)
    area = None if region is None else Region.of(region)
    job = Job(recipe=recipe, product=known, region=area, granules=listed)
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


def _listed(granules: Granules, product: str | Product | None) -> tuple[Product, GranuleList]:
    """Return the product of granules, and the granules as a list."""
    if isinstance(granules, GranuleList):
        names = sorted({granule.product for granule in granules})
        if not names:
            raise CatalogError("the granule list is empty: there is nothing to open")
        if product is None and len(names) > 1:
            raise CatalogError(f"there are granules of {', '.join(names)}: open one product at a time")
        return _product(product or names[0]), granules
    several = [granules] if isinstance(granules, str | PathLike) else granules
    listing = Listing([str(place) for place in several])
    if product is not None:
        known = _product(product)
        return known, listing.search(Query(product=known))
    return _recognised(listing)


def _recognised(listing: Listing) -> tuple[Product, GranuleList]:
    """Return the product that the names of files tell, and the files as a list."""
    found: list[tuple[Product, GranuleList]] = []
    refusal = CatalogError("no granules were given: there is nothing to open")
    for known in REGISTRY.values():
        try:
            found.append((known, listing.search(Query(product=known))))
        except CatalogError as error:
            refusal = error
    if len(found) > 1:
        names = ", ".join(known.name for known, _ in found)
        raise CatalogError(f"there are granules of {names}: say which by `product`")
    if not found:
        raise refusal
    return found[0]


def _product(product: str | Product) -> Product:
    known = product if isinstance(product, Product) else registered(product)
    if known.kind != "track":
        raise RecipeError(f"{known.name} is a {known.kind}: only tracks are opened as rows")
    return known


def _described(job: Job) -> dict[str, dict[str, str]]:
    """Return dtype, units and long name of each column, from the first granule that has all of them."""
    for granule in job.granules:
        described = describe(job, granule)
        if all("dtype" in each for each in described.values()):
            return described
    raise CatalogError(f"none of the {len(job.granules)} granules holds any beam: there is nothing to open")


def _shared() -> Path:
    """Return the folder for jobs that graphs refer to by digest."""
    return Path(environ.get("EOSCALE_WORK") or platformdirs.user_cache_path("eoscale") / "jobs").absolute()


def _hull(region: Region) -> shapely.MultiPolygon:
    """Return boxes, cut at the antimeridian, that hold every row inside a region."""
    west, south, east, north = region.bounds
    boxes = [shapely.box(west, south, min(east, 180), north)]
    if east > 180:
        boxes.append(shapely.box(-180, south, east - 360, north))
    return shapely.MultiPolygon(boxes)
