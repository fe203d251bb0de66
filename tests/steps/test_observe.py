from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from eoscale import synthetic
from eoscale.access.endpoints import ALLOW_HOSTS
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.errors import CorruptGranuleError, MissingVariableError, RecipeError
from eoscale.hdf5.index import index, indexes
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.job import Job
from eoscale.model.receipt import REFUSALS
from eoscale.model.recipe import Recipe
from eoscale.model.region import Region
from eoscale.products import ATL06, ATL08
from eoscale.steps.observe import describe
from tests.hdf5 import shared
from tests.servers.ranges import RangeServer
from tests.steps.observing import observe

SEGMENTS = "land_ice_segments"
GREENLAND = Region.from_bbox(-55, 62, -25, 82)


def job_of(path: Path, **words: Any) -> Job:  # noqa: ANN401  whatever a recipe may say
    """Return a job of one granule."""
    granules = Listing([str(path)]).search(Query(product=ATL06))
    said = {"product": "ATL06", "variables": ["h_li"], **words}
    return Job(recipe=Recipe(**said), product=ATL06, region=GREENLAND, granules=granules)


@pytest.fixture(name="granule")
def _granule(tmp_path: Path) -> Path:
    (path,) = synthetic.make(ATL06, 1, folder=tmp_path, seed=3)
    return path


def test_a_condition_keeps_the_rows_that_meet_it_and_counts_the_others(granule: Path) -> None:
    everything = job_of(granule, variables=["h_li", "h_li_sigma"])
    seen = observe(everything, everything.granules[0])
    sigma, missing = seen.values(f"{SEGMENTS}/h_li_sigma")
    limit = float(np.median(sigma[~missing]))
    job = job_of(granule, where=f"h_li_sigma < {limit!r}")
    kept = observe(job, job.granules[0])
    expected = ~missing & (sigma < limit)
    assert missing.any()
    assert expected.any()
    assert (~expected & ~missing).any()
    heights = seen.values(f"{SEGMENTS}/h_li").data[expected]
    assert kept.values(f"{SEGMENTS}/h_li").data.tobytes() == heights.tobytes()
    assert kept.receipt.undecided == missing.sum()
    assert kept.receipt.where == (~expected & ~missing).sum()
    assert kept.receipt.outside == seen.receipt.outside


def test_a_condition_may_name_paths_and_the_recipes_own_columns(granule: Path) -> None:
    words = {"variables": {"height": "h_li"}, "quality": "best"}
    everything = job_of(granule, **words)
    heights, missing = observe(everything, everything.granules[0]).values(f"{SEGMENTS}/h_li")
    middle = float(np.median(heights[~missing]))
    named = job_of(granule, **words, where=f"height > {middle} and dem_h > 0")
    by_path = job_of(granule, **words, where=f"`{SEGMENTS}/h_li` > {middle} and `{SEGMENTS}/dem/dem_h` > 0")
    one, other = (observe(job, job.granules[0]) for job in (named, by_path))
    assert one.size == other.size > 0
    assert one.receipt.where == other.receipt.where > 0
    assert one.receipt.quality > 0
    total = sum(getattr(one.receipt, reason) for reason in REFUSALS)
    assert one.receipt.read == total + one.size


def test_the_rows_do_not_depend_on_which_columns_are_read(granule: Path) -> None:
    job = job_of(granule, variables=["h_li", "segment_id"], quality="best", where="h_li_sigma < 1")
    whole = observe(job, job.granules[0])
    little = observe(job, job.granules[0], columns=["segment_id"])
    path = f"{SEGMENTS}/segment_id"
    assert little.values(path).data.tobytes() == whole.values(path).data.tobytes()
    assert little.receipt.bytes < whole.receipt.bytes
    assert little.receipt.quality == whole.receipt.quality > 0
    assert little.coordinates["time"].tobytes() == whole.coordinates["time"].tobytes()
    with pytest.raises(KeyError):
        little.values(f"{SEGMENTS}/h_li")


def test_a_coordinate_that_is_asked_for_as_a_variable_is_read_once(granule: Path) -> None:
    plain = job_of(granule)
    twice = job_of(granule, variables={"h_li": "h_li", "north": "latitude"}, where="delta_time > 0")
    for job in (plain, twice):
        observe(job, job.granules[0])  # from now on both know where its chunks lie
    one, other = (observe(job, job.granules[0]) for job in (plain, twice))
    assert other.receipt.bytes == one.receipt.bytes > 0
    assert other.values(f"{SEGMENTS}/latitude").data.tobytes() == other.coordinates["latitude"].tobytes()


def test_longitudes_up_to_360_are_found_in_a_region_of_longitudes_to_180(granule: Path) -> None:
    job = job_of(granule)
    before = observe(job, job.granules[0])
    with h5py.File(granule, "r+") as file:
        for beam in (group for group in ATL06.groups if group in file):
            longitude = file[f"{beam}/{SEGMENTS}/longitude"]
            longitude[:] = longitude[:] % 360
    after = observe(job, job.granules[0])
    assert after.size == before.size > 0
    np.testing.assert_allclose(after.coordinates["longitude"], before.coordinates["longitude"], atol=1e-12)


def test_columns_are_described_from_the_index_alone(granule: Path) -> None:
    job = job_of(granule, variables=["h_li", "atl06_quality_summary"])
    described = describe(job, job.granules[0], index(job.granules[0], job.full_paths))
    assert described["h_li"]["dtype"] == "float32"
    assert described["h_li"]["units"] in ("m", "meters")
    assert described["atl06_quality_summary"]["dtype"] == "int8"


def test_a_variable_that_no_beam_holds_is_named_with_its_nearest(granule: Path) -> None:
    job = job_of(granule, variables=[f"{SEGMENTS}/h_lii", f"{SEGMENTS}/sigma"])
    with pytest.raises(MissingVariableError, match=r"h_lii.*did you mean h_li") as caught:
        observe(job, job.granules[0])
    assert caught.value.granule == job.granules[0].id


def test_columns_of_different_lengths_are_corrupt(granule: Path) -> None:
    with h5py.File(granule, "r+") as file:
        beam = next(group for group in ATL06.groups if group in file)
        heights = file[f"{beam}/{SEGMENTS}/h_li"]
        heights.resize((heights.shape[0] - 1,))
    job = job_of(granule)
    with pytest.raises(CorruptGranuleError, match=f"{beam} has columns of different lengths"):
        observe(job, job.granules[0])


def test_a_beam_without_the_variable_is_absent(granule: Path) -> None:
    job = job_of(granule)
    before = observe(job, job.granules[0]).receipt
    with h5py.File(granule, "r+") as file:
        beam = next(group for group in ATL06.groups if group in file)
        rows = file[f"{beam}/{SEGMENTS}/h_li"].shape[0]
        del file[f"{beam}/{SEGMENTS}/h_li"]
    after = observe(job, job.granules[0]).receipt
    assert set(after.absent) == {*before.absent, beam}
    assert after.read == before.read - rows


def test_a_variable_of_several_numbers_a_row_is_refused(tmp_path: Path) -> None:
    recipe = Recipe(product="ATL08", variables=("land_segments/canopy/canopy_h_metrics",))
    (path,) = synthetic.make(ATL08, 1, folder=tmp_path)
    granules = Listing([str(path)]).search(Query(product=ATL08))
    job = Job(recipe=recipe, product=ATL08, region=None, granules=granules)
    with pytest.raises(RecipeError, match="one number a row"):
        observe(job, granules[0])


def test_a_file_that_was_replaced_since_it_was_indexed_is_indexed_again(
    granule: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (other,) = synthetic.make(ATL06, 1, folder=tmp_path / "other", seed=9)
    expected = job_of(other)
    wanted = observe(expected, expected.granules[0])
    with RangeServer(granule.parent) as server:
        monkeypatch.setenv(ALLOW_HOSTS, server.host)
        places = Listing([server.url(granule.name)]).search(Query(product=ATL06))
        job = Job(recipe=expected.recipe, product=ATL06, region=expected.region, granules=places)
        first = observe(job, job.granules[0])
        found = indexes(list(job.granules), job.full_paths)
        assert [one.requests for one in found if isinstance(one, ChunkIndex)] == [0]
        other.replace(granule)
        second = observe(job, job.granules[0])
        assert server.answers[412] > 0
    assert second.coordinates["time"].tobytes() == wanted.coordinates["time"].tobytes()
    assert first.coordinates["time"].tobytes() != second.coordinates["time"].tobytes()


def test_an_error_in_the_place_of_an_index_is_raised(granule: Path) -> None:
    job = job_of(granule)
    with pytest.raises(CorruptGranuleError, match="worn out"):
        describe(job, job.granules[0], CorruptGranuleError("worn out"))


def test_a_granule_that_libhdf5_has_to_index_gives_the_same_rows_and_says_so(
    granule: Path, tmp_path: Path
) -> None:
    (tmp_path / "shared").mkdir()
    copy = shared.copied(granule, tmp_path / "shared" / granule.name)
    ours, theirs = (observe(job, job.granules[0]) for job in (job_of(granule), job_of(copy)))
    assert (ours.receipt.fallback, theirs.receipt.fallback) == (
        "",
        "the file keeps messages in a table that objects share",
    )
    assert ours.size == theirs.size > 0
    path = f"{SEGMENTS}/h_li"
    assert ours.values(path).data.tobytes() == theirs.values(path).data.tobytes()
