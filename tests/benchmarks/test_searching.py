from __future__ import annotations

from tests.benchmarks.searching import measured


def test_a_hundred_thousand_granules_are_the_exact_set_in_bounded_memory() -> None:
    told = measured(100_000)
    assert told["granules"] == told["found"] == 100_000
    assert told["shuffled"] == 1
    assert told["repeated"] >= 49
    assert told["busy 7"] == 2
    # a page of 2,000 is some 10 MB as JSON and more as objects: were they kept, it would be a gigabyte
    assert told["peak"] - told["megabytes"] < 0.005 * 100_000
