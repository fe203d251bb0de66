from __future__ import annotations

import numpy as np

from eoscale.synthetic import sun

DAY = 86_400.0


def test_the_sun_does_not_set_in_a_polar_summer_nor_rise_in_its_winter() -> None:
    hours = np.linspace(0.0, DAY, 24)
    north = np.full(24, 85.0)
    summer, winter = hours + 171 * DAY, hours + 355 * DAY
    assert sun.position(np.zeros(24), north, summer)[1].min() > 0
    assert sun.position(np.zeros(24), north, winter)[1].max() < 0


def test_the_sun_stands_in_the_east_in_the_morning() -> None:
    azimuth, _ = sun.position(np.zeros(1), np.full(1, 45.0), np.array([79 * DAY + 6.5 * 3600]))
    assert 80 < azimuth[0] < 110
