"""Aggregating: statistics of rows as a lazy Dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict, Unpack

import dask.dataframe as dd
import numpy as np
import xarray as xr
from dask.dataframe.dask_expr._expr import Filter, Projection
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from eoscale.errors import RecipeError
from eoscale.lazy import graphs
from eoscale.lazy.graphs import Touching
from eoscale.lazy.reader import Reader
from eoscale.lazy.reading import Reading
from eoscale.lazy.tracks import open  # noqa: A004  the library's own
from eoscale.model.axis import Axis
from eoscale.model.columns import GRANULE, LATITUDE, LONGITUDE, RESERVED, TIME
from eoscale.model.cube import Cube, Tile
from eoscale.model.grid import Grid
from eoscale.model.job import Job
from eoscale.model.period import Period
from eoscale.model.product import Product
from eoscale.model.recipe import Recipe
from eoscale.model.vocabulary import check_statistics
from eoscale.steps import batches
from eoscale.steps.listed import Granules
from eoscale.steps.statistics import Summary
from eoscale.write.provenance import source_of


class Opening(TypedDict, total=False):
    """What :func:`open` takes beside the granules."""

    variables: Sequence[str] | Mapping[str, str]
    region: object
    period: tuple[str, str] | None
    quality: str | None
    where: str | None
    product: str | Product | None


def aggregate(
    source: dd.DataFrame | Granules,
    *,
    by: Sequence[Axis | Mapping[str, Any]],
    statistics: Sequence[str],
    **opening: Unpack[Opening],
) -> xr.Dataset:
    """Return statistics of rows as a lazy Dataset, each tile of the result one chunk.

    The same granules, rules and axes give the same bits as :func:`eoscale.run`, whatever scheduler
    computes them. For thousands of granules on thousands of tiles, a run is the better way: it survives
    its workers.

    Parameters
    ----------
    source : dask GeoDataFrame or granules
        What :func:`open` returned, filtered and amended as you like; or granules to open.
    by : sequence of axes, or of the words of a recipe
        ``Grid``, ``Period``; or ``{"grid": {"crs": "EPSG:3413", "resolution": 1000}}``,
        ``{"period": "1MS"}``, which cover the region and the period that the source was opened with.
    statistics : sequence of str
        ``count``, ``sum``, ``mean``, ``std``, ``var``, ``min``, ``max``.
    **opening
        What :func:`open` takes, where the source is granules.

    Returns
    -------
    xarray.Dataset
        Variables ``<variable>_<statistic>`` of every variable of the source, as in a published store.

    Raises
    ------
    RecipeError
        If the source lacks a column, or an axis or a statistic cannot be.
    BudgetError
        If the graph would have more than 200,000 edges.
    CatalogError, AccessError, GranuleError
        As :func:`open`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from pathlib import Path
    >>> from eoscale import product, synthetic
    >>> folder = TemporaryDirectory()
    >>> paths = synthetic.make(product("ATL06"), 2, folder=Path(folder.name))
    >>> grid = {"grid": {"crs": "EPSG:3413", "resolution": 100_000}}
    >>> cube = aggregate(
    ...     paths, variables=["h_li"], region=(-55, 60, -20, 84), by=[grid], statistics=["count", "mean"]
    ... )
    >>> cube.h_li_mean.dims
    ('y', 'x')
    >>> bool(cube.h_li_count.sum().compute(scheduler="threads") > 0)
    True
    >>> folder.cleanup()
    """
    if isinstance(source, dd.DataFrame):
        if opening:
            raise RecipeError(f"{', '.join(opening)}: say it when the granules are opened, this is a frame")
        frame = source
    else:
        frame = open(source, **opening)
    reader = _reader(frame)
    job = None if reader is None else reader.work.job()
    summary = Summary(
        cube=Cube(axes=_axes(by, statistics, job)),
        variables=_variables(frame),
        statistics=tuple(statistics),
    )
    arrays = graphs.arrays(summary, *_partitions(frame, summary, job))
    described = {} if reader is None else reader.described
    data = {
        name: (summary.cube.dims, arrays[name], dict(spec.attributes))
        for name, spec in summary.arrays(described).items()
    }
    attributes = {} if job is None else source_of(job)
    return xr.Dataset(data, coords=summary.cube.coordinates().coords, attrs=attributes)


def _reader(frame: dd.DataFrame) -> Reader | None:
    """Return the one reader that a frame comes from, if it comes from one."""
    readers = {each.func.work: each.func for each in frame.expr.find_operations(Reading)}
    return next(iter(readers.values())) if len(readers) == 1 else None


def _axes(
    by: Sequence[Axis | Mapping[str, Any]], statistics: Sequence[str], job: Job | None
) -> tuple[Axis, ...]:
    """Return axes, time first and the grid last; words by what the source was opened with."""
    words = [axis for axis in by if isinstance(axis, Mapping)]
    axes = [axis for axis in by if not isinstance(axis, Mapping)]
    try:
        check_statistics(statistics)
    except RecipeError as error:
        raise RecipeError(f"`statistics` {error}") from None
    if words:
        if job is None:
            raise RecipeError("axes in words cover what granules were opened with: give a Grid or a Period")
        said = {**job.recipe.words(), "product": job.product}
        recipe = Recipe(**said, reduce={"by": words, "statistics": list(statistics)})
        axes += replace(job, recipe=recipe).axes
    if not axes:
        raise RecipeError("`by` is empty: expected at least one axis, such as a Grid or a Period")
    return tuple(sorted(axes, key=lambda axis: isinstance(axis, Grid) - isinstance(axis, Period)))


def _variables(frame: dd.DataFrame) -> tuple[str, ...]:
    """Return the numbers of a frame that are no coordinates."""
    lacking = [name for name in (GRANULE, TIME, LONGITUDE, LATITUDE) if name not in frame.columns]
    if lacking:
        raise RecipeError(f"the frame has no column {', '.join(lacking)}: keep those that open gives")
    numbers = [name for name, dtype in frame.dtypes.items() if is_numeric_dtype(dtype)]
    variables = tuple(str(name) for name in numbers if name not in RESERVED)
    if not variables:
        raise RecipeError("the frame has no variable to aggregate, only coordinates")
    return variables


def _partitions(frame: dd.DataFrame, summary: Summary, job: Job | None) -> tuple[dd.DataFrame, Touching]:
    """Return the columns that are needed, and which partitions may hold rows of which tile."""
    needed = frame[[GRANULE, TIME, LONGITUDE, LATITUDE, *summary.variables]]
    period = summary.cube.axes[0]
    everything = np.arange(needed.npartitions)
    if job is None or not isinstance(period, Period) or not _times_are_as_opened(needed):
        return needed, lambda _: everything
    if any(granule.start is None for granule in job.granules):
        return needed, lambda _: everything
    spans = [[job.interval(job.granules[at]) for at in range(*batch)] for batch in batches.cut(job)]
    begin = np.array([min(start for start, _ in batch) for batch in spans])
    end = np.array([max(stop for _, stop in batch) for batch in spans])

    def touching(tile: Tile) -> NDArray[np.int64]:
        block = summary.cube.block(tile)[0]
        return np.flatnonzero((begin < period.edges[block.stop]) & (end > period.edges[block.start]))

    return needed, touching


def _times_are_as_opened(frame: dd.DataFrame) -> bool:
    """Return whether partition n holds rows of batch n alone, with the times that were read."""
    expression = frame[[TIME]].expr.simplify()
    while isinstance(expression, Projection | Filter):
        expression = expression.frame
    return isinstance(expression, Reading) and not expression.operand("_partitions")
