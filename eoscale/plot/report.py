"""The report of a run: one HTML page for a person, made from its ledger."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from math import isnan
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from eoscale.model.receipt import REFUSALS
from eoscale.plot import totals

MOST_ROWS = 2000
"""Granules that a page lists; the ledger has them all."""


def html(ledger: pd.DataFrame, facts: Mapping[str, object], picture: bytes | None) -> str:
    """Return a run's report as one page that needs no other file.

    Parameters
    ----------
    ledger : pandas.DataFrame
        One row per granule: ``id``, ``status``, ``reason``, ``absent``; rows as ``read``, those refused by
        each of :data:`REFUSALS`, and of each variable ``missing_…`` and ``binned_…``; ``requests``,
        ``bytes``, ``seconds``.
    facts : mapping of str to object
        What the head states, title to text, in order. ``title`` heads the page; ``published`` is where the
        result lies, and lacking where there is none. All are optional.
    picture : bytes, optional
        PNG.
    """
    facts = dict(facts)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": _number, "size": _size, "duration": _duration}
    template = files("eoscale.plot").joinpath("report.html.jinja").read_text(encoding="utf-8")
    trouble = ledger[ledger["status"].isin(["failed", "skipped"])].sort_values("status", kind="stable")
    return environment.from_string(template).render(
        title=str(facts.pop("title", "Report of a run")),
        published=str(facts.pop("published", "")),
        facts=facts,
        granules=totals.granules(ledger),
        rows=totals.rows(ledger),
        variables=totals.variables(ledger),
        refusals=REFUSALS,
        cost={name: float(ledger[name].sum()) for name in ("requests", "bytes", "seconds")},
        picture=None if picture is None else b64encode(picture).decode(),
        trouble=_records(trouble),
        more_trouble=max(len(trouble) - MOST_ROWS, 0),
        listed=_records(ledger),
        more=max(len(ledger) - MOST_ROWS, 0),
        version=version("eoscale"),
    )


def _records(ledger: pd.DataFrame) -> list[dict[str, Any]]:
    shown = ledger.head(MOST_ROWS)
    texts = shown[["reason", "absent"]].fillna("")
    return [
        {str(name): value for name, value in row.items()} for row in shown.assign(**texts).to_dict("records")
    ]


def _number(value: float) -> str:
    """Return a whole number with its thousands apart; nothing where there is none.

    Examples
    --------
    >>> _number(1234567.0), _number(float("nan"))
    ('1,234,567', '')
    """
    return "" if isnan(value) else f"{value:,.0f}"


def _size(value: float) -> str:
    """Return bytes in a unit that fits.

    Examples
    --------
    >>> _size(999), _size(12_345_678)
    ('999 B', '12.3 MB')
    """
    if isnan(value):
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB" if value < 1000 else f"{value:,.0f} TB"


def _duration(value: float) -> str:
    """Return seconds in units that fit.

    Examples
    --------
    >>> _duration(4.25), _duration(5400)
    ('4.2 s', '1 h 30 min')
    """
    if isnan(value):
        return ""
    minutes = round(value / 60)
    if value < 60:
        return f"{value:.1f} s"
    return f"{minutes // 60:,} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
