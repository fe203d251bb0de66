"""Recipe: one whole analysis as a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, field_validator

from eoscale.errors import RecipeError
from eoscale.model.product import Product
from eoscale.model.recipe_faults import explain
from eoscale.model.recipe_text import change, load
from eoscale.model.vocabulary import Duplicates, Failures, Output, Reduce, Search, Synthetic, Words
from eoscale.model.where import Where

_LARGEST_RECIPE = 1 << 20


class Recipe(Words):
    """One whole analysis.

    The constructor takes the same words as the YAML form, which :meth:`from_file` reads.

    Raises
    ------
    RecipeError
        If a word is unknown, has a wrong value, or is not yet supported; from YAML, names the line.

    Examples
    --------
    >>> recipe = Recipe.from_yaml('''
    ... product: ATL06
    ... granules: "*.h5"
    ... variables: [h_li]
    ... reduce:
    ...   by: [{grid: {crs: EPSG:3413, resolution: 1000}}, {period: 1MS}]
    ...   statistics: [count, mean]
    ... output: {zarr: out.zarr}
    ... ''')
    >>> recipe.columns
    {'h_li': 'h_li'}
    >>> Recipe.from_yaml("prodct: ATL06")
    Traceback (most recent call last):
    eoscale.errors.RecipeError: line 1: `prodct` is no word of a recipe; did you mean product?; ...
    """

    title: str = ""
    product: str | Product
    """A registered product, or a description of one."""
    search: Search = Search()
    granules: str | tuple[str, ...] | Synthetic | None = None
    """A glob, a file of URLs, a saved granule list, some of them, or miniature granules."""
    period: tuple[str | None, str | None] | None = None
    """UTC, half-open: clips rows by observation time. A recipe that is only searched for may leave one end
    open, by null."""
    region: str | tuple[float, float, float, float] | None = None
    """A file of polygons, or west, south, east, north."""
    variables: Annotated[tuple[str, ...] | dict[str, str], Field(min_length=1)] = ()
    """Names of the product or paths in its groups; a mapping gives them new names. A recipe that is only
    searched for needs none."""
    quality: str | None = None
    """A preset of the product."""
    where: str | None = None
    """A condition on the variables of a row; rows that lack a value of one do not meet it."""
    reduce: Reduce | None = None
    """Statistics; without it the observations themselves are the result."""
    output: Output | None = None
    """Where the result goes, unless a run is told so otherwise."""
    on_error: Literal["raise", "record"] = "raise"
    """Whether a granule that failed stops publication, or is left out and named in the result."""
    max_failed: Failures = None
    """With ``record``: how many granules may fail, ``3``, or which share of those to be read, ``5%``."""
    allow_empty: bool = False
    """Publish even when no row was binned."""
    duplicates: Literal["newest", "keep"] | Duplicates = "newest"
    """Of one observation in several versions or copies: which one counts."""
    batch_bytes: int = Field(default=2**30, gt=0)
    """Granules of one task weigh at most this much together, unless one alone is heavier."""
    zarr_format: Literal[2, 3] = 3
    _folder: Path = PrivateAttr(default_factory=Path)

    def __init__(self, /, **words: object) -> None:
        try:
            super().__init__(**words)
        except ValidationError as error:
            raise RecipeError(explain(error, type(self), words, {})) from error

    @field_validator("period", mode="before")
    @classmethod
    def _moments(cls, value: object) -> object:
        if not (isinstance(value, list | tuple) and len(value) == 2):
            return value
        return tuple(None if each is None else pd.Timestamp(each).isoformat() for each in moments(value))

    @field_validator("variables")
    @classmethod
    def _one_name_each(cls, value: tuple[str, ...] | dict[str, str]) -> tuple[str, ...] | dict[str, str]:
        names = [_column(name) for name in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if isinstance(value, tuple) and twice:
            raise ValueError(f"has two variables of the column name {twice[0]}: rename one, {{name: path}}")
        return value

    @field_validator("where")
    @classmethod
    def _condition(cls, text: str | None) -> str | None:
        return None if text is None else Where(text=text).text

    @field_validator("output")
    @classmethod
    def _fits(cls, output: Output | None, info: ValidationInfo) -> Output | None:
        if output is not None and "reduce" in info.data:
            statistics = info.data["reduce"] is not None
            if statistics and output.kind != "zarr":
                raise ValueError(f"is {output.kind}: statistics go to zarr, observations have no `reduce`")
            if not statistics and output.kind == "zarr":
                raise ValueError("is zarr: without `reduce`, observations go to parquet, csv or json")
        return output

    @field_validator("max_failed")
    @classmethod
    def _of_recorded(cls, value: int | str | None, info: ValidationInfo) -> int | str | None:
        if value is not None and info.data.get("on_error") == "raise":
            raise ValueError(
                f"is {value}, and on_error is raise, which allows no failure: "
                "write on_error: record beside it, or leave max_failed out"
            )
        return value

    @classmethod
    def from_file(cls, path: str | PathLike[str], changes: Mapping[str, str] | None = None) -> Recipe:
        """Return the recipe of a YAML file; its region and granules are relative to that file.

        Parameters
        ----------
        path : path
        changes : mapping of str to str, optional
            Dotted words and the YAML that replaces their values: ``{"search.version": '"006"'}``.

        Raises
        ------
        RecipeError
            If the file cannot be read, is larger than 1 MiB, or is no recipe.
        """
        file = Path(path)
        try:
            with file.open(encoding="utf-8") as stream:
                text = stream.read(_LARGEST_RECIPE + 1)
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"the recipe {file} cannot be read: {error}") from error
        if len(text) > _LARGEST_RECIPE:
            raise RecipeError(f"the recipe {file} is larger than 1 MiB: that is no recipe")
        recipe = cls.from_yaml(text, changes)
        recipe._folder = file.parent  # noqa: SLF001  its own class
        return recipe

    @classmethod
    def from_yaml(cls, text: str, changes: Mapping[str, str] | None = None) -> Recipe:
        """Return the recipe of a YAML text, with some words changed.

        Raises
        ------
        RecipeError
            Names the line.
        """
        words, lines = load(text)
        for key, value in (changes or {}).items():
            change(words, key, value)
        try:
            return cls(**words)
        except RecipeError as error:
            if isinstance(error.__cause__, ValidationError):
                raise RecipeError(explain(error.__cause__, cls, words, lines)) from None
            raise

    def __repr__(self) -> str:
        name = self.product if isinstance(self.product, str) else self.product.name
        columns = ", ".join(self.columns) or "granules"
        return f"<Recipe {self.title or 'without title'}: {columns} of {name}>"

    __str__ = __repr__

    @property
    def columns(self) -> dict[str, str]:
        """Column name to variable: a path gives its last part as name."""
        if isinstance(self.variables, dict):
            return dict(self.variables)
        return {_column(name): name for name in self.variables}

    @property
    def span(self) -> tuple[np.datetime64, np.datetime64] | None:
        """Start and stop of the period, UTC; None where the recipe has none.

        Raises
        ------
        RecipeError
            If it has one of them only.
        """
        start, stop = self.searched or (None, None)
        if self.period is None:
            return None
        if start is None or stop is None:
            raise RecipeError(
                f"the period is open at {'its start' if start is None else 'its end'}: give both"
            )
        return start, stop

    @property
    def searched(self) -> tuple[np.datetime64 | None, np.datetime64 | None] | None:
        """Start and stop of the period, either of which may be None; None where the recipe has none."""
        if self.period is None:
            return None
        start, stop = (None if moment is None else np.datetime64(moment, "ns") for moment in self.period)
        return start, stop

    def words(self, *, without: Iterable[str] = ()) -> dict[str, Any]:
        """Return the words that differ from their defaults, as plain data that :class:`Recipe` takes."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=set(without))

    def beside(self, path: str) -> str:
        """Return a path of the recipe relative to the recipe's folder; URLs as they are."""
        return path if "://" in path else str(self._folder / path)


def moments(period: Sequence[object]) -> tuple[np.datetime64 | None, np.datetime64 | None]:
    """Return start and stop of a period, UTC, of anything that pandas reads as times; None of an open end.

    Raises
    ------
    ValueError
        If they are no times, start is not before stop, or both are open.

    Examples
    --------
    >>> moments(["2024-04-01", "2024-07-01T02:00+02:00"])
    (np.datetime64('2024-04-01T00:00:00.000000000'), np.datetime64('2024-07-01T00:00:00.000000000'))
    """
    if all(moment is None for moment in period):
        raise ValueError("is open at both ends: give one of them, or leave it out")
    first, last = (None if moment is None else _utc(moment) for moment in period)
    if first is not None and last is not None and not first < last:
        raise ValueError(f"starts at {first} and stops at {last}: expected start before stop")
    start, stop = (None if moment is None else moment.to_datetime64() for moment in (first, last))
    return start, stop


def _column(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


def _utc(moment: object) -> pd.Timestamp:
    if isinstance(moment, int | float):
        raise ValueError(f"holds {moment}, which is no date: expected e.g. 2024-04-01")  # noqa: TRY004
    try:
        # later or earlier than nanoseconds can count is no time of an observation either
        time = pd.Timestamp(moment).as_unit("ns")  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        wanted = "expected one from 1678 to 2261, e.g. 2024-04-01"
        raise ValueError(f"holds {moment}, which is no date: {wanted}") from error
    return time.tz_convert("UTC").tz_localize(None) if time.tz is not None else time


def schema() -> dict[str, Any]:
    """Return the JSON Schema of recipes, for editors."""
    return Recipe.model_json_schema()
