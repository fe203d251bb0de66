"""Spans of time: their names, and how many make one small map."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from eoscale.errors import RecipeError

Moments: TypeAlias = NDArray[np.datetime64]


def bounds(dataset: xr.Dataset) -> Moments:
    """Return the (n, 2) starts and ends of a result's spans.

    Raises
    ------
    RecipeError
        If the result does not have them: selecting variables by name drops them.
    """
    if "time_bounds" not in dataset.variables:
        raise RecipeError("the result has no `time_bounds`: give it as its store opens, and name `variable`")
    return np.asarray(dataset["time_bounds"].to_numpy())


def groups(spans: int, most: int) -> list[range]:
    """Return consecutive spans in at most so many groups of equal length, the last one maybe shorter.

    Examples
    --------
    >>> groups(5, 2)
    [range(0, 3), range(3, 5)]
    """
    length = -(-spans // most)
    return [range(start, min(start + length, spans)) for start in range(0, spans, length)]


def label(start: np.datetime64, stop: np.datetime64) -> str:
    """Return a half-open span in as few words as name it.

    Examples
    --------
    >>> label(np.datetime64("2024-04-01"), np.datetime64("2024-05-01"))
    'Apr 2024'
    """
    first, after = pd.Timestamp(start), pd.Timestamp(stop)
    last = after - pd.Timedelta(1, "us")
    if first != first.normalize() or after != after.normalize():
        return f"{first:%Y-%m-%d %H:%M} \N{EN DASH} {after:%Y-%m-%d %H:%M}"
    if first.is_year_start and after.is_year_start:
        return _between([f"{first.year}"], [f"{last.year}"])
    if first.is_month_start and after.is_month_start:
        return _between([_month(first), f"{first.year}"], [_month(last), f"{last.year}"])
    return _between(
        [f"{first.day}", _month(first), f"{first.year}"], [f"{last.day}", _month(last), f"{last.year}"]
    )


def _month(moment: pd.Timestamp) -> str:
    # unlike strftime it speaks English whatever the locale
    return moment.month_name()[:3]


def _between(first: list[str], last: list[str]) -> str:
    """Return two dates joined, what they end on in common said once."""
    if first == last:
        return " ".join(last)
    kept = list(first)
    while kept and kept[-1] == last[len(kept) - 1]:
        kept.pop()
    dash = "\N{EN DASH}" if len(kept) == 1 else " \N{EN DASH} "
    return f"{' '.join(kept)}{dash}{' '.join(last)}"
