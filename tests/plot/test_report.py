from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from html.parser import HTMLParser

import pandas as pd
import pytest

from eoscale.plot import report

LedgerOf = Callable[[int], pd.DataFrame]
FACTS = {"title": "Ice & snow", "published": "/data/ice.zarr", "Recipe": "greenland.yaml", "Job": "3f2a"}


class Page(HTMLParser):
    """The tags and words of a page, and how many rows its tables have."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                assert value is not None
                assert value.startswith("data:")
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += f"{data} "


def test_the_page_is_well_formed_and_needs_no_other_file_or_script(ledger_of: LedgerOf) -> None:
    page = Page(report.html(ledger_of(20), FACTS, b"\x89PNG"))
    assert not page.open
    assert not {"script", "link", "iframe"} & set(page.tags)


def test_a_hostile_granule_id_is_escaped(ledger_of: LedgerOf) -> None:
    ledger = ledger_of(6)
    ledger["id"] = "<script>alert(1)</script>"
    ledger["reason"] = "<img src=x onerror=alert(2)>"
    text = report.html(ledger, {**FACTS, "Recipe": "</table><b>"}, None)
    assert "<script" not in text
    assert "<img" not in text
    assert "</table><b>" not in text
    assert "<script>alert(1)</script>" in Page(text).words


def verdict(ledger: pd.DataFrame, facts: dict[str, str]) -> str:
    """Return what stands between the title and the facts."""
    words = Page(report.html(ledger, facts, None)).words
    return " ".join(words.rpartition("Ice & snow")[2].partition("Recipe")[0].split())


@pytest.mark.parametrize(
    ("granules", "without"),
    [
        (5, ""),
        (6, ", without 1 granule that failed"),
        (6006, ", without 1,001 granules that failed"),
    ],
)
def test_the_verdict_says_where_the_result_lies_and_what_it_is_without(
    ledger_of: LedgerOf, granules: int, without: str
) -> None:
    assert verdict(ledger_of(granules), FACTS) == f"published as /data/ice.zarr{without}"


def test_the_verdict_on_what_was_not_published_is_what_became_of_the_granules(ledger_of: LedgerOf) -> None:
    facts = {name: text for name, text in FACTS.items() if name != "published"}
    told = verdict(ledger_of(6), facts)
    assert told == "not published (6 found: 3 used, 1 empty, 1 skipped, 1 failed)"


def test_facts_are_stated_in_order_and_title_and_verdict_once(ledger_of: LedgerOf) -> None:
    text = report.html(ledger_of(6), FACTS, None)
    assert text.index("greenland.yaml") < text.index("3f2a")
    assert "<h1>Ice &amp; snow</h1>" in text
    assert text.count("/data/ice.zarr") == 1


def test_totals_are_those_of_the_ledger_with_thousands_apart(ledger_of: LedgerOf) -> None:
    ledger = ledger_of(6000)
    words = Page(report.html(ledger, FACTS, None)).words
    for total in (6000, 3000, 1000, ledger["read"].sum(), ledger["binned_h_li"].sum()):
        assert f"{total:,}" in words
    assert "does not add up" not in words


def test_a_ledger_that_does_not_add_up_is_called_out(ledger_of: LedgerOf) -> None:
    ledger = ledger_of(6)
    ledger["outside"] += 1
    assert "does not add up" in report.html(ledger, FACTS, None)
    lost = ledger_of(6).replace({"status": {"empty": "lost"}})
    assert "does not add up" in report.html(lost, FACTS, None)


def test_failed_and_skipped_granules_come_first_with_their_reasons(ledger_of: LedgerOf) -> None:
    words = Page(report.html(ledger_of(20), FACTS, None)).words
    trouble, every = words.split("Failed and skipped")[1].split("Every granule")
    assert "ATL06_00005_006_01.h5" in trouble
    assert trouble.index("truncated file") < trouble.index("no crossing")
    assert "ATL06_00000_006_01.h5" not in trouble
    assert all(f"ATL06_{n:05}_006_01.h5" in every for n in range(20))
    assert "gt1l gt1r" in every


def test_at_most_2000_granules_are_listed_and_the_rest_counted(ledger_of: LedgerOf) -> None:
    text = report.html(ledger_of(2345), FACTS, None)
    assert text.count("<td>ATL06_") == 2000 + (ledger_of(2345)["status"].isin(["failed", "skipped"])).sum()
    assert "And 345 more: the ledger&#39;s Parquet file has all" in text.replace("ledger's", "ledger&#39;s")


def test_the_picture_is_inside_the_page(ledger_of: LedgerOf) -> None:
    picture = b"\x89PNG of a map"
    assert f"data:image/png;base64,{b64encode(picture).decode()}" in report.html(ledger_of(6), FACTS, picture)
    assert "<img" not in report.html(ledger_of(6), FACTS, None)


def test_missing_reasons_and_measurements_leave_their_cells_empty(ledger_of: LedgerOf) -> None:
    ledger = ledger_of(6).assign(reason=None, absent=None)
    ledger[["requests", "bytes", "seconds"]] = float("nan")
    words = Page(report.html(ledger, FACTS, None)).words
    assert "nan" not in words.lower().split()
    assert "None" not in words


def test_an_empty_ledger_has_a_page(ledger_of: LedgerOf) -> None:
    assert "Every granule" in report.html(ledger_of(6).iloc[:0], {}, None)
