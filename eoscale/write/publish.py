"""Publication: what has been published does not change, and what attempts leave of an output is known."""

from __future__ import annotations

import glob
import json
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from eoscale.access.bucket import BucketPath
from eoscale.errors import ConflictError
from eoscale.write import claims, places
from eoscale.write.places import Place
from eoscale.write.provenance import DIGEST, FACTS
from eoscale.write.repository import is_repository

_ROOTS = {"zarr.json": ("zarr.json", "attributes"), ".zgroup": (".zattrs", None)}
"""What makes a group open, the document with its attributes, and where in it they are."""


def published(output: Place) -> str | None:
    """Return the digest of the job that published an output; empty for a foreign one, None for nothing.

    Zarr stores and Parquet files on a disk say it themselves. CSV and JSON have no place for it, and a table
    in a bucket is not opened for it: whoever wrote the ledger beside them knows.

    Examples
    --------
    >>> published(Path("nowhere.zarr")) is None
    True
    """
    if isinstance(output, Path):
        if not os.path.lexists(output):
            return None
        if output.is_file():
            return _of_parquet(output)
    elif output.exists():
        return ""
    for root, (document, key) in _ROOTS.items():
        found = places.contents(output, [root, document])
        if root in found:
            try:
                told = json.loads(found[document])
                return str((told[key] if key else told)[DIGEST])
            except (ValueError, LookupError, TypeError):
                return ""  # a damaged store is a foreign one
    return "" if isinstance(output, Path) or is_repository(output) else None


def _of_parquet(output: Path) -> str:
    try:
        metadata = pq.read_schema(output).metadata or {}
        return str(json.loads(metadata[FACTS])[DIGEST])
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError):
        return ""


def check_free(output: Place, digest: str, *, known: str = "", begun: bool = False) -> bool:
    """Return whether the output still has to be made; False where this very job has published it.

    Parameters
    ----------
    output : Place
    digest : str
        Of the job.
    known : str, optional
        Digest of the job that made the output, where the output itself cannot say.
    begun : bool, optional
        Whether an attempt at this job may have left something there.

    Raises
    ------
    ConflictError
        If something else is there: a published store is immutable.
    """
    found = published(output)
    if found == "" and is_file(output):
        found = known
    if found is None:
        if isinstance(output, BucketPath) and not begun and output.sizes():
            raise ConflictError(
                f"objects lie below {output}, and no store: choose another output, or remove what an attempt "
                f"at another job left there by `eoscale gc {output}`"
            )
        return True
    if found == digest:
        return False
    what = f"job {found[:12]} published it" if found else "it is no store of eoscale"
    raise ConflictError(f"{output} exists and {what}; published stores do not change: choose another output")


def is_file(output: Place) -> bool:
    """Return whether an output is one object."""
    return output.exists() if isinstance(output, BucketPath) else output.is_file()


def reveal(hidden: Path, output: Place) -> None:
    """Let readers see an output: give the hidden file or folder its name, or put a file into a bucket.

    Raises
    ------
    ConflictError
        If something has come into being there meanwhile.
    """
    if isinstance(output, BucketPath):
        if not output.create(hidden.read_bytes()):
            raise conflict(output)
        return
    if os.path.lexists(output):
        raise conflict(output)
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
            raise conflict(output) from error
        if hidden.is_dir():
            raise
        hidden.rename(output)  # some disks have no links


def conflict(output: Place) -> ConflictError:
    """Return what is raised where somebody else was faster."""
    return ConflictError(f"{output} came into being while it was made: choose another output")


def staging(output: Place, digest: str, stage: str = "") -> Place:
    """Return the hidden folder in which a job makes its output, or the parts of it.

    Parameters
    ----------
    output : Place
    digest : str
        Of the job.
    stage : str, optional
        Digest of what the output is made of.
    """
    if isinstance(output, BucketPath):
        return work_of(output) / f".{digest[:16]}{stage[:8]}"
    return sibling(output, digest, stage)


def sibling(output: Path, digest: str, stage: str) -> Path:
    """Return the hidden folder beside an output on a disk in which a job makes it."""
    return output.with_name(f".{output.name}.{digest[:16]}{stage[:8]}")


def work_of(output: Place) -> Place:
    """Return the usual work folder of an output.

    Examples
    --------
    >>> work_of(Path("greenland.zarr")).name
    'greenland.zarr.work'
    """
    return output.with_name(f"{output.name}.work")


def siblings(output: Place) -> list[Place]:
    """Return what attempts left hidden of an output: what they made, claims and ledgers."""
    if isinstance(output, BucketPath):
        folders = places.folders(work_of(output))
        return [work_of(output) / name for name in sorted(folders) if name.startswith(".")]
    name = re.escape(output.name)
    made = r"[0-9a-f]{16}([0-9a-f]{8})?(\.[0-9a-f]{12})?"
    ours = re.compile(rf"\.{name}\.({made}|(claim|ledger\.parquet)\.[0-9a-f]{{12}})")
    beside = output.parent.glob(f".{glob.escape(output.name)}.*")
    return sorted(path for path in beside if ours.fullmatch(path.name))


def leftovers(output: Place) -> list[Place]:
    """Return what attempts at an output left: the claim, the work folder, and what is hidden.

    Of a bucket also what lies below the output, if an attempt had begun to put it there.
    """
    beside = [claims.claim_of(output), work_of(output)]
    if not isinstance(output, BucketPath):
        return [path for path in (*beside, *siblings(output)) if os.path.lexists(str(path))]
    left = [path for path in beside if path.exists() or places.sizes(path)]
    begun = claims.holder(output).get(claims.STAGE) or places.folders(work_of(output))
    if begun and published(output) is None and output.sizes():
        left.insert(0, output)
    return left
