"""The ledger: one row a granule, and sums that must reconcile."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from eoscale.errors import IncompleteRunError, RunError
from eoscale.model.job import Job
from eoscale.model.receipt import MEASURED, REFUSALS, STATUSES, Receipt
from eoscale.write import places
from eoscale.write.places import Place

_FACTS = b"eoscale"
_COUNTS = ("read", *REFUSALS)


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What became of every granule that was found and every row that was read.

    ``found = used + empty + skipped + failed``, and for each variable
    ``read = outside + quality + undecided + where + off_axis + missing + binned``.
    """

    frame: pd.DataFrame
    """Columns id, status, reason, absent, fallback, read, outside, quality, undecided, where, off_axis, and
    missing_<v> and binned_<v> for each variable; measured: requests, bytes, seconds, finished (since 1970),
    process."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the run was, for a person."""
    job: str = ""
    """Digest of the job that has been published; empty before that."""

    @classmethod
    def of(cls, job: Job, receipts: Iterable[Receipt], facts: Mapping[str, str]) -> Ledger:
        """Return the ledger of a job from the receipts of its granules.

        Raises
        ------
        RunError
            If granules or rows do not add up: a fault of eoscale, and no result to trust.
        """
        rows = [_row(receipt, job.columns) for receipt in receipts]
        skipped = [
            _row(Receipt(granule=granule.id), job.columns) | {"status": "skipped", "reason": reason}
            for granule, reason in job.granules.dropped
        ]
        frame = pd.DataFrame(rows + skipped, columns=list(_row(Receipt(granule=""), job.columns)))
        ledger = cls(frame=frame.sort_values("id", kind="stable", ignore_index=True), facts=facts)
        ledger._reconcile(job)
        return ledger

    def _reconcile(self, job: Job) -> None:
        frame = self.frame
        if len(frame) != job.granules.found or not frame["status"].isin(STATUSES).all():
            raise RunError(f"the ledger has {len(frame)} granules, {job.granules.found} were found")
        for name in job.columns:
            parts = frame[[*REFUSALS, f"missing_{name}", f"binned_{name}"]]
            lost = frame["read"] - parts.sum(axis=1)
            if lost.any():
                worst = frame["id"].iloc[int(lost.abs().argmax())]
                raise RunError(f"rows of {name} do not add up: {lost.sum()} of them, first in {worst}")

    def counts(self) -> dict[str, int]:
        """Return how many granules were found, used, empty, skipped and failed."""
        by_status = self.frame["status"].value_counts()
        return {"found": len(self.frame), **{s: int(by_status.get(s, 0)) for s in STATUSES}}

    def binned(self, variable: str) -> int:
        """Return how many rows of a variable were binned."""
        return int(self.frame[f"binned_{variable}"].sum())

    def sentence(self) -> str:
        """Return the counts in words.

        Examples
        --------
        >>> Ledger(frame=pd.DataFrame({"status": ["used", "empty", "used"]})).sentence()
        '3 found: 2 used, 1 empty, 0 skipped, 0 failed'
        """
        counts = self.counts()
        return f"{counts['found']} found: " + ", ".join(f"{counts[status]} {status}" for status in STATUSES)

    def save(self, at: Place) -> None:
        """Write the ledger as Parquet."""
        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        told = json.dumps({"facts": dict(self.facts), "job": self.job})
        metadata = {**(table.schema.metadata or {}), _FACTS: told.encode()}
        if isinstance(at, Path):
            at.parent.mkdir(parents=True, exist_ok=True)
        with BytesIO() as target:
            pq.write_table(table.replace_schema_metadata(metadata), target)
            places.put(at, target.getvalue())

    @classmethod
    def load(cls, at: Place) -> Ledger:
        """Return a ledger that :meth:`save` wrote.

        Raises
        ------
        IncompleteRunError
            If there is none.
        """
        try:
            table = pq.read_table(pa.BufferReader(at.read_bytes()))
        except FileNotFoundError:
            raise IncompleteRunError(f"there is no ledger {at}: run the recipe first") from None
        told = json.loads((table.schema.metadata or {}).get(_FACTS, b"{}"))
        return cls(frame=table.to_pandas(), facts=told.get("facts", {}), job=told.get("job", ""))


def beside(output: Place) -> Place:
    """Return where the ledger of an output lies.

    Examples
    --------
    >>> beside(Path("greenland.zarr")).name
    'greenland.zarr.ledger.parquet'
    """
    return output.with_name(f"{output.name}.ledger.parquet")


def _row(receipt: Receipt, variables: Iterable[str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": receipt.granule,
        "status": receipt.status,
        "reason": receipt.failure,
        "absent": " ".join(receipt.absent),
        "fallback": receipt.fallback,
        **{name: getattr(receipt, name) for name in _COUNTS},
    }
    for name in variables:
        row[f"missing_{name}"] = receipt.missing.get(name, 0)
        row[f"binned_{name}"] = receipt.binned.get(name, 0)
    return row | {name: getattr(receipt, name) for name in MEASURED}
