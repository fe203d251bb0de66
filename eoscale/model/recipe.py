"""Recipe: one whole analysis as a value, and its YAML form."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import pandas as pd
import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from eoscale.errors import RecipeError
from eoscale.model.product import Product

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from os import PathLike

    from pydantic_core import ErrorDetails

STATISTICS = ("count", "sum", "mean", "std", "var", "min", "max")
_LARGEST_RECIPE = 1 << 20
_NOT_YET = "is not yet supported by this version of eoscale"


def _not_yet(value: object) -> object:
    if value is not None:
        raise ValueError(_NOT_YET)
    return value


def _quoted(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'is the number {value}: versions are strings, write it in quotes, e.g. "006"')  # noqa: TRY004
    return value


NotYet = Annotated[Any, AfterValidator(_not_yet)]
"""A word of the vocabulary that a later version gives a meaning to."""


class _Words(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class Search(_Words):
    """What to ask a catalogue for, or to demand of listed granules."""

    version: Annotated[str | None, BeforeValidator(_quoted)] = None
    provider: NotYet = None
    collections: NotYet = None
    concept_id: NotYet = None
    name: NotYet = None
    filter: NotYet = None
    frame: NotYet = None
    orbit: NotYet = None
    rgt: NotYet = None
    cycle: NotYet = None
    cloud_hosted: NotYet = None
    timeliness: NotYet = None
    max_items: NotYet = None


class Synthetic(_Words):
    """Miniature granules, made from a seed."""

    synthetic: int = Field(gt=0)
    seed: int = 0


class GridWords(_Words):
    """A grid of square cells."""

    crs: str
    resolution: float = Field(gt=0)


class By(_Words):
    """One axis: exactly one of its words."""

    grid: GridWords | None = None
    period: str | None = None
    zones: NotYet = None
    bins: NotYet = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.grid is None) == (self.period is None):
            raise ValueError("an item of `by` has exactly one of grid, period, zones and bins")
        return self


class Reduce(_Words):
    """Statistics on axes."""

    by: tuple[By, ...] = Field(min_length=1)
    statistics: tuple[str, ...] = Field(min_length=1)
    mean_of: NotYet = None

    @field_validator("statistics")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name in STATISTICS:
                continue
            if name in ("median", "mode", "first", "last") or name.startswith(("p", "fraction(")):
                raise ValueError(f"statistic {name} {_NOT_YET}")
            near = get_close_matches(name, STATISTICS, n=1) or STATISTICS
            raise ValueError(f"{name!r} is no statistic; did you mean {', '.join(near)}?")
        if len(set(names)) < len(names):
            raise ValueError("a statistic is named twice")
        return names

    @field_validator("by")
    @classmethod
    def _each_once(cls, axes: tuple[By, ...]) -> tuple[By, ...]:
        if (
            sum(axis.grid is not None for axis in axes) > 1
            or sum(axis.period is not None for axis in axes) > 1
        ):
            raise ValueError("`by` names one axis twice")
        return axes


class Output(_Words):
    """Where the result goes: exactly one of its words."""

    zarr: str | None = None
    parquet: NotYet = None
    csv: NotYet = None
    json_: NotYet = Field(default=None, alias="json")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if not self.zarr:
            raise ValueError("output has exactly one of zarr, parquet, csv and json")
        return self


class Recipe(_Words):
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
    period: tuple[str, str] | None = None
    """UTC, half-open: clips rows by observation time."""
    region: str | tuple[float, float, float, float] | None = None
    """A file of polygons, or west, south, east, north."""
    variables: tuple[str, ...] | dict[str, str] = Field(min_length=1)
    """Names of the product or paths in its groups; a mapping gives them new names."""
    quality: str | None = None
    """A preset of the product."""
    where: NotYet = None
    reduce: Reduce | None = None
    output: Output
    on_error: Literal["raise"] = "raise"
    max_failed: NotYet = None
    allow_empty: bool = False
    """Publish even when no row was binned."""
    duplicates: NotYet = None
    batch_bytes: int = Field(default=256 * 2**20, gt=0)
    """Granules of one task weigh at most this much together, unless one alone is heavier."""
    zarr_format: Literal[2, 3] = 3
    _folder: Path = PrivateAttr(default_factory=Path)

    def __init__(self, **words: object) -> None:
        try:
            super().__init__(**words)
        except ValidationError as error:
            raise RecipeError(_explain(error, {})) from error

    @field_validator("period", mode="before")
    @classmethod
    def _moments(cls, value: object) -> object:
        if not (isinstance(value, list | tuple) and len(value) == 2):
            return value
        first, last = (_utc(moment) for moment in value)
        if not first < last:
            raise ValueError(f"starts at {first} and stops at {last}: expected start before stop")
        return first.isoformat(), last.isoformat()

    @field_validator("reduce")
    @classmethod
    def _reduced(cls, value: Reduce | None) -> Reduce:
        if value is None:
            raise ValueError(f"is absent: writing the observations themselves {_NOT_YET}")
        return value

    @model_validator(mode="after")
    def _has_all(self) -> Self:
        if self.reduce is None:
            self._reduced(None)
        if isinstance(self.variables, tuple) and len(self.columns) < len(self.variables):
            raise ValueError("two variables have one column name: rename one, {name: path}")
        return self

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
        words, lines = _load(text)
        for key, value in (changes or {}).items():
            _change(words, key, value)
        try:
            return cls(**words)
        except RecipeError as error:
            if isinstance(error.__cause__, ValidationError):
                raise RecipeError(_explain(error.__cause__, lines)) from None
            raise

    def __repr__(self) -> str:
        name = self.product if isinstance(self.product, str) else self.product.name
        return f"<Recipe {self.title or 'without title'}: {', '.join(self.columns)} of {name}>"

    __str__ = __repr__

    @property
    def columns(self) -> dict[str, str]:
        """Column name to variable: a path gives its last part as name."""
        if isinstance(self.variables, dict):
            return dict(self.variables)
        return {name.rpartition("/")[2]: name for name in self.variables}

    def words(self, *, without: Iterable[str] = ()) -> dict[str, Any]:
        """Return the words that differ from their defaults, as plain data that :class:`Recipe` takes."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=set(without))

    def beside(self, path: str) -> str:
        """Return a path of the recipe relative to the recipe's folder; URLs as they are."""
        return path if "://" in path else str(self._folder / path)


def _utc(moment: object) -> pd.Timestamp:
    if isinstance(moment, int | float):
        raise ValueError(f"{moment} is no date: expected e.g. 2024-04-01")  # noqa: TRY004
    try:
        time = pd.Timestamp(moment)  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{moment!r} is no date: expected e.g. 2024-04-01") from error
    return time.tz_convert("UTC").tz_localize(None) if time.tz is not None else time


_Path = tuple[str | int, ...]


def _load(text: str) -> tuple[dict[str, Any], dict[_Path, int]]:
    """Return the words of a YAML text and the line of each; no aliases, no key twice."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise RecipeError("a recipe has no YAML aliases (*name): write the value out")
        node = yaml.compose(text, yaml.SafeLoader)
        words = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"line {line}: this is no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"this is no YAML: {error}") from error
    if not isinstance(words, dict) or not all(isinstance(word, str) for word in words):
        raise RecipeError("a recipe is a mapping of words to values, e.g. `product: ATL06`")
    lines: dict[_Path, int] = {}
    for path, line in _lines(node, ()):
        if path in lines:
            raise RecipeError(f"line {line}: `{path[-1]}` stands in line {lines[path]} already")
        lines[path] = line
    return words, lines


def _lines(node: yaml.Node | None, path: _Path) -> Iterator[tuple[_Path, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _lines(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*path, number), value.start_mark.line + 1
            yield from _lines(value, (*path, number))


def _change(words: dict[str, Any], key: str, value: str) -> None:
    *parents, last = key.split(".")
    inner: Any = words
    for parent in parents:
        inner = inner.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"{key}: `{parent}` is no mapping, so it has no word `{last}`")
    try:
        inner[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"{key}: {value!r} is no YAML value") from error


_VOCABULARY: dict[str, type[BaseModel]] = {
    "": Recipe,
    "search": Search,
    "granules": Synthetic,
    "reduce": Reduce,
    "by": By,
    "grid": GridWords,
    "output": Output,
}


def _explain(error: ValidationError, lines: Mapping[_Path, int]) -> str:
    """Return all faults, each with the line it stands in and the nearest valid word."""
    faults: dict[_Path, str] = {}
    for fault in error.errors():
        # a value of several allowed types fails once for each: one line says enough
        path = _known(fault["loc"], lines)
        faults.setdefault(path, _sentence(fault, path))
    texts = []
    for path, sentence in faults.items():
        line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
        texts.append((line or len(lines) + 1, f"line {line}: {sentence}" if line else sentence))
    return "; ".join(text for _, text in sorted(texts, key=lambda pair: pair[0]))


def _known(loc: _Path, lines: Mapping[_Path, int]) -> _Path:
    """Return the location without what pydantic puts in for the alternatives of a union."""
    path: _Path = ()
    for step in loc:
        if (*path, step) in lines or isinstance(step, int) or not lines:
            path = (*path, step)
    return path or loc[:1]


def _sentence(fault: ErrorDetails, path: _Path) -> str:
    word = ".".join(str(step) for step in path)
    if fault["type"] == "extra_forbidden":
        parent = next((step for step in reversed(path[:-1]) if isinstance(step, str)), "")
        model = _VOCABULARY.get(parent, Recipe)
        words = [field.alias or name for name, field in model.model_fields.items()]
        near = get_close_matches(str(path[-1]), words, n=1) or words
        return f"`{word}` is no word of a recipe; did you mean {', '.join(near)}?"
    message = fault["msg"].removeprefix("Value error, ")
    return f"`{word}` {message[:1].lower()}{message[1:]}" if word else message


def schema() -> dict[str, Any]:
    """Return the JSON Schema of recipes, for editors."""
    return Recipe.model_json_schema()
