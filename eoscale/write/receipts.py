"""Receipts on disk: what an attempt at a run has finished, so that the next one goes on from there."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from eoscale.model.receipt import MEASURED, Receipt
from eoscale.write.whole import whole

FORMAT = 1
"""Version of the file; one of another version is no receipt."""
_RECEIPTS = TypeAdapter(tuple[Receipt, ...])
_DECIDING = frozenset(field.name for field in fields(Receipt)) - {*MEASURED}


class Finished(NamedTuple):
    """A batch whose granules have been read."""

    receipts: tuple[Receipt, ...]
    """Of its granules, in order."""
    content: str
    """SHA-256 of its partials: two attempts at one batch leave the same."""

    @property
    def failed(self) -> bool:
        """Whether one of the granules could not be used."""
        return any(receipt.failure for receipt in self.receipts)

    def decides(self) -> object:
        """Return what two attempts at the batch have in common, as JSON takes it."""
        told = _RECEIPTS.dump_python(self.receipts, mode="json")
        return self.content, [{name: each[name] for name in sorted(_DECIDING)} for each in told]


def save(path: Path, receipts: Sequence[Receipt], partials: Path) -> Finished:
    """Write down that a batch is finished, after its partials have been written.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    receipts : sequence of Receipt
        Of the granules of the batch, in order.
    partials : Path
        What the batch left for the tasks that write.
    """
    with partials.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    told = {
        "format": FORMAT,
        "versions": _versions(),
        "nbytes": partials.stat().st_size,
        "content": content,
        "receipts": _RECEIPTS.dump_python(tuple(receipts), mode="json"),
    }
    with whole(path) as hidden:
        hidden.write_text(json.dumps(told), encoding="utf-8")
    return Finished(tuple(receipts), content)


def load(path: Path, partials: Path) -> Finished | None:
    """Return what :func:`save` wrote; None where it does not hold here.

    A receipt holds where the partials are there as they were, and where the same versions of format,
    Python and the libraries that make values would make them again.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["format"] != FORMAT or told["versions"] != _versions():
            return None
        if partials.stat().st_size != told["nbytes"]:
            return None
        return Finished(_RECEIPTS.validate_python(told["receipts"]), str(told["content"]))
    except (FileNotFoundError, ValueError, LookupError, TypeError, ValidationError):
        return None  # it is redone


@cache
def _versions() -> Mapping[str, str]:
    """Return the versions of what makes values."""
    libraries = ("eoscale", "numpy", "pyarrow", "pyproj", "shapely", "deflate", "numcodecs")
    return {"python": sys.version.partition(" ")[0], **{name: version(name) for name in libraries}}
