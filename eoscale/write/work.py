"""The work folder: what the tasks of a run share, what they leave for one another, and what is finished."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from eoscale.access import providers
from eoscale.errors import RunError
from eoscale.model.cube import Tile
from eoscale.model.digest import digest
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.write import places, receipts
from eoscale.write.pieces import Left, Piece
from eoscale.write.places import Place, place
from eoscale.write.receipts import Finished

Batch = tuple[int, int]
"""First granule and the one behind the last, by position in the job's list."""
Unit: TypeAlias = int | tuple[int, int]
"""What is written apart: a tile, or a part of a table."""
_JOB = "job.json"


@dataclass(frozen=True, kw_only=True)
class Work:
    """The work folder of one job: all that a task carries, beside the number of its batch or unit.

    Parameters
    ----------
    folder : str
        On a disk or in a bucket, with other jobs in it perhaps.
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
            return _load_job(self._mine / _JOB, self.digest)

    def save_job(self, job: Job) -> None:
        """Put the job where all tasks find it, under its digest."""
        places.make(self._mine)
        places.put(self._mine / _JOB, job.to_json().encode())
        if job.digest == self.digest:
            with _loading:
                _keep(self._mine / _JOB, self.digest, job)

    def begun(self) -> bool:
        """Return whether an attempt at the job has been here."""
        return (self._mine / _JOB).exists()

    def remove(self) -> None:
        """Remove everything of this job, and the folder if nothing else is in it."""
        places.remove(self._mine)
        folder = place(self.folder)
        if isinstance(folder, Path):
            with suppress(OSError):
                folder.rmdir()

    def others(self) -> Iterator[Work]:
        """Yield the work folders of the other jobs that are in the same folder."""
        for name in sorted(places.folders(place(self.folder))):
            if re.fullmatch("[0-9a-f]{16}", name) and name != self.digest[:16]:
                yield Work(folder=self.folder, digest=name)

    def left(self, batch: Batch) -> Place:
        """Return where a batch leaves what the tasks that write need, but for the end of the name."""
        return self._mine / _name(batch)

    def finish(self, batch: Batch, granules: Iterable[Receipt], left: Left) -> Finished:
        """Write down that a batch is finished, and what it left."""
        finished = Finished(tuple(granules), left, self.digest[:16])
        places.put(self._mine / f"{_name(batch)}.json", receipts.encoded(finished))
        return finished

    def finished(self, batch: Batch) -> Finished | None:
        """Return what a batch came to, if it is finished."""
        return self._known([f"{_name(batch)}.json"]).get(batch)

    def known(self) -> dict[Batch, Finished]:
        """Return all batches that are finished, in order."""
        return self._known([name for name in places.sizes(self._mine) if _BATCH.fullmatch(name)])

    def _known(self, names: list[str]) -> dict[Batch, Finished]:
        """Return what receipts say, as far as what the batches left is there as it was."""
        found = {}
        for name, content in places.contents(self._mine, sorted(names)).items():
            finished = receipts.decoded(content)
            if finished is not None:
                start, stop = map(int, name.removesuffix(".json").split("-"))
                found[start, stop] = finished._replace(source=self.digest[:16])
        there = places.lengths(self._mine, [each.left.name for each in found.values()])
        return {batch: each for batch, each in found.items() if there.get(each.left.name) == each.left.nbytes}

    def staged(self, finished: Iterable[Finished]) -> Work:
        """Return the work folder for what is written of what these batches left."""
        ordered = sorted(finished, key=lambda each: (each.source, each.left.name, each.receipts[0].granule))
        stage = digest([receipts.versions(), *([each.source, each.decides()] for each in ordered)])
        work = replace(self, stage=stage)
        work.save_tiles(ordered)
        return work

    def save_tiles(self, finished: Iterable[Finished]) -> None:
        """Put down where batches left what belongs to which tile, so that a tile opens no others."""
        tiles: dict[Tile, list[tuple[str, int, int]]] = {}
        counted, first = {}, {}
        for each in finished:
            left = f"{each.source}/{each.left.name}"
            first[left] = each.receipts[0].granule
            if each.counted is not None:
                counted[left] = sorted(each.counted)
            for tile, (start, stop) in each.left.pieces.items():
                tiles.setdefault(tile + each.later, []).append((left, start, stop))
        places.make(self._stage)
        told = {"tiles": tiles, "counted": counted, "first": first}
        places.put(self._stage / _TILES, json.dumps(told).encode())

    def pieces(self, first: Tile, last: Tile | None = None) -> list[Piece]:
        """Return what batches left of some neighbouring tiles, of one unless a last one is given.

        In the order of their first granules.
        """
        known = _load_tiles(self._stage / _TILES)
        ends: dict[str, tuple[int, int]] = {}
        for tile in range(first, (first if last is None else last) + 1):
            for source, start, stop in known["tiles"].get(str(tile), ()):
                ends[source] = (ends.get(source, (start, stop))[0], stop)
        folder, counted, firsts = place(self.folder), known["counted"], known["first"]
        pieces = [
            Piece(folder / source, start, stop, counted.get(source), firsts[source])
            for source, (start, stop) in ends.items()
        ]
        return sorted(pieces, key=lambda piece: piece.first)

    def wrote(self, unit: Unit, counts: Mapping[str, int]) -> None:
        """Write down that a unit is written, and how many rows of each variable are in it."""
        places.put(self._stage / f"{_name(unit)}.json", json.dumps(counts).encode())

    def counts(self, unit: Unit) -> dict[str, int] | None:
        """Return what :meth:`wrote` wrote of a unit; None if it is not written."""
        found = places.contents(self._stage, [f"{_name(unit)}.json"])
        return next((json.loads(each) for each in found.values()), None)

    def written(self) -> dict[Unit, dict[str, int]]:
        """Return all units that are written, with their counts."""
        names = [name for name in places.sizes(self._stage) if _UNIT.fullmatch(name)]
        found = places.contents(self._stage, names)
        return {_unit(name): json.loads(content) for name, content in found.items()}

    def forget_others(self) -> None:
        """Remove what is written of anything else: in a bucket this stage writes over it."""
        for name in places.folders(self._mine) - {self.stage[:16]}:
            places.remove(self._mine / name)

    def forget(self, units: Iterable[Unit]) -> None:
        """Remove what says that some units are written."""
        for unit in units:
            (self._stage / f"{_name(unit)}.json").unlink(missing_ok=True)

    @property
    def _mine(self) -> Place:
        return place(self.folder) / self.digest[:16]

    @property
    def _stage(self) -> Place:
        return self._mine / self.stage[:16]


_TILES = "tiles.json"
_BATCH = re.compile(r"(\d{7}-\d{7})\.json")
_UNIT = re.compile(r"\d{7}(-\d{7})?\.json")
_loading = threading.Lock()
_jobs: dict[tuple[Place, str], Job] = {}
_MOST_JOBS = 16


def _load_job(at: Place, digest: str) -> Job:
    if (at, digest) in _jobs:
        return _jobs[at, digest]
    try:
        job = Job.from_json(at.read_bytes().decode())
    except FileNotFoundError as error:
        raise RunError(
            f"{at} is not there: set EOSCALE_WORK to a folder that client and workers share"
        ) from error
    if not job.digest.startswith(digest):
        raise RunError(
            f"{at} is job {job.digest[:16]} here: client and workers run different versions of eoscale"
        )
    providers.learn(job.granules.givers)
    return _keep(at, digest, job)


def _keep(at: Place, digest: str, job: Job) -> Job:
    """Have a job at hand for the tasks of this process: the last few of them."""
    while len(_jobs) >= _MOST_JOBS:
        del _jobs[next(iter(_jobs))]
    _jobs[at, digest] = job
    return job


@lru_cache(maxsize=4)
def _load_tiles(at: Place) -> dict[str, Any]:
    known = json.loads(at.read_bytes())
    known["counted"] = {source: frozenset(ids) for source, ids in known["counted"].items()}
    return dict(known)


def _name(unit: Unit) -> str:
    """Return a file name; names sort like the batches or units that they are of."""
    return "-".join(f"{number:07d}" for number in (unit if isinstance(unit, tuple) else (unit,)))


def _unit(name: str) -> Unit:
    first, *last = (int(number) for number in name.removesuffix(".json").split("-"))
    return (first, last[0]) if last else first
