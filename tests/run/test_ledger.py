from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from eoscale.errors import IncompleteRunError, RunError
from eoscale.model.receipt import Receipt
from eoscale.run.ledger import Ledger, beside
from tests.run.test_plan import job

JOB = job([1, 1, 1])
USED = Receipt(
    granule="g0000",
    absent=("gt1l",),
    read=10,
    outside=1,
    quality=2,
    off_axis=1,
    missing={"h_li": 2},
    binned={"h_li": 4},
)
EMPTY = Receipt(granule="g0001", read=3, outside=3, missing={"h_li": 0}, binned={"h_li": 0})
FAILED = Receipt(granule="g0002", failure="CorruptGranuleError: damaged")


def test_found_is_used_and_empty_and_skipped_and_failed() -> None:
    ledger = Ledger.of(JOB, [FAILED, USED, EMPTY], {})
    assert ledger.counts() == {"found": 4, "used": 1, "empty": 1, "skipped": 1, "failed": 1}
    assert ledger.frame["id"].tolist() == ["g0000", "g0001", "g0002", "other"]
    assert ledger.binned("h_li") == 4
    skipped = ledger.frame[ledger.frame["status"] == "skipped"]
    assert skipped["reason"].tolist() == ["is of another product"]


def test_a_granule_without_a_receipt_is_a_fault() -> None:
    with pytest.raises(RunError, match="3 granules, 4 were found"):
        Ledger.of(JOB, [USED, EMPTY], {})


@pytest.mark.parametrize("field", ["read", "outside", "quality", "off_axis"])
def test_a_row_that_is_not_accounted_for_is_a_fault(field: str) -> None:
    lost = replace(USED, **{field: getattr(USED, field) + 1})
    with pytest.raises(RunError, match=r"rows of h_li do not add up: -?1 of them, first in g0000"):
        Ledger.of(JOB, [lost, EMPTY, FAILED], {})


def test_a_saved_ledger_comes_back_with_its_facts(tmp_path: Path) -> None:
    ledger = Ledger.of(JOB, [USED, EMPTY, FAILED], {"product": "ATL06"})
    path = Path(str(beside(tmp_path / "deep" / "out.zarr")))
    ledger.save(path)
    back = Ledger.load(path)
    pd.testing.assert_frame_equal(back.frame, ledger.frame)
    assert back.facts == {"product": "ATL06"}
    assert [other.name for other in path.parent.iterdir()] == ["out.zarr.ledger.parquet"]


def test_a_missing_ledger_says_to_run(tmp_path: Path) -> None:
    with pytest.raises(IncompleteRunError, match="run the recipe first"):
        Ledger.load(tmp_path / "none.parquet")
