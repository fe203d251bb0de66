"""Runs whose output, ledger and work folder lie in a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from eoscale.model.granule import GranuleList
from tests.run.trials import (
    FEW_TILES,
    MANY_TILES,
    Bench,
    Expected,
    Trial,
    opened,
    prepared,
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with prepared(tmp_path_factory.mktemp("bench")) as made:
        yield made


def test_an_undisturbed_run_leaves_what_one_on_a_disk_does(bench: Bench, tmp_path: Path) -> None:
    plan = bench.plan(tmp_path, "zarr", reduce=MANY_TILES)
    expected = Expected.of(Trial(bench=bench, plan=plan, folder=tmp_path / "undisturbed"))
    trial = Trial(bench=bench, plan=plan, folder=bench.bucket / "undisturbed")
    assert not trial.attempt()
    expected.check(trial)


@pytest.fixture
def expected(bench: Bench, kind: str, tmp_path: Path) -> Expected:
    """Return what comes of four granules, in two batches, if nobody interrupts."""
    few = GranuleList(granules=bench.granules.granules[:4])
    plan = bench.plan(tmp_path, kind, reduce=FEW_TILES if kind == "zarr" else "", granules=few)
    return Expected.of(Trial(bench=bench, plan=plan, folder=tmp_path / "undisturbed"))


@pytest.mark.parametrize("kind", ["zarr"])
def test_killed_at_its_first_change_of_the_bucket_its_second_and_so_on_it_ends_the_same(
    bench: Bench, expected: Expected, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted, deaths = {".claim", ".work/", "tiles.json"}, ""
    # two workers change the bucket, in an order of their own: which changes are met is partly chance
    for attempt in range(4):
        trial = Trial(bench=bench, plan=expected.plan, folder=bench.bucket / f"every-{attempt}")
        for number in count(1):
            if not trial.killed_at_change(number):
                break
            assert opened(trial.output) in (None, expected.files)
        expected.check(trial)
        for finished, asked in zip(trial.finished, trial.asked(), strict=True):
            assert not finished & asked  # what has a receipt is not read again
        assert number > 10
        deaths += " ".join(trial.deaths)
        if all(name in deaths for name in wanted):
            break
    assert {name for name in wanted if name not in deaths} == set()
    with capsys.disabled():
        print(f"\nS3: {len(trial.deaths)} kills, one change of the bucket after the other")  # noqa: T201


@pytest.mark.parametrize("kind", ["zarr"])
def test_killed_at_any_of_its_last_changes_of_the_bucket_it_ends_the_same(
    bench: Bench, expected: Expected, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []
    with bench.buckets.hearing(made.append):
        assert not Trial(bench=bench, plan=expected.plan, folder=bench.bucket / "counted").attempt()
    (root,) = (number for number, path in enumerate(made, 1) if path.endswith("out.zarr/zarr.json"))
    found = []
    for number in range(root - 1, len(made) + 1):
        trial = Trial(bench=bench, plan=expected.plan, folder=bench.bucket / f"last-{number}")
        assert trial.killed_at_change(number)
        found.append(opened(trial.output))
        assert not trial.attempt()
        expected.check(trial)
    # a PUT that was sent is done, whether its sender lives or not
    assert found == [None, *[expected.files] * (len(found) - 1)]
    assert len(found) > 4
    with capsys.disabled():
        print(f"\n{len(found)} kills around publication: {' '.join(made[root - 2 :])}")  # noqa: T201
