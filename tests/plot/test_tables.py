from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console, RenderableType

from eoscale.model.product import Product
from eoscale.model.receipt import REFUSALS
from eoscale.plot import tables
from eoscale.products import REGISTRY

LedgerOf = Callable[[int], pd.DataFrame]


def shown(table: RenderableType) -> str:
    console = Console(width=160, file=StringIO())
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def printed(ledger: pd.DataFrame) -> str:
    return shown(tables.text(ledger))


def test_facts_are_no_markup() -> None:
    lines = shown(tables.facts({"writes": "a[bold].zarr", "number": 3})).splitlines()
    assert [line.split() for line in lines] == [["writes", "a[bold].zarr"], ["number", "3"]]


@pytest.mark.parametrize("known", REGISTRY.values(), ids=REGISTRY)
def test_a_product_is_told_with_all_its_variables_and_presets(known: Product) -> None:
    text = shown(tables.product(known))
    told = [line.split() for line in text.splitlines()]
    for name, variable in known.variables.items():
        assert any(line[:2] == [name, variable.path] for line in told), name
    for name, preset in known.quality.items():
        first = preset.conditions[0]
        assert f"quality {name}: {first.variable} {first.comparison} {first.value:g}" in text
        assert " ".join(preset.source.split()) in " ".join(text.split())


def test_granules_are_summed_by_status_and_reason(ledger_of: LedgerOf) -> None:
    text = printed(ledger_of(6000))
    lines = [line.split() for line in text.splitlines()]
    assert ["used", "3,000"] in lines
    assert ["1,000", "truncated", "file"] in lines
    assert ["found", "6,000"] in lines


def test_rows_are_summed_for_each_variable(ledger_of: LedgerOf) -> None:
    ledger = ledger_of(60)
    reasons = [reason for reason in REFUSALS if ledger[reason].any()]
    assert 0 < len(reasons) < len(REFUSALS)  # a reason that refused none has no column
    total = ledger[["read", *reasons, "missing_h_li", "binned_h_li"]].sum()
    assert ["h_li", *(f"{n:,}" for n in total)] in [line.split() for line in printed(ledger).splitlines()]


def test_reasons_are_no_markup(ledger_of: LedgerOf) -> None:
    ledger = ledger_of(6)
    ledger["reason"] = "[/red] at [bold]"
    assert "[/red] at [bold]" in printed(ledger)


def test_only_the_most_frequent_reasons_are_printed(ledger_of: LedgerOf) -> None:
    ledger = ledger_of(600)
    ledger["reason"] = [f"fault {n}" if each == "failed" else "" for n, each in enumerate(ledger["status"])]
    assert "and 88 more reasons" in printed(ledger)


def test_a_ledger_that_does_not_add_up_is_called_out(ledger_of: LedgerOf) -> None:
    ledger = ledger_of(6)
    assert "does not add up" not in printed(ledger)
    ledger["read"] += 1
    assert "does not add up" in printed(ledger)
