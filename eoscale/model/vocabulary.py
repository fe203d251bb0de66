"""Vocabulary: the words of a recipe below its top, and what each may say.

The vocabulary is frozen: a word that a later version gives a meaning to is known already, and refused with
"not yet".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from eoscale.errors import RecipeError

STATISTICS = ("count", "sum", "mean", "std", "var", "min", "max")
_LATER_STATISTIC = re.compile(r"median|mode|first|last|valid_fraction|p\d+(\.\d+)?|fraction\(.*\)")
_SHARE = r"^(100(\.0{1,9})?|[0-9]{1,2}(\.[0-9]{1,9})?) ?%$"
NOT_YET = "is not yet supported by this version of eoscale"


def _not_yet(value: object) -> object:
    if value is not None:
        raise ValueError(NOT_YET)
    return value


def _quoted(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'is the number {value}: versions are strings, write it in quotes, e.g. "006"')  # noqa: TRY004
    return value


def _failures(value: object) -> object:
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if value is None or number or (isinstance(value, str) and re.fullmatch(_SHARE, value)):
        return value
    raise PydanticCustomError("failures", "is neither a number nor a share of granules")


NotYet = Annotated[Any, AfterValidator(_not_yet)]
"""A word of the vocabulary that a later version gives a meaning to."""
Failures = Annotated[
    Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=_SHARE)] | None, BeforeValidator(_failures)
]
"""How many granules may fail: a number, or a share of those to be read. No fraction: 1.0 could be either."""


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,) if isinstance(value, str | int) else value


_T = TypeVar("_T")
Several: TypeAlias = Annotated[tuple[_T, ...], BeforeValidator(_several)]
"""One, or a list."""


class Words(BaseModel):
    """Words and nothing else: an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class Crossing(Words):
    """Reference ground tracks of ICESat-2 that come near the region."""

    orbits: str | None = None
    """A file of them, lines with a column ``orbit`` or KML; computed unless given."""
    within: float = Field(default=30.0, ge=0, le=1000)
    """Kilometres: the instrument points off its track over land."""


class Search(Words):
    """What to ask a catalogue for, or to demand of listed granules."""

    version: Annotated[str | None, BeforeValidator(_quoted)] = None
    provider: str | None = None
    """``cmr``, ``maap``, ``cdse``, the address of a STAC API, or a provider of CMR such as NSIDC_CPRD."""
    collections: Several[str] = ()
    concept_id: Several[Annotated[str, Field(pattern=r"^C[0-9]+-[A-Z0-9_]+$")]] = ()
    """Of collections of CMR."""
    name: Several[str] = ()
    """Of granules, with ``*`` and ``?`` for what may be anything."""
    filter: str | None = None
    """CQL2 text for STAC, OData for Copernicus."""
    frame: Several[Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$")]] = ()
    orbit: Several[Annotated[int, Field(ge=0)]] = ()
    rgt: Several[Annotated[int, Field(ge=1, le=1387)]] | Literal["crossing"] | Crossing = ()
    """Reference ground tracks by number; or ``crossing``, those that come near the region."""
    cycle: Several[Annotated[int, Field(ge=0, le=99)]] = ()
    cloud_hosted: bool | None = None
    timeliness: Literal["NR", "ST", "NT"] | None = None
    max_items: Annotated[int, Field(gt=0)] | None = None
    """The first so many that a catalogue gives: such a list says that it is truncated."""


class Duplicates(Words):
    """Which of several versions or copies of one observation to keep, where the newest is not wanted."""

    version: Annotated[str | None, BeforeValidator(_quoted)] = None
    provider: str | None = None
    timeliness: Literal["NR", "ST", "NT"] | None = None


class Synthetic(Words):
    """Miniature granules, made from a seed."""

    synthetic: int = Field(gt=0)
    seed: int = 0


class GridWords(Words):
    """A grid of square cells."""

    crs: str
    resolution: float = Field(gt=0)


class By(Words):
    """One axis: exactly one of its words."""

    grid: GridWords | None = None
    period: str | None = None
    zones: NotYet = None
    bins: NotYet = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.grid is None) == (self.period is None):
            raise ValueError("has exactly one of grid, period, zones and bins")
        return self


def check_statistics(names: Sequence[str]) -> None:
    """Refuse names that are no statistics, not yet, or twice there.

    Raises
    ------
    RecipeError
    """
    for name in names:
        if name in STATISTICS:
            continue
        if _LATER_STATISTIC.fullmatch(name):
            raise RecipeError(f"holds {name}, which {NOT_YET}")
        near = get_close_matches(name, STATISTICS, n=1) or STATISTICS
        raise RecipeError(f"holds {name}, which is no statistic; did you mean {', '.join(near)}?")
    if len(set(names)) < len(names):
        raise RecipeError("names a statistic twice")


class Reduce(Words):
    """Statistics on axes."""

    by: tuple[By, ...] = Field(min_length=1)
    statistics: tuple[str, ...] = Field(min_length=1)
    mean_of: NotYet = None

    @field_validator("statistics")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        check_statistics(names)
        return names

    @field_validator("by")
    @classmethod
    def _each_once(cls, axes: tuple[By, ...]) -> tuple[By, ...]:
        if (
            sum(axis.grid is not None for axis in axes) > 1
            or sum(axis.period is not None for axis in axes) > 1
        ):
            raise ValueError("names one axis twice")
        return axes


class Output(Words):
    """Where the result goes: exactly one of its words."""

    zarr: str | None = None
    """Of statistics."""
    icechunk: str | None = None
    """Of statistics, too: a repository, in which a run is one commit, and may replace what another made."""
    parquet: str | None = None
    csv: str | None = None
    json_: str | None = Field(default=None, alias="json")
    """Of the observations themselves."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1 or not self.path:
            raise ValueError("has exactly one of zarr, icechunk, parquet, csv and json")
        return self

    @property
    def path(self) -> str:
        """Where it goes."""
        return self.zarr or self.icechunk or self.parquet or self.csv or self.json_ or ""

    @property
    def kind(self) -> Literal["zarr", "parquet", "csv", "json"]:
        """What it is; what an Icechunk repository holds is Zarr, too."""
        return "parquet" if self.parquet else "csv" if self.csv else "json" if self.json_ else "zarr"
