"""Publication: a local output is made in a hidden sibling and appears by one rename."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from eoscale.errors import ConflictError

FACTS = b"eoscale"
"""Key of what eoscale says of a Parquet file in the metadata of its schema."""
DIGEST = "eoscale_job"
"""Attribute of a published store: the digest of the job that made it."""


def staging(output: Path, digest: str) -> Path:
    """Return the hidden sibling in which a job makes its output."""
    return output.with_name(f".{output.name}.{digest[:16]}")


def published(output: Path) -> str | None:
    """Return the digest of the job that published an output; empty for a foreign one, None for nothing.

    Zarr stores and Parquet files say it themselves. CSV and JSON have no place for it: whoever wrote the
    ledger beside them knows.

    Examples
    --------
    >>> published(Path("nowhere.zarr")) is None
    True
    """
    if not os.path.lexists(output):
        return None
    if output.is_file():
        return _of_parquet(output)
    for name, attributes in (("zarr.json", "attributes"), (".zattrs", None)):
        document = output / name
        if document.is_file():
            try:
                found = json.loads(document.read_text(encoding="utf-8"))
                return str((found[attributes] if attributes else found)[DIGEST])
            except (ValueError, LookupError, TypeError):
                return ""  # a damaged store is a foreign one
    return ""


def _of_parquet(output: Path) -> str:
    try:
        metadata = pq.read_schema(output).metadata or {}
        return str(json.loads(metadata[FACTS])[DIGEST])
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError):
        return ""


def check_free(output: Path, digest: str, *, known: str = "") -> bool:
    """Return whether the output still has to be made; False where this very job has published it.

    Parameters
    ----------
    output : Path
    digest : str
        Of the job.
    known : str, optional
        Digest of the job that made the output, where the output itself cannot say.

    Raises
    ------
    ConflictError
        If something else is there: a published store is immutable.
    """
    found = published(output)
    if found == "" and output.is_file():
        found = known
    if found is None:
        return True
    if found == digest:
        return False
    what = f"job {found[:12]} published it" if found else "it is no store of eoscale"
    raise ConflictError(f"{output} exists and {what}; published stores do not change: choose another output")


def reveal(hidden: Path, output: Path) -> None:
    """Let readers see an output: give the hidden sibling its name.

    Raises
    ------
    ConflictError
        If something has come into being there meanwhile.
    """
    conflict = ConflictError(f"{output} came into being while it was made: choose another output")
    if os.path.lexists(output):
        raise conflict
    try:
        if hidden.is_dir():
            hidden.rename(output)
        else:
            # a rename would replace a file that came into being since
            output.hardlink_to(hidden)
            hidden.unlink()
    except OSError as error:
        # between the look and the rename somebody else may have been faster
        if os.path.lexists(output):
            raise conflict from error
        if hidden.is_dir():
            raise
        hidden.rename(output)  # some disks have no links


def discard(hidden: Path) -> None:
    """Remove what an earlier attempt left behind."""
    shutil.rmtree(hidden, ignore_errors=True)
