from __future__ import annotations

from pathlib import Path

import pytest

from eoscale.products.icesat2 import ATL06, ATL08
from eoscale.synthetic import make


@pytest.fixture(scope="package")
def atl06(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    return make(ATL06, 2, folder=tmp_path_factory.mktemp("atl06"))


@pytest.fixture(scope="package")
def atl08(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    return make(ATL08, 1, folder=tmp_path_factory.mktemp("atl08"))
