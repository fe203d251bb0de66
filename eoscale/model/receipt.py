"""Receipt: what became of one granule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STATUSES = ("used", "empty", "skipped", "failed")
"""What can become of a granule that was found; one that is skipped has no receipt."""

REFUSALS = ("outside", "quality", "undecided", "where", "off_axis")
"""Why a row is not wanted, in the order of asking; each row counts under the first that applies."""


MEASURED = ("requests", "bytes", "seconds", "finished", "process")
"""Fields that differ between two attempts at one granule."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of one granule and its rows: every row that was read is counted once.

    ``read = outside + quality + undecided + where + off_axis + missing[v] + binned[v]`` for each variable v.
    """

    granule: str
    failure: str = ""
    """Type and text of the error; empty where there was none."""
    absent: tuple[str, ...] = ()
    """Groups (beams) that the granule lacks, or that lack what was asked for."""
    fallback: str = ""
    """Why libhdf5 had to read the file's metadata; empty where it did not."""
    read: int = 0
    """Rows whose coordinates were read."""
    outside: int = 0
    """Outside region or period, or without coordinates."""
    quality: int = 0
    """Inside, and refused by the quality preset."""
    undecided: int = 0
    """Good, and without a value of a variable in the recipe's ``where``."""
    where: int = 0
    """Good, and refused by ``where``."""
    off_axis: int = 0
    """Wanted, and on no cell of the axes."""
    missing: Mapping[str, int] = field(default_factory=dict)
    """On a cell, and without a value of the variable."""
    binned: Mapping[str, int] = field(default_factory=dict)
    """In a cell; of observations as output, written."""
    tiles: Mapping[int, int] = field(default_factory=dict)
    """Tile, or stretch of the curve of observations, to the number of its rows there."""
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Units and long name of each variable, as the file says."""
    # what follows is measured, and differs between two runs of one job
    requests: int = 0
    bytes: int = 0
    seconds: float = 0.0
    finished: float = 0.0
    """Seconds since 1970."""
    process: int = 0
    """Id of the process that read it."""

    @property
    def status(self) -> str:
        """``failed``, ``used`` (at least one row binned) or ``empty``."""
        if self.failure:
            return "failed"
        return "used" if any(self.binned.values()) else "empty"
