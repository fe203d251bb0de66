from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from html.parser import HTMLParser

import pandas as pd
import pytest

from eoscale.plot import report

LedgerOf = Callable[[int], pd.DataFrame]
FACTS = {"title": "Ice & snow", "verdict": "published", "Recipe": "greenland.yaml", "Job": "3f2a"}


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


@pytest.mark.parametrize(
    ("verdict", "good"), [("published to a.zarr", True), ("not published: 3 failures", False)]
)
def test_the_verdict_stands_in_its_colour(ledger_of: LedgerOf, verdict: str, *, good: bool) -> None:
    text = report.html(ledger_of(6), {**FACTS, "verdict": verdict}, None)
    assert verdict in text
    assert ('class="verdict published"' in text) is good


def test_facts_are_stated_in_order_and_title_and_verdict_once(ledger_of: LedgerOf) -> None:
    text = report.html(ledger_of(6), FACTS, None)
    assert text.index("greenland.yaml") < text.index("3f2a")
    assert "<h1>Ice &amp; snow</h1>" in text
    assert '<th scope="row">verdict</th>' not in text


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
