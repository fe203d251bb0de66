"""Words that commands have in common: options, and how facts are told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from eoscale.errors import RecipeError
from eoscale.model.recipe import Recipe
from eoscale.plot import tables

app = typer.Typer(
    help="Granule lists to lazy Dask graphs to Zarr.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
out = Console(soft_wrap=True, markup=False, emoji=False)  # paths may look like either
err = Console(stderr=True, soft_wrap=True)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="A YAML file.")]
OutputPath = Annotated[str, typer.Argument(metavar="OUTPUT", help="What a run published: a path or URL.")]
ListPath = Annotated[
    str, typer.Argument(metavar="LIST", help="A glob, a text file of URLs, a granule list, or a name.")
]
Granules = Annotated[
    str | None, typer.Option(metavar="LIST", help="A glob, a text file of URLs, or a granule list.")
]
Sample = Annotated[int | None, typer.Option(metavar="N", help="Only N granules, spread evenly.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a word: quality=best.")
]
Cluster = Annotated[str, typer.Option(metavar="WHERE", help="local or tcp://HOST:PORT.")]
Workers = Annotated[int | None, typer.Option(metavar="N", help="Of a local cluster.")]
ProductName = Annotated[str | None, typer.Option("--product", metavar="NAME")]
Json = Annotated[bool, typer.Option("--json", help="The same facts for machines.")]


def recipe_of(path: Path, changes: list[str] | None) -> Recipe:
    """Return the recipe of a file, with some words changed."""
    return Recipe.from_file(path, dict(_pair(change) for change in changes or ()))


def _pair(change: str) -> tuple[str, str]:
    key, equals, value = change.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {change!r}: expected KEY=VALUE, such as quality=best")
    return key, value


def tell(facts: Mapping[str, Any], *, as_json: bool) -> None:
    """Print facts for a person, or for machines."""
    if as_json:
        say(facts)
    else:
        out.print(tables.facts(facts), highlight=False)


def say(facts: Mapping[str, Any]) -> None:
    """Print facts for machines."""
    typer.echo(json.dumps(facts, indent=2))
