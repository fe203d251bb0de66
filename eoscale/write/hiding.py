"""Hiding: where the objects of a store are put until readers see all of them at once.

On a disk that is a hidden sibling, which appears by one rename. In a bucket nothing can be renamed: there a
store is made in place, and opens when its root is put, last and only where there is none.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from eoscale.access.bucket import BucketPath
from eoscale.errors import ConflictError, RunError
from eoscale.write import claims, places
from eoscale.write.places import Place
from eoscale.write.provenance import DIGEST
from eoscale.write.publish import conflict, reveal, sibling
from eoscale.write.whole import whole


class Hiding(Protocol):
    """Where the objects of a folder are put until all of them are shown at once."""

    def prepare(self, documents: Mapping[str, bytes]) -> None:
        """Put some objects, as the first of all."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Put an object, as a task does."""
        ...

    def names(self) -> Container[str]:
        """Return which objects are there."""
        ...

    def show(self, roots: Mapping[str, bytes], others: Container[str]) -> None:
        """Put what makes it open, and let readers see it.

        Raises
        ------
        ConflictError
            If something has come into being at the output.
        """
        ...


def hiding(output: Place, digest: str, stage: str) -> Hiding:
    """Return where a job makes a folder as its output.

    Parameters
    ----------
    output : Place
    digest : str
        Of the job.
    stage : str
        Digest of what the output is made of.
    """
    if isinstance(output, BucketPath):
        return _InPlace(output, digest, stage)
    return _Sibling(output, sibling(output, digest, stage))


@dataclass(frozen=True)
class _Sibling:
    output: Path
    folder: Path

    def prepare(self, documents: Mapping[str, bytes]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, content in documents.items():
            self.put(name, content)

    def put(self, name: str, content: bytes) -> None:
        at = self.folder
        for part in PurePosixPath(name).parts[:-1]:
            at /= part
            at.mkdir(exist_ok=True)  # the folder itself is not made again by a task that comes late
        # what is not whole yet lies outside, so that no late task leaves it in what is published
        with whole(self.folder / name, near=self.folder) as hidden:
            hidden.write_bytes(content)

    def names(self) -> Container[str]:
        return places.sizes(self.folder)

    def show(self, roots: Mapping[str, bytes], others: Container[str]) -> None:
        del others  # nobody else writes there
        for name, content in roots.items():
            (self.folder / name).write_bytes(content)
        reveal(self.folder, self.output)


@dataclass(frozen=True)
class _InPlace:
    output: BucketPath
    digest: str
    stage: str

    def prepare(self, documents: Mapping[str, bytes]) -> None:
        claims.advance(self.output, self.digest, self.stage)
        for name, content in documents.items():
            self.put(name, content)

    def put(self, name: str, content: bytes) -> None:
        at = self.output / name
        while not at.create(content):
            # an attempt that died has put it, of the same or of something else
            kept = at.kept()
            if kept is not None and not self._current():
                raise RunError(f"{at} belongs to a later attempt: nothing was written")
            if kept is not None and at.update(content, kept.version):
                break

    def _current(self) -> bool:
        held = claims.holder(self.output)
        return (held.get(DIGEST), held.get(claims.STAGE)) == (self.digest, self.stage)

    def names(self) -> Container[str]:
        return self.output.sizes()

    def show(self, roots: Mapping[str, bytes], others: Container[str]) -> None:
        there = self.output.sizes()
        *documents, opening = roots
        if opening in there or self.output.exists():
            raise conflict(self.output)
        foreign = sorted(name for name in there if name not in others and name not in roots)
        if foreign:
            raise ConflictError(f"{self.output / foreign[0]} is not of this run: choose another output")
        for name in documents:
            self.put(name, roots[name])  # an attempt of another stage may have died here
        if not (self.output / opening).create(roots[opening]):
            raise conflict(self.output)
