from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.access.attempts import PASSING, Patience, RangesRefusedError, Transient, hedged, insist, refusal
from eoscale.errors import AccessError, ChangedError, CredentialsError, ForbiddenError, ThrottledError

QUICK = Patience(pause_seconds=0.0001)
SECONDS = st.floats(0, 1000)
LATE, LIMIT = 0.02, 5.0


class Attempts:
    """What fails some times before it succeeds."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.at: list[float] = []

    async def __call__(self) -> str:
        failure = self.failures[len(self.at)] if len(self.at) < len(self.failures) else None
        self.at.append(perf_counter())
        await asyncio.sleep(0)
        if failure:
            raise failure
        return "answer"

    @property
    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.at, self.at[1:], strict=False)]


def insisted(attempts: Attempts, patience: Patience = QUICK) -> str:
    return asyncio.run(insist(attempts, patience, "a.h5"))


def passing(text: str = "no answer", after: float = 0) -> Transient:
    return Transient(AccessError(text), after)


@given(st.integers(0, 8), st.integers(1, 6))
def test_what_passes_is_asked_for_until_it_answers_or_the_attempts_are_used_up(
    failures: int, most: int
) -> None:
    attempts = Attempts(*[passing()] * failures)
    patience = Patience(attempts=most, pause_seconds=0)
    if failures < most:
        assert insisted(attempts, patience) == "answer"
    else:
        with pytest.raises(AccessError, match=rf"^no answer \(attempt {most}\)$"):
            insisted(attempts, patience)
    assert len(attempts.at) == min(failures + 1, most)


@pytest.mark.parametrize(
    "error",
    [AccessError("a"), ChangedError("b"), CredentialsError("c"), ForbiddenError("d"), ValueError("e")],
)
def test_what_cannot_pass_is_raised_at_once(error: Exception) -> None:
    attempts = Attempts(error)
    with pytest.raises(type(error)) as raised:
        insisted(attempts)
    assert raised.value is error
    assert len(attempts.at) == 1


def test_the_last_failure_is_the_one_that_is_raised() -> None:
    attempts = Attempts(passing(), Transient(ThrottledError("busy")), passing(), ForbiddenError("no"))
    with pytest.raises(ForbiddenError, match=r"^no$"):
        insisted(attempts)
    attempts = Attempts(*[passing()] * 5, Transient(ThrottledError("busy")))
    with pytest.raises(ThrottledError, match="busy"):
        insisted(attempts)
    assert len(attempts.at) == QUICK.attempts


@given(st.integers(1, 8), SECONDS, st.floats(0, 1), st.floats(0.001, 10))
def test_pauses_grow_and_are_never_shorter_than_the_service_asks(
    attempt: int, after: float, share: float, base: float
) -> None:
    patience = Patience(pause_seconds=base)
    pause = patience.pause(attempt, after, share)
    assert after <= pause <= after + base * 2.0 ** (attempt - 1)
    assert pause <= patience.pause(attempt + 1, after, share)
    assert pause <= patience.pause(attempt, after, 1.0)


def test_those_that_failed_together_do_not_come_back_together() -> None:
    async def together() -> None:
        await asyncio.gather(*(insist(one, Patience(pause_seconds=0.02), "a.h5") for one in many))

    many = [Attempts(passing()) for _ in range(40)]
    asyncio.run(together())
    first, again = (sorted(range(40), key=lambda one: many[one].at[time]) for time in (0, 1))
    assert first == list(range(40))
    assert again != first


def test_a_service_that_asks_to_be_left_alone_is() -> None:
    attempts = Attempts(*[Transient(ThrottledError("busy"), after=0.05)] * 2)
    assert insisted(attempts) == "answer"
    assert len(attempts.pauses) == 2
    assert min(attempts.pauses) >= 0.05


@pytest.mark.parametrize("after", [61, 3600, float("inf")])
def test_a_service_that_asks_for_too_long_is_told_of_at_once(after: float) -> None:
    attempts = Attempts(Transient(ThrottledError("a.h5 cannot be read"), after))
    began = perf_counter()
    with pytest.raises(ThrottledError, match=f"a.h5 cannot be read .*come back in {after:.0f} s"):
        insisted(attempts, Patience(most_seconds=60))
    assert len(attempts.at) == 1
    assert perf_counter() - began < 5


def test_no_attempt_begins_after_the_most_that_a_request_may_take() -> None:
    attempts = Attempts(*[passing()] * 100)
    with pytest.raises(AccessError):
        insisted(attempts, Patience(attempts=100, pause_seconds=0.001, most_seconds=0.1))
    assert 1 < len(attempts.at) < 50
    assert attempts.at[-1] - attempts.at[0] < 1


def test_what_is_asked_for_again_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "eoscale"):
        insisted(Attempts(passing("reset"), passing("cut")))
    told = [record.getMessage() for record in caplog.records]
    assert ["reset" in told[0], "cut" in told[1]] == [True, True]
    assert all(message.startswith("a.h5 is asked for again in ") for message in told)


@given(st.integers(400, 599), SECONDS)
def test_a_status_tells_what_to_do(status: int, after: float) -> None:
    meant = refusal("a.h5 cannot be read", status, after=after)
    assert isinstance(meant, Transient) == (status in PASSING)
    assert "a.h5 cannot be read" in str(meant)
    kinds = {
        401: CredentialsError,
        403: ForbiddenError,
        412: ChangedError,
        416: RangesRefusedError,
        429: ThrottledError,
    }
    error = meant.error if isinstance(meant, Transient) else meant
    assert type(error) is {**kinds, 503: ThrottledError}.get(status, AccessError)
    assert not isinstance(meant, Transient) or meant.after == after


class Answers:
    """What is asked for twice: how long each answer takes, and what it is; notes who was cancelled."""

    def __init__(self, *answers: tuple[float, str | Exception]) -> None:
        self.answers = answers
        self.asked = 0
        self.cancelled: list[int] = []

    async def __call__(self) -> str:
        number, self.asked = self.asked, self.asked + 1
        seconds, answer = self.answers[number]
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer


def hedge(
    ask: Callable[[], Awaitable[str]], *, late: float = LATE, limit: float = LIMIT, room: int = 1
) -> str:
    async def settled() -> str:
        second = asyncio.Semaphore(room)
        try:
            return await hedged(ask, late, limit, second)
        finally:
            await asyncio.sleep(0)  # a cancelled request ends in the next turn of the loop
            assert len(asyncio.all_tasks()) == 1, "something still runs"
            assert second._value == room

    return asyncio.run(settled())


def test_an_answer_in_time_is_asked_for_once() -> None:
    answers = Answers((0, "first"))
    assert hedge(answers) == "first"
    assert (answers.asked, answers.cancelled) == (1, [])


def test_a_failure_in_time_is_not_asked_for_again() -> None:
    answers = Answers((0, KeyError("first")))
    with pytest.raises(KeyError, match="first"):
        hedge(answers)
    assert answers.asked == 1


def test_a_late_answer_is_asked_for_twice_and_the_faster_one_wins() -> None:
    answers = Answers((9, "first"), (0.01, "second"))
    assert hedge(answers) == "second"
    assert (answers.asked, answers.cancelled) == (2, [0])
    answers = Answers((0.1, "first"), (9, "second"))
    assert hedge(answers) == "first"
    assert (answers.asked, answers.cancelled) == (2, [1])


def test_without_room_nothing_is_asked_for_twice() -> None:
    answers = Answers((0.1, "first"))
    assert hedge(answers, room=0) == "first"
    assert answers.asked == 1


def test_the_answer_of_one_counts_when_the_other_fails() -> None:
    answers = Answers((0.05, KeyError("first")), (0.1, "second"))
    assert hedge(answers) == "second"
    answers = Answers((0.1, "first"), (0.01, KeyError("second")))
    assert hedge(answers) == "first"
    assert (answers.asked, answers.cancelled) == (2, [])


def test_when_both_fail_the_failure_is_raised() -> None:
    answers = Answers((0.05, KeyError("first")), (0.1, KeyError("second")))
    with pytest.raises(KeyError, match="second"):
        hedge(answers)
    assert answers.asked == 2


def test_when_nothing_comes_in_time_both_are_given_up() -> None:
    answers = Answers((9, "first"), (9, "second"))
    began = perf_counter()
    with pytest.raises(TimeoutError):
        hedge(answers, limit=0.1)
    assert 0.1 <= perf_counter() - began < 5
    assert (answers.asked, sorted(answers.cancelled)) == (2, [0, 1])


def test_nothing_is_asked_for_twice_when_there_is_no_time_for_an_answer() -> None:
    answers = Answers((9, "first"), (9, "second"))
    with pytest.raises(TimeoutError):
        hedge(answers, late=0.1, limit=0.05)
    assert (answers.asked, answers.cancelled) == (1, [0])


@pytest.mark.parametrize(("late", "asked"), [(0.02, [0, 1]), (0.5, [0])])
def test_who_stops_waiting_cancels_what_was_asked_for(late: float, asked: list[int]) -> None:
    async def stopped() -> list[int]:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(hedged(answers, late, LIMIT, asyncio.Semaphore(1)), 0.1)
        await asyncio.sleep(0)
        return sorted(answers.cancelled)

    answers = Answers((9, "first"), (9, "second"))
    assert asyncio.run(stopped()) == asked
    assert answers.asked == len(asked)


@given(st.lists(st.tuples(st.floats(0, 0.01), st.booleans()), min_size=2, max_size=2), st.floats(0, 0.01))
def test_whoever_wins_it_is_a_right_answer_where_there_is_one(
    answers: list[tuple[float, bool]], late: float
) -> None:
    made = Answers(*((seconds, "right" if good else passing()) for seconds, good in answers))
    try:
        assert hedge(made, late=late) == "right"
    except Transient:
        assert not any(good for _, good in answers[: made.asked])
    assert made.asked in (1, 2)
