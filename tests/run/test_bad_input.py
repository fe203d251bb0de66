"""What a user gets wrong: a clear error, its exit status, and nothing published."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr
from distributed import Client

from eoscale import synthetic
from eoscale.access.endpoints import ALLOW_HOSTS
from eoscale.errors import ConflictError, EoscaleError, ForbiddenError, IncompleteRunError
from eoscale.model.recipe import Recipe
from eoscale.products import ATL06
from eoscale.run import run
from eoscale.run.ledger import Ledger, beside
from eoscale.run.progress import Silent
from eoscale.write.published import open_published
from tests.servers.ranges import Fault, RangeServer
from tests.suites.sinks import contents
from tests.test_cli import Done, eoscale

RECIPE = """\
product: ATL06
granules: "granules/*.h5"
region: [-55, 62, -25, 82]
variables: [h_li]
"""
REDUCE = """\
reduce:
  by: [{grid: {crs: EPSG:3413, resolution: 100000}}]
  statistics: [count, mean]
"""
KINDS = ("zarr", "parquet", "csv", "json")
ELSEWHERE = "[10, 45, 12, 46]"


def recipe(folder: Path, kind: str, text: str = RECIPE) -> Path:
    """Write a recipe whose output is of a kind, statistics or the observations themselves."""
    path = folder / f"{kind}.yaml"
    path.write_text(
        f"{text}{REDUCE if kind == 'zarr' else ''}output: {{{kind}: out.{kind}}}\n", encoding="utf-8"
    )
    return path


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two granules."""
    folder = tmp_path_factory.mktemp("bad") / "granules"
    synthetic.make(ATL06, 2, folder=folder, seed=2)
    return folder


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(granules: Path, tmp_path: Path) -> Path:
    """Return a folder with the granules in it."""
    shutil.copytree(granules, tmp_path / "granules")
    return tmp_path


def left(folder: Path) -> set[str]:
    """Return what a run has left beside its recipe and granules."""
    return {path.name for path in folder.iterdir() if path.suffix != ".yaml"} - {"granules", "urls.txt"}


def ended(done: Done) -> tuple[int, str]:
    """Return status and type of error, which is named last: bars may stand before it."""
    *_, last = done.err.splitlines()
    return done.status, last.partition(":")[0]


class TestRefusedBeforeAnythingIsRead:
    """Nothing is left, not even a ledger."""

    def check(self, folder: Path, text: str, error: str, sentence: str, kind: str = "parquet") -> None:
        path = recipe(folder, kind, text)
        for faulty in (path, Path(shutil.copy(path, folder / "again.yaml"))):
            done = eoscale("run", faulty.name, folder=folder)
            assert ended(done) == (2, error), done.err
            assert sentence in " ".join(done.err.split())
            assert "Traceback" not in done.err
        with pytest.raises(EoscaleError) as caught:
            run(path, output=folder / f"out.{kind}", watcher=Silent())
        assert type(caught.value).__name__ == error
        assert sentence in str(caught.value)
        assert left(folder) == set()

    @pytest.mark.parametrize(
        ("old", "new", "sentence"),
        [
            ("[h_li]", "[h_lii]", "ATL06 lists no variable 'h_lii'; did you mean h_li"),
            ("[h_li]", "[h_li, h_li_sigm]", "did you mean h_li_sigma"),
            ("[h_li]", "[gt1l/h_li]", "gt1l/h_li is in no rate of ATL06"),
            ("[h_li]", "{beam: h_li}", "every table has a column beam: give the variable another name"),
            ("variables:", "varables:", "line 4: `varables` is no word of a recipe; did you mean variables?"),
            ("[h_li]", "[h_li]\nsearch: {versoin: '6'}", "line 5: `search.versoin` is no word of a recipe"),
            ("[h_li]", "[h_li]\nsearch: {versoin: '6'}", "did you mean version?"),
            ("[h_li]", "[h_li]\nsearch: {version: 006}", "versions are strings, write it in quotes"),
            ("[h_li]", "[h_li]\nsearch: {version: '005'}", "version 005 was asked for, the list has"),
            (
                "[h_li]",
                "[h_li]\nwhere: exp(h_li) < 1",
                "line 5: `where` the condition calls a function, exp(",
            ),
            ("[h_li]", "[h_li]\nwhere: h_li_sigm < 1", "no variable 'h_li_sigm'; did you mean h_li_sigma"),
            ("[h_li]", "[h_li]\nwhere: h_li < 1 & h_li > 0", "put each condition in parentheses"),
            ("[h_li]", "[h_li]\nquality: bst", "has no quality preset 'bst'; it has best"),
            ("granules/*.h5", "granule/*.h5", "there is no file"),
            ("ATL06", "ATL60", "did you mean ATL0"),
        ],
    )
    def test_a_misspelt_word_is_told_with_its_line_and_the_nearest_one(
        self, folder: Path, kind: str, old: str, new: str, sentence: str
    ) -> None:
        assert RECIPE.count(old) == 1
        lost = "there is no file" in sentence or "version 005" in sentence
        self.check(
            folder, RECIPE.replace(old, new), "CatalogError" if lost else "RecipeError", sentence, kind
        )

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (f"{REDUCE}output: {{parquet: out.parquet}}\n", "`output` is parquet: statistics go to zarr"),
            (f"{REDUCE}output: {{csv: out.csv}}\n", "`output` is csv: statistics go to zarr"),
            ("output: {zarr: out.zarr}\n", "observations go to parquet, csv or json"),
            (
                "output: {csv: a.csv, json: a.json}\n",
                "has exactly one of zarr, icechunk",
            ),
            (
                f"{REDUCE}output: {{zarr: a.zarr, csv: a.csv}}\n",
                "has exactly one of zarr, icechunk",
            ),
            ("output: {}\n", "has exactly one of zarr, icechunk"),
            ("output: {parquet: ''}\n", "has exactly one of zarr, icechunk"),
            (
                "output: {parqet: out.parquet}\n",
                "`output.parqet` is no word of a recipe; did you mean parquet?",
            ),
            (
                "output: {parquet: 's3://me:secret@bucket/a.parquet'}\n",
                "a.parquet is no place in a bucket",
            ),
            (REDUCE, "`output` is missing: say where the result goes"),
            ("", "`output` is missing: say where the result goes"),
        ],
    )
    def test_a_result_goes_to_one_place_of_its_own_kind(
        self, folder: Path, words: str, sentence: str
    ) -> None:
        path = folder / "recipe.yaml"
        path.write_text(RECIPE + words, encoding="utf-8")
        done = eoscale("run", path.name, folder=folder)
        assert ended(done) == (2, "RecipeError"), done.err
        assert sentence in " ".join(done.err.split())
        with pytest.raises(EoscaleError) as caught:
            run(path, watcher=Silent())
        assert sentence in str(caught.value)
        assert left(folder) == set()

    def test_a_named_output_of_another_kind_than_the_result_is_refused(self, folder: Path) -> None:
        path = folder / "recipe.yaml"
        path.write_text(RECIPE, encoding="utf-8")
        done = eoscale("run", path.name, "--output", "rows.zarr", folder=folder)
        assert done.status == 2
        assert "observations go to a .parquet, .csv or .json file" in " ".join(done.err.split())
        assert left(folder) == set()

    @pytest.mark.parametrize(
        "host", ["http://example.org", "https://169.254.169.254", "https://127.0.0.1", "https://[::1]"]
    )
    def test_a_host_that_is_refused_is_never_asked(self, folder: Path, kind: str, host: str) -> None:
        url = f"{host}/ATL06_20240401000000_02770303_006_01.h5"
        done = eoscale("run", recipe(folder, kind).name, "--granules", url, folder=folder)
        assert ended(done) == (4, "ForbiddenError"), done.err
        assert "is refused" in done.err
        with pytest.raises(ForbiddenError, match="is refused"):
            run(folder / f"{kind}.yaml", granules=url, watcher=Silent())
        assert left(folder) == set()


def beside_of(kind: str) -> set[str]:
    """Return what a run that published nothing may leave behind."""
    return {f"out.{kind}.ledger.parquet", f"out.{kind}.work"}


def failed(done: Done, folder: Path, kind: str, error: str, *, number: int = 1) -> str:
    """Check that some of two granules failed by an error and nothing was published, and return the reason."""
    assert ended(done) == (3, "IncompleteRunError"), done.err
    assert f"{number} of 2 granules failed, so nothing was published" in done.err
    assert left(folder) <= beside_of(kind)
    frame = Ledger.load(beside(folder / f"out.{kind}")).frame
    reasons = frame.loc[frame["status"] == "failed", "reason"].tolist()
    assert len(reasons) == number
    assert reasons[0].startswith(f"{error}: ")
    assert reasons[0] in done.err
    return str(reasons[0])


def execute(folder: Path, kind: str, scheduler: str, *words: str) -> Done:
    return eoscale("run", recipe(folder, kind).name, "--cluster", scheduler, *words, folder=folder)


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("land_ice_segments/geophysical/dacc", "dac"),
        ("land_ice_segments/h_lii", "h_li"),
        ("land_ice_segments/dem/dem_hh", "dem_h"),
    ],
)
def test_a_misspelt_path_is_told_with_the_nearest_names_of_its_group(
    folder: Path, kind: str, scheduler: str, path: str, near: str
) -> None:
    done = execute(folder, kind, scheduler, "--set", f"variables=[{path}]")
    reason = failed(done, folder, kind, "MissingVariableError", number=2)
    assert f"no group holds {path}; did you mean {near}" in reason


def test_a_misspelt_path_in_the_condition_is_told_likewise(folder: Path, kind: str, scheduler: str) -> None:
    done = execute(folder, kind, scheduler, "--set", "where='`land_ice_segments/dem/dem_hh` > 0'")
    assert "did you mean dem_h" in failed(done, folder, kind, "MissingVariableError", number=2)


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda whole: whole[: int(len(whole) * share)]


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a netCDF-3 file": (lambda _: b"CDF\x01" + bytes(4096), "NotHDF5Error"),
    "a text": (lambda _: b"<html>Please log in</html>\n" * 99, "NotHDF5Error"),
    "a short text": (lambda _: b"404", "NotHDF5Error"),
    "nothing": (lambda _: b"", "NotHDF5Error"),
    "the first half": (cut(0.5), "CorruptGranuleError"),
    "all but the last byte": (lambda whole: whole[:-1], "CorruptGranuleError"),
    "all but its middle": (lambda whole: whole[:2048] + bytes(len(whole) - 2048), "CorruptGranuleError"),
}


@pytest.mark.parametrize("kind", ["zarr", "csv"], indirect=True)
@pytest.mark.parametrize(("broken", "error"), BROKEN.values(), ids=BROKEN)
def test_a_granule_that_is_none_is_named_and_stops_publication(
    folder: Path, kind: str, scheduler: str, broken: Callable[[bytes], bytes], error: str
) -> None:
    path, _ = sorted((folder / "granules").iterdir())
    whole = path.read_bytes()
    path.write_bytes(broken(whole))
    assert path.read_bytes() != whole
    assert path.stem in failed(execute(folder, kind, scheduler), folder, kind, error)
    # mended, the same job is published
    path.write_bytes(whole)
    done = execute(folder, kind, scheduler)
    assert done.status == 0, done.err
    assert left(folder) - {f"out.{kind}.work"} == {f"out.{kind}", f"out.{kind}.ledger.parquet"}


def test_a_region_outside_every_granule_is_not_published_unless_allowed(
    folder: Path, kind: str, scheduler: str
) -> None:
    words = ["--set", f"region={ELSEWHERE}"]
    done = execute(folder, kind, scheduler, *words)
    assert ended(done) == (3, "IncompleteRunError"), done.err
    assert "no row was binned" in done.err
    assert left(folder) <= beside_of(kind)
    done = execute(folder, kind, scheduler, *words, "--set", "allow_empty=true")
    assert done.status == 0, done.err
    result = open_published(folder / f"out.{kind}")
    if isinstance(result, pd.DataFrame):
        assert result.empty
    else:
        assert int(result["h_li_count"].sum()) == 0


# URLs


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Give threads of this process as workers: they share its environment."""
    with Client(processes=False, dashboard_address="127.0.0.1:0") as client:
        yield client


FAULTS = {
    "not found": (Fault.MISSING, "AccessError"),
    "forbidden": (Fault.FORBIDDEN, "ForbiddenError"),
    "no login": (Fault.UNAUTHORIZED, "CredentialsError"),
    "busy": (Fault.BUSY, "ThrottledError"),
    "hangs up": (Fault.CUT, "AccessError"),
}


@pytest.mark.parametrize("kind", ["zarr", "json"], indirect=True)
@pytest.mark.parametrize(("fault", "error"), FAULTS.values(), ids=FAULTS)
def test_a_url_that_cannot_be_read_is_the_failure_of_its_granule(
    folder: Path, kind: str, client: Client, monkeypatch: pytest.MonkeyPatch, fault: Fault, error: str
) -> None:
    good, bad = sorted((folder / "granules").iterdir())
    with RangeServer(folder / "granules") as server:
        monkeypatch.setenv(ALLOW_HOSTS, server.host)
        server.faults[f"/{bad.name}"] = fault
        (folder / "urls.txt").write_text("\n".join(server.url(path.name) for path in (good, bad)))
        with pytest.raises(IncompleteRunError, match="1 of 2 granules failed") as caught:
            run(
                recipe(folder, kind),
                granules=str(folder / "urls.txt"),
                output=folder / f"out.{kind}",
                cluster=client,
                watcher=Silent(),
            )
        assert server.misbehaved[fault] > 0
    assert f"{error}: " in str(caught.value)
    assert bad.stem in str(caught.value)
    assert left(folder) <= beside_of(kind)


def test_a_host_where_nobody_answers_is_the_failure_of_its_granule(
    folder: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken, and nobody listens
        host = f"127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv(ALLOW_HOSTS, host)
        with pytest.raises(IncompleteRunError, match=r"1 of 1 granules failed.*AccessError: "):
            run(
                recipe(folder, "csv"),
                granules=f"http://{host}/ATL06_20240401000000_02770303_006_01.h5",
                output=folder / "out.csv",
                cluster=client,
                watcher=Silent(),
            )
    assert left(folder) <= beside_of("csv")


# an output that exists


@pytest.fixture(scope="module", params=KINDS)
def finished(
    request: pytest.FixtureRequest, granules: Path, tmp_path_factory: pytest.TempPathFactory, scheduler: str
) -> Path:
    """Return an output that was published from the command line."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(granules, folder / "granules")
    done = execute(folder, request.param, scheduler)
    assert done.status == 0, done.err
    return folder / f"out.{request.param}"


def test_the_same_job_again_says_that_it_is_published_and_changes_nothing(finished: Path) -> None:
    before = contents(finished.parent)
    done = eoscale("run", f"{finished.suffix[1:]}.yaml", folder=finished.parent)
    assert done.status == 0, done.err
    assert "already published" in done.out
    assert contents(finished.parent) == before
    result = run(finished.with_name(f"{finished.suffix[1:]}.yaml"), output=finished, watcher=Silent())
    assert not result.fresh
    assert contents(finished.parent) == before


@pytest.mark.parametrize("change", ["quality=best", "where=h_li > 0", "region=[-50, 62, -25, 82]"])
def test_another_job_is_a_conflict_and_changes_nothing(finished: Path, change: str) -> None:
    before = contents(finished.parent)
    path = finished.with_name(f"{finished.suffix[1:]}.yaml")
    done = eoscale("run", path.name, "--set", change, folder=finished.parent)
    assert ended(done) == (3, "ConflictError"), done.err
    assert "published it; published stores do not change: choose another output" in done.err
    other = Recipe.from_file(path, dict([change.split("=", 1)]))
    with pytest.raises(ConflictError, match="choose another output"):
        run(other, output=finished, watcher=Silent())
    assert contents(finished.parent) == before


@pytest.mark.parametrize("thing", ["a file", "an empty file", "a folder"])
def test_something_foreign_at_the_output_is_a_conflict_and_stays(folder: Path, kind: str, thing: str) -> None:
    output = folder / f"out.{kind}"
    if thing == "a folder":
        output.mkdir()
        (output / "precious.txt").write_text("mine")
    else:
        output.write_text("mine" * (thing == "a file"))
    path = recipe(folder, kind)
    before = contents(folder)
    done = eoscale("run", path.name, folder=folder)
    assert ended(done) == (3, "ConflictError"), done.err
    assert "no store of eoscale" in done.err
    assert contents(folder) == before


def test_what_was_published_opens_as_what_it_is(finished: Path) -> None:
    result = open_published(finished)
    assert isinstance(result, xr.Dataset) == (finished.suffix == ".zarr")
    rows = len(result) if isinstance(result, pd.DataFrame) else int(result["h_li_count"].sum())
    assert rows == Ledger.load(beside(finished)).binned("h_li") > 0


def test_outputs_of_one_name_and_several_kinds_have_nothing_in_common(folder: Path, scheduler: str) -> None:
    few = ["--set", "where=h_li_sigma < 0.5"]
    for kind, words in (("csv", []), ("json", few), ("parquet", few)):
        done = execute(folder, kind, scheduler, *words)
        assert done.status == 0, done.err
    before = (folder / "out.csv").read_bytes()
    assert ended(execute(folder, "csv", scheduler, *few)) == (3, "ConflictError")
    assert "already published" in execute(folder, "csv", scheduler).out
    assert "already published" in execute(folder, "json", scheduler, *few).out
    assert (folder / "out.csv").read_bytes() == before


class _Faster(Silent):
    """Somebody who puts a file at the output while the parts of a run are written."""

    def __init__(self, output: Path) -> None:
        self.output = output

    def begin(self, stage: str, total: int, *, done: int = 0) -> None:
        if "written" in stage:
            assert total > done
            self.output.write_text("mine", encoding="utf-8")


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"], indirect=True)
def test_a_file_that_came_into_being_meanwhile_is_never_taken_for_the_result(
    folder: Path, kind: str, client: Client
) -> None:
    output = folder / f"out.{kind}"
    for watcher in (_Faster(output), Silent()):
        with pytest.raises(ConflictError):
            run(
                recipe(folder, kind),
                granules=str(folder / "granules" / "*.h5"),
                output=output,
                cluster=client,
                watcher=watcher,
            )
        assert output.read_text(encoding="utf-8") == "mine"
