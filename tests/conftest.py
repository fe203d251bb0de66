from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import LocalCluster
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
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what a user has set from changing what the tests see, and the tests out of a user's cache."""
    for name in os.environ:
        if (
            name.startswith(("EOSCALE_", "EARTHDATA_", "MAAP_", "CDSE_", "KC_"))
            and name != "EOSCALE_REAL_DATA"
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """Return the address of a cluster of two processes that tests share: starting one takes seconds."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield str(cluster.scheduler_address)
