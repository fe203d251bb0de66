from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import LogNorm, to_rgb

from eoscale.plot.colours import LAND, number, scale
from eoscale.plot.mosaic import Floats


def lightness(colours: Floats) -> Floats:
    """CIE L* of sRGB colours."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear[..., :3] @ np.array([0.2126, 0.7152, 0.0722])
    return np.asarray(116 * np.cbrt(luminance) - 16)


@pytest.mark.parametrize("statistic", ["mean", "std", "count"])
def test_colours_grow_evenly_lighter_and_stand_out_from_the_ground(statistic: str) -> None:
    found = scale(np.arange(1.0, 100.0), statistic)
    assert found is not None
    light = lightness(found.colours(np.linspace(0, 1, 64)))
    steps = np.diff(light)
    assert (steps > 0).all()
    assert steps.max() < 2.5 * steps.mean()
    assert light.min() > lightness(np.array(to_rgb(LAND))) + 20


def test_limits_are_robust_and_arrows_say_that_values_lie_beyond() -> None:
    values = np.append(np.linspace(0, 100, 1001), [1e6, np.nan])
    found = scale(values, "mean")
    assert found is not None
    assert found.limits == pytest.approx((2, 98), abs=0.5)
    assert found.extend == "both"


def test_counts_are_drawn_on_a_logarithmic_scale_with_round_ticks() -> None:
    found = scale(np.arange(1.0, 5000.0), "count")
    assert found is not None
    assert isinstance(found.norm, LogNorm)
    assert found.ticks(5) == [100.0, 200.0, 500.0, 1000.0, 2000.0]


@pytest.mark.parametrize("statistic", ["mean", "count"])
def test_equal_values_have_a_scale_too(statistic: str) -> None:
    found = scale(np.full(4, 7.0), statistic)
    assert found is not None
    assert found.limits[0] < found.limits[1]
    assert found.extend == "neither"
    assert found.ticks(5)


def test_without_values_there_is_no_scale() -> None:
    assert scale(np.full(4, np.nan), "mean") is None


def test_negative_numbers_have_a_true_minus_sign() -> None:
    assert number(-2500.0) == "\N{MINUS SIGN}2,500"
