"""Recipe: one whole analysis as a value, and its YAML form."""

from __future__ import annotations

import dataclasses
import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

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
from eoscale.model.product import Condition, Fill, Preset, Product, Rate, Variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    from pydantic_core import ErrorDetails

STATISTICS = ("count", "sum", "mean", "std", "var", "min", "max")
_LATER_STATISTIC = re.compile(r"median|mode|first|last|valid_fraction|p\d+(\.\d+)?|fraction\(.*\)")
_LARGEST_RECIPE = 1 << 20
_NOT_YET = "is not yet supported by this version of eoscale"


def _not_yet(value: object) -> object:
    if value is not None:
        raise ValueError(_NOT_YET)
    return value


def _not_record(value: object) -> object:
    if value == "record":
        raise ValueError(f"record {_NOT_YET}: leave it out or say raise")
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
            raise ValueError("has exactly one of grid, period, zones and bins")
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
            if _LATER_STATISTIC.fullmatch(name):
                raise ValueError(f"holds {name}, which {_NOT_YET}")
            near = get_close_matches(name, STATISTICS, n=1) or STATISTICS
            raise ValueError(f"holds {name}, which is no statistic; did you mean {', '.join(near)}?")
        if len(set(names)) < len(names):
            raise ValueError("names a statistic twice")
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


class Output(_Words):
    """Where the result goes: exactly one of its words."""

    zarr: str | None = None
    parquet: NotYet = None
    csv: NotYet = None
    json_: NotYet = Field(default=None, alias="json")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if not self.zarr:
            raise ValueError("has exactly one of zarr, parquet, csv and json")
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
    on_error: Annotated[Literal["raise"], BeforeValidator(_not_record)] = "raise"
    max_failed: NotYet = None
    allow_empty: bool = False
    """Publish even when no row was binned."""
    duplicates: NotYet = None
    batch_bytes: int = Field(default=2**30, gt=0)
    """Granules of one task weigh at most this much together, unless one alone is heavier."""
    zarr_format: Literal[2, 3] = 3
    _folder: Path = PrivateAttr(default_factory=Path)

    def __init__(self, /, **words: object) -> None:
        try:
            super().__init__(**words)
        except ValidationError as error:
            raise RecipeError(_explain(error, words, {})) from error

    @field_validator("period", mode="before")
    @classmethod
    def _moments(cls, value: object) -> object:
        if not (isinstance(value, list | tuple) and len(value) == 2):
            return value
        first, last = (_utc(moment) for moment in value)
        if not first < last:
            raise ValueError(f"starts at {first} and stops at {last}: expected start before stop")
        return first.isoformat(), last.isoformat()

    @field_validator("variables")
    @classmethod
    def _one_name_each(cls, value: tuple[str, ...] | dict[str, str]) -> tuple[str, ...] | dict[str, str]:
        names = [_column(name) for name in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if isinstance(value, tuple) and twice:
            raise ValueError(f"has two variables of the column name {twice[0]}: rename one, {{name: path}}")
        return value

    @model_validator(mode="after")
    def _has_all(self) -> Self:
        if self.reduce is None:
            raise ValueError(f"`reduce` is absent: writing the observations themselves {_NOT_YET}")
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
                raise RecipeError(_explain(error.__cause__, words, lines)) from None
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
        return {_column(name): name for name in self.variables}

    def words(self, *, without: Iterable[str] = ()) -> dict[str, Any]:
        """Return the words that differ from their defaults, as plain data that :class:`Recipe` takes."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=set(without))

    def beside(self, path: str) -> str:
        """Return a path of the recipe relative to the recipe's folder; URLs as they are."""
        return path if "://" in path else str(self._folder / path)


def _column(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


def _utc(moment: object) -> pd.Timestamp:
    if moment is None or isinstance(moment, int | float):
        raise ValueError(f"holds {moment}, which is no date: expected e.g. 2024-04-01")
    try:
        # later or earlier than nanoseconds can count is no time of an observation either
        time = pd.Timestamp(moment).as_unit("ns")  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        wanted = "expected one from 1678 to 2261, e.g. 2024-04-01"
        raise ValueError(f"holds {moment}, which is no date: {wanted}") from error
    return time.tz_convert("UTC").tz_localize(None) if time.tz is not None else time


_Path = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """Reads plain data. A date stays text until a word asks for a date: so a wrong one has a line."""

    yaml_constructors: ClassVar = {
        **yaml.SafeLoader.yaml_constructors,
        "tag:yaml.org,2002:timestamp": yaml.SafeLoader.yaml_constructors["tag:yaml.org,2002:str"],
    }


def _load(text: str) -> tuple[dict[str, Any], dict[_Path, int]]:
    """Return the words of a YAML text and the line of each; no aliases, no key twice."""
    try:
        aliased = any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, _Loader))
        node = yaml.compose(text, _Loader)
        words = yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"line {line}: this is no YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"this is no YAML: {error}") from error
    if aliased:
        raise RecipeError("a recipe has no YAML aliases (*name): write the value out")
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
        inner[last] = yaml.load(value, _Loader)  # noqa: S506  a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{key}: {value!r} is no YAML value") from error


_VOCABULARY: dict[str | int, Any] = {
    "product": Product,
    "rates": Rate,
    "variables": Variable,
    "fill": Fill,
    "quality": Preset,
    "conditions": Condition,
    "search": Search,
    "granules": Synthetic,
    "reduce": Reduce,
    "by": By,
    "grid": GridWords,
    "output": Output,
}
_EXPECTED = {
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping of words",
    "dataclass_type": "a mapping of words",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
}
"""What pydantic's types of faults want, in the words of YAML."""


def _explain(error: ValidationError, words: Mapping[str, Any], lines: Mapping[_Path, int]) -> str:
    """Return all faults, each with the line it stands in and the nearest valid word."""
    found = [(_known(fault, words), fault) for fault in error.errors()]
    deepest = {path[:n] for path, _ in found for n in range(len(path))}
    faults: dict[_Path, list[ErrorDetails]] = {}
    for path, fault in found:
        # what is wrong inside a value says more than that the value is not of another allowed type
        if path not in deepest:
            faults.setdefault(path, []).append(fault)
    texts = []
    for path, alternatives in faults.items():
        sentence = _sentence(alternatives, path)
        line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
        texts.append((line or len(lines) + 1, f"line {line}: {sentence}" if line else sentence))
    return "; ".join(text for _, text in sorted(texts, key=lambda pair: pair[0]))


def _known(fault: ErrorDetails, words: Mapping[str, Any]) -> _Path:
    """Return where a fault is, without what pydantic puts in for the alternatives of a union."""
    path: _Path = ()
    value: Any = words
    for step in fault["loc"]:
        in_list = isinstance(value, list | tuple) and isinstance(step, int) and step < len(value)
        if in_list or (isinstance(value, dict) and step in value):
            path, value = (*path, step), value[step]
    return (*path, fault["loc"][-1]) if fault["type"] in ("missing", "missing_argument") else path


def _sentence(alternatives: Sequence[ErrorDetails], path: _Path) -> str:
    """Return what is wrong at one place, of which each allowed type may have its own opinion."""
    word = ".".join(str(step) for step in path)
    fault = alternatives[0]
    match fault["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            known = _words_of(path)
            near = get_close_matches(str(path[-1]), known, n=1) or known
            return f"`{word}` is no word of a recipe; did you mean {', '.join(near)}?"
        case "missing" | "missing_argument":
            return f"`{word}` is missing"
        case "too_short" if not fault["input"]:
            return f"`{word}` is empty: expected at least one item"
        case "too_long":
            return f"`{word}` has {len(fault['input'])} items: expected {fault['ctx']['max_length']}"
        case kind if kind in _EXPECTED:
            wanted = dict.fromkeys(_EXPECTED.get(other["type"], "") for other in alternatives)
            return f"`{word}` is {_kind(fault['input'])}: expected {' or '.join(filter(None, wanted))}"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"`{word}` {message[:1].lower()}{message[1:]}" if word else message


def _kind(value: object) -> str:
    """Return what a value is, without showing text that may hold a secret."""
    match value:
        case None:
            return "empty"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case dict():
            return "a mapping"
    return str(value)


def _words_of(path: _Path) -> list[str]:
    """Return the words that may stand where the last step of a path does."""
    kind: Any = next((_VOCABULARY[step] for step in reversed(path[:-1]) if step in _VOCABULARY), Recipe)
    if issubclass(kind, BaseModel):
        return [field.alias or name for name, field in kind.model_fields.items()]
    return [field.name for field in dataclasses.fields(kind)]


def schema() -> dict[str, Any]:
    """Return the JSON Schema of recipes, for editors."""
    return Recipe.model_json_schema()
