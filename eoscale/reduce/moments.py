"""Moments: count, sum, mean, var, std, min and max of the values in a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eoscale.model.columns import Array
from eoscale.model.reduction import Partial
from eoscale.reduce.cells import group, overlay, union

_IDENTITY = {"count": 0, "sum": 0.0, "m2": 0.0, "min": np.inf, "max": -np.inf}
_CELL_METHODS = {
    "sum": "sum",
    "mean": "mean",
    "var": "variance",
    "std": "standard_deviation",
    "min": "minimum",
    "max": "maximum",
}


@dataclass(frozen=True)
class Moments:
    """Count, sum, mean, population variance and standard deviation (ddof 0), minimum and maximum.

    A partial holds count, sum, sum of squared deviations from the cell's own mean (m2) and extrema.
    Partials merge by Chan's formula in float64; count and extrema exactly, the rest to a few times the
    rounding of float64. Rows of a cell are added in the order in which they lie in the file.

    Source: Chan, Golub and LeVeque, American Statistician 37 (1983), 242-247.

    Examples
    --------
    >>> moments = Moments()
    >>> a = moments.chunk(np.array([0, 0, 1]), np.array([1.0, 3.0, 5.0]))
    >>> b = moments.chunk(np.array([1]), np.array([9.0]))
    >>> moments.finalize(moments.merge([a, b]), "mean")
    array([2., 7.])
    """

    @property
    def statistics(self) -> tuple[str, ...]:
        """The statistics that it can give."""
        return ("count", *_CELL_METHODS)

    def chunk(self, keys: NDArray[np.int64], values: Array) -> Partial:
        """Return the partial of (n,) finite values in the cells named by (n,) keys."""
        cells, cell = group(keys)
        values = np.asarray(values, np.float64)
        count = np.bincount(cell, minlength=cells.size)
        total = _sums(cell, values, cells.size)
        deviation = values - (total / np.maximum(count, 1))[cell]
        m2 = _sums(cell, deviation * deviation, cells.size)
        low, high = np.full(cells.size, np.inf), np.full(cells.size, -np.inf)
        np.minimum.at(low, cell, values)
        np.maximum.at(high, cell, values)
        columns = {"count": count.astype(np.int64), "sum": total, "m2": m2, "min": low, "max": high}
        return Partial(keys=cells, columns=columns)

    def merge(self, partials: Sequence[Partial]) -> Partial:
        """Return the left fold of partials, in the order given.

        Cells are independent: laying the partials one after another over all cells is, cell by cell, the
        same fold as merging them two by two, without building a union for each.
        """
        keys = union(partials)
        state = {name: np.full(keys.size, value) for name, value in _IDENTITY.items()}
        for at, partial in overlay(keys, partials):
            merged = _combine({name: column[at] for name, column in state.items()}, partial.columns)
            for name, column in merged.items():
                state[name][at] = column
        return Partial(keys=keys, columns=state)

    def finalize(self, partial: Partial, statistic: str) -> Array:
        """Return one statistic of each cell: int64 for the count, float64 for the others."""
        columns = partial.columns
        count = columns["count"]
        match statistic:
            case "count" | "sum" | "min" | "max":
                return columns[statistic]
            case "mean":
                return np.asarray(columns["sum"] / count)
            case "var":
                return np.asarray(columns["m2"] / count)
            case "std":
                return np.asarray(np.sqrt(columns["m2"] / count))
            case _:
                raise ValueError(f"{statistic!r} is none of {', '.join(self.statistics)}")

    def empty(self, statistic: str) -> np.generic:
        """Return what a cell without values holds, in the statistic's dtype."""
        return np.int64(0) if statistic == "count" else np.float64(np.nan)

    def describe(self, statistic: str, attributes: Mapping[str, str], dims: Sequence[str]) -> dict[str, str]:
        """Return the CF attributes of a statistic of a variable on some dimensions.

        Parameters
        ----------
        statistic : str
        attributes : mapping
            ``units`` and ``long_name`` of the variable.
        dims : sequence of str
        """
        name, units = attributes.get("long_name", ""), attributes.get("units", "")
        if statistic == "count":
            return {
                "long_name": f"number of values of {name}",
                "standard_name": "number_of_observations",
                "units": "1",
            }
        method = _CELL_METHODS[statistic]
        described = {
            "long_name": f"{method.replace('_', ' ')} of {name}",
            "cell_methods": f"{' '.join(f'{dim}:' for dim in dims)} {method}",
        }
        if units:
            described["units"] = f"({units})2" if statistic == "var" and units != "1" else units
        return described


def _sums(cell: NDArray[np.int64], values: Array, cells: int) -> Array:
    # bincount gives integers where there is nothing to weigh
    return np.bincount(cell, weights=values, minlength=cells).astype(np.float64, copy=False)


def _combine(left: Mapping[str, Array], right: Mapping[str, Array]) -> dict[str, Array]:
    """Return the moments of both sides together, cell by cell."""
    fresh = left["count"] == 0
    n, m = np.maximum(left["count"], 1), right["count"]
    delta = right["sum"] / m - left["sum"] / n
    # not n * m first: two counts of some thousand millions overflow int64
    between = delta * delta * (n * (m / (n + m)))
    return {
        "count": left["count"] + m,
        # an empty cell takes the other side as it is, so that the identity changes no bit
        "sum": np.where(fresh, right["sum"], left["sum"] + right["sum"]),
        "m2": np.where(fresh, right["m2"], left["m2"] + right["m2"] + between),
        "min": np.minimum(left["min"], right["min"]),
        "max": np.maximum(left["max"], right["max"]),
    }
