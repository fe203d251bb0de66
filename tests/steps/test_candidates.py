from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eoscale import synthetic
from eoscale.access.endpoints import ALLOW_HOSTS
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.hdf5 import store
from eoscale.hdf5.index import index
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.columns import LATITUDE, LONGITUDE, TIME
from eoscale.model.granule import GranuleList
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.model.recipe import Recipe
from eoscale.model.region import Region
from eoscale.products import ATL06
from eoscale.steps.candidates import candidates
from eoscale.steps.observe import Observations
from tests.servers.ranges import RangeServer
from tests.steps.observing import observe
from tests.tracing import tracing

H = "land_ice_segments/h_li"
DAYS = st.dates(date(2024, 3, 25), date(2024, 7, 5))
# around the tracks of the miniature granules, and beside them
BOXES = st.tuples(st.floats(-60, -20), st.floats(58, 84), st.floats(0.5, 30), st.floats(0.5, 20))


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> GranuleList:
    paths = synthetic.make(ATL06, 2, folder=tmp_path_factory.mktemp("granules"), seed=6)
    return Listing([str(path) for path in paths]).search(Query(product=ATL06))


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EOSCALE_INDEX_STORE", str(tmp_path / "indexes"))


def job_of(granules: GranuleList, region: Region | None = None, **words: Any) -> Job:  # noqa: ANN401  words
    said = {"product": "ATL06", "variables": ["h_li"], "quality": "best", **words}
    return Job(recipe=Recipe(**said), product=ATL06, region=region, granules=granules)


def facts(receipt: Receipt) -> Receipt:
    """Return what a receipt says of the rows, not what reading them cost."""
    return replace(receipt, requests=0, bytes=0)


def chunks_of(granules: GranuleList, job: Job) -> ChunkIndex:
    found = index(granules[0], job.full_paths)
    assert found.requests == 0
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(box=BOXES, days=st.tuples(DAYS, DAYS), clipped=st.booleans())
def test_what_is_seen_is_the_same_with_a_zone_map_as_without(
    granules: GranuleList, box: tuple[float, ...], days: tuple[Any, Any], *, clipped: bool
) -> None:
    west, south, width, height = box
    region = Region.from_bbox(west, south, west + width, min(90, south + height))
    start, stop = sorted(days)
    period = {"period": (str(start), str(stop))} if clipped and start < stop else {}
    job = job_of(granules, region, **period)
    for granule in granules:
        store.forget(granule)
        without = observe(job, granule)
        assert candidates(job, without.chunks) is not None
        known = observe(job, granule)
        assert known.chunks.requests == 0
        assert facts(known.receipt) == facts(without.receipt)
        for name in (LONGITUDE, LATITUDE, TIME):
            assert known.coordinate(name).tobytes() == without.coordinate(name).tobytes()
        for one, other in zip(known.values(H), without.values(H), strict=True):
            assert one.tobytes() == other.tobytes()


def test_where_the_zone_map_is_known_only_chunks_with_candidates_are_read_each_once(
    granules: GranuleList,
) -> None:
    seen = whole(granules)
    latitude = seen.coordinate("latitude")
    middle = float(np.median(latitude))
    job = job_of(granules, Region.from_bbox(-180, middle, 180, middle + 0.05))
    with tracing() as trace:
        some = observe(job, granules[0])
    assert 0 < some.size < seen.size
    chunks = chunks_of(granules, job)
    left = candidates(job, chunks)
    assert left is not None
    wanted = {f"{group}/{path}": rows for group, rows in left.items() for path in job.paths}
    expected = {path: np.zeros(chunks.datasets[path].offsets.size, int) for path in wanted}
    for path, rows in wanted.items():
        expected[path][chunks.datasets[path].chunks(rows)] = 1
    assert {path: times for path, times in trace.chunks(chunks).items() if path in wanted} == {
        path: counts.tolist() for path, counts in expected.items()
    }


def test_a_granule_that_cannot_matter_is_not_read_at_all(granules: GranuleList) -> None:
    read = whole(granules).receipt.read
    for job in (
        job_of(granules, Region.from_bbox(100, -10, 110, 0)),
        job_of(granules, period=("2020-01-01", "2020-02-01")),
    ):
        with tracing() as trace:
            seen = observe(job, granules[0])
        assert not trace.asked
        assert (seen.size, seen.receipt.requests, seen.receipt.bytes) == (0, 0, 0)
        assert seen.receipt.outside == seen.receipt.read == read


def whole(granules: GranuleList) -> Observations:
    """Return all observations of the first granule, which leaves its zone map."""
    job = job_of(granules)
    seen = observe(job, granules[0])
    kept = store.load(granules[0])
    assert kept is not None
    assert {path.partition("/")[0] for path in kept.zones} == {beam.name for beam in seen.beams}
    return seen


def test_without_region_and_period_all_rows_are_candidates_and_one_round_is_enough(
    granules: GranuleList,
) -> None:
    job = job_of(granules)
    fresh = index(granules[0], job.full_paths)
    assert not fresh.zones
    left = candidates(job, fresh)
    assert left is not None
    assert set(left.values()) == {None}
    assert candidates(job_of(granules, Region.from_bbox(-55, 60, -20, 84)), fresh) is None


def test_an_index_store_that_can_only_be_read_is_enough_where_it_has_the_index(
    granules: GranuleList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = job_of(granules, Region.from_bbox(-55, 60, -20, 84))
    index(granules[0], job.full_paths)
    expected = observe(job, granules[0])
    store.forget(granules[0])
    index(granules[0], job.full_paths)  # without zone map
    with RangeServer(tmp_path / "indexes") as server:
        monkeypatch.setenv(ALLOW_HOSTS, server.host)
        monkeypatch.setenv("EOSCALE_INDEX_STORE", f"http://{server.host}")
        for _ in range(2):
            seen = observe(job, granules[0])
            assert seen.chunks.requests == 0
            assert seen.coordinate(TIME).tobytes() == expected.coordinate(TIME).tobytes()
    (told,) = caplog.messages
    assert told.startswith("zone maps are not kept: the index store ")
