"""Commands about granules and products: search, index, download, products, demo-data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from eoscale import synthetic
from eoscale.access.endpoints import index_store
from eoscale.catalog import tables as granule_tables
from eoscale.catalog.cmr import catalogue as cmr
from eoscale.cli.words import (
    Changes,
    Cluster,
    Json,
    ListPath,
    ProductName,
    Workers,
    app,
    err,
    out,
    recipe_of,
    say,
    tell,
)
from eoscale.errors import IncompleteRunError, RecipeError, scrub
from eoscale.plot import tables, totals
from eoscale.products import REGISTRY, product
from eoscale.run.bind import granules_of
from eoscale.run.download import download
from eoscale.run.indexing import index
from eoscale.run.progress import shown


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
            say({"collections": found.to_dict("records")})
        else:
            out.print(tables.collections(found), highlight=False)
        return
    with err.status("searching"):
        listed = granules_of(recipe_of(cast("Path", recipe), change))
    if to is not None:
        granule_tables.save(listed, to)
    facts = totals.searched(listed.to_dataframe()) | ({"list": str(to)} if to else {})
    tell(facts, as_json=as_json)


@app.command(name="index")
def build_indexes(
    granules: ListPath,
    *,
    variables: Annotated[
        list[str] | None, typer.Option("--variable", metavar="NAME", help="All of the product unless given.")
    ] = None,
    name: ProductName = None,
    cluster: Cluster = "local",
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Build the chunk indexes of granules ahead: later runs read no HDF5 metadata."""
    with shown(err, as_json=as_json) as watcher:
        told = index(
            granules, variables=variables, product=name, cluster=cluster, workers=workers, watcher=watcher
        )
    failed = told[told["status"] == "failed"]
    facts = {**totals.indexed(told), "kept in": scrub(index_store())}
    tell({**facts, "table": told.to_dict("records")} if as_json else facts, as_json=as_json)
    if len(failed):
        reasons = "; ".join(failed["reason"].head(3))
        raise IncompleteRunError(f"{len(failed)} of {len(told)} granules could not be indexed: {reasons}")


@app.command(name="download")
def download_granules(
    granules: ListPath,
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    *,
    name: ProductName = None,
    as_json: Json = False,
) -> None:
    """Copy granules into a folder; again, it goes on where it ended."""
    with shown(err, as_json=as_json) as watcher:
        told = download(granules, folder, product=name, watcher=watcher)
    failed = told[told["status"] == "failed"]
    facts = {**totals.downloaded(told), "folder": str(folder)}
    tell({**facts, "table": told.to_dict("records")} if as_json else facts, as_json=as_json)
    if len(failed):
        reasons = "; ".join(failed["reason"].head(3))
        raise IncompleteRunError(f"{len(failed)} of {len(told)} granules could not be copied: {reasons}")


@app.command()
def products(
    name: Annotated[str | None, typer.Argument(metavar="NAME")] = None, *, as_json: Json = False
) -> None:
    """List the products, or the variables and quality presets of one."""
    if name is None:
        tell({known.name: known.title for known in REGISTRY.values()}, as_json=as_json)
        return
    known = product(name)
    if as_json:
        say({key: {"path": v.path, "units": v.units} for key, v in known.variables.items()})
    else:
        out.print(tables.product(known), highlight=False)


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
    tell({path.name: f"{path.stat().st_size / 1e6:.2f} MB" for path in paths}, as_json=as_json)
