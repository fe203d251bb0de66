from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from eoscale.access.pace import Link, Pace

SECONDS = st.floats(0, 1000)


@given(st.lists(SECONDS, max_size=100), st.floats(0.001, 10))
def test_few_of_the_answers_that_a_host_gave_lately_were_late(lately: Sequence[float], floor: float) -> None:
    pace = Pace(floor_seconds=floor)
    for seconds in lately:
        pace.record(seconds)
    last = lately[-64:]
    assert pace.late >= floor
    assert pace.late <= max(5 * floor, 3 * max(last, default=0))
    if len(last) >= 8:
        assert sum(seconds > pace.late for seconds in last) <= len(last) / 10


@given(st.floats(0, 1000), st.integers(64, 200))
def test_a_host_that_changed_its_pace_is_known_by_the_new_one(seconds: float, count: int) -> None:
    pace = Pace()
    for _ in range(count):
        pace.record(1000)
    for _ in range(64):
        pace.record(seconds)
    assert pace.late == max(pace.floor_seconds, 3 * seconds)


@given(st.floats(1e-4, 1), st.floats(1e4, 1e10), st.lists(st.integers(0, 2**24), min_size=1, max_size=64))
def test_a_link_is_known_by_what_it_did_at_its_best(
    latency: float, bandwidth: float, answers: Sequence[int]
) -> None:
    pace = Pace()
    pace.record(latency)
    for number, nbytes in enumerate(answers[:63]):
        waited = number % 3  # for a busy server
        pace.record(latency + waited + nbytes / bandwidth, nbytes)
    link = pace.link
    assert link.latency == latency
    assert link.bandwidth <= max(bandwidth, Link().bandwidth) * 1.001
    if answers[0] > 2**17:
        assert link.bandwidth >= min(bandwidth, answers[0] / 1e-6) * 0.999


def test_a_host_that_has_not_answered_is_taken_for_a_bucket_in_the_region() -> None:
    assert Pace().link == Link()
