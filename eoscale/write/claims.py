"""Claims: at any time one job alone makes an output."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname
from uuid import uuid4

from eoscale.errors import ConflictError
from eoscale.write import places
from eoscale.write.places import Place
from eoscale.write.provenance import DIGEST

STAGE = "stage"
"""Key in a claim of what the output is made of, once that is known."""


def claim_of(output: Place) -> Place:
    """Return the object that says which job is making an output.

    Examples
    --------
    >>> claim_of(Path("greenland.zarr")).name
    'greenland.zarr.claim'
    """
    return output.with_name(f"{output.name}.claim")


@contextmanager
def claimed(output: Place, digest: str) -> Iterator[None]:
    """Hold the claim on an output: no other job may make it meanwhile.

    It is given back however the attempt ends. One that is killed cannot: then the same job takes it over,
    and others have to ask for it to be removed.

    Parameters
    ----------
    output : Place
    digest : str
        Of the job.

    Raises
    ------
    ConflictError
        If another job holds it.
    """
    claim = claim_of(output)
    if isinstance(claim, Path):
        claim.parent.mkdir(parents=True, exist_ok=True)
    if not places.create(claim, _told(digest)):
        there = holder(output)
        if there.get(DIGEST) != digest:
            job, since, host = (there.get(key, "unknown") for key in (DIGEST, "since", "host"))
            raise ConflictError(
                f"{output} is claimed by job {job[:12]} since {since} on {host}: let it finish, run its "
                f"recipe again if it died, or give it up by `eoscale gc {output}`"
            )
    try:
        yield
    finally:
        if holder(output).get(DIGEST) == digest:
            claim.unlink(missing_ok=True)


def advance(output: Place, digest: str, stage: str) -> None:
    """Put down in the claim of a job of what the output is made: tasks of another stage come too late.

    Raises
    ------
    ConflictError
        If the claim was given up meanwhile, and another job holds it.
    """
    if holder(output).get(DIGEST, digest) != digest:
        raise ConflictError(f"{output} is claimed by another job: this one's claim was given up")
    places.put(claim_of(output), _told(digest, stage))


def holder(output: Place) -> Mapping[str, str]:
    """Return what the claim on an output says; nothing if there is none."""
    try:
        return dict(json.loads(claim_of(output).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return {}  # it went away meanwhile, or is damaged


def _told(digest: str, stage: str = "") -> bytes:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    # no two are equal: of two that claim at once, each can tell its own
    told = {DIGEST: digest, "since": since, "host": gethostname(), STAGE: stage, "attempt": uuid4().hex}
    return json.dumps(told).encode()
