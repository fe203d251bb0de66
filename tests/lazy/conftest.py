from __future__ import annotations

import pytest

from eoscale import synthetic
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.model.granule import GranuleList
from eoscale.products import ATL06


@pytest.fixture(scope="session")
def ice(tmp_path_factory: pytest.TempPathFactory) -> GranuleList:
    """Return six miniature ATL06 granules of Greenland."""
    paths = synthetic.make(ATL06, 6, folder=tmp_path_factory.mktemp("ice"), seed=3)
    return Listing([str(path) for path in paths]).search(Query(product=ATL06))
