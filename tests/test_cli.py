"""The command line, as a user meets it."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
import xarray as xr

from eoscale import cli, synthetic
from eoscale.products import ATL06
from eoscale.run import logs
from eoscale.run.ledger import Ledger, beside
from eoscale.write import publish
from eoscale.write.provenance import DIGEST
from tests.hdf5 import shared

RECIPES = Path(__file__).parents[1] / "recipes"
SMALL = """\
title: A small result
product: ATL06
granules: "granules/*.h5"
period: [2024-04-01, 2024-07-01]
region: [-55, 62, -25, 82]
variables: [h_li]
reduce:
  by:
    - grid: {crs: EPSG:3413, resolution: 50000}
    - period: 1MS
  statistics: [count, mean]
output: {zarr: small.zarr}
"""


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


@contextlib.contextmanager
def undone() -> Iterator[None]:
    """Undo what a command does to loggers and environment of its process, which runs other tests too."""
    loggers = [logging.getLogger(name) for name in (logs._OWN, *logs._OTHERS)]
    before = [(each, each.level, each.handlers) for each in loggers]
    with mock.patch.object(warnings, "showwarning", warnings.showwarning), mock.patch.dict(os.environ):
        try:
            yield
        finally:
            for each, level, handlers in before:
                each.setLevel(level)
                each.handlers = handlers


def eoscale(*words: str | Path, folder: Path) -> Done:
    """Run the command line in this process: importing everything takes longer than most commands."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    arguments = mock.patch.object(sys, "argv", ["eoscale", *map(str, words)])
    with undone(), contextlib.chdir(folder), arguments, redirect_stdout(out), redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
    return Done(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a recipe, three granules and a result, published as a user does."""
    here = tmp_path_factory.mktemp("cli")
    (here / "small.yaml").write_text(SMALL, encoding="utf-8")
    synthetic.make(ATL06, 3, folder=here / "granules", seed=2)
    command = [sys.executable, "-W", "error", "-m", "eoscale", "run", "small.yaml", "--workers", "1"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=here)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return here


def test_a_run_leaves_a_store_and_a_ledger_and_nothing_else(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} >= {"small.zarr", "small.zarr.ledger.parquet"}
    assert not [path for path in folder.iterdir() if path.name.startswith(".") or path.suffix == ".work"]
    dataset = xr.open_zarr(folder / "small.zarr", consolidated=True, chunks=None)
    assert int(dataset.h_li_count.sum()) == Ledger.load(beside(folder / "small.zarr")).binned("h_li") > 0


def test_the_same_job_again_says_so_and_does_nothing(folder: Path) -> None:
    before = (folder / "small.zarr.ledger.parquet").stat().st_mtime_ns
    done = eoscale("run", "small.yaml", folder=folder)
    assert done.status == 0
    assert "already published" in done.out
    assert (folder / "small.zarr.ledger.parquet").stat().st_mtime_ns == before


def test_a_named_work_folder_is_kept(folder: Path, scheduler: str, tmp_path: Path) -> None:
    words = ["--output", "kept.zarr", "--cluster", scheduler, "--work", str(tmp_path)]
    done = eoscale("run", "small.yaml", *words, folder=folder)
    assert done.status == 0, done.err
    assert list(tmp_path.glob("*/*.arrow"))
    assert not list(folder.glob("*.work"))


def test_another_job_to_the_same_place_is_refused(folder: Path) -> None:
    done = eoscale("run", "small.yaml", "--set", "quality=best", folder=folder)
    assert done.status == 3
    assert "ConflictError" in done.err
    assert "choose another output" in done.err


def test_a_plan_reads_no_granule(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "granules").iterdir():
        (tmp_path / path.name).write_bytes(b"not to be read")
    done = eoscale("plan", "small.yaml", "--granules", f"{tmp_path}/*.h5", "--json", folder=folder)
    assert done.status == 0, done.err
    assert json.loads(done.out)["granules"] == "3 found, 3 to read"


def test_a_sample_counts_the_rest_as_dropped(folder: Path) -> None:
    done = eoscale("plan", "small.yaml", "--sample", "2", "--json", folder=folder)
    facts = json.loads(done.out)
    assert facts["granules"] == "3 found, 2 to read"
    assert facts["skipped"] == "1 not in the sample"


@pytest.fixture
def damaged(folder: Path, tmp_path: Path) -> str:
    """Return a glob of the granules, the second of which lacks its end."""
    paths = sorted((folder / "granules").iterdir())
    for path in paths:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = (tmp_path / paths[1].name).read_bytes()
    (tmp_path / paths[1].name).write_bytes(whole[: len(whole) // 2])
    return f"{tmp_path}/*.h5"


def test_a_failed_granule_stops_publication_and_is_in_the_ledger(
    folder: Path, damaged: str, scheduler: str
) -> None:
    words = ["--granules", damaged, "--output", "failed.zarr", "--cluster", scheduler]
    done = eoscale("run", "small.yaml", *words, folder=folder)
    assert done.status == 3
    assert "1 of 3 granules failed" in done.err
    assert "CorruptGranuleError" in done.out, "the ledger is printed when nothing is published, too"
    assert not (folder / "failed.zarr").exists()
    ledger = Ledger.load(beside(folder / "failed.zarr"))
    assert ledger.sentence() == "3 found: 2 used, 0 empty, 0 skipped, 1 failed"
    reason = ledger.frame.set_index("status").loc["failed", "reason"]
    assert "CorruptGranuleError" in str(reason)
    report = eoscale("report", "failed.zarr", folder=folder)
    assert report.status == 0, report.err
    page = (folder / "failed.html").read_text(encoding="utf-8")
    assert "CorruptGranuleError" in page
    assert "not published (3 found: 2 used, 0 empty, 0 skipped, 1 failed)" in page


def test_a_result_without_a_failed_granule_says_so_in_its_report(
    folder: Path, damaged: str, scheduler: str
) -> None:
    words = ["--granules", damaged, "--output", "without.zarr", "--cluster", scheduler]
    done = eoscale("run", "small.yaml", *words, "--set", "on_error=record", folder=folder)
    assert done.status == 0, done.err
    report = eoscale("report", "without.zarr", folder=folder)
    assert report.status == 0, report.err
    page = (folder / "without.html").read_text(encoding="utf-8")
    assert f"published as {folder / 'without.zarr'}, " in page
    assert "without 1 granule that failed" in page


def test_a_region_without_rows_is_not_published_unless_allowed(folder: Path, scheduler: str) -> None:
    elsewhere = ["--set", "region=[10, 45, 12, 46]", "--output", "empty.zarr", "--cluster", scheduler]
    done = eoscale("run", "small.yaml", *elsewhere, folder=folder)
    assert done.status == 3
    assert "no row was binned" in done.err
    allowed = eoscale("run", "small.yaml", *elsewhere, "--set", "allow_empty=true", folder=folder)
    assert allowed.status == 0, allowed.err
    dataset = xr.open_zarr(folder / "empty.zarr", consolidated=True, chunks=None)
    assert int(dataset.h_li_count.sum()) == 0
    assert bool(dataset.h_li_mean.isnull().all())


def test_indexes_are_built_ahead_and_are_there_the_second_time(folder: Path, scheduler: str) -> None:
    words = ("index", "granules/*.h5", "--variable", "h_li", "--cluster", scheduler)
    done = eoscale(*words, folder=folder)
    assert done.status == 0
    assert "3 found, 3 indexed, 0 failed" in done.out
    again = json.loads(eoscale(*words, "--json", folder=folder).out)
    assert [row["requests"] for row in again["table"]] == [0, 0, 0]
    assert again["read"].startswith("0 requests")


def test_a_granule_that_cannot_be_indexed_ends_with_status_3(tmp_path: Path, scheduler: str) -> None:
    (path,) = synthetic.make(ATL06, 1, folder=tmp_path, seed=1)
    path.write_bytes(b"nothing")
    done = eoscale("index", path, "--cluster", scheduler, folder=tmp_path)
    assert done.status == 3
    assert "1 of 1 granules could not be indexed: NotHDF5Error" in done.err.replace("\n", " ")


def test_pictures_and_reports_are_made(folder: Path) -> None:
    done = eoscale("plot", "small.zarr", "-o", "map.png", folder=folder)
    assert done.status == 0, done.err
    assert (folder / "map.png").read_bytes().startswith(b"\x89PNG")
    done = eoscale("report", "small.zarr", folder=folder)
    assert done.status == 0, done.err
    assert "<html" in (folder / "small.html").read_text(encoding="utf-8")


def test_only_drawing_loads_what_draws() -> None:
    program = "import sys; from eoscale import cli; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    loaded = set(done.stdout.split())
    assert "eoscale.plot.report" in loaded
    assert "matplotlib" not in loaded


def test_machines_read_one_result_on_standard_output_and_records_on_standard_error(
    folder: Path, scheduler: str
) -> None:
    done = eoscale("run", "small.yaml", "--output", "m.zarr", "--cluster", scheduler, "--json", folder=folder)
    assert done.status == 0, done.err
    assert json.loads(done.out)["granules"]["used"] == 3
    records = [json.loads(line) for line in done.err.splitlines()]
    assert {record["stage"] for record in records} == {"granules read", "tiles written"}
    assert [record["done"] for record in records if record["stage"] == "granules read"][-1] == 3


def test_the_course_of_things_is_logged_when_asked_for_wherever_it_happens(
    tmp_path: Path, scheduler: str
) -> None:
    made = synthetic.make(ATL06, 3, folder=tmp_path / "made", seed=1)
    first, second, third = [shared.copied(path, tmp_path / path.name) for path in made]
    words = ("--variable", "h_li", "--cluster", scheduler)
    event = f"{second.stem} is indexed by libhdf5: "
    assert "libhdf5" not in eoscale("index", first, *words, folder=tmp_path).err
    done = eoscale("--verbose", "index", second, *words, folder=tmp_path)
    assert re.search(rf"^\d\d:\d\d:\d\d hdf5\.index: {event}", done.err, re.MULTILINE), done.err
    done = eoscale("-v", "index", third, *words, "--json", folder=tmp_path)
    (record,) = [one for one in map(json.loads, done.err.splitlines()) if "level" in one]
    assert (record.pop("level"), record.pop("logger")) == ("INFO", "eoscale.hdf5.index")
    assert record.pop("message").startswith(f"{third.stem} is indexed by libhdf5: ")
    assert list(record) == ["time"]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_warning_is_one_line_of_the_log(folder: Path, *, as_json: bool) -> None:
    bow = {"type": "Polygon", "coordinates": [[[-50, 65], [-40, 75], [-40, 65], [-50, 75], [-50, 65]]]}
    (folder / "bow.geojson").write_text(json.dumps(bow), encoding="utf-8")
    words = ["plan", "small.yaml", "--set", "region=bow.geojson", *(["--json"] if as_json else [])]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        done = eoscale(*words, folder=folder)
    assert done.status == 0
    (line,) = done.err.splitlines()
    message = json.loads(line)["message"] if as_json else line.partition(" eoscale: ")[2]
    assert message.startswith("the region was mended: ")


@pytest.mark.parametrize(
    ("words", "status", "kind", "sentence"),
    [
        (["run", "nowhere.yaml"], 2, "RecipeError", "cannot be read"),
        (["plan", "small.yaml", "--granules", "none/*.h5"], 2, "CatalogError", "there is no file"),
        (["report", "nothing.zarr"], 3, "IncompleteRunError", "there is no ledger"),
        (
            ["plan", "small.yaml", "--granules", "http://169.254.169.254/ATL06.h5"],
            4,
            "ForbiddenError",
            "refused",
        ),
        (["products", "--unheard"], 2, "UsageError", "No such option"),
        (["frobnicate"], 2, "UsageError", "No such command"),
    ],
)
def test_machines_read_an_error_as_one_object(
    words: list[str], status: int, kind: str, sentence: str, folder: Path
) -> None:
    done = eoscale(*words, "--json", folder=folder)
    error = json.loads(done.err)
    assert sentence in error.pop("message")
    assert error == {"error": kind, "status": status}
    assert (done.status, done.out) == (status, "")


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["run", "nowhere.yaml"], 2, "cannot be read"),
        (["run", "small.yaml", "--set", "quality=fine"], 2, "it has best"),
        (["run", "small.yaml", "--set", "reduce.statistic=[mean]"], 2, "did you mean statistics?"),
        (["run", "small.yaml", "--set", "search.version=006"], 2, "write it in quotes"),
        (["run", "small.yaml", "--set", "quality"], 2, "expected KEY=VALUE"),
        (["run", "small.yaml", "--granules", "none/*.h5"], 2, "there is no file"),
        (["run", "small.yaml", "--cluster", "gateway", "--output", "x.zarr"], 2, "not yet supported"),
        (["run", "small.yaml", "--granules", "http://169.254.169.254/ATL06.h5"], 4, "is refused"),
        (
            ["run", "small.yaml", "--output", "s3://me:secret@bucket/x.zarr"],
            2,
            "s3://bucket/x.zarr is no place in a bucket",
        ),
        (["plot", "nothing.zarr"], 3, "has not been published"),
        (["report", "nothing.zarr"], 3, "there is no ledger"),
        (["products", "ATL60"], 2, "did you mean ATL0"),
        (["demo-data", "made", "--product", "ATL99"], 2, "ATL06"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_wrong_use_is_told_in_one_sentence(
    words: list[str], status: int, sentence: str, folder: Path
) -> None:
    done = eoscale(*words, folder=folder)
    assert done.status == status, done.err
    assert sentence in " ".join(done.err.split())
    assert "Traceback" not in done.err


def test_products_are_listed_with_their_presets(folder: Path) -> None:
    assert "ATL08" in json.loads(eoscale("products", "--json", folder=folder).out)
    shown = eoscale("products", "ATL06", folder=folder).out
    assert "quality best: atl06_quality_summary == 0" in shown
    assert "land_ice_segments/h_li" in shown


def test_demo_data_are_granules_of_the_product(tmp_path: Path) -> None:
    done = eoscale("demo-data", "made", "--product", "ATL08", "-n", "2", "--json", folder=tmp_path)
    assert done.status == 0, done.err
    assert sorted(json.loads(done.out)) == sorted(path.name for path in (tmp_path / "made").iterdir())


def test_what_attempts_left_is_removed_when_somebody_says_so(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "small.zarr"
    (tmp_path / "small.zarr.claim").write_text(json.dumps({DIGEST: "a" * 64}))
    (tmp_path / f".small.zarr.{'a' * 16}").mkdir()
    (tmp_path / "small.zarr.work" / "aaaa").mkdir(parents=True)
    (tmp_path / "other").touch()
    refused = eoscale("run", "small.yaml", "--output", output, folder=folder)
    assert refused.status == 3
    assert "claimed by job aaaaaaaaaaaa" in " ".join(refused.err.split())
    asked = eoscale("gc", output, folder=folder)
    assert (asked.status, len(publish.leftovers(output))) == (2, 3)
    assert "say so by --yes" in asked.err
    told = json.loads(eoscale("gc", output, "--yes", "--json", folder=folder).out)
    assert sorted(told["removed"]) == [".small.zarr.aaaaaaaaaaaaaaaa", "small.zarr.claim", "small.zarr.work"]
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    assert "nothing was there" in eoscale("gc", output, folder=folder).out
    assert eoscale("run", "small.yaml", "--output", output, "--workers", "1", folder=folder).status == 0
