from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("eoscale", deadline=None, max_examples=60, derandomize="CI" in os.environ)
settings.load_profile("eoscale")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real granules, or skip."""
    folder = os.environ.get("EOSCALE_REAL_DATA")
    if not folder:
        pytest.skip("EOSCALE_REAL_DATA names no folder of real granules")
    return Path(folder)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what a user has set from changing what the tests see."""
    for name in ("EOSCALE_ALLOW_HOSTS", "EOSCALE_WORK"):
        monkeypatch.delenv(name, raising=False)
