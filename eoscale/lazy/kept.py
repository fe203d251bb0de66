"""What a process keeps of the batches that it read last, so that no chunk is read twice in one graph."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeAlias

from eoscale.model.job import Job
from eoscale.steps.batches import each
from eoscale.steps.observe import Observations, extend, observe
from eoscale.write.work import Batch

_Key: TypeAlias = tuple[str, Batch]


class _Entry:
    """One batch: its rows with the columns that were read of them so far."""

    def __init__(self) -> None:
        self.reading = threading.Lock()
        self.asked: set[frozenset[str]] = set()
        self.seen: Sequence[Observations] = ()

    def read(self, job: Job, batch: Batch, columns: frozenset[str]) -> Sequence[Observations]:
        variables = [name for name in job.columns if name in columns]
        with self.reading:
            if not self.asked or columns in self.asked:
                # a graph asks once for one set of columns: who asks again computes again, and reads again
                self.asked, self.seen = set(), ()
                self.seen = each(job, batch, lambda granule: observe(job, granule, variables))
            else:
                self.seen = [extend(job, one, variables) for one in self.seen]
            self.asked.add(columns)
            return self.seen


class Kept:
    """The batches that a process read last: as many as are being read at once, and one when none is.

    A filter and what it filters are two reads of one batch in a graph, ``g[g.beam == "gt1l"].h_li``, which
    follow one another or run at once in two threads.
    """

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)  # a lock that was copied may be held for ever

    def _forget(self) -> None:
        self._guard = threading.Lock()
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._active = 0

    def observations(self, job: Job, batch: Batch, columns: Sequence[str]) -> Sequence[Observations]:
        """Return the observations of a batch, with at least the variables among some columns.

        Raises
        ------
        AccessError, GranuleError
            If a granule cannot be used; then nothing of the batch is kept.
        """
        key = (job.digest, batch)
        with self._guard:
            self._active += 1
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
        try:
            return entry.read(job, batch, frozenset(columns))
        except BaseException:
            with self._guard:
                self._entries.pop(key, None)
            raise
        finally:
            with self._guard:
                self._active -= 1
                while len(self._entries) > self._active + 1:
                    self._entries.popitem(last=False)


KEPT = Kept()
