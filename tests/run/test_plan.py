from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eoscale.model.granule import Granule, GranuleList
from eoscale.model.job import Job
from eoscale.model.recipe import Recipe
from eoscale.products import ATL06
from eoscale.run.plan import cut


def job(sizes: list[int], *, batch_bytes: int = 100) -> Job:
    recipe = Recipe(
        product="ATL06",
        variables=("h_li",),
        region=(-51, 69, -49, 72),
        reduce={"by": [{"grid": {"crs": "EPSG:4326", "resolution": 1}}], "statistics": ["count", "mean"]},
        output={"zarr": "out.zarr"},
        batch_bytes=batch_bytes,
    )
    granules = [
        Granule(id=f"g{number:04d}", product="ATL06", urls={"file": f"/g{number}.h5"}, size=size)
        for number, size in enumerate(sizes)
    ]
    dropped = [(Granule(id="other", product="", urls={"file": "/x.h5"}), "is of another product")]
    return Job(
        recipe=recipe, product=ATL06, region=None, granules=GranuleList(granules=granules, dropped=dropped)
    )


@given(sizes=st.lists(st.integers(0, 150), max_size=40), most=st.integers(1, 9))
def test_batches_hold_every_granule_once_within_the_limits(sizes: list[int], most: int) -> None:
    plan = cut(job(sizes), granules_per_batch=most)
    assert [position for batch in plan.batches for position in range(*batch)] == list(range(len(sizes)))
    for start, stop in plan.batches:
        assert 1 <= stop - start <= most
        assert stop - start == 1 or sum(sizes[start:stop]) <= 100


def test_the_facts_tell_what_is_read_skipped_and_written() -> None:
    facts = cut(job([1_000_000, 2_000_000])).facts()
    assert facts["granules"] == "3 found, 2 to read"
    assert facts["skipped"] == "1 is of another product"
    assert facts["reads"] == "h_li; the granules weigh 3.0 MB in all"
    assert facts["writes"].startswith("h_li_count, h_li_mean on latitude ")


def test_granules_of_unknown_size_are_said_to_be_so() -> None:
    facts = cut(job([1_000_000, 0, 0])).facts()
    assert facts["reads"] == "h_li; the granules weigh 1.0 MB in all, without 2 of unknown size"


def test_a_plan_without_granules_has_no_batches() -> None:
    assert cut(job([])).batches == ()
