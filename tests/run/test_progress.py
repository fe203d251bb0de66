"""How far a run is: the numbers, and how each watcher tells them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from eoscale.run.progress import Bars, Lines, Records, Stage, shown

COUNTS = st.integers(0, 10_000)
SECONDS = st.one_of(st.just(0.0), st.floats(1e-6, 1e6))
EVERY = 10.0
KEYS = ["time", "stage", "done", "total", "rate", "left_seconds"]


@st.composite
def stages(draw: st.DrawFn) -> Stage:
    """Draw a stage at any moment; more may be done than was announced."""
    earlier = draw(COUNTS)
    done = earlier + draw(COUNTS)
    return Stage(name="stage", total=draw(COUNTS), done=done, earlier=earlier, seconds=draw(SECONDS))


class TestNumbers:
    @given(stages())
    @example(Stage(name="stage", total=0))
    def test_the_time_left_is_never_negative_and_nothing_at_the_end(self, stage: Stage) -> None:
        if stage.done >= stage.total:
            assert stage.left == 0
        else:
            assert stage.left is None or stage.left > 0

    @given(stages())
    def test_there_is_a_rate_as_soon_as_this_attempt_has_done_something(self, stage: Stage) -> None:
        assert (stage.rate is None) == (stage.done == stage.earlier or stage.seconds == 0)
        if stage.done < stage.total:
            assert (stage.left is None) == (stage.rate is None)

    @given(stages())
    def test_at_its_rate_a_stage_gets_what_is_missing_done_in_the_time_left(self, stage: Stage) -> None:
        if stage.rate and stage.left is not None:
            missing = max(0, stage.total - stage.done)
            assert stage.rate * stage.left == pytest.approx(missing)
            assert stage.rate * stage.seconds == pytest.approx(stage.done - stage.earlier)

    @given(stages(), COUNTS)
    def test_what_an_earlier_attempt_has_done_changes_neither_rate_nor_time_left(
        self, stage: Stage, more: int
    ) -> None:
        other = replace(stage, total=stage.total + more, done=stage.done + more, earlier=stage.earlier + more)
        assert (other.rate, other.left) == (stage.rate, stage.left)

    @given(stages())
    def test_a_line_tells_how_many_of_how_many(self, stage: Stage) -> None:
        assert str(stage).startswith(f"stage: {stage.done:,} of {stage.total:,}")
        assert not {"None", "inf", "nan"} & set(str(stage).replace(",", " ").split())


class Time:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Stamped(io.StringIO):
    """A stream that knows when each line was written."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self.clock = clock
        self.lines: list[tuple[float, str]] = []

    def write(self, text: str) -> int:
        if text.strip():
            self.lines.append((self.clock(), text))
        return super().write(text)


STEPS = st.lists(st.tuples(st.integers(0, 50), st.floats(0, 2 * EVERY)), max_size=30)
"""Units done, and seconds before."""


def watch(kind: type[Lines], steps: Sequence[tuple[int, float]], done: int) -> Stamped:
    clock = Time()
    stream = Stamped(clock)
    watcher = kind(stream, seconds=EVERY, clock=clock)
    watcher.begin("granules read", done + sum(number for number, _ in steps), done=done)
    for number, seconds in steps:
        clock.now += seconds
        watcher.advance("granules read", number)
    return stream


class TestLines:
    @given(STEPS, COUNTS)
    def test_a_stage_has_a_first_and_a_last_line_and_few_between(
        self, steps: list[tuple[int, float]], done: int
    ) -> None:
        total = done + sum(number for number, _ in steps)
        (began, first), *others = watch(Lines, steps, done).lines
        assert began == 1000
        assert first.startswith(f"granules read: {done:,} of {total:,}")
        assert not total > done or any(f": {total:,} of {total:,}" in text for _, text in others)
        ends = [position for position, (_, text) in enumerate(others) if f": {total:,} of" in text]
        times = [began, *(at for at, _ in others)]
        for position, (before, after) in enumerate(pairwise(times)):
            assert after - before >= EVERY or position == ends[0]
        assert len(times) <= 2 + sum(seconds for _, seconds in steps) / EVERY

    @given(STEPS, COUNTS)
    def test_machines_are_told_at_the_same_moments(self, steps: list[tuple[int, float]], done: int) -> None:
        lines, records = (watch(kind, steps, done).lines for kind in (Lines, Records))
        assert [at for at, _ in records] == [at for at, _ in lines]
        for (_, line), (_, text) in zip(lines, records, strict=True):
            record = json.loads(text)
            assert list(record) == KEYS
            assert line.startswith(f"{record['stage']}: {record['done']:,} of {record['total']:,}")
            assert (record["rate"] is None) == ("/" not in line and ", in " not in line)
            assert datetime.fromisoformat(record["time"]).utcoffset() is not None

    def test_lines_are_what_a_person_says(self) -> None:
        steps = [(100, 4.0), (20, 6.0), (60, 600.0), (120, 1.0)]
        assert [text for _, text in watch(Lines, steps, done=2000).lines] == [
            "granules read: 2,000 of 2,300, 2,000 of an earlier attempt",
            "granules read: 2,120 of 2,300, 12.0/s, 15 s left",
            "granules read: 2,180 of 2,300, 17.7/min, 6 min 47 s left",
            "granules read: 2,300 of 2,300, in 10 min 11 s",
        ]

    def test_stages_are_told_apart(self) -> None:
        clock = Time()
        stream = Stamped(clock)
        lines = Lines(stream, clock=clock)
        lines.begin("granules read", 2)
        lines.begin("tiles written", 1)
        clock.now += 5
        lines.advance("tiles written", 1)
        lines.advance("granules read", 2)
        assert [text for _, text in stream.lines[2:]] == [
            "tiles written: 1 of 1, in 5 s",
            "granules read: 2 of 2, in 5 s",
        ]


def drawn(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class TestBars:
    def terminal(self) -> Console:
        return Console(file=io.StringIO(), force_terminal=True, color_system=None, width=110)

    def test_a_bar_tells_number_rate_and_time_left(self) -> None:
        clock, console = Time(), self.terminal()
        with Bars(console, clock=clock) as bars:
            bars.begin("granules read", 300, done=20)
            clock.now += 8
            bars.advance("granules read", 100)
        last = drawn(console).rsplit("granules read", 1)[1]
        assert "120/300" in last
        assert "12.5/s, 14 s left" in last

    def test_a_stage_that_ended_keeps_the_time_that_it_took(self) -> None:
        clock, console = Time(), self.terminal()
        with Bars(console, clock=clock) as bars:
            bars.begin("granules read", 100)
            clock.now += 8
            bars.advance("granules read", 100)
            bars.begin("tiles written", 4)
            clock.now += 60
        assert "100/100 in 8 s" in drawn(console).rsplit("granules read", 1)[1]

    def test_what_else_is_printed_stands_above_the_bars(self) -> None:
        console = self.terminal()
        with Bars(console) as bars:
            bars.begin("granules read", 300)
            console.print("a host asks for fewer requests")
        text = drawn(console)
        assert text.count("a host asks for fewer requests\n") == 1
        assert text.rindex("granules read") > text.rindex("fewer requests")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "as_json", "kind"),
    [
        (Terminal, False, Bars),
        (io.StringIO, False, Lines),
        (Terminal, True, Records),
        (io.StringIO, True, Records),
    ],
)
def test_the_watcher_suits_who_reads_standard_error(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], kind: type, *, as_json: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", stream())
    with shown(Console(stderr=True), as_json=as_json) as watcher:
        assert type(watcher) is kind
    monkeypatch.setenv("TERM", "dumb")
    with shown(as_json=as_json) as watcher:
        assert type(watcher) is (Records if as_json else Lines)
