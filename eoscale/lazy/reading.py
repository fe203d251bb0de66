"""The expression behind a lazy frame: a batch is read once for all that a graph wants of it.

dask.dataframe pushes columns down to each place that reads. ``g[g.beam == "gt1l"].h_li`` becomes two reads of
every batch, one of ``beam`` and one of ``h_li``, which a scheduler may send to two workers; each would read
the coordinates, to know which rows are inside. Here both become one read of both columns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, TypeAlias
from weakref import ref

import dask_geopandas
import pandas as pd
from dask._collections import new_collection
from dask.dataframe.dask_expr._expr import Projection
from dask.dataframe.dask_expr.io.io import FromMapProjectable

from eoscale.lazy.reader import Reader
from eoscale.write.work import Batch

Expression: TypeAlias = Any
"""Of dask.dataframe, whose expressions are half typed."""
Dependents: TypeAlias = Mapping[str, Collection[ref[Expression]]]
"""Name of an expression to those that use it, as dask hands them to its rules."""


class Reading(FromMapProjectable):
    """A map of a reader over batches, with the columns that any part of the graph wants."""

    @cached_property
    def frame_meta(self) -> pd.DataFrame:
        """Return the frame without rows. It is no operand: dask never names two GeoDataFrames alike."""
        meta: pd.DataFrame = self.operand("func").meta()
        return meta if self.columns_operand is None else meta[self.columns_operand]

    def _simplify_up(self, parent: Expression, dependents: Dependents) -> Expression | None:
        wanted = self._wanted(dependents)
        columns = [name for name in self.operand("func").columns if name in wanted]
        if not columns or columns == self.columns:
            return None
        together: Expression = self.substitute_parameters({"columns": columns})
        # which would be made anew for each expression, and takes milliseconds
        together.__dict__.setdefault("frame_meta", self.frame_meta[columns])
        if isinstance(parent, Projection):
            return together[parent.operand("columns")]
        return parent.substitute(self, together[self.columns])

    def _wanted(self, dependents: Dependents) -> set[str]:
        """Return the columns that are used of this reader's batches anywhere."""
        wanted: set[str] = set()
        for user, reading in self._uses(dependents):
            columns = user.operand("columns") if isinstance(user, Projection) else reading.columns
            wanted.update([columns] if isinstance(columns, str) else columns)
        return wanted

    def _uses(self, dependents: Dependents) -> Iterator[tuple[Expression, Reading]]:
        for weak in chain.from_iterable(dependents.values()):
            user = weak()
            for used in user.dependencies() if user is not None else ():
                if isinstance(used, Reading) and used.operand("func") == self.operand("func"):
                    yield user, used


def frame(reader: Reader, batches: Sequence[Batch], *, label: str) -> dask_geopandas.GeoDataFrame:
    """Return the lazy frame of a reader over some batches, as ``dask.dataframe.from_map`` does."""
    operands: dict[str, object] = {"columns": None, "args": [], "kwargs": {}, "columns_arg_required": False}
    return new_collection(Reading(func=reader, iterables=[list(batches)], label=label, **operands))
