"""Receipts on disk: what an attempt at a run has finished, so that the next one goes on from there."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib.metadata import version
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from eoscale.model.receipt import MEASURED, Receipt
from eoscale.write.pieces import Left

FORMAT = 2
"""Version of the file; one of another version is no receipt."""
_RECEIPTS = TypeAdapter(tuple[Receipt, ...])
_DECIDING = frozenset(field.name for field in fields(Receipt)) - {*MEASURED}


class Finished(NamedTuple):
    """A batch whose granules have been read."""

    receipts: tuple[Receipt, ...]
    """Of its granules, in order."""
    left: Left
    """For the tasks that write."""
    source: str = ""
    """Of the job that left it: the first digits of its digest."""
    later: int = 0
    """By how many tiles it moves: another job, whose time began elsewhere, may have left it."""
    counted: frozenset[str] | None = None
    """Ids of the granules that count, where others that it holds do not."""

    @property
    def failed(self) -> bool:
        """Whether one of the granules could not be used."""
        return any(receipt.failure for receipt in self.receipts)

    def decides(self) -> object:
        """Return what two attempts at the batch have in common, as JSON takes it."""
        told = _RECEIPTS.dump_python(self.receipts, mode="json")
        decided = [{name: each[name] for name in sorted(_DECIDING)} for each in told]
        return self.left.name, self.later, decided


def encoded(finished: Finished) -> bytes:
    """Return what says that a batch is finished, to be put down after what it left."""
    told = {
        "format": FORMAT,
        "versions": versions(),
        **finished.left._asdict(),
        "receipts": _RECEIPTS.dump_python(finished.receipts, mode="json"),
    }
    return json.dumps(told).encode()


def decoded(content: bytes) -> Finished | None:
    """Return what :func:`encoded` was given; None where it does not hold here.

    A receipt holds where the same versions of format, Python and the libraries that make values would make
    the same again.
    """
    try:
        told = json.loads(content)
        if told["format"] != FORMAT or told["versions"] != versions():
            return None
        pieces = {int(tile): (int(start), int(stop)) for tile, (start, stop) in told["pieces"].items()}
        left = Left(str(told["name"]), int(told["nbytes"]), pieces)
        return Finished(_RECEIPTS.validate_python(told["receipts"]), left)
    except (ValueError, LookupError, TypeError, AttributeError, ValidationError):
        return None  # it is redone


@cache
def versions() -> Mapping[str, str]:
    """Return the versions of what makes values."""
    libraries = ("eoscale", "numpy", "pyarrow", "pyproj", "shapely", "deflate", "numcodecs", "zarr")
    return {"python": sys.version.partition(" ")[0], **{name: version(name) for name in libraries}}
