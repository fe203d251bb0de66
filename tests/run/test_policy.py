from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from eoscale.errors import IncompleteRunError
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.model.recipe import Recipe
from eoscale.run.ledger import Ledger
from eoscale.run.policy import may_fail, permit
from tests.model.test_recipe import POLICIES
from tests.run.test_plan import job

_MANY = st.integers(0, 10**6)
_FEW = st.integers(1, 5)


def _asking(granules: int, **words: object) -> Job:
    """Return a job of some granules to read, and another one that is skipped."""
    plain = job([1] * granules)
    return replace(plain, recipe=Recipe(**plain.recipe.words() | words))


def _recipe(**policy: object) -> Recipe:
    return Recipe(product="ATL06", variables=["h_li"], **policy)


def _ledger(asked: Job, failed: int, *, binned: int = 1) -> Ledger:
    """Return what became of the granules if the first of them fail."""
    receipts = [
        Receipt(granule=granule.id, failure=f"CorruptGranuleError: {granule.id}: damaged")
        if number < failed
        else Receipt(granule=granule.id, read=binned, missing={"h_li": 0}, binned={"h_li": binned})
        for number, granule in enumerate(asked.granules)
    ]
    ledger = Ledger.of(asked, receipts, {})
    assert ledger.counts()["failed"] == failed
    assert ledger.counts()["skipped"] == 1
    return ledger


def _permitted(asked: Job, failed: int) -> bool:
    try:
        permit(_ledger(asked, failed), asked)
    except IncompleteRunError:
        return False
    return True


@given(POLICIES, _MANY)
def test_some_granules_may_fail_but_never_all(policy: dict[str, Any], granules: int) -> None:
    assert 0 <= may_fail(_recipe(**policy), granules) <= max(granules - 1, 0)


@given(_MANY)
def test_without_a_limit_all_but_one_may_fail(granules: int) -> None:
    assert may_fail(_recipe(on_error="record"), granules) == max(granules - 1, 0)


@given(number=_MANY, granules=_MANY)
def test_a_number_may_fail_wherever_there_are_more(number: int, granules: int) -> None:
    assume(number < granules)
    assert may_fail(_recipe(on_error="record", max_failed=number), granules) == number


@given(hundredths=st.integers(0, 10_000), granules=_MANY, failed=_MANY)
def test_a_share_is_passed_exactly_where_the_failed_are_a_larger_one(
    hundredths: int, granules: int, failed: int
) -> None:
    assume(failed < granules)
    share = f"{hundredths // 100}.{hundredths % 100:02}%"
    allowed = may_fail(_recipe(on_error="record", max_failed=share), granules)
    assert (failed <= allowed) == (10_000 * failed <= hundredths * granules)


@given(st.integers(0, 10**7))
def test_a_share_has_no_rounding_of_binary_fractions(thousands: int) -> None:
    recipe = _recipe(on_error="record", max_failed="0.7%")
    assert may_fail(recipe, 1000 * thousands) == 7 * thousands


@given(POLICIES, _FEW)
def test_what_is_published_despite_some_failures_is_published_despite_fewer(
    policy: dict[str, Any], granules: int
) -> None:
    asked = _asking(granules, **policy)
    verdicts = [_permitted(asked, failed) for failed in range(granules + 1)]
    assert verdicts == sorted(verdicts, reverse=True)
    assert verdicts[0]
    assert not verdicts[-1]
    assert sum(verdicts) == 1 + may_fail(asked.recipe, granules)


@pytest.mark.parametrize("nothing", [0, "0%", "0.0 %"])
@given(granules=_FEW)
def test_a_limit_of_nothing_is_that_of_raise(nothing: int | str, granules: int) -> None:
    asked = _asking(granules, on_error="record", max_failed=nothing)
    for failed in range(granules + 1):
        assert _permitted(asked, failed) == _permitted(_asking(granules), failed) == (failed == 0)


@given(POLICIES)
def test_the_policy_makes_no_other_job(policy: dict[str, Any]) -> None:
    asked = _asking(2, **policy)
    assert asked.recipe.on_error == policy["on_error"]
    assert asked.digest == _asking(2).digest
    again = Job.from_json(asked.to_json())
    assert again.digest == asked.digest
    assert may_fail(again.recipe, 2) == may_fail(asked.recipe, 2)


def test_skipped_granules_are_none_of_those_that_a_share_is_of() -> None:
    asked = _asking(2, on_error="record", max_failed="34%")  # of 3 granules it would be one
    assert asked.granules.found == 3
    with pytest.raises(IncompleteRunError, match=r"^1 of 2 granules failed, 0 may \(max_failed: 34%\)"):
        permit(_ledger(asked, 1), asked)


@pytest.mark.parametrize(
    ("policy", "failed", "limit", "advice"),
    [
        ({}, 1, "", ", or write on_error: record to publish without them"),
        ({}, 4, "", ", or write on_error: record to publish without them"),
        ({"on_error": "record", "max_failed": 3}, 4, ", 3 may (max_failed: 3)", ", or raise max_failed"),
        (
            {"on_error": "record", "max_failed": "50%"},
            3,
            ", 2 may (max_failed: 50%)",
            ", or raise max_failed",
        ),
        ({}, 5, "", ""),
        ({"on_error": "record"}, 5, "", ""),
        ({"on_error": "record", "max_failed": "100%"}, 5, "", ""),
    ],
)
def test_a_refusal_says_what_failed_why_and_what_to_do(
    policy: dict[str, Any], failed: int, limit: str, advice: str
) -> None:
    asked = _asking(5, **policy)
    with pytest.raises(IncompleteRunError) as refused:
        permit(_ledger(asked, failed), asked)
    reasons = "; ".join(f"CorruptGranuleError: g{number:04d}: damaged" for number in range(min(failed, 3)))
    assert str(refused.value) == (
        f"{failed} of 5 granules failed{limit}, so nothing was published: {reasons}; "
        f"run again to try only those once more{advice}"
    )


@pytest.mark.parametrize("failed", [0, 1])
def test_a_result_without_a_row_is_published_only_where_it_is_allowed(failed: int) -> None:
    asked = _asking(3, on_error="record")
    ledger = _ledger(asked, failed, binned=0)
    assert ledger.counts()["empty"] == 3 - failed
    with pytest.raises(IncompleteRunError) as refused:
        permit(ledger, asked)
    assert str(refused.value) == (
        f"no row was binned (4 found: 0 used, {3 - failed} empty, 1 skipped, {failed} failed), "
        "so nothing was published: look at region, period, quality and where, or set allow_empty"
    )
    permit(ledger, _asking(3, on_error="record", allow_empty=True))


def test_that_empty_results_are_allowed_allows_none_of_failed_granules_alone() -> None:
    asked = _asking(3, on_error="record", allow_empty=True)
    with pytest.raises(IncompleteRunError, match="3 of 3 granules failed"):
        permit(_ledger(asked, 3), asked)


def test_no_granules_are_an_empty_result() -> None:
    with pytest.raises(IncompleteRunError, match="no row was binned"):
        permit(_ledger(_asking(0), 0), _asking(0))
    permit(_ledger(_asking(0), 0), _asking(0, allow_empty=True))
