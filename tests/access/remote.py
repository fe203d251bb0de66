"""An object that web servers of tests hold, and reading it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from tests.access import pieces
from tests.servers.redirects import ETAG, Answer, Asked, part

CONTENT = random.Random(7).randbytes(300_000)  # noqa: S311  no secret
OFFSETS, SIZES = np.arange(0, 300_000, 20_000), np.full(15, 700)
EXPECTED = [CONTENT[start : start + 700] for start in OFFSETS]
Allow: TypeAlias = Callable[..., None]
"""Of the fixture ``allow``."""


def read(url: str, etag: str = ETAG) -> list[bytes]:
    """Return fifteen pieces of the object, asked for at once."""
    found, _ = pieces.read(url, etag, OFFSETS, SIZES)
    return [bytes(body) for body in found]


def first(url: str, size: int = 700) -> bytes:
    """Return the first bytes of the object."""
    found, _ = pieces.read(url, ETAG, np.array([0]), np.array([size]))
    return bytes(found[0])


def whole(asked: Asked) -> Answer:
    """Answer as a server that does all as it should."""
    return part(CONTENT, asked)
