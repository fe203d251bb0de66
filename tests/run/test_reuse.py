"""Receipts of earlier jobs in the same work folder are used again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from distributed import Client

from eoscale import synthetic
from eoscale.model.receipt import MEASURED
from eoscale.model.recipe import Recipe
from eoscale.products import ATL06
from eoscale.run import Result, prepare, run
from eoscale.run.progress import Silent
from tests.run.trials import contents

RECIPE = """\
product: ATL06
region: [-55, 62, -25, 82]
period: [{start}, {stop}]
variables: [h_li]
granules: {folder}/*.h5
output: {{{kind}: out.{kind}}}
"""
MONTHLY = """\
reduce: {by: [{grid: {crs: EPSG:3413, resolution: 2000}}, {period: 1MS}], statistics: [count, mean]}
"""
SPRING, LONGER, EARLIER = (
    ("2024-04-01", "2024-06-01"),
    ("2024-04-01", "2024-07-01"),
    ("2024-01-01", "2024-07-01"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("granules")
    synthetic.make(ATL06, 6, folder=folder, seed=1)
    return folder


@pytest.mark.parametrize(("kind", "reduce"), [("zarr", MONTHLY), ("parquet", "")])
def test_a_longer_period_reads_only_what_is_new_and_ends_as_if_nothing_had_been_known(
    scheduler: str, folder: Path, tmp_path: Path, kind: str, reduce: str
) -> None:
    def made(name: str, span: tuple[str, str], work: Path | None) -> tuple[Result, int]:
        text = RECIPE.format(start=span[0], stop=span[1], folder=folder, kind=kind) + reduce
        began = time.time()
        result = run(
            prepare(Recipe.from_yaml(text)),
            output=tmp_path / f"{name}.{kind}",
            cluster=client,
            work=work,
            watcher=Silent(),
        )
        return result, int((result.ledger.frame["finished"] > began).sum())

    with Client(scheduler) as client:
        read: list[tuple[int, int]] = []
        told: list[int] = []
        for span in (SPRING, LONGER, EARLIER, SPRING):
            result, new = made(f"{len(read)}", span, tmp_path / "work")
            alone, everything = made(f"{len(read)}-alone", span, None)
            read.append((new, everything))
            assert contents(result.output) == contents(alone.output)
            one, other = (each.ledger.frame.drop(columns=[*MEASURED]) for each in (result, alone))
            assert one.equals(other)
            told.append(int(result.ledger.facts.get("reused", "0").split()[0]))
            assert "reused" not in alone.ledger.facts
    assert read == [(4, 4), (2, 6), (0, 6), (0, 4)]
    assert told == [0, 4, 6, 0]  # the last is the first job again


def test_a_granule_that_is_not_asked_for_any_more_does_not_count(
    scheduler: str, folder: Path, tmp_path: Path
) -> None:
    text = RECIPE.format(start=LONGER[0], stop=LONGER[1], folder=folder, kind="zarr") + MONTHLY
    fewer = [str(path) for path in sorted(folder.glob("*.h5"))[1:5]]
    shorter = f"{text}\n".replace(f"{folder}/*.h5", str(fewer))
    with Client(scheduler) as client:
        results = [
            run(
                prepare(Recipe.from_yaml(words)),
                output=tmp_path / f"{number}.zarr",
                cluster=client,
                work=work,
                watcher=Silent(),
            )
            for number, (words, work) in enumerate(
                [(text, tmp_path / "work"), (shorter, tmp_path / "work"), (shorter, None)]
            )
        ]
    whole, again, alone = results
    assert len(again.ledger.frame) == 4
    finished = whole.ledger.frame.set_index("id")["finished"]
    assert again.ledger.frame["finished"].tolist() == finished[again.ledger.frame["id"]].tolist()
    assert contents(again.output) == contents(alone.output)
