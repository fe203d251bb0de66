from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eoscale.access import checkup, keeper
from eoscale.errors import CredentialsError
from eoscale.run.doctor import examine
from tests.access.test_logins import jwt
from tests.servers.logins import CLIENT_SECRET, OFFLINE, PASSWORD, Copernicus, Earthdata, Maap
from tests.test_cli import eoscale


@pytest.fixture
def everything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[tuple[Maap, Earthdata, Copernicus]]:
    """Return all services, at which the user has a login."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with Maap(b"") as maap, Earthdata(b"") as nasa, Copernicus(b"") as copernicus:
        services = (maap, nasa, copernicus)
        for service in services:
            for name, value in service.environment().items():
                monkeypatch.setenv(name, value)
        hosts = ",".join(host.host for service in services for host in service.hosts)
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", hosts)
        monkeypatch.setenv("EARTHDATA_USERNAME", "me")
        monkeypatch.setenv("EARTHDATA_PASSWORD", PASSWORD)
        keeper.use(keeper.Keeper())
        yield services


def test_a_user_without_any_login_is_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    keeper.use(keeper.Keeper())
    told = examine(output=str(tmp_path / "out"))
    assert all(good for good, _ in told.values())
    assert [told[name][1] for name in ("NASA Earthdata", "ESA MAAP", "Copernicus", "Copernicus S3")] == [
        "no login"
    ] * 4
    assert told["output"][1] == f"{tmp_path / 'out'}: writable"
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.usefixtures("everything")
def test_logins_that_work_say_where_they_are_from() -> None:
    told = examine()
    assert told["NASA Earthdata"] == (True, "EARTHDATA_USERNAME: works")
    assert told["ESA MAAP"] == (True, "the environment: works, renewed every 5 min")
    assert told["Copernicus"] == (True, "CDSE_USERNAME: works, renewed every 5 min")


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(
    ("provider", "variable", "why"),
    [
        ("NASA Earthdata", "EARTHDATA_PASSWORD", "the login of EARTHDATA_USERNAME is refused (401)"),
        ("ESA MAAP", "MAAP_CLIENT_SECRET", "the offline token of the environment is refused (invalid_grant)"),
        ("Copernicus", "CDSE_PASSWORD", "the login of CDSE_USERNAME is refused (invalid_grant)"),
    ],
)
def test_a_login_that_is_refused_is_wrong(
    monkeypatch: pytest.MonkeyPatch, provider: str, variable: str, why: str
) -> None:
    monkeypatch.setenv(variable, "wr0ng")
    good, told = examine()[provider]
    assert not good
    assert why in told
    assert "wr0ng" not in told


def test_a_token_says_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    for left, good, words in (
        (3600, True, "and cannot be renewed"),
        (-3600, False, "MAAP_TOKEN: expired at"),
    ):
        monkeypatch.setenv("MAAP_TOKEN", jwt({"exp": int(time.time()) + left}))
        keeper.use(keeper.Keeper())
        told = examine()["ESA MAAP"]
        assert told[0] is good
        assert words in told[1]


def test_a_plan_says_when_a_token_ends_and_refuses_one_that_has(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = ["https://catalog.maap.eo.esa.int/data/a.h5", "https://example.org/a.h5"]
    monkeypatch.setenv("MAAP_TOKEN", jwt({"exp": int(time.time()) + 3600}))
    assert "cannot be renewed: a run that lasts longer" in checkup.ending(urls)
    assert checkup.ending(urls[1:]) == ""
    outlived = checkup.ending(urls, 3 * 3600)
    assert "WARNING: that is in 1.0 h and this may take 3.0 h: get a newer one" in outlived
    monkeypatch.setenv("MAAP_TOKEN", jwt({"exp": int(time.time()) - 3600}))
    with pytest.raises(CredentialsError, match=r"MAAP_TOKEN: expired at .*: get another one"):
        checkup.ending(urls)


def test_a_place_that_cannot_be_written_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    good, why = examine(output=str(tmp_path / "file" / "out"))["output"]
    assert not good
    assert "cannot be written" in why


def test_workers_are_compared_with_this_process(scheduler: str) -> None:
    told = examine(cluster=scheduler)
    assert told["workers"] == (True, "2 workers, as here")
    assert told["region of workers"][0]


def test_the_command_shows_no_secret_and_its_status_tells(
    monkeypatch: pytest.MonkeyPatch, everything: tuple[Maap, Earthdata, Copernicus], tmp_path: Path
) -> None:
    done = eoscale("doctor", "--json", folder=tmp_path)
    assert done.status == 0, done.err
    assert json.loads(done.out)["ESA MAAP"] == {
        "good": True,
        "found": "the environment: works, renewed every 5 min",
    }
    monkeypatch.setenv("MAAP_CLIENT_SECRET", "wr0ng")
    keeper.use(keeper.Keeper())
    failed = eoscale("doctor", folder=tmp_path)
    assert failed.status == 4
    assert "AccessError: ESA MAAP: not as it should be" in failed.err
    secrets = [
        PASSWORD,
        OFFLINE,
        CLIENT_SECRET,
        "wr0ng",
        *everything[0].tokens.issued.ends,
        *everything[1].tokens.ends,
    ]
    assert not [secret for secret in secrets if secret in done.out + done.err + failed.out + failed.err]
