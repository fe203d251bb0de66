"""The reader: one partition of a lazy frame, with the columns that the graph asks for and no others."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd

from eoscale.errors import GranuleError
from eoscale.model.columns import BEAM, GEOMETRY, GRANULE, LATITUDE, LONGITUDE, TIME, Array, Values
from eoscale.model.job import Job
from eoscale.model.region import LONGITUDE_LATITUDE
from eoscale.steps.batches import each
from eoscale.steps.observe import Observations, extend, observe
from eoscale.write.work import Batch, Work


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads a batch of granules as a frame: all that a graph carries, beside the numbers of the batches.

    A filter and what it filters are two reads of one batch in a graph. A thread therefore keeps the rows
    of the batch that it read last, with the columns it has read of them, and reads only what is new.
    """

    work: Work
    described: Mapping[str, Mapping[str, str]]
    """Of each variable: dtype, units and long name, as the first granule has them."""

    def __call__(self, batch: Batch, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the rows of a batch; a GeoDataFrame where ``geometry`` is among the columns.

        Raises
        ------
        AccessError, GranuleError
            If a granule cannot be used.
        """
        job = self.work.job()
        names = list(columns) if columns is not None else _columns(job)
        seen = _observations(job, batch, names)
        made = {name: self._column(job, seen, name) for name in names if name != GEOMETRY}
        frame = pd.DataFrame(made, index=pd.RangeIndex(sum(one.size for one in seen)))
        if GEOMETRY not in names:
            return frame
        places = (_coordinate(seen, name) for name in (LONGITUDE, LATITUDE))
        geometry = gpd.GeoSeries.from_xy(*places, crs=LONGITUDE_LATITUDE)
        return gpd.GeoDataFrame(frame, geometry=geometry)[names]

    def meta(self, job: Job) -> gpd.GeoDataFrame:
        """Return the frame without rows: names and types of all columns."""
        made = {name: self._column(job, [], name) for name in _columns(job) if name != GEOMETRY}
        return gpd.GeoDataFrame(made, geometry=gpd.GeoSeries([], crs=LONGITUDE_LATITUDE))

    def _column(self, job: Job, seen: Sequence[Observations], name: str) -> pd.Series:
        match name:
            case "granule":
                ids = np.repeat([one.receipt.granule for one in seen], [one.size for one in seen])
                return pd.Series(ids, dtype="str")
            case "beam":
                beams = [beam for one in seen for beam in one.beams]
                codes = [job.product.groups.index(beam.name) for beam in beams]
                return pd.Series(
                    pd.Categorical.from_codes(
                        np.repeat(np.array(codes, np.int8), [beam.rows.size for beam in beams]),
                        categories=list(job.product.groups),
                    )
                )
            case "time" | "longitude" | "latitude":
                return pd.Series(_coordinate(seen, name))
        dtype = np.dtype(self.described[name]["dtype"])
        pieces = [_typed(one, name, one.values(job.columns[name]), dtype) for one in seen if one.beams]
        values = np.concatenate([np.empty(0, dtype), *(piece.values for piece in pieces)])
        missing = np.concatenate([np.empty(0, np.bool_), *(piece.missing for piece in pieces)])
        return _masked(values, missing)


def _columns(job: Job) -> list[str]:
    return [GRANULE, BEAM, TIME, LONGITUDE, LATITUDE, *job.columns, GEOMETRY]


def _coordinate(seen: Iterable[Observations], name: str) -> Array:
    empty = np.empty(0, "M8[ns]" if name == TIME else np.float64)
    return np.concatenate([empty, *(one.coordinates[name] for one in seen)])


def _typed(seen: Observations, name: str, column: Values, dtype: np.dtype[np.generic]) -> Values:
    """Return values in the type of the frame, or refuse those that it cannot hold."""
    if not np.can_cast(column.values.dtype, dtype, "safe"):
        raise GranuleError(
            f"{name} is {column.values.dtype} here and {dtype} in the first granule: open them apart",
            granule=seen.receipt.granule,
            url=seen.chunks.url,
        )
    return Values(column.values.astype(dtype, copy=False), column.missing)


def _masked(values: Array, missing: Array) -> pd.Series:
    """Return values with NaN, or NA in integers, where they are missing."""
    if values.dtype.kind == "f":
        return pd.Series(np.where(missing, values.dtype.type(np.nan), values))
    if values.dtype.kind == "b":
        return pd.Series(pd.arrays.BooleanArray(values, missing))
    return pd.Series(pd.arrays.IntegerArray(values, missing))


class _Last(threading.local):
    """The batch that this thread read last."""

    batch: tuple[str, Batch] | None = None
    asked: tuple[frozenset[str], ...] = ()
    """The columns of each time."""
    seen: Sequence[Observations] = ()


_last = _Last()


def _observations(job: Job, batch: Batch, names: Sequence[str]) -> Sequence[Observations]:
    """Return the observations of a batch, with at least the variables among some columns.

    One graph never asks twice for the same columns of a batch. Who does computes anew, and reads anew.
    """
    wanted = frozenset(names)
    known = _last.batch == (job.digest, batch) and wanted not in _last.asked
    earlier, asked = (_last.seen, _last.asked) if known else ((), ())
    variables = [name for name in names if name in job.columns]
    _last.batch, _last.seen = None, ()  # an error below leaves nothing half-read behind
    if known:
        seen = [extend(job, one, variables) for one in earlier]
    else:
        seen = each(job, batch, lambda granule: observe(job, granule, variables))
    _last.batch, _last.asked, _last.seen = (job.digest, batch), (*asked, wanted), seen
    return seen
