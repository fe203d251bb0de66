"""Job: a recipe bound to what it needs, so that every task can share it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from pydantic import TypeAdapter

from eoscale.errors import CatalogError, RecipeError
from eoscale.model.axis import Axis
from eoscale.model.columns import RESERVED
from eoscale.model.cube import Cube
from eoscale.model.curve import Curve
from eoscale.model.digest import Digested, digest
from eoscale.model.granule import TIMES, Granule, GranuleList
from eoscale.model.grid import Grid
from eoscale.model.period import Period
from eoscale.model.product import Preset, Product, Rate
from eoscale.model.recipe import Recipe
from eoscale.model.region import Region
from eoscale.model.where import Where

FORMAT = 1
"""Version of the job's JSON form; another one is refused."""
_HOW = frozenset(
    {"output", "batch_bytes", "on_error", "max_failed", "allow_empty", "product", "region", "granules"}
)
"""Words of a recipe that do not decide the result, or that the job holds in a resolved form."""
_PRODUCT = TypeAdapter(Product)
_NOT_READ = ("geometry", "h5_url", "zip_url", "quicklook_url", "hdr_url")
"""Columns of a table of granules that tasks do without."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Job(Digested):
    """A recipe bound to its product, region and granules.

    The same job gives the same bytes, whatever its workers, batches and tiles.

    Raises
    ------
    RecipeError
        If a variable or the quality preset is not of the product, or the axes are impossible.

    Examples
    --------
    >>> from eoscale.products import ATL06
    >>> recipe = Recipe(
    ...     product="ATL06", variables=("h_li",), period=("2019-04-01", "2019-07-01"),
    ...     region=(-51, 69, -49, 72), output={"zarr": "out.zarr"},
    ...     reduce={"by": [{"grid": {"crs": "EPSG:3413", "resolution": 1000}}, {"period": "1MS"}],
    ...             "statistics": ["count", "mean"]},
    ... )
    >>> job = Job(recipe=recipe, product=ATL06, region=Region.from_bbox(-51, 69, -49, 72),
    ...           granules=GranuleList(granules=[]))
    >>> job.cube
    <Cube (time: 3, y: 341, x: 104) in 3 tiles of (1, 341, 104)>
    >>> Job.from_json(job.to_json()) == job
    True
    """

    recipe: Recipe
    product: Product
    region: Region | None
    granules: GranuleList

    def __post_init__(self) -> None:
        operands = () if self.where is None else self.where.names
        asked = [*self.recipe.columns.values(), *(self.recipe.columns.get(name, name) for name in operands)]
        rates = {self.product.rate(name) for name in asked}
        if len(rates) > 1:
            names = ", ".join(sorted(rate.name for rate in rates))
            raise RecipeError(f"variables of one recipe share one rate; these are of {names}")
        if not self.rate.longitude:
            raise RecipeError(f"variables of the {self.rate.name} rate are not yet supported")
        taken = RESERVED & set(self.recipe.columns)
        if taken:
            raise RecipeError(f"every table has a column {min(taken)}: give the variable another name")
        self.paths  # noqa: B018  a preset or axis that cannot be is an error now, not in a task
        self.axes  # noqa: B018

    def __repr__(self) -> str:
        return f"<Job {self.digest[:12]}: {len(self.granules)} granules of {self.product.name}>"

    def content(self) -> object:
        """Return what decides the result: not where it is written, nor how work is cut."""
        return (
            FORMAT,
            self.recipe.words(without=_HOW),
            _PRODUCT.dump_python(self.product, mode="json"),
            self.region,
            self.granules,
            # times of granules and PROJ's bounds are in no digest above, and decide what these span
            self.axes or self.curve,
        )

    @cached_property
    def question(self) -> str:
        """Digest of what is asked of each row, but for its time."""
        axes = [axis for axis in self.axes if not isinstance(axis, Period)]
        product = _PRODUCT.dump_python(self.product, mode="json")
        words = self.recipe.words(without=_HOW | {"period", "title", "zarr_format", "search", "duplicates"})
        return digest((FORMAT, words, product, self.region, axes or self.curve))

    @cached_property
    def rate(self) -> Rate:
        """The rate of the variables."""
        return self.product.rate(next(iter(self.recipe.columns.values())))

    @cached_property
    def preset(self) -> Preset | None:
        """The quality rule, if the recipe names one."""
        name = self.recipe.quality
        if name is None:
            return None
        if name not in self.product.quality:
            known = ", ".join(self.product.quality) or "none"
            raise RecipeError(f"{self.product.name} has no quality preset {name!r}; it has {known}")
        return self.product.quality[name]

    @cached_property
    def statistics(self) -> tuple[str, ...]:
        """The statistics asked for, in the recipe's order."""
        return self.recipe.reduce.statistics if self.recipe.reduce else ()

    @cached_property
    def columns(self) -> dict[str, str]:
        """Column name to path below the group, of the variables alone."""
        return {name: self.product.path(variable) for name, variable in self.recipe.columns.items()}

    @cached_property
    def where(self) -> Where | None:
        """The condition on the variables of a row, if the recipe has one."""
        return None if self.recipe.where is None else Where(text=self.recipe.where)

    @cached_property
    def operands(self) -> dict[str, str]:
        """Name in :attr:`where` to path below the group; the recipe's own columns come first."""
        names = () if self.where is None else self.where.names
        return {name: self.columns.get(name) or self.product.path(name) for name in names}

    @cached_property
    def coordinates(self) -> tuple[str, str, str]:
        """Paths of longitude, latitude and time below the group."""
        rate = self.rate
        return (
            self.product.path(rate.longitude),
            self.product.path(rate.latitude),
            self.product.path(rate.time),
        )

    @cached_property
    def timed(self) -> bool:
        """Whether the times of rows matter to what is made of them."""
        reduce = self.recipe.reduce
        periods = reduce is not None and any(axis.period is not None for axis in reduce.by)
        return reduce is None or periods or self.recipe.span is not None

    @cached_property
    def rule(self) -> dict[str, str]:
        """Name in the quality preset to path below the group."""
        conditions = () if self.preset is None else self.preset.conditions
        return {condition.variable: self.product.path(condition.variable) for condition in conditions}

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Everything that is read of a group: coordinates, quality, condition, variables; each once."""
        read = (*self.coordinates, *self.rule.values(), *self.operands.values(), *self.columns.values())
        return tuple(dict.fromkeys(read))

    @cached_property
    def full_paths(self) -> tuple[str, ...]:
        """The same of every group, as full paths in a file."""
        return tuple(f"{group}/{path}" for group in self.product.groups for path in self.paths)

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """What the statistics are grouped by: time first, the grid last; nothing without ``reduce``."""
        axes: list[Axis] = []
        words = self.recipe.reduce.by if self.recipe.reduce else ()
        for axis in words:
            if axis.period is not None:
                start, stop = self.span()
                axes.insert(0, Period.every(axis.period, start=start, stop=stop))
            elif axis.grid is not None:
                axes.append(Grid.over(self.region, crs=axis.grid.crs, resolution=axis.grid.resolution))
        return tuple(axes)

    @cached_property
    def cube(self) -> Cube:
        """The shape of the statistics."""
        return Cube(axes=self.axes)

    @cached_property
    def curve(self) -> Curve:
        """The order of the observations, where they are the result themselves."""
        return Curve.over(self.region)

    def span(self) -> tuple[np.datetime64, np.datetime64]:
        """Return the recipe's period; without one, what the granules' times span.

        Raises
        ------
        CatalogError
            If there is neither.
        """
        if self.recipe.span is not None:
            return self.recipe.span
        if not self.granules or any(granule.start is None for granule in self.granules):
            raise CatalogError("a period axis needs `period`: not every granule states its time")
        spans = [self.interval(granule) for granule in self.granules]
        return min(start for start, _ in spans), max(stop for _, stop in spans)

    def interval(self, granule: Granule) -> tuple[np.datetime64, np.datetime64]:
        """Return the half-open time in which all rows of a granule lie.

        Raises
        ------
        CatalogError
            If the granule states no time.
        """
        if granule.start is None:
            raise CatalogError(f"{granule.id} states no time: give a period")
        if granule.end is not None:
            # the end is the last observation's; a half-open span that holds it goes on a moment longer
            return granule.start, granule.end + np.timedelta64(1, "us")
        return granule.start, granule.start + np.timedelta64(int(self.product.longest * 1e9), "ns")

    def to_json(self) -> str:
        """Return the job as JSON: what the work folder keeps and every process loads once."""
        return self._json

    @cached_property
    def _json(self) -> str:
        return json.dumps(
            {
                "format": FORMAT,
                "recipe": self.recipe.words(without={"product"}),
                "product": _PRODUCT.dump_python(self.product, mode="json"),
                "region": None
                if self.region is None
                else {"crs": self.region.crs, "wkb": shapely.to_wkb(self.region.geometry, hex=True)},
                "granules": _table(self.granules),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Return the job that :meth:`to_json` gave.

        Raises
        ------
        RecipeError
            If the text is of another format version.
        """
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise RecipeError(f"this job is of format {document['format']}, expected {FORMAT}: run it anew")
        region = document["region"]
        product = _PRODUCT.validate_python(document["product"])
        return cls(
            recipe=Recipe.model_validate({**document["recipe"], "product": product}),
            product=product,
            region=region and Region(geometry=shapely.from_wkb(region["wkb"]), crs=region["crs"]),
            granules=GranuleList.from_dataframe(_frame(document["granules"])),
        )


def _table(granules: GranuleList) -> dict[str, list[Any]]:
    """Return what tasks need of granules: neither footprints nor pictures and what else is beside them."""
    columns = granules.to_columns()
    for name in TIMES:
        columns[name] = np.array(columns[name], "M8[ns]").view(np.int64).tolist()
    return {name: values for name, values in columns.items() if name not in _NOT_READ}


def _frame(columns: Mapping[str, list[Any]]) -> gpd.GeoDataFrame:
    absent = dict.fromkeys(_NOT_READ, [None] * len(columns["id"]))
    frame = gpd.GeoDataFrame({**columns, **absent}, geometry="geometry", crs="EPSG:4326")
    return frame.assign(**{name: frame[name].astype("datetime64[ns]") for name in TIMES})
