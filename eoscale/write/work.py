"""The work folder: what the tasks of a run share, and what they leave for one another."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from eoscale.errors import RunError
from eoscale.model.cube import Tile
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt

Batch = tuple[int, int]
"""First granule and the one behind the last, by position in the job's list."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """The work folder of one job: all that a task carries, beside the number of its batch or tile.

    Parameters
    ----------
    folder : str
    digest : str
        Of the job.
    """

    folder: str
    digest: str

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
        shutil.rmtree(self._path(""))
        with contextlib.suppress(OSError):
            Path(self.folder).rmdir()

    def save_job(self, job: Job) -> None:
        """Put the job where all tasks find it, under its digest."""
        _put(self._path("job.json"), job.to_json())

    def partials(self, batch: Batch) -> Path:
        """Return the file for the partials of a batch."""
        start, stop = batch
        return self._path(f"{start:07d}-{stop:07d}.arrow")

    def save_tiles(self, receipts: Mapping[Batch, Iterable[Receipt]]) -> None:
        """Put down which batches touch which tile, so that a tile opens no others."""
        tiles: dict[Tile, list[Batch]] = {}
        for batch, granules in sorted(receipts.items()):
            for tile in sorted({tile for receipt in granules for tile in receipt.tiles}):
                tiles.setdefault(tile, []).append(batch)
        _put(self._path("tiles.json"), json.dumps(tiles))

    def batches(self, tile: Tile) -> tuple[Batch, ...]:
        """Return the batches that touch a tile, in order."""
        path = self._path("tiles.json")
        return tuple(
            (start, stop) for start, stop in _load_tiles(path, path.stat().st_mtime_ns).get(str(tile), ())
        )

    def _path(self, name: str) -> Path:
        return Path(self.folder) / self.digest[:16] / name


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
def _load_tiles(path: Path, _written: int) -> dict[str, list[Batch]]:
    tiles: dict[str, list[Batch]] = json.loads(path.read_text(encoding="utf-8"))
    return tiles


def _put(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    hidden.write_text(text, encoding="utf-8")
    hidden.replace(path)
