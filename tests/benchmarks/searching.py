"""How long a search for very many granules takes, and how much memory.

``python -m tests.benchmarks.searching --granules 100000`` asks a local catalogue like CMR, which gives pages
of 2,000 granules in no order, repeats some of each page, and is busy at times. The client is a process of its
own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

from tests.servers.cmr import Cmr, Faults, Record

COLLECTION = "C2153574670-NSIDC_CPRD"
_BEGIN = np.datetime64("2019-01-01T00:00:00", "s")
_ORBIT = {"StartLatitude": 59.5, "StartDirection": "A", "EndLatitude": 80.0, "EndDirection": "A"}


def records(number: int) -> list[Record]:
    """Return granules of ATL08, six minutes apart."""
    made = []
    for i in range(number):
        start = _BEGIN + np.timedelta64(i * 6, "m")
        digits = str(start).replace("-", "").replace("T", "").replace(":", "")
        orbit, region = divmod(i, 14)
        name = f"ATL08_{digits}_{orbit % 1387 + 1:04d}{orbit // 1387 + 1:02d}{region + 1:02d}_005_01"
        line = {**_ORBIT, "AscendingCrossing": i * 23.6 % 360 - 180}
        made.append(Record(name, COLLECTION, start.astype("M8[ns]"), orbit=line))
    return made


def measured(number: int) -> dict[str, float]:
    """Return what a search for so many granules came to, by a process of its own.

    Returns
    -------
    dict
        ``granules``, ``found``, ``seconds``, ``megabytes`` before and ``peak`` of the process, and how often
        the catalogue did each thing wrong.
    """
    server = Cmr(records(number), Faults(shuffled=True, repeated=3, busy={7: 2}))
    with server:
        told = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.searching", "--client"],
            env={**os.environ, **server.environment()},
            capture_output=True,
            text=True,
            check=True,
        )
    return {**json.loads(told.stdout), **server.faults.done}


def _search() -> dict[str, float]:
    from eoscale import search  # noqa: PLC0415  what it takes to import is not counted

    before, began = _peak(), time.perf_counter()
    found = search("ATL08", version="005")
    return {
        "granules": len(found),
        "found": found.found,
        "seconds": time.perf_counter() - began,
        "megabytes": before,
        "peak": _peak(),
    }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--granules", type=int, default=100_000)
    parser.add_argument("--client", action="store_true", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.client:
        sys.stdout.write(json.dumps(_search()))
        return
    for name, value in measured(words.granules).items():
        sys.stdout.write(f"{name:<12} {value:>12,.1f}\n")


if __name__ == "__main__":
    main()
