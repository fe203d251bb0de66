"""Period: half-open spans of UTC time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from eoscale.errors import RecipeError
from eoscale.model.axis import Located
from eoscale.model.columns import TIME, Columns
from eoscale.model.digest import Digested

_MOST_PERIODS = 1_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Period(Digested):
    """Consecutive half-open spans of UTC time.

    Parameters
    ----------
    edges : (n + 1,) datetime64[ns]
        Ascending; span i holds ``edges[i] <= time < edges[i + 1]``.

    Raises
    ------
    RecipeError
        If there are fewer than two edges or they do not ascend.

    Examples
    --------
    >>> months = Period.every("1MS", start="2024-04-01", stop="2024-07-01")
    >>> months.shape
    (3,)
    >>> months.locate({"time": np.array(["2024-05-01", "2024-07-01"], "M8[ns]")}).bins
    array([1])
    """

    edges: NDArray[np.datetime64]

    def __post_init__(self) -> None:
        if self.edges.size < 2 or not (np.diff(self.edges) > np.timedelta64(0)).all():
            raise RecipeError("periods need at least two ascending edges: is the stop after the start?")
        self.edges.flags.writeable = False

    @classmethod
    def every(cls, frequency: str, *, start: str | np.datetime64, stop: str | np.datetime64) -> Period:
        """Return spans of a pandas frequency that cover ``start <= time < stop``.

        Calendar frequencies (``1MS``, ``1YS``) begin at their calendar's own start, at or before
        ``start``; the others (``10D``, ``6h``) at ``start``.

        Raises
        ------
        RecipeError
            If the frequency is unknown, or there would be more than a million spans.
        """
        first, last = pd.Timestamp(start), pd.Timestamp(stop)
        if not first < last:
            raise RecipeError(f"the period is [{first}, {last}): expected a start before the stop")
        try:
            offset = pd.tseries.frequencies.to_offset(frequency)
        except ValueError as error:
            raise RecipeError(f"period {frequency!r} is no pandas frequency: try 1MS, 1YS, 10D") from error
        assert offset is not None  # noqa: S101  to_offset gives None for None only
        calendar = not isinstance(offset, pd.offsets.Tick | pd.offsets.Day)
        moment = offset.rollback(first.normalize()) if calendar else first
        edges = [moment]
        while edges[-1] < last:
            following = edges[-1] + offset
            if not edges[-1] < following < pd.Timestamp.max or len(edges) > _MOST_PERIODS:
                raise RecipeError(f"period {frequency!r} gives no or too many spans from {first} to {last}")
            edges.append(following)
        return cls(edges=np.array(edges, dtype="datetime64[ns]"))

    def __repr__(self) -> str:
        first, last = self.edges[0].astype("M8[s]"), self.edges[-1].astype("M8[s]")
        return f"<Period {self.shape[0]} spans, {first} to {last}>"

    @property
    def dims(self) -> tuple[str]:
        """``time``."""
        return (TIME,)

    @property
    def shape(self) -> tuple[int]:
        """Number of spans."""
        return (self.edges.size - 1,)

    def locate(self, columns: Columns) -> Located:
        """Return the rows whose ``time`` lies in a span, and which."""
        times = columns[TIME]
        bins = np.searchsorted(self.edges, times, side="right") - 1
        # NaT sorts last, behind the last edge
        rows = np.flatnonzero((bins >= 0) & (bins < self.shape[0]))
        return Located(rows, bins[rows].astype(np.int64))

    def coordinates(self) -> xr.Dataset:
        """Return the starts of the spans as ``time`` and both ends as ``time_bounds``."""
        bounds = np.stack([self.edges[:-1], self.edges[1:]], axis=1)
        attributes = {"standard_name": "time", "axis": "T", "bounds": "time_bounds"}
        return xr.Dataset(
            coords={
                TIME: (TIME, self.edges[:-1], attributes),
                "time_bounds": ((TIME, "bounds"), bounds),
            }
        )
