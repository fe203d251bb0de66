"""An Icechunk repository as a sink: a run is one commit on branch main, and may replace what is there.

Tasks put chunks into the repository, where no reader finds them yet, and leave beside it what they changed.
The client merges these changes into one session and commits it: readers of main see the state before or the
one after, whole. Nothing passes through the client but names of chunks.

A session can only be forked before it has changes (Icechunk 1), but a fork may have some when it travels. So
the client lays the arrays out in a fork, the layout, and all tasks write on copies of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

from eoscale.access import loop
from eoscale.errors import ConflictError
from eoscale.model.columns import Array
from eoscale.model.cube import Tile
from eoscale.write import places, publish
from eoscale.write.places import Place
from eoscale.write.provenance import DIGEST
from eoscale.write.repository import (
    MAIN,
    ROOT,
    changed,
    check_free,
    is_repository,
    made,
    opened,
    packed,
    put,
    told,
    unpacked,
)
from eoscale.write.zarr import ZarrSink

if TYPE_CHECKING:
    from icechunk import ForkSession

_AT_ONCE = 1000
"""Tiles whose changes are held in memory together."""


class IcechunkSink(ZarrSink):
    """A Zarr group in an Icechunk repository, on a disk or in a bucket of S3, which is made if there is none.

    Chunks that attempts wrote in vain, and those of states that were replaced, stay in the repository until
    its owner expires snapshots and collects garbage. To do so while a run is under way, or before one that
    was interrupted goes on, takes from it what it has written.
    """

    @property
    def _folder(self) -> Place:
        return publish.staging(self.output, self.digest, self.stage)

    @property
    def _layout(self) -> Place:
        # other versions may tell changes in other words
        return self._folder / f"layout-{version('icechunk')}"

    def prepare(self) -> None:
        """Lay out arrays and coordinates on the present state of main, unless an attempt has.

        Raises
        ------
        ConflictError
            If something has come into being at the output that may not be replaced.
        """
        places.make(self._folder)
        if not is_repository(self.output):
            # what an attempt wrote into another one that was there is gone; the empty state has no other name
            self._layout.unlink(missing_ok=True)
        with told(self.output, "written"):
            session = made(self.output).writable_session(MAIN)
            if session.snapshot_id != self._base():
                check_free(self.output, self.digest)
                self._layout.unlink(missing_ok=True)
                places.create(self._layout, self._laid_out(session.fork()))

    def write(self, tile: Tile, blocks: Mapping[str, Array]) -> None:
        """Write one tile of every variable; each is one chunk, replaced whole."""
        layout = self._layout.read_bytes()
        chunks = {f"{name}/{self._chunk(tile)}": self._encoded(name, tile, blocks[name]) for name in blocks}
        with told(self.output, "written"):
            fork = unpacked(layout)
            put(fork.store, chunks)
            places.put(self._folder / _name(layout, tile), packed(fork))

    def missing(self) -> tuple[Tile, ...]:
        """Return the tiles that have not been written on the present state of main."""
        with told(self.output, "read"):
            if not is_repository(self.output) or opened(self.output).lookup_branch(MAIN) != self._base():
                return tuple(range(self.cube.tiles))
        return self._absent(self._layout.read_bytes())

    def publish(self) -> None:
        """Commit what all tasks have changed.

        Raises
        ------
        IncompleteRunError
            If a tile has not been written.
        ConflictError
            If somebody else has committed meanwhile.
        """
        layout = self._content()
        self._demand_none(self._absent(layout))
        try:
            with told(self.output, "written"):
                self._commit(layout)
        except ConflictError:
            # an answer may be lost on its way, and a second try then finds what the first has done
            if check_free(self.output, self.digest):
                raise

    def _commit(self, layout: bytes) -> None:
        session = opened(self.output).writable_session(MAIN)
        if session.snapshot_id != self._base():
            raise changed(self.output)
        session.merge(unpacked(layout))
        for first in range(0, self.cube.tiles, _AT_ONCE):
            tiles = range(first, min(first + _AT_ONCE, self.cube.tiles))
            found = places.contents(self._folder, [_name(layout, tile) for tile in tiles])
            session.merge(*(unpacked(content) for content in found.values()))
        put(session.store, {ROOT: self._root()})
        session.commit(f"eoscale job {self.digest[:12]}", metadata={DIGEST: self.digest})

    def _content(self) -> bytes:
        """Return the layout; empty where there is none."""
        return places.contents(self._folder, [self._layout.name]).get(self._layout.name, b"")

    def _base(self) -> str:
        """Return the snapshot of main on which things have been laid out; empty if nothing has."""
        layout = self._content()
        return unpacked(layout).snapshot_id if layout else ""

    def _absent(self, layout: bytes) -> tuple[Tile, ...]:
        there = places.sizes(self._folder)
        return tuple(tile for tile in range(self.cube.tiles) if _name(layout, tile) not in there)

    def _laid_out(self, fork: ForkSession) -> bytes:
        documents = self._documents()
        # each task travels with this: a root that names all granules comes when it is published
        documents[ROOT] = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}).encode()
        loop.run(fork.store.clear())
        arrays = {name: documents.pop(name) for name in sorted(documents) if name.endswith(ROOT)}
        put(fork.store, {ROOT: arrays.pop(ROOT)})
        put(fork.store, arrays)
        put(fork.store, documents)
        return packed(fork)

    def _root(self) -> bytes:
        root = json.loads(self._documents()[ROOT])
        root.pop("consolidated_metadata", None)  # a snapshot is that
        return json.dumps(root).encode()


def _name(layout: bytes, tile: Tile) -> str:
    """Return the name of what a task changed: a late one of another layout gives it another name."""
    return f"{hashlib.sha256(layout).hexdigest()[:16]}-{tile:07d}"
