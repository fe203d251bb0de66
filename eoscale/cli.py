"""The command line: thin words over the library's functions.

Exit status: 0 published or done, 2 wrong use or recipe, 3 not published, 4 no access, 130 interrupted, 143
terminated. Results go to standard output, all else to standard error, with ``--json`` an object a line.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console

from eoscale import synthetic
from eoscale.access.endpoints import index_store
from eoscale.catalog import tables as granule_tables
from eoscale.catalog.cmr import catalogue as cmr
from eoscale.errors import AccessError, CatalogError, EoscaleError, IncompleteRunError, RecipeError, scrub
from eoscale.model.recipe import Recipe
from eoscale.plot import report, rows, tables, totals
from eoscale.products import REGISTRY, product
from eoscale.run import Plan, logs, prepare, target
from eoscale.run import run as run_recipe
from eoscale.run.bind import granules_of
from eoscale.run.doctor import examine
from eoscale.run.download import download
from eoscale.run.indexing import index
from eoscale.run.ledger import Ledger, beside
from eoscale.run.progress import shown
from eoscale.run.signals import Interrupted, interruptible
from eoscale.write import places, publish
from eoscale.write.places import Place, place
from eoscale.write.published import open_cube

app = typer.Typer(
    help="Granule lists to lazy Dask graphs to Zarr.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_out = Console(soft_wrap=True, markup=False, emoji=False)  # paths may look like either
_err = Console(stderr=True, soft_wrap=True)
# of typer's own copy of click, or of click: typer exports no name of it
_UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="A YAML file.")]
OutputPath = Annotated[str, typer.Argument(metavar="OUTPUT", help="What a run published: a path or URL.")]
Granules = Annotated[
    str | None, typer.Option(metavar="LIST", help="A glob, a text file of URLs, or a GeoParquet list.")
]
Sample = Annotated[int | None, typer.Option(metavar="N", help="Only N granules, spread evenly.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a word: quality=best.")
]
Cluster = Annotated[str, typer.Option(metavar="WHERE", help="local or tcp://HOST:PORT.")]
Workers = Annotated[int | None, typer.Option(metavar="N", help="Of a local cluster.")]
Json = Annotated[bool, typer.Option("--json", help="The same facts for machines.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell more of what happens.")]
_INTERRUPTED = "nothing unfinished is published; run the same recipe again and it goes on where it stopped"


@app.callback()
def options(*, verbose: Verbose = False) -> None:
    """Hear what holds for all commands."""
    if verbose:
        logs.say_more()


@app.command()
def run(  # noqa: PLR0913  one parameter an option
    recipe: RecipePath,
    *,
    granules: Granules = None,
    output: Annotated[
        str | None, typer.Option(metavar="PATH", help="Or a URL; instead of the recipe's.")
    ] = None,
    cluster: Cluster = "local",
    workers: Workers = None,
    work: Annotated[
        str | None, typer.Option(metavar="DIR", help="Or a URL; instead of <output>.work.")
    ] = None,
    sample: Sample = None,
    change: Changes = None,
    as_json: Json = False,
) -> None:
    """Run a recipe and publish its result."""
    plan = _plan(recipe, granules, sample, change)
    if not as_json:
        _tell(plan.facts(), as_json=False)
    folder = work or os.environ.get("EOSCALE_WORK")
    try:
        with shown(_err, as_json=as_json) as watcher:
            result = run_recipe(
                plan, output=output, cluster=cluster, workers=workers, work=folder, watcher=watcher
            )
    except IncompleteRunError:
        if not as_json:
            with suppress(IncompleteRunError):  # it ended before there was one
                made = beside(place(target(plan.job.recipe, output).path))
                _out.print(tables.text(Ledger.load(made).frame))
        raise
    if as_json:
        _print({"output": str(result.output), "fresh": result.fresh, **_facts(result.ledger)})
        return
    if not result.fresh:
        _out.print(f"{result.output} is already published by this very job: nothing was done")
    _out.print(tables.text(result.ledger.frame))
    _out.print(f"published {result.output}")
    _out.print(f"ledger    {beside(result.output)}")


@app.command()
def plan(
    recipe: RecipePath,
    *,
    granules: Granules = None,
    sample: Sample = None,
    change: Changes = None,
    as_json: Json = False,
) -> None:
    """Say what would be read, computed and written, before any data is."""
    planned = _plan(recipe, granules, sample, change)
    _tell(planned.facts(), as_json=as_json)


@app.command(name="search")
def search_granules(
    recipe: Annotated[Path | None, typer.Argument(metavar="RECIPE", help="A YAML file.")] = None,
    *,
    to: Annotated[
        Path | None, typer.Option("--to", "-o", metavar="LIST", help="GeoParquet that keeps the list.")
    ] = None,
    collections: Annotated[
        str | None, typer.Option(metavar="NAME", help="List NASA's collections of a short name instead.")
    ] = None,
    change: Changes = None,
    as_json: Json = False,
) -> None:
    """Find the granules of a recipe, all of them, and keep the list."""
    if (recipe is None) == (collections is None):
        raise RecipeError("say what to search for: a RECIPE, or --collections NAME")
    if collections is not None:
        found = cmr.collections(collections)
        if as_json:
            _print({"collections": found.to_dict("records")})
        else:
            _out.print(tables.collections(found), highlight=False)
        return
    with _err.status("searching"):
        listed = granules_of(_recipe(cast("Path", recipe), change))
    if to is not None:
        granule_tables.save(listed, to)
    facts = totals.searched(listed.to_dataframe()) | ({"list": str(to)} if to else {})
    _tell(facts, as_json=as_json)


@app.command(name="index")
def build_indexes(
    granules: Annotated[str, typer.Argument(metavar="LIST", help="A glob, a text file of URLs, or a list.")],
    *,
    variables: Annotated[
        list[str] | None, typer.Option("--variable", metavar="NAME", help="All of the product unless given.")
    ] = None,
    name: Annotated[str | None, typer.Option("--product", metavar="NAME")] = None,
    cluster: Cluster = "local",
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Build the chunk indexes of granules ahead: later runs read no HDF5 metadata."""
    with shown(_err, as_json=as_json) as watcher:
        told = index(
            granules, variables=variables, product=name, cluster=cluster, workers=workers, watcher=watcher
        )
    failed = told[told["status"] == "failed"]
    facts = {**totals.indexed(told), "kept in": scrub(index_store())}
    _tell({**facts, "table": told.to_dict("records")} if as_json else facts, as_json=as_json)
    if len(failed):
        reasons = "; ".join(failed["reason"].head(3))
        raise IncompleteRunError(f"{len(failed)} of {len(told)} granules could not be indexed: {reasons}")


@app.command()
def plot(
    output: OutputPath,
    *,
    variable: Annotated[
        str | None, typer.Option(metavar="NAME", help="Such as h_li_mean; of a table h_li.")
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", "-o", metavar="PNG")] = None,
    as_json: Json = False,
) -> None:
    """Draw a picture of a result, or of where the granules of a list are."""
    picture = _picture(place(output), to or _page(output, ".png"), variable)
    _tell({"picture": str(picture)}, as_json=as_json)


@app.command(name="report")
def write_report(
    output: OutputPath,
    *,
    to: Annotated[Path | None, typer.Option("--to", "-o", metavar="HTML")] = None,
    as_json: Json = False,
) -> None:
    """Show the ledger of a run, and write it as an HTML page."""
    ledger = Ledger.load(beside(place(output)))
    made, picture = {}, None
    with suppress(IncompleteRunError):  # nothing was published, or a table without rows
        drawn = _picture(place(output), _page(output, ".png"))
        made["picture"], picture = str(drawn), drawn.read_bytes()
    page = to or _page(output, ".html")
    page.write_text(report.html(ledger.frame, ledger.facts, picture), encoding="utf-8")
    made["page"] = str(page)
    if as_json:
        _print({**made, **_facts(ledger)})
    else:
        _out.print(tables.text(ledger.frame))
        _tell(made, as_json=False)


@app.command()
def gc(
    output: OutputPath,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove what attempts that died left beside an output: claim, work folder, hidden siblings."""
    left = publish.leftovers(place(output))
    if left and not yes:
        if as_json or not sys.stdin.isatty():
            raise RecipeError(f"{', '.join(path.name for path in left)} would be removed: say so by --yes")
        _tell({path.name: str(path) for path in left}, as_json=False)
        if not typer.confirm("A run may be at work on this. Remove it?"):
            return
    for path in left:
        places.remove(path)
    names = [path.name for path in left]
    _tell({"removed": names if as_json else ", ".join(names) or "nothing was there"}, as_json=as_json)


@app.command(name="download")
def download_granules(
    granules: Annotated[str, typer.Argument(metavar="LIST", help="A glob, a text file of URLs, or a list.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    *,
    name: Annotated[str | None, typer.Option("--product", metavar="NAME")] = None,
    as_json: Json = False,
) -> None:
    """Copy granules into a folder; again, it goes on where it ended."""
    with shown(_err, as_json=as_json) as watcher:
        told = download(granules, folder, product=name, watcher=watcher)
    failed = told[told["status"] == "failed"]
    facts = {**totals.downloaded(told), "folder": str(folder)}
    _tell({**facts, "table": told.to_dict("records")} if as_json else facts, as_json=as_json)
    if len(failed):
        reasons = "; ".join(failed["reason"].head(3))
        raise IncompleteRunError(f"{len(failed)} of {len(told)} granules could not be copied: {reasons}")


@app.command()
def doctor(
    *,
    cluster: Annotated[str | None, typer.Option(metavar="WHERE", help="local or tcp://HOST:PORT.")] = None,
    output: Annotated[
        str | None, typer.Option(metavar="PATH", help="Or a URL, where results are to go.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which logins there are and whether they work, and what else may be in the way."""
    told = examine(cluster=cluster, output=output)
    bad = [name for name, (good, _) in told.items() if not good]
    if as_json:
        _print({name: {"good": good, "found": what} for name, (good, what) in told.items()})
    else:
        _tell(
            {name: what if good else f"WRONG: {what}" for name, (good, what) in told.items()}, as_json=False
        )
    if bad:
        raise AccessError(f"{', '.join(bad)}: not as it should be")


@app.command()
def products(
    name: Annotated[str | None, typer.Argument(metavar="NAME")] = None, *, as_json: Json = False
) -> None:
    """List the products, or the variables and quality presets of one."""
    if name is None:
        _tell({known.name: known.title for known in REGISTRY.values()}, as_json=as_json)
        return
    known = product(name)
    if as_json:
        _print({key: {"path": v.path, "units": v.units} for key, v in known.variables.items()})
    else:
        _out.print(tables.product(known), highlight=False)


@app.command(name="demo-data")
def demo_data(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    *,
    name: Annotated[str, typer.Option("--product", metavar="NAME")] = "ATL06",
    number: Annotated[int, typer.Option("--number", "-n", min=1)] = 8,
    seed: Annotated[int, typer.Option()] = 0,
    as_json: Json = False,
) -> None:
    """Make miniature granules of a product."""
    paths = synthetic.make(product(name), number, folder=folder, seed=seed)
    _tell({path.name: f"{path.stat().st_size / 1e6:.2f} MB" for path in paths}, as_json=as_json)


def main() -> None:
    """Run the command line, with each error as one sentence and its exit status."""
    as_json = "--json" in sys.argv  # also where the words were not understood
    fail = partial(logs.fail, _err, as_json=as_json)
    logs.configure(_err, as_json=as_json)
    try:
        with interruptible(_err.show_cursor):
            sys.exit(app(standalone_mode=False))
    except Interrupted as stop:
        fail("Interrupted" if as_json else "interrupted", _INTERRUPTED, stop.status)
    except _UsageError as error:
        if as_json:
            fail("UsageError", error.format_message(), error.exit_code)
        error.show()
        sys.exit(error.exit_code)
    except EoscaleError as error:
        fail(type(error).__name__, str(error), _status(error))


def _status(error: EoscaleError) -> int:
    if isinstance(error, AccessError):
        return 4
    return 2 if isinstance(error, RecipeError | CatalogError) else 3


def _plan(recipe: Path, granules: str | None, sample: int | None, changes: list[str] | None) -> Plan:
    with _err.status("looking for granules"):
        return prepare(_recipe(recipe, changes), granules=granules, sample=sample)


def _recipe(path: Path, changes: list[str] | None) -> Recipe:
    return Recipe.from_file(path, dict(_pair(change) for change in changes or ()))


def _page(output: str, ending: str) -> Path:
    """Return where something about an output goes: beside it, or into this folder if that is in a bucket."""
    at = place(output)
    return at.with_suffix(ending) if isinstance(at, Path) else Path(at.name).with_suffix(ending)


def _picture(output: Place, to: Path, variable: str | None = None) -> Path:
    from eoscale.plot import footprints, maps  # noqa: PLC0415  brings matplotlib, which takes seconds

    if publish.is_file(output):
        with places.near(output) as table:
            if granule_tables.is_list(table):
                return footprints.save(granule_tables.load(str(table)).to_dataframe(), to)
            return maps.save(rows.gridded(table, variable=variable), to)
    return maps.save(open_cube(output), to, variable=variable)


def _pair(change: str) -> tuple[str, str]:
    key, equals, value = change.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {change!r}: expected KEY=VALUE, such as quality=best")
    return key, value


def _facts(ledger: Ledger) -> dict[str, Any]:
    return {"granules": ledger.counts(), "facts": dict(ledger.facts)}


def _tell(facts: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print(facts)
    else:
        _out.print(tables.facts(facts), highlight=False)


def _print(facts: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(facts, indent=2))
