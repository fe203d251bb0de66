"""Head: what a store says of an object."""

from __future__ import annotations

from typing import NamedTuple


class Head(NamedTuple):
    """Size and version of an object."""

    size: int
    etag: str
    """Of that version; empty where the store has none."""
