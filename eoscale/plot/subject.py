"""Subject: the variable that a picture shows."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

import xarray as xr

from eoscale.errors import RecipeError

TIME = "time"
_GRIDS = (("y", "x"), ("latitude", "longitude"))
_DRAWABLE = {(TIME,), *_GRIDS, *((TIME, *dims) for dims in _GRIDS)}
_WORDS = {
    "count": "Number of observations",
    "sum": "Sum",
    "mean": "Mean",
    "std": "Standard deviation",
    "var": "Variance",
    "min": "Minimum",
    "max": "Maximum",
}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One statistic of one variable, and the number of observations behind each value."""

    values: xr.DataArray
    counts: xr.DataArray | None
    """On the same dimensions; None where the result has no count."""

    @property
    def statistic(self) -> str:
        """The last word of the variable's name."""
        return str(self.values.name).rpartition("_")[2]

    @property
    def statistic_words(self) -> str:
        """The statistic as a reader calls it."""
        words = _WORDS.get(self.statistic, self.statistic)
        merged = self.spans > 1 and len(self.values.dims) > 1
        return f"{words}, pooled over time" if merged and self.statistic in ("std", "var") else words

    @property
    def name(self) -> str:
        """What the values are, as the result calls it."""
        name = str(self.values.attrs.get("long_name") or self.values.name)
        return name if "_" in name else name[:1].upper() + name[1:]

    @property
    def units(self) -> str:
        """Units in brackets after a space; nothing where there are none."""
        units = str(self.values.attrs.get("units", "1"))
        return "" if units in ("1", "") else f" [{units}]"

    @property
    def spans(self) -> int:
        """Number of spans of time; one where there is no time."""
        return int(self.values.sizes.get(TIME, 1))

    def span(self, number: int) -> Subject:
        """Return the subject in one span of time; all of it where there is no time."""
        if TIME not in self.values.dims:
            return self
        counts = None if self.counts is None else self.counts.isel({TIME: number})
        return Subject(values=self.values.isel({TIME: number}), counts=counts)


def choose(dataset: xr.Dataset, variable: str | None) -> Subject:
    """Return the variable to show: the one named, else the first mean, the first that is no count, any.

    Raises
    ------
    RecipeError
        If the dataset has no such variable, or none that can be drawn; names the nearest.
    """
    names = [str(name) for name, values in dataset.data_vars.items() if values.dims in _DRAWABLE]
    if not names:
        raise RecipeError("nothing to draw: expected variables on time, on y and x, or on both")
    if variable is None:
        variable = min(names, key=_rank)
    if variable not in names:
        near = get_close_matches(variable, names, n=3, cutoff=0.4) or names[:5]
        raise RecipeError(f"the result has no map or series {variable!r}: did you mean {', '.join(near)}?")
    counts = dataset.get(f"{variable.rpartition('_')[0]}_count")
    return Subject(values=dataset[variable], counts=counts)


def _rank(name: str) -> int:
    statistic = name.rpartition("_")[2]
    return {"mean": 0, "count": 2}.get(statistic, 1)
