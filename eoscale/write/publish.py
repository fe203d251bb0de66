"""Publication: a local output is made in a hidden sibling and appears by one rename."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from eoscale.errors import ConflictError

DIGEST = "eoscale_job"
"""Attribute of a published store: the digest of the job that made it."""


def staging(output: Path, digest: str) -> Path:
    """Return the hidden sibling in which a job makes its output."""
    return output.with_name(f".{output.name}.{digest[:16]}")


def published(output: Path) -> str | None:
    """Return the digest of the job that published an output; empty for a foreign one, None for nothing.

    Examples
    --------
    >>> published(Path("nowhere.zarr")) is None
    True
    """
    if not os.path.lexists(output):
        return None
    for name, attributes in (("zarr.json", "attributes"), (".zattrs", None)):
        document = output / name
        if document.is_file():
            try:
                found = json.loads(document.read_text(encoding="utf-8"))
                return str((found[attributes] if attributes else found)[DIGEST])
            except (ValueError, LookupError, TypeError):
                return ""  # a damaged store is a foreign one
    return ""


def check_free(output: Path, digest: str) -> bool:
    """Return whether the output still has to be made; False where this very job has published it.

    Raises
    ------
    ConflictError
        If something else is there: a published store is immutable.
    """
    found = published(output)
    if found is None:
        return True
    if found == digest:
        return False
    what = f"job {found[:12]} published it" if found else "it is no store of eoscale"
    raise ConflictError(f"{output} exists and {what}; published stores do not change: choose another output")


def reveal(hidden: Path, output: Path) -> None:
    """Let readers see an output: rename the hidden sibling to its name.

    Raises
    ------
    ConflictError
        If something has come into being there meanwhile.
    """
    conflict = ConflictError(f"{output} came into being while it was made: choose another output")
    if os.path.lexists(output):
        raise conflict
    try:
        hidden.rename(output)
    except OSError as error:
        # between the look and the rename somebody else may have been faster
        if os.path.lexists(output):
            raise conflict from error
        raise


def discard(hidden: Path) -> None:
    """Remove what an earlier attempt left behind."""
    shutil.rmtree(hidden, ignore_errors=True)
