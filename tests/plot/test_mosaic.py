from __future__ import annotations

from collections.abc import Callable

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis.extra.numpy import arrays

from eoscale.plot import mosaic
from eoscale.plot.mosaic import Floats, Mosaic
from eoscale.plot.subject import choose

STATISTICS = ("count", "sum", "mean", "std", "var", "min", "max")
counts = arrays(np.int64, (3, 7, 9), elements=st.integers(0, 5))


def layers(number: Floats) -> Floats:
    values = np.random.default_rng(0).normal(100, 30, number.shape) ** 2
    return np.where(number > 0, values, np.nan)


@given(counts)
def test_a_mean_over_time_is_weighted_by_counts(number: Floats) -> None:
    values = layers(number)
    merged = mosaic.merge(values, number.astype(float), "mean")
    filled = number.sum(axis=0) > 0
    expected = np.average(np.nan_to_num(values)[:, filled], axis=0, weights=number[:, filled])
    np.testing.assert_allclose(merged.values[filled], expected)
    assert np.isnan(merged.values[~filled]).all()
    np.testing.assert_array_equal(merged.weights, number.sum(axis=0))


@pytest.mark.parametrize("statistic", STATISTICS)
@given(number=counts)
def test_merging_blocks_and_merging_spans_commute(statistic: str, number: Floats) -> None:
    weights = number.astype(float)
    values = np.where(weights > 0, weights, np.nan) if statistic == "count" else layers(number)
    spans = [Mosaic(values=v, weights=w) for v, w in zip(values, weights, strict=True)]
    blocks_first = mosaic.together([span.coarser(4, statistic) for span in spans], statistic)
    spans_first = mosaic.together(spans, statistic).coarser(4, statistic)
    np.testing.assert_allclose(blocks_first.values, spans_first.values)
    assert blocks_first.factor == spans_first.factor == 4


def test_counts_and_sums_add_up_in_blocks() -> None:
    values = np.arange(15.0).reshape(3, 5)
    whole = Mosaic(values=values, weights=np.ones((3, 5)))
    assert np.nansum(whole.coarser(2, "sum").values) == values.sum()
    assert whole.coarser(2, "sum").values.shape == (2, 3)


def test_extrema_stay_extrema() -> None:
    values = np.array([[3.0, np.nan], [1.0, np.nan]])
    assert mosaic.merge(values, np.ones((2, 2)), "min").values[0] == 1.0
    assert mosaic.merge(values, np.ones((2, 2)), "max").values[0] == 3.0
    assert np.isnan(mosaic.merge(values, np.ones((2, 2)), "min").values[1])


@pytest.mark.parametrize("factor", [1, 2, 8])
def test_reading_by_strips_equals_reading_at_once(
    ice_sheet: Callable[..., xr.Dataset], monkeypatch: pytest.MonkeyPatch, factor: int
) -> None:
    subject = choose(ice_sheet(resolution=50_000), None)
    window = mosaic.aligned((slice(9, 50), slice(3, 21)), factor)
    at_once = mosaic.read(subject, range(3), window, factor)
    monkeypatch.setattr(mosaic, "_STRIP", 8)
    by_strips = mosaic.read(subject, range(3), window, factor)
    np.testing.assert_array_equal(at_once.values, by_strips.values)
    np.testing.assert_array_equal(at_once.weights, by_strips.weights)


def test_the_occupied_window_holds_every_observation_and_no_empty_edge(three_months: xr.Dataset) -> None:
    found = mosaic.occupied(choose(three_months, None))
    assert found is not None
    count = three_months["h_li_count"].to_numpy().sum(axis=0)
    assert count[found].sum() == count.sum()
    assert count[found][[0, -1]].any(axis=1).all()
    assert count[found][:, [0, -1]].any(axis=0).all()
