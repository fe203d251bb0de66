from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import LogNorm

from eoscale.plot.colours import LAND, scale


def lightness(colours: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return np.asarray(116 * np.cbrt(linear[..., :3] @ [0.2126, 0.7152, 0.0722]) - 16)
