"""The reader: one partition of a lazy frame, with the columns that the graph asks for and no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd

from eoscale.errors import GranuleError
from eoscale.model.columns import BEAM, GEOMETRY, GRANULE, LATITUDE, LONGITUDE, TIME, Array, Values
from eoscale.model.region import LONGITUDE_LATITUDE
from eoscale.steps.batches import each
from eoscale.steps.observe import Observations, Observed
from eoscale.write.work import Batch, Work


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads a batch of granules as a frame: all that a graph carries, beside the numbers of the batches."""

    work: Work
    beams: tuple[str, ...]
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
        names = self.columns if columns is None else list(columns)
        variables = [name for name in names if name in job.columns]
        came = {position: _used(one) for position, one in each(job, batch, columns=variables)}
        seen = [came[position] for position in range(*batch)]
        made = {name: self._column(seen, name) for name in names if name != GEOMETRY}
        frame = pd.DataFrame(made, index=pd.RangeIndex(sum(one.size for one in seen)))
        if GEOMETRY not in names:
            return frame
        places = (_coordinate(seen, name) for name in (LONGITUDE, LATITUDE))
        geometry = gpd.GeoSeries.from_xy(*places, crs=LONGITUDE_LATITUDE)
        framed: pd.DataFrame = gpd.GeoDataFrame(frame.assign(geometry=geometry)[names])
        return framed

    @property
    def columns(self) -> list[str]:
        """All columns, in their order."""
        return [GRANULE, BEAM, TIME, LONGITUDE, LATITUDE, *self.described, GEOMETRY]

    def meta(self) -> gpd.GeoDataFrame:
        """Return the frame without rows: names and types of all columns."""
        made = {name: self._column([], name) for name in self.columns if name != GEOMETRY}
        return gpd.GeoDataFrame(made, geometry=gpd.GeoSeries([], crs=LONGITUDE_LATITUDE))

    def _column(self, seen: Sequence[Observations], name: str) -> pd.Series:
        match name:
            case "granule":
                ids = np.repeat([one.receipt.granule for one in seen], [one.size for one in seen])
                return pd.Series(ids, dtype="str")
            case "beam":
                beams = [beam for one in seen for beam in one.beams]
                codes = [self.beams.index(beam.name) for beam in beams]
                return pd.Series(
                    pd.Categorical.from_codes(
                        np.repeat(np.array(codes, np.int8), [beam.rows.size for beam in beams]),
                        categories=pd.Index(self.beams),
                    )
                )
            case "time" | "longitude" | "latitude":
                return pd.Series(_coordinate(seen, name))
        dtype = np.dtype(self.described[name]["dtype"])
        path = self.work.job().columns[name] if seen else ""
        pieces = [_typed(one, name, one.values(path), dtype) for one in seen if one.beams]
        values = np.concatenate([np.empty(0, dtype), *(piece.data for piece in pieces)])
        missing = np.concatenate([np.empty(0, np.bool_), *(piece.missing for piece in pieces)])
        return _masked(values, missing)


def _used(seen: Observed) -> Observations:
    if not isinstance(seen, Observations):
        raise seen
    return seen


def _coordinate(seen: Iterable[Observations], name: str) -> Array:
    empty = np.empty(0, "M8[ns]" if name == TIME else np.float64)
    return np.concatenate([empty, *(one.coordinate(name) for one in seen)])


def _typed(seen: Observations, name: str, column: Values, dtype: np.dtype[np.generic]) -> Values:
    """Return values in the type of the frame, or refuse those that it cannot hold."""
    if not np.can_cast(column.data.dtype, dtype, "safe"):
        raise GranuleError(
            f"{name} is {column.data.dtype} here and {dtype} in the first granule: open them apart",
            granule=seen.receipt.granule,
            url=seen.chunks.url,
        )
    return Values(column.data.astype(dtype, copy=False), column.missing)


def _masked(values: Array, missing: Array) -> pd.Series:
    """Return values with NaN, or NA in integers, where they are missing."""
    if values.dtype.kind == "f":
        return pd.Series(np.where(missing, values.dtype.type(np.nan), values))
    if values.dtype.kind == "b":
        return pd.Series(pd.arrays.BooleanArray(values, missing))
    return pd.Series(pd.arrays.IntegerArray(values, missing))
