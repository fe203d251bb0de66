"""The work folder: what the tasks of a run share, what they leave for one another, and what is finished."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from eoscale.errors import RunError
from eoscale.model.cube import Tile
from eoscale.model.digest import digest
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.write import receipts
from eoscale.write.receipts import Finished
from eoscale.write.whole import whole

Batch = tuple[int, int]
"""First granule and the one behind the last, by position in the job's list."""
Unit: TypeAlias = int | tuple[int, int]
"""What is written apart: a tile, or a part of a table."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """The work folder of one job: all that a task carries, beside the number of its batch or unit.

    Parameters
    ----------
    folder : str
    digest : str
        Of the job.
    stage : str
        Digest of what the batches left, once all are read: what is written of it is kept apart from what
        was written of anything else.
    """

    folder: str
    digest: str
    stage: str = ""

    def job(self) -> Job:
        """Return the job; read once a process.

        Raises
        ------
        RunError
            If it is not there, or other libraries than the client's make another job of it.
        """
        with _loading:  # threads that begin together wait for the first, rather than all do its work
            return _load_job(self.folder, self.digest)

    def remove(self) -> None:
        """Remove everything of this job, and the folder if nothing else is in it."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._path(""))
        with contextlib.suppress(OSError):
            Path(self.folder).rmdir()

    def save_job(self, job: Job) -> None:
        """Put the job where all tasks find it, under its digest."""
        self._path("").mkdir(parents=True, exist_ok=True)
        _put(self._path("job.json"), job.to_json())

    def partials(self, batch: Batch) -> Path:
        """Return the file for the partials of a batch."""
        return self._path(f"{_name(batch)}.arrow")

    def finish(self, batch: Batch, granules: Iterable[Receipt]) -> Finished:
        """Write down that a batch is finished, whose partials have been written."""
        return receipts.save(self._path(f"{_name(batch)}.json"), tuple(granules), self.partials(batch))

    def finished(self, batches: Iterable[Batch]) -> dict[Batch, Finished]:
        """Return those of some batches that an earlier attempt finished."""
        found = {}
        for batch in batches:
            known = receipts.load(self._path(f"{_name(batch)}.json"), self.partials(batch))
            if known is not None:
                found[batch] = known
        return found

    def staged(self, finished: Mapping[Batch, Finished]) -> Work:
        """Return the work folder for what is written of what these batches left."""
        stage = digest([(batch, finished[batch].decides()) for batch in sorted(finished)])
        work = replace(self, stage=stage)
        work.save_tiles({batch: each.receipts for batch, each in finished.items()})
        return work

    def save_tiles(self, granules: Mapping[Batch, Iterable[Receipt]]) -> None:
        """Put down which batches touch which tile, so that a tile opens no others."""
        tiles: dict[Tile, list[Batch]] = {}
        for batch, some in sorted(granules.items()):
            for tile in sorted({tile for receipt in some for tile in receipt.tiles}):
                tiles.setdefault(tile, []).append(batch)
        self._staged("").mkdir(parents=True, exist_ok=True)
        _put(self._staged("tiles.json"), json.dumps(tiles))

    def batches(self, tile: Tile) -> tuple[Batch, ...]:
        """Return the batches that touch a tile, in order."""
        return tuple(
            (start, stop) for start, stop in _load_tiles(self._staged("tiles.json")).get(str(tile), ())
        )

    def wrote(self, unit: Unit, counts: Mapping[str, int]) -> None:
        """Write down that a unit is written, and how many rows of each variable are in it."""
        _put(self._staged(f"{_name(unit)}.json"), json.dumps(counts))

    def written(self, units: Iterable[Unit]) -> dict[Unit, dict[str, int]]:
        """Return those of some units that an earlier attempt wrote, with their counts."""
        found = {}
        for unit in units:
            with contextlib.suppress(FileNotFoundError):
                found[unit] = json.loads(self._staged(f"{_name(unit)}.json").read_text(encoding="utf-8"))
        return found

    def forget(self, units: Iterable[Unit]) -> None:
        """Remove what says that some units are written."""
        for unit in units:
            self._staged(f"{_name(unit)}.json").unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return Path(self.folder) / self.digest[:16] / name

    def _staged(self, name: str) -> Path:
        return self._path(self.stage[:16]) / name


_loading = threading.Lock()


@lru_cache(maxsize=4)
def _load_job(folder: str, digest: str) -> Job:
    path = Work(folder=folder, digest=digest)._path("job.json")  # noqa: SLF001  the cache of its own class
    try:
        job = Job.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(
            f"{path} is not there: set EOSCALE_WORK to a folder that client and workers share"
        ) from error
    if job.digest != digest:
        raise RunError(
            f"{path} is job {job.digest[:16]} here: client and workers run different versions of eoscale"
        )
    return job


@lru_cache(maxsize=4)
def _load_tiles(path: Path) -> dict[str, list[Batch]]:
    tiles: dict[str, list[Batch]] = json.loads(path.read_text(encoding="utf-8"))
    return tiles


def _name(unit: Unit) -> str:
    """Return a file name; names sort like the batches or units that they are of."""
    return "-".join(f"{number:07d}" for number in (unit if isinstance(unit, tuple) else (unit,)))


def _put(path: Path, text: str) -> None:
    with whole(path) as hidden:
        hidden.write_text(text, encoding="utf-8")
