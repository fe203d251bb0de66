from __future__ import annotations

from math import ceil
from pathlib import Path

import pytest

from eoscale import synthetic
from eoscale.access.endpoints import ALLOW_HOSTS
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.hdf5 import file
from eoscale.hdf5.format import driver
from eoscale.model.job import Job
from eoscale.model.recipe import Recipe
from eoscale.products import ATL08
from eoscale.steps.batches import accounted, each
from eoscale.steps.observe import Observations
from tests.servers.ranges import Fault, RangeServer

RECIPE = Recipe(product="ATL08", variables=["h_canopy"])


def in_order(job: Job) -> list[Observations]:
    came = dict(each(job, (0, 3)))
    return [one for _, one in sorted(came.items()) if isinstance(one, Observations)]


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
        first = in_order(job)
        assert [one.receipt.granule for one in first] == [granule.id for granule in listed]
        assert all(one.chunks.requests for one in first)
        asked = len(server.asked)
        second = in_order(job)
        assert sum(one.receipt.requests for one in second) == len(server.asked) - asked > 0
        for one, again in zip(first, second, strict=True):
            assert again.chunks.requests == 0
            assert {name: column.tobytes() for name, column in again.coordinates.items()} == {
                name: column.tobytes() for name, column in one.coordinates.items()
            }


@pytest.mark.parametrize("at_hand", [file.AT_HAND, 0])
def test_chunks_that_came_with_a_file_taken_whole_are_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_hand: int
) -> None:
    paths = synthetic.make(ATL08, 2, folder=tmp_path, seed=4)
    monkeypatch.setattr(file, "AT_HAND", at_hand)
    with RangeServer(tmp_path) as server:
        monkeypatch.setenv(ALLOW_HOSTS, server.host)
        found = [
            Listing(places).search(Query(product=ATL08))
            for places in ([server.url(path.name) for path in paths], list(map(str, paths)))
        ]
        far, near = (Job(recipe=RECIPE, product=ATL08, region=None, granules=granules) for granules in found)
        seen = dict(each(far, (0, 2)))
    # the beginning of each, which tells that it is taken whole, and its pieces
    enough = sum(1 + ceil(path.stat().st_size / driver._PIECE) for path in paths)
    assert (len(server.asked) == enough) == (at_hand > 0)
    assert len(server.asked) >= enough
    for position, one in dict(each(near, (0, 2))).items():
        other = seen[position]
        assert isinstance(one, Observations)
        assert isinstance(other, Observations)
        assert not other.chunks.at_hand
        path = far.columns["h_canopy"]
        assert one.values(path).data.tobytes() == other.values(path).data.tobytes() != b""


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

        made = accounted(job, (0, 3), lambda seen: (seen.size, seen.receipt))
        assert server.misbehaved[Fault.FORBIDDEN] > 0
    assert [receipt.failure.partition(":")[0] for _, receipt in made] == ["", "ForbiddenError", ""]
