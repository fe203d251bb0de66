"""Reduction and Partial: a statistic as three small functions with laws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from eoscale.model.columns import Array
from eoscale.model.digest import Digested

_KEY = "key"


@dataclass(frozen=True, kw_only=True, eq=False)
class Partial(Digested):
    """What is known of some cells so far: sorted sparse keys, and columns of equal length.

    Examples
    --------
    >>> partial = Partial(keys=np.array([3, 7]), columns={"count": np.array([2, 1])})
    >>> Partial.from_arrow(partial.to_arrow()) == partial
    True
    """

    keys: NDArray[np.int64]
    """(n,) cells of a cube, strictly ascending."""
    columns: Mapping[str, Array]
    """(n,) each; what they mean is the reduction's own business."""

    def __post_init__(self) -> None:
        if self.keys.size > 1 and not (np.diff(self.keys) > 0).all():
            raise ValueError("the keys of a partial ascend strictly")
        for name, column in self.columns.items():
            if len(column) != self.keys.size:
                raise ValueError(f"column {name} has {len(column)} values for {self.keys.size} keys")

    def __repr__(self) -> str:
        return f"<Partial of {len(self)} cells: {', '.join(self.columns)}>"

    def __len__(self) -> int:
        return int(self.keys.size)

    def between(self, start: int, stop: int) -> Partial:
        """Return the cells with ``start <= key < stop``, without copying."""
        part = slice(*np.searchsorted(self.keys, [start, stop]))
        columns = {name: column[part] for name, column in self.columns.items()}
        return Partial(keys=self.keys[part], columns=columns)

    def moved(self, by: int) -> Partial:
        """Return the same of cells whose keys are larger by a number."""
        return Partial(keys=self.keys + by, columns=self.columns)

    def to_arrow(self) -> pa.RecordBatch:
        """Return the partial as an Arrow record batch: its file format."""
        return pa.RecordBatch.from_pydict({_KEY: self.keys, **self.columns})

    @classmethod
    def from_arrow(cls, batch: pa.RecordBatch) -> Partial:
        """Return the partial that :meth:`to_arrow` gave."""
        columns = {name: batch[name].to_numpy(zero_copy_only=False) for name in batch.schema.names}
        return cls(keys=columns.pop(_KEY), columns=columns)


class Reduction(Protocol):
    """One or more statistics of the values in a cell.

    Laws: a partial without cells is the identity of ``merge``; ``merge`` is associative and commutative,
    exactly for counts and extrema, within a stated tolerance for the rest. A result is the merge of the
    granules' partials in id order, so it has the same bits however the work was cut.
    """

    @property
    def statistics(self) -> tuple[str, ...]:
        """The statistics that it can give."""
        ...

    def chunk(self, keys: NDArray[np.int64], values: Array) -> Partial:
        """Return the partial of (n,) values in the cells named by (n,) keys, none of them missing."""
        ...

    def merge(self, partials: Sequence[Partial]) -> Partial:
        """Return the left fold of partials, in the order given."""
        ...

    def finalize(self, partial: Partial, statistic: str) -> Array:
        """Return one value for each cell of the partial."""
        ...
