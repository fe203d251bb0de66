"""Publication: a local output is claimed, made in a hidden sibling, and appears by one rename."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from eoscale.errors import ConflictError

FACTS = b"eoscale"
"""Key of what eoscale says of a Parquet file in the metadata of its schema."""
DIGEST = "eoscale_job"
"""Attribute of a published store: the digest of the job that made it."""


def staging(output: Path, digest: str, stage: str = "") -> Path:
    """Return the hidden sibling in which a job makes its output.

    Parameters
    ----------
    output : Path
    digest : str
        Of the job.
    stage : str, optional
        Digest of what the output is made of.
    """
    return output.with_name(f".{output.name}.{digest[:16]}{stage[:8]}")


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


def discard(path: Path) -> None:
    """Remove what an earlier attempt left behind, a folder or a file."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def claim_of(output: Path) -> Path:
    """Return the file that says which job is making an output.

    Examples
    --------
    >>> claim_of(Path("greenland.zarr")).name
    'greenland.zarr.claim'
    """
    return output.with_name(f"{output.name}.claim")


@contextmanager
def claimed(output: Path, digest: str) -> Iterator[None]:
    """Hold the claim on an output: no other job may make it meanwhile.

    It is given back however the attempt ends. One that is killed cannot: then the same job takes it over,
    and others have to ask for it to be removed.

    Parameters
    ----------
    output : Path
    digest : str
        Of the job.

    Raises
    ------
    ConflictError
        If another job holds it.
    """
    claim = claim_of(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    told = {DIGEST: digest, "since": datetime.now(UTC).isoformat(timespec="seconds"), "host": gethostname()}
    mine = claim.with_name(f".{claim.name}.{uuid4().hex[:12]}")
    mine.write_text(json.dumps(told), encoding="utf-8")
    try:
        # a link, unlike a rename, never replaces what is there, and what it shows is whole
        claim.hardlink_to(mine)
    except (FileExistsError, FileNotFoundError):  # somebody who has just ended may have removed ours
        holder = _holder(claim)
        if holder.get(DIGEST) != digest:
            job, since, host = (holder.get(key, "unknown") for key in (DIGEST, "since", "host"))
            raise ConflictError(
                f"{output} is claimed by job {job[:12]} since {since} on {host}: let it finish, run its "
                f"recipe again if it died, or give it up by `eoscale gc {output}`"
            ) from None
    finally:
        mine.unlink(missing_ok=True)
    try:
        yield
    finally:
        claim.unlink(missing_ok=True)


def _holder(claim: Path) -> dict[str, str]:
    try:
        return dict(json.loads(claim.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}  # it went away meanwhile, or is damaged


def siblings(output: Path) -> list[Path]:
    """Return the hidden siblings that attempts left of an output: what they made, claims and ledgers."""
    name = re.escape(output.name)
    ours = re.compile(rf"\.{name}\.([0-9a-f]{{16}}([0-9a-f]{{8}})?|(claim|ledger\.parquet)\.[0-9a-f]{{12}})")
    beside = output.parent.glob(f".{glob.escape(output.name)}.*")
    return sorted(path for path in beside if ours.fullmatch(path.name))


def leftovers(output: Path) -> list[Path]:
    """Return what attempts at an output left beside it: the claim, the work folder, hidden siblings."""
    beside = [claim_of(output), work_of(output), *siblings(output)]
    return [path for path in beside if os.path.lexists(path)]


def work_of(output: Path) -> Path:
    """Return the usual work folder of an output.

    Examples
    --------
    >>> work_of(Path("greenland.zarr")).name
    'greenland.zarr.work'
    """
    return output.with_name(f"{output.name}.work")
