"""Tables: facts, a ledger or a product in a few lines of the terminal."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from rich.console import Group
from rich.table import Table
from rich.text import Text

from eoscale.model.product import Preset, Product
from eoscale.model.receipt import REFUSALS
from eoscale.plot import totals

_STYLES = {"used": "green", "empty": "dim", "skipped": "yellow", "failed": "red"}
_MOST_REASONS = 12


def text(ledger: pd.DataFrame) -> Group:
    """Return a ledger's totals as two tables: granules by status and reason, rows by variable.

    Parameters
    ----------
    ledger : pandas.DataFrame
        One row per granule.
    """
    return Group(_granules(totals.granules(ledger)), _rows(totals.rows(ledger)))


def facts(told: Mapping[str, object]) -> Table:
    """Return facts as two columns, their names and what is so."""
    grid = Table.grid(padding=(0, 2))
    for name, fact in told.items():
        grid.add_row(Text(name, style="bold"), Text(str(fact)))
    return grid


def collections(found: pd.DataFrame) -> Table:
    """Return a table of collections: what to ask a catalogue for."""
    table = Table(box=None, pad_edge=False)
    for column in ("concept_id", "short_name", "version", "provider", "cloud_hosted"):
        table.add_column(column.replace("_", " "), no_wrap=True)
    table.add_column("title", overflow="fold")
    for each in found.to_dict("records"):
        cells = [each[name] for name in ("concept_id", "short_name", "version", "provider")]
        table.add_row(*map(Text, cells), "yes" if each["cloud_hosted"] else "no", Text(each["title"]))
    return table


def product(known: Product) -> Group:
    """Return a table of a product's variables, and its presets of quality with where they are from."""
    table = Table(title=known.title, title_justify="left", box=None, pad_edge=False)
    for column in ("variable", "path", "units"):
        table.add_column(column, no_wrap=True)
    table.add_column("description", overflow="fold")
    for name, variable in known.variables.items():
        units = variable.units.partition(" since ")[0]
        table.add_row(*(Text(text) for text in (name, variable.path, units, variable.description)))
    return Group(table, *(_preset(name, preset) for name, preset in known.quality.items()))


def _preset(name: str, preset: Preset) -> Text:
    terms = " and ".join(f"{each.variable} {each.comparison} {each.value:g}" for each in preset.conditions)
    return Text(f"quality {name}: {terms}\n  {preset.source}")


def _granules(found: totals.Granules) -> Table:
    table = Table(title="Granules", title_justify="left", box=None, pad_edge=False, show_footer=True)
    table.add_column("status", "found")
    table.add_column("number", f"{found.found:,}", justify="right")
    table.add_column("reason", "" if found.reconciled else "does not add up: see the ledger")
    for status, number in found.by_status.items():
        # Text, for a reason may hold what rich would take for markup
        table.add_row(Text(status, style=_STYLES[status] if number else "dim"), f"{number:,}", "")
        reasons = [(reason, times) for stated, reason, times in found.reasons if stated == status]
        for reason, times in reasons[:_MOST_REASONS]:
            table.add_row("", Text(f"{times:,}", style="dim"), Text(reason))
        if len(reasons) > _MOST_REASONS:
            table.add_row("", "", f"and {len(reasons) - _MOST_REASONS:,} more reasons")
    for groups, times in found.absent[:_MOST_REASONS]:
        table.add_row("", Text(f"{times:,}", style="dim"), Text(f"without {groups}"))
    if len(found.absent) > _MOST_REASONS:
        table.add_row("", "", f"and {len(found.absent) - _MOST_REASONS:,} more sets of groups")
    for reason, times in found.fallbacks[:_MOST_REASONS]:
        table.add_row("", Text(f"{times:,}", style="dim"), Text(f"indexed by libhdf5: {reason}"))
    return table


def _rows(found: list[totals.Rows]) -> Table:
    """Return a table of what became of the rows; a reason that refused none has no column."""
    reasons = [name for name in REFUSALS if any(one.became[name] for one in found)]
    ends = [*reasons, "missing", "binned"]
    table = Table(title="\nRows", title_justify="left", box=None, pad_edge=False)
    table.add_column("variable", overflow="fold")
    for name in ("read", *ends):
        table.add_column(name.replace("_", "-"), justify="right", no_wrap=True)
    table.add_column("")
    for one in found:
        numbers = (one.read, *(one.became[end] for end in ends))
        verdict = "" if one.reconciled else "does not add up"
        table.add_row(Text(one.variable), *(f"{number:,}" for number in numbers), Text(verdict, style="red"))
    return table
