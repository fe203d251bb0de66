from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from eoscale import synthetic
from eoscale.access import keeper
from eoscale.catalog import tables
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.model.granule import GranuleList
from eoscale.products import ATL06
from eoscale.run.download import download
from eoscale.run.progress import Silent
from tests.servers.logins import Maap
from tests.test_cli import eoscale


@pytest.fixture
def maap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Maap]:
    """Return a service that guards some granules, and log in."""
    paths = synthetic.make(ATL06, 6, folder=tmp_path / "made")
    contents = {path.name: path.read_bytes() for path in paths}
    with Maap(lambda path: contents[Path(unquote(path)).name]) as service:
        for name, value in service.environment().items():
            monkeypatch.setenv(name, value)
        keeper.use(keeper.Keeper())
        yield service


def there(maap: Maap, folder: Path) -> GranuleList:
    """Return granules that the service guards, with the checksums of some."""
    found = Listing([str(folder / "*.h5")]).search(Query(product=ATL06))
    return GranuleList(
        granules=[
            replace(
                one,
                urls={"http": f"{maap.data.origin}/data/{one.id}.h5"},
                checksum="" if number % 2 else _md5(Path(one.url)),
            )
            for number, one in enumerate(found)
        ]
    )


def _md5(path: Path) -> str:
    return f"md5:{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}"


def test_granules_are_copied_with_the_login_of_the_user(maap: Maap, tmp_path: Path) -> None:
    granules = there(maap, tmp_path / "made")
    told = download(granules, tmp_path / "here", watcher=Silent())
    assert told["id"].tolist() == [one.id for one in granules]
    assert set(told["status"]) == {"copied"}
    assert told["checksum"].tolist() == ["verified", "none to verify"] * 3
    for path in told["path"]:
        assert Path(path).read_bytes() == (tmp_path / "made" / Path(path).name).read_bytes()
    asked = len(maap.data.asked)
    assert download(granules, tmp_path / "here", watcher=Silent()).equals(told)
    assert len(maap.data.asked) == asked + 6  # whether they are the same


def test_what_cannot_be_copied_is_told_and_the_others_are(maap: Maap, tmp_path: Path) -> None:
    granules = list(there(maap, tmp_path / "made"))
    granules[0] = replace(granules[0], urls={"http": f"{maap.data.origin}/data/lost.h5"})
    granules[2] = replace(granules[2], checksum="md5:00")
    told = download(GranuleList(granules=granules), tmp_path / "here", watcher=Silent())
    assert told["status"].tolist() == ["failed", "copied", "failed", "copied", "copied", "copied"]
    assert "404 Not Found" in told["reason"][0]
    assert "its md5 is" in told["reason"][2]
    assert len(list((tmp_path / "here").iterdir())) == 4


def test_two_of_one_name_are_two_files(maap: Maap, tmp_path: Path) -> None:
    granules = [
        replace(one, urls={"http": f"{maap.data.origin}/data/{number}/..%2F{name}"}, checksum="", size=0)
        for number, one in enumerate(there(maap, tmp_path / "made"))
        for name in [next((tmp_path / "made").iterdir()).name]
    ]
    told = download(GranuleList(granules=granules), tmp_path / "here", watcher=Silent())
    assert len(set(told["path"])) == len({path.name for path in (tmp_path / "here").iterdir()}) == 6


def test_the_command_tells_and_its_status_says_whether_all_are_there(maap: Maap, tmp_path: Path) -> None:
    granules = list(there(maap, tmp_path / "made"))
    for status, told in ((0, "6 found, 6 copied, 0 failed"), (3, "6 found, 5 copied, 1 failed")):
        tables.save(GranuleList(granules=granules), tmp_path / "granules.parquet")
        done = eoscale("download", "granules.parquet", f"here{status}", "--json", folder=tmp_path)
        assert done.status == status, done.err
        facts = json.loads(done.out)
        assert facts["granules"] == told
        assert len(facts["table"]) == 6
        granules[1] = replace(granules[1], urls={"http": f"{maap.data.origin}/data/lost.h5"})
    assert "1 of 6 granules could not be copied: AccessError" in done.err
    assert "404 Not Found" in done.err
