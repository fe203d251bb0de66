"""Cells: sparse groups of rows, and sparse cells of several partials laid over one another (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eoscale.model.reduction import Partial


class Groups(NamedTuple):
    """Rows sorted into cells."""

    keys: NDArray[np.int64]
    """(c,) cells that hold a row, ascending."""
    cell: NDArray[np.int64]
    """(n,) for each row, the position of its cell in ``keys``."""


def group(keys: NDArray[np.int64]) -> Groups:
    """Return which cells some rows lie in.

    Examples
    --------
    >>> group(np.array([7, 3, 7]))
    Groups(keys=array([3, 7]), cell=array([1, 0, 1]))
    """
    cells, inverse = np.unique(keys, return_inverse=True)
    return Groups(cells, inverse)


def union(partials: Sequence[Partial]) -> NDArray[np.int64]:
    """Return the cells that any of some partials knows, ascending."""
    if not partials:
        return np.empty(0, np.int64)
    return np.unique(np.concatenate([partial.keys for partial in partials]))


def overlay(
    keys: NDArray[np.int64], partials: Sequence[Partial]
) -> Iterator[tuple[NDArray[np.int64], Partial]]:
    """Yield each partial, in order, with the positions of its cells in ascending keys that hold them."""
    for partial in partials:
        yield np.searchsorted(keys, partial.keys), partial
