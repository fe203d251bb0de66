"""Trials: reads of many ranges from a server that answers some GETs badly, and what came of each.

A range is put down to the last fault that it met: what was asked for again came of the answer after.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeAlias

from tests.servers.ranges import Fault, Plan, RangeServer, seeded

LASTING = (Fault.SHORT, Fault.WHOLE, Fault.SHIFTED, Fault.RETAGGED)
"""Wrong answers that say so, and would be given again."""
PASSING = (Fault.CUT, Fault.RESET, Fault.BUSY, Fault.SLOW_DOWN, Fault.THROTTLED, Fault.DELAYED)
FAULTS = (*LASTING, *PASSING, Fault.FLIPPED)

THREADS = 32
RIGHT, RAISES, WRONG = "right", "raises", "WRONG"


class Trial(NamedTuple):
    """One range, the answers to its GETs, and what came of it."""

    met: tuple[Fault | None, ...]
    outcome: str
    error: Exception | None

    @property
    def fault(self) -> Fault | None:
        """The last one that was met."""
        return next((fault for fault in reversed(self.met) if fault), None)


Trials: TypeAlias = Mapping[str, Sequence[Trial]]
"""By client."""


def tried(
    server: RangeServer,
    plan: Plan,
    places: Sequence[tuple[int, int]],
    right: Callable[[int], bool],
    errors: tuple[type[Exception], ...],
) -> list[Trial]:
    """Read some ranges in threads, each by a read of its own; ``right`` does, and compares.

    No two ranges end at the same place. Every call with the same plan meets the same faults.
    """

    def outcome(number: int) -> tuple[str, Exception | None]:
        try:
            return (RIGHT if right(number) else WRONG), None
        except errors as error:
            return RAISES, error

    seen = len(server.gets)
    server.numbers.clear()
    server.plan = plan
    with ThreadPoolExecutor(THREADS) as pool:
        outcomes = list(pool.map(outcome, range(len(places))))
    server.plan = seeded(0, 0)
    met: dict[int, list[Fault | None]] = defaultdict(list)
    for get in server.gets[seen:]:
        met[get.stop].append(get.fault)  # a GET that goes on where the last one was cut has another start
    assert met.keys() == {stop for _, stop in places}
    return [Trial(tuple(met[stop]), *came) for (_, stop), came in zip(places, outcomes, strict=True)]


def outcomes(trials: Sequence[Trial], fault: Fault | None) -> Counter[str]:
    return Counter(trial.outcome for trial in trials if trial.fault is fault)


def gets(trials: Sequence[Trial]) -> int:
    return sum(len(trial.met) for trial in trials)


def table(clients: Trials) -> str:
    """Return what came of each fault, by client."""
    rows = [["the last fault met", *clients]]
    for fault in (None, *FAULTS):
        counts = [outcomes(trials, fault) for trials in clients.values()]
        cells = [", ".join(f"{count[come]} {come}" for come in sorted(count)) for count in counts]
        rows.append([fault.name if fault else "none", *cells])
    rows.append(["GETs of ranges", *(f"{gets(trials)} of {len(trials)}" for trials in clients.values())])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
