"""The command line: thin words over the library's functions.

Exit status: 0 published or done, 2 wrong use or recipe, 3 not published, 4 no access, 130 interrupted, 143
terminated. Results go to standard output, all else to standard error, with ``--json`` an object a line.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated, cast

import typer

from eoscale.cli import granules, runs
from eoscale.cli.words import Json, app, err, say, tell
from eoscale.errors import AccessError, CatalogError, EoscaleError, RecipeError
from eoscale.run import logs
from eoscale.run.doctor import examine
from eoscale.run.signals import Interrupted, interruptible

__all__ = ["app", "granules", "main", "runs"]

# of typer's own copy of click, or of click: typer exports no name of it
_UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])
_INTERRUPTED = "nothing unfinished is published; run the same recipe again and it goes on where it stopped"
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell more of what happens.")]


@app.callback()
def options(*, verbose: Verbose = False) -> None:
    """Hear what holds for all commands."""
    if verbose:
        logs.say_more()


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
        say({name: {"good": good, "found": what} for name, (good, what) in told.items()})
    else:
        tell({name: what if good else f"WRONG: {what}" for name, (good, what) in told.items()}, as_json=False)
    if bad:
        raise AccessError(f"{', '.join(bad)}: not as it should be")


def main() -> None:
    """Run the command line, with each error as one sentence and its exit status."""
    as_json = "--json" in sys.argv  # also where the words were not understood
    fail = partial(logs.fail, err, as_json=as_json)
    logs.configure(err, as_json=as_json)
    try:
        with interruptible(err.show_cursor):
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
