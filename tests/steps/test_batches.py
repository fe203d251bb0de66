from __future__ import annotations

from pathlib import Path

import pytest

from eoscale import synthetic
from eoscale.access.endpoints import ALLOW_HOSTS
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.model.recipe import Recipe
from eoscale.products import ATL08
from eoscale.steps.batches import accounted, each
from tests.servers.ranges import Fault, RangeServer

RECIPE = Recipe(product="ATL08", variables=["h_canopy"])


def test_the_granules_of_a_batch_are_indexed_together_and_the_second_time_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = synthetic.make(ATL08, 3, folder=tmp_path, seed=4)
    with RangeServer(tmp_path) as server:
        monkeypatch.setenv(ALLOW_HOSTS, server.host)
        listed = Listing([server.url(path.name) for path in paths]).search(Query(product=ATL08))
        job = Job(
            recipe=Recipe(product="ATL08", variables=["h_canopy"]),
            product=ATL08,
            region=None,
            granules=listed,
        )
        found = each(job, (0, 3), lambda granule, chunks: (granule.id, chunks))
        assert [name for name, _ in found] == [granule.id for granule in listed]
        assert all(isinstance(chunks, ChunkIndex) and chunks.requests for _, chunks in found)
        asked, heads = len(server.asked), server.heads
        again = each(job, (0, 3), lambda granule, chunks: (granule.id, chunks))
        assert (len(server.asked), server.heads) == (asked, heads)
        assert again == found


def test_a_granule_that_cannot_be_indexed_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = synthetic.make(ATL08, 3, folder=tmp_path, seed=4)
    with RangeServer(tmp_path) as server:
        monkeypatch.setenv(ALLOW_HOSTS, server.host)
        server.faults[f"/{paths[1].name}"] = Fault.FORBIDDEN
        listed = Listing([server.url(path.name) for path in paths]).search(Query(product=ATL08))
        job = Job(
            recipe=Recipe(product="ATL08", variables=["h_canopy"]),
            product=ATL08,
            region=None,
            granules=listed,
        )

        def act(granule: object, chunks: object) -> tuple[str, Receipt]:
            if not isinstance(chunks, ChunkIndex):
                assert isinstance(chunks, Exception)
                raise chunks
            return repr(granule), Receipt(granule=chunks.granule)

        made = accounted(job, (0, 3), act)
        assert server.misbehaved[Fault.FORBIDDEN] > 0
    assert [receipt.failure.partition(":")[0] for _, receipt in made] == ["", "ForbiddenError", ""]
