"""Two jobs that make one output at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from eoscale.errors import ConflictError
from eoscale.model.granule import GranuleList
from eoscale.run import run
from eoscale.run.plan import Plan
from eoscale.run.progress import Silent
from eoscale.write import places
from eoscale.write.places import Place
from tests.run.moments import Moment, began
from tests.run.trials import FEW_TILES, Bench, Expected, Trial, opened, prepared

RACES = 20


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with prepared(tmp_path_factory.mktemp("bench")) as made:
        yield made


@pytest.fixture(scope="module")
def rivals(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> list[Expected]:
    """Return what two jobs come to, each of a granule that the other has not."""
    found = []
    for number, granule in enumerate(bench.granules.granules[:2]):
        folder = tmp_path_factory.mktemp("alone")
        plan = bench.plan(folder, "zarr", reduce=FEW_TILES, granules=GranuleList(granules=[granule]))
        found.append(Expected.of(Trial(bench=bench, plan=plan, folder=folder / str(number))))
    return found


def take_part(plan: Plan, output: Place, address: str, told: Path) -> None:
    """Run, and tell how it ended."""
    try:
        run(plan, output=output, cluster=address, watcher=Silent())
    except ConflictError as conflict:
        told.write_text(str(conflict), encoding="utf-8")
    else:
        told.write_text("published", encoding="utf-8")


@pytest.mark.parametrize("where", ["disk", "bucket"])
def test_of_two_jobs_that_run_at_once_exactly_one_proceeds_and_the_other_reads_nothing(
    bench: Bench, rivals: list[Expected], tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    folder: Place = tmp_path if where == "disk" else bench.bucket / "races"
    wins, claimed = [0, 0], 0
    for race in range(RACES):
        output = folder / str(race) / "out.zarr"
        asked = len(bench.server.gets)
        tales = [tmp_path / f"{race}-{number}" for number in range(2)]
        processes = [
            began(partial(take_part, rival.plan, output, bench.address, told), Moment(), bench.environment)
            # who begins first is not always the same
            for rival, told in list(zip(rivals, tales, strict=True))[:: 1 if race % 2 else -1]
        ]
        for process in processes:
            process.join()
            assert process.exitcode == 0
        ended = [told.read_text(encoding="utf-8") for told in tales]
        assert ended.count("published") == 1, ended
        winner = ended.index("published")
        wins[winner] += 1
        claimed += "is claimed by job" in ended[1 - winner]
        assert opened(output) == rivals[winner].files
        read = {Path(get.path).stem for get in bench.server.gets[asked:]}
        assert read == {granule.id for granule in rivals[winner].plan.job.granules}
        left = {name.partition("/")[0] for name in places.sizes(output.parent)}
        assert left == {"out.zarr", "out.zarr.ledger.parquet"}
    assert claimed, "no two were ever at work at the same time"
    with capsys.disabled():
        print(f"\n{where}: {RACES} races, won {wins}; {claimed} found a claim, the others a result")  # noqa: T201
