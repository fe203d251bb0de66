from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pandas as pd
from rich.console import Console

from eoscale.model.receipt import REFUSALS
from eoscale.plot import tables

LedgerOf = Callable[[int], pd.DataFrame]


def printed(ledger: pd.DataFrame) -> str:
    console = Console(width=120, file=StringIO())
    with console.capture() as capture:
        console.print(tables.text(ledger))
    return capture.get()


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
