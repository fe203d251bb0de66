"""Commands about runs and what they publish: run, plan, plot, report, gc."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from eoscale.catalog import tables as granule_tables
from eoscale.cli.words import (
    Changes,
    Cluster,
    Granules,
    Json,
    OutputPath,
    RecipePath,
    Sample,
    Workers,
    app,
    err,
    out,
    recipe_of,
    say,
    tell,
)
from eoscale.errors import IncompleteRunError, RecipeError
from eoscale.plot import report, rows, tables
from eoscale.run import Plan, prepare, target
from eoscale.run import run as run_recipe
from eoscale.run.ledger import Ledger, beside
from eoscale.run.progress import shown
from eoscale.write import places, publish
from eoscale.write.places import Place, place
from eoscale.write.published import open_cube


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
        tell(plan.facts(), as_json=False)
    folder = work or os.environ.get("EOSCALE_WORK")
    try:
        with shown(err, as_json=as_json) as watcher:
            result = run_recipe(
                plan, output=output, cluster=cluster, workers=workers, work=folder, watcher=watcher
            )
    except IncompleteRunError:
        if not as_json:
            with suppress(IncompleteRunError):  # it ended before there was one
                made = beside(place(target(plan.job.recipe, output).path))
                out.print(tables.text(Ledger.load(made).frame))
        raise
    if as_json:
        say({"output": str(result.output), "fresh": result.fresh, **_facts(result.ledger)})
        return
    if not result.fresh:
        out.print(f"{result.output} is already published by this very job: nothing was done")
    out.print(tables.text(result.ledger.frame))
    out.print(f"published {result.output}")
    out.print(f"ledger    {beside(result.output)}")


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
    tell(planned.facts(), as_json=as_json)


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
    tell({"picture": str(picture)}, as_json=as_json)


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
        say({**made, **_facts(ledger)})
    else:
        out.print(tables.text(ledger.frame))
        tell(made, as_json=False)


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
        tell({path.name: str(path) for path in left}, as_json=False)
        if not typer.confirm("A run may be at work on this. Remove it?"):
            return
    for path in left:
        places.remove(path)
    names = [path.name for path in left]
    tell({"removed": names if as_json else ", ".join(names) or "nothing was there"}, as_json=as_json)


def _plan(recipe: Path, granules: str | None, sample: int | None, changes: list[str] | None) -> Plan:
    with err.status("looking for granules"):
        return prepare(recipe_of(recipe, changes), granules=granules, sample=sample)


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


def _facts(ledger: Ledger) -> dict[str, Any]:
    return {"granules": ledger.counts(), "facts": dict(ledger.facts)}
