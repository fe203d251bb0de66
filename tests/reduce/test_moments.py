from __future__ import annotations

import numpy as np
import pytest

from eoscale.model.reduction import Partial
from eoscale.reduce.moments import Moments
from tests.suites.reductions import ReductionLaws


class TestMoments(ReductionLaws):
    reduction = Moments()
    exact = frozenset({"count", "min", "max"})
    reference = {  # noqa: RUF012  the suite says ClassVar
        "count": len,
        "sum": np.sum,
        "mean": np.mean,
        "var": np.var,
        "std": np.std,
        "min": np.min,
        "max": np.max,
    }
    scale = {  # noqa: RUF012
        "sum": lambda largest, number: largest * number,
        "mean": lambda largest, _: largest,
        "var": lambda largest, _: largest**2,
        "std": lambda largest, _: largest,
    }


def test_the_count_is_an_integer_and_the_others_are_float64() -> None:
    partial = Moments().chunk(np.array([1, 1]), np.array([1, 2], "i1"))
    kinds = {name: Moments().finalize(partial, name).dtype.name for name in Moments().statistics}
    assert kinds.pop("count") == "int64"
    assert set(kinds.values()) == {"float64"}


def test_float32_values_are_added_in_float64() -> None:
    values = np.full(10_000, 16_777_216, np.float32)
    values[1:] = 1
    partial = Moments().chunk(np.zeros(10_000, np.int64), values)
    assert Moments().finalize(partial, "sum").tolist() == [16_777_216 + 9_999]


def test_a_large_offset_does_not_spoil_the_spread() -> None:
    halves = [1e9 + np.array([4.0, 7.0]), 1e9 + np.array([13.0, 16.0])]
    merged = Moments().merge([Moments().chunk(np.zeros(2, np.int64), half) for half in halves])
    assert Moments().finalize(merged, "var").tolist() == [22.5]


def test_one_value_has_no_spread() -> None:
    partial = Moments().chunk(np.array([3]), np.array([-0.1]))
    assert Moments().finalize(partial, "std").tolist() == [0.0]
    assert Moments().finalize(partial, "min") == Moments().finalize(partial, "max") == [-0.1]


def test_counts_whose_product_passes_int64_still_merge() -> None:
    many = 2**40

    def cell(mean: float) -> Partial:
        columns = {
            "count": np.array([many]),
            "sum": np.array([mean * many]),
            "m2": np.array([0.0]),
            "min": np.array([mean]),
            "max": np.array([mean]),
        }
        return Partial(keys=np.array([0]), columns=columns)

    merged = Moments().merge([cell(1.0), cell(3.0)])
    assert Moments().finalize(merged, "count").tolist() == [2 * many]
    assert Moments().finalize(merged, "std").tolist() == [1.0]


_VARIABLE = {"units": "m", "long_name": "land ice height"}


@pytest.mark.parametrize(
    ("statistic", "method"),
    [
        ("sum", "sum"),
        ("mean", "mean"),
        ("std", "standard_deviation"),
        ("min", "minimum"),
        ("max", "maximum"),
    ],
)
def test_a_statistic_is_described_as_cf_wants(statistic: str, method: str) -> None:
    described = Moments().describe(statistic, _VARIABLE, ("time", "y", "x"))
    assert described["cell_methods"] == f"time: y: x: {method}"
    assert described["units"] == "m"
    assert described["long_name"].endswith("of land ice height")


def test_a_variance_is_in_squared_units() -> None:
    assert Moments().describe("var", _VARIABLE, ("y",))["units"] == "(m)2"
    assert Moments().describe("var", {"units": "1"}, ("y",))["units"] == "1"


def test_a_count_is_a_number_of_observations() -> None:
    assert Moments().describe("count", _VARIABLE, ("y", "x")) == {
        "long_name": "number of values of land ice height",
        "standard_name": "number_of_observations",
        "units": "1",
    }


def test_units_that_nobody_states_are_not_made_up() -> None:
    assert "units" not in Moments().describe("mean", {}, ("y",))
