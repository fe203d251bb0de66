from __future__ import annotations

from math import nan

import numpy as np

from eoscale.synthetic.columns import Table, complete, exact, fitted, flag, measure, pack


def test_missing_values_become_the_fill_and_others_are_rounded_below_their_meaning() -> None:
    packed = pack(measure("h", "meters"), np.array([1234.5678, nan]))
    assert packed[0] == np.float32(1_264_197 / 1024)
    assert packed[1] == np.finfo("f4").max


def test_coordinates_keep_a_millionth_of_a_degree() -> None:
    packed = pack(exact("latitude", "f8", "degrees_north"), np.array([71.123456789]))
    assert abs(packed[0] - 71.123456789) < 1e-6


def test_flags_are_their_first_unless_computed_and_fitted_columns_follow_the_fit() -> None:
    table = Table(
        group="group",
        columns=(
            exact("delta_time", "f8", "seconds since 2018-01-01"),
            flag("cloud", "clear cloudy", fill=127),
            fitted("height", "meters", 5.0, 6.0),
        ),
    )
    valid = np.array([True, False])
    packed = complete(table, {"delta_time": np.arange(2.0)}, np.random.default_rng(0), valid)
    assert list(packed["cloud"]) == [0, 0]
    assert 5 <= packed["height"][0] <= 6
    assert packed["height"][1] == np.finfo("f4").max
