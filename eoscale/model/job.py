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
from eoscale.model.columns import LATITUDE, LONGITUDE, TIME
from eoscale.model.cube import Cube
from eoscale.model.digest import Digested
from eoscale.model.granule import Granule, GranuleList
from eoscale.model.grid import Grid
from eoscale.model.period import Period
from eoscale.model.product import Preset, Product, Rate
from eoscale.model.recipe import Recipe
from eoscale.model.region import Region

FORMAT = 1
"""Version of the job's JSON form; another one is refused."""
_HOW = frozenset({"output", "batch_bytes", "on_error", "max_failed", "product", "region", "granules"})
"""Words of a recipe that do not decide the result, or that the job holds in a resolved form."""


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
        rates = {self.product.rate(name) for name in self.recipe.columns.values()}
        if len(rates) > 1:
            names = ", ".join(sorted(rate.name for rate in rates))
            raise RecipeError(f"variables of one recipe share one rate; these are of {names}")
        if not self.rate.longitude:
            raise RecipeError(f"variables of the {self.rate.name} rate are not yet supported")
        taken = {LONGITUDE, LATITUDE, TIME} & set(self.recipe.columns)
        if taken:
            raise RecipeError(f"{', '.join(taken)} names a coordinate: give the variable another name")
        self.paths  # noqa: B018  a preset or axis that cannot be is an error now, not in a task
        self.cube  # noqa: B018

    def __repr__(self) -> str:
        return f"<Job {self.digest[:12]}: {len(self.granules)} granules of {self.product.name}>"

    def content(self) -> object:
        """Return what decides the result: not where it is written, nor how work is cut."""
        return (
            FORMAT,
            self.recipe.words(without=_HOW),
            TypeAdapter(Product).dump_python(self.product, mode="json"),
            self.region,
            self.granules,
            # times of granules and PROJ's bounds are in no digest above, and decide what the axes span
            self.cube.axes,
        )

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
    def paths(self) -> tuple[str, ...]:
        """Everything that is read of a group: coordinates, quality, variables; each once."""
        coordinates = [self.rate.longitude, self.rate.latitude, self.rate.time]
        rule = [] if self.preset is None else [c.variable for c in self.preset.conditions]
        names = [*coordinates, *rule]
        return tuple(dict.fromkeys([*map(self.product.path, names), *self.columns.values()]))

    @cached_property
    def cube(self) -> Cube:
        """The shape of the result: time first, the grid last."""
        axes: list[Axis] = []
        words = self.recipe.reduce.by if self.recipe.reduce else ()
        for axis in words:
            if axis.period is not None:
                start, stop = self.span()
                axes.insert(0, Period.every(axis.period, start=start, stop=stop))
            elif axis.grid is not None:
                axes.append(Grid.over(self.region, crs=axis.grid.crs, resolution=axis.grid.resolution))
        return Cube(axes=tuple(axes))

    def span(self) -> tuple[np.datetime64, np.datetime64]:
        """Return the recipe's period; without one, what the granules' times span.

        Raises
        ------
        CatalogError
            If there is neither.
        """
        if self.recipe.span is not None:
            return self.recipe.span
        timed = [granule for granule in self.granules if granule.start is not None]
        if not timed or len(timed) < len(self.granules):
            raise CatalogError("a period axis needs `period`: not every granule states its time")
        return min(_start(granule) for granule in timed), max(self._end(granule) for granule in timed)

    def _end(self, granule: Granule) -> np.datetime64:
        if granule.end is not None:
            # the end is the last observation's; a half-open span that holds it goes on a moment longer
            return granule.end + np.timedelta64(1, "us")
        return _start(granule) + np.timedelta64(int(self.product.longest * 1e9), "ns")

    def to_json(self) -> str:
        """Return the job as JSON: what the work folder keeps and every process loads once."""
        frame = self.granules.to_dataframe()
        return json.dumps(
            {
                "format": FORMAT,
                "recipe": self.recipe.words(without={"product"}),
                "product": TypeAdapter(Product).dump_python(self.product, mode="json"),
                "region": None
                if self.region is None
                else {"crs": self.region.crs, "wkb": shapely.to_wkb(self.region.geometry, hex=True)},
                "granules": _table(frame),
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
        product = TypeAdapter(Product).validate_python(document["product"])
        return cls(
            recipe=Recipe.model_validate({**document["recipe"], "product": product}),
            product=product,
            region=region and Region(geometry=shapely.from_wkb(region["wkb"]), crs=region["crs"]),
            granules=GranuleList.from_dataframe(_frame(document["granules"])),
        )


def _start(granule: Granule) -> np.datetime64:
    if granule.start is None:
        raise CatalogError(f"{granule.id} states no time")
    return granule.start


def _table(frame: gpd.GeoDataFrame) -> dict[str, list[Any]]:
    columns = {
        name: frame[name].tolist() for name in frame.columns if name not in ("geometry", "start", "end")
    }
    for name in ("start", "end"):
        columns[name] = frame[name].astype("int64").tolist()
    columns["geometry"] = [shapely.to_wkb(shape, hex=True) if shape else None for shape in frame.geometry]
    return columns


def _frame(columns: Mapping[str, list[Any]]) -> gpd.GeoDataFrame:
    geometry = shapely.from_wkb(np.array(columns["geometry"], dtype=object))
    frame = gpd.GeoDataFrame({**columns, "geometry": geometry}, geometry="geometry", crs="EPSG:4326")
    return frame.assign(**{name: frame[name].astype("datetime64[ns]") for name in ("start", "end")})
