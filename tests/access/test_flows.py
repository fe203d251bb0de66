"""Logins at services that are there: each flow from what the user has to the bytes of a granule."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from eoscale.access import keeper, loop, providers
from eoscale.access.credentials import Credential
from eoscale.errors import AccessError, CredentialsError, ForbiddenError
from tests.access.remote import CONTENT, EXPECTED, OFFSETS, first, read
from tests.servers.logins import CLIENT_SECRET, OFFLINE, PASSWORD, Copernicus, Earthdata, Maap, said
from tests.servers.redirects import Answer

pytestmark = pytest.mark.usefixtures("fresh")


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def known_as(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def maap(monkeypatch: pytest.MonkeyPatch) -> Iterator[Maap]:
    with Maap(CONTENT) as service:
        known_as(monkeypatch, service.environment())
        yield service


@pytest.fixture
def copernicus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Copernicus]:
    with Copernicus(CONTENT) as service:
        known_as(monkeypatch, service.environment())
        yield service


@pytest.fixture
def nasa(monkeypatch: pytest.MonkeyPatch) -> Iterator[Earthdata]:
    with Earthdata(CONTENT) as service:
        known_as(monkeypatch, service.environment())
        yield service


def keys() -> Credential:
    """Return the keys for a bucket of NSIDC."""
    found = loop.run(keeper.get(providers.keys("nsidc-cumulus-prod-protected")))
    assert found
    return found


def test_maap_reads_with_a_bearer_for_the_offline_token(maap: Maap) -> None:
    assert read(maap.url) == EXPECTED
    assert maap.tokens.calls == ["refresh_token"]
    assert len(maap.data.asked) == len(OFFSETS)


def test_maap_renews_what_is_refused_once_for_all(maap: Maap) -> None:
    assert read(maap.url) == EXPECTED
    maap.tokens.issued.revoke()
    assert read(maap.url) == EXPECTED
    assert maap.tokens.calls == ["refresh_token"] * 2
    assert len(maap.data.asked) <= 3 * len(OFFSETS)


def test_maap_tells_of_a_right_that_is_missing_and_renews_nothing(maap: Maap) -> None:
    with pytest.raises(ForbiddenError, match="403 Forbidden: no right to this collection; ask for it"):
        first(f"{maap.data.origin}/data/EarthCAREL1InstChecked_MAAP/a.h5")
    assert len(maap.data.asked) == 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [("MAAP_OFFLINE_TOKEN", "another"), ("MAAP_CLIENT_SECRET", "another"), ("MAAP_CLIENT_ID", "another")],
)
def test_an_offline_token_that_is_refused_is_an_error_without_secrets(
    monkeypatch: pytest.MonkeyPatch, maap: Maap, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(
        CredentialsError, match=r"offline token of .* refused \(invalid_grant\): make"
    ) as caught:
        first(maap.url)
    assert not any(secret in str(caught.value) for secret in (OFFLINE, CLIENT_SECRET))
    assert not maap.data.asked


def test_a_token_of_the_portal_is_used_as_it_is_and_a_new_one_in_its_file_is_heard(
    monkeypatch: pytest.MonkeyPatch, maap: Maap
) -> None:
    monkeypatch.delenv("MAAP_OFFLINE_TOKEN")
    file = Path("token.txt")
    file.touch(mode=0o600)
    file.write_text(maap.tokens.issued.new("portal"), encoding="utf-8")
    assert first(maap.url) == CONTENT[:700]
    maap.tokens.issued.revoke()
    with pytest.raises(
        CredentialsError, match=r"what token\.txt says is refused, as expired or revoked: set"
    ):
        first(maap.url)
    file.write_text(maap.tokens.issued.new("portal"), encoding="utf-8")
    monkeypatch.setattr(keeper, "_REST", 0.0)
    keeper.use(keeper.Keeper())
    assert first(maap.url) == CONTENT[:700]
    assert not maap.tokens.calls


def test_who_is_not_logged_in_is_told_how(monkeypatch: pytest.MonkeyPatch, maap: Maap) -> None:
    monkeypatch.delenv("MAAP_OFFLINE_TOKEN")
    with pytest.raises(
        CredentialsError, match="401 Unauthorized; set MAAP_OFFLINE_TOKEN and MAAP_CLIENT_SECRET"
    ):
        first(maap.url)


def test_a_token_service_that_is_down_is_waited_for(maap: Maap) -> None:
    maap.tokens.down = lambda: len(maap.tokens.calls) < 30
    assert read(maap.url) == EXPECTED
    assert len(maap.tokens.calls) == 30


def test_a_token_that_comes_in_pieces_is_taken_whole(maap: Maap) -> None:
    maap.tokens.host.reply = lambda asked: maap.tokens.reply(asked)._replace(pause=0.1)
    assert read(maap.url) == EXPECTED
    assert maap.tokens.calls == ["refresh_token"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, body=b"<html>"),
        said(200, {"token": "x"}),
        said(200, {"access_token": 7}),
        Answer(302, [("Location", "https://example.org")]),
    ],
)
def test_a_token_service_that_gives_no_token_is_an_error(maap: Maap, answer: Answer) -> None:
    maap.tokens.host.reply = lambda _asked: answer
    with pytest.raises(CredentialsError):
        first(maap.url)
    assert not maap.data.asked


@pytest.mark.parametrize("status", [401, 403])
def test_copernicus_refreshes_once_and_goes_on(copernicus: Copernicus, status: int) -> None:
    copernicus.refused = status
    assert read(copernicus.url) == EXPECTED
    copernicus.tokens.issued.revoke()
    assert read(copernicus.url) == EXPECTED
    assert copernicus.tokens.calls == ["password", "refresh_token"]


def test_copernicus_logs_in_again_when_a_refresh_is_refused(copernicus: Copernicus) -> None:
    assert read(copernicus.url) == EXPECTED
    copernicus.tokens.issued.revoke()
    copernicus.tokens.refreshing.revoke()
    assert read(copernicus.url) == EXPECTED
    assert copernicus.tokens.calls == ["password", "refresh_token", "password"]


def test_a_second_refusal_of_copernicus_is_final(copernicus: Copernicus) -> None:
    copernicus.nodes.reply = lambda _asked: Answer(403)
    with pytest.raises(ForbiddenError, match="403 Forbidden"):
        first(copernicus.url)
    assert copernicus.tokens.calls == ["password", "refresh_token"]
    assert len(copernicus.nodes.asked) == copernicus.nodes.connections == 2


def test_a_wrong_password_is_an_error_without_it(
    monkeypatch: pytest.MonkeyPatch, copernicus: Copernicus
) -> None:
    monkeypatch.setenv("CDSE_PASSWORD", "wr0ng")
    with pytest.raises(
        CredentialsError, match=r"login of CDSE_USERNAME is refused \(invalid_grant\)"
    ) as caught:
        first(copernicus.url)
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize("by", ["token", "password", "netrc"])
@pytest.mark.parametrize("takes_bearers", [True, False])
def test_nasa_gives_keys_to_who_is_logged_in(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    nasa: Earthdata,
    by: str,
    takes_bearers: bool,  # noqa: FBT001
) -> None:
    nasa.takes_bearers = takes_bearers
    log_in(monkeypatch, tmp_path, nasa, by)
    if by == "token" and not takes_bearers:
        with pytest.raises(
            CredentialsError, match=r"a page and no keys: is the login of EARTHDATA_TOKEN good"
        ):
            keys()
        return
    found = keys()
    assert (found.secret_key, found.session) == nasa.secrets[found.access_key]
    assert found.lifetime == pytest.approx(300, abs=2)
    assert keys() is found


def log_in(monkeypatch: pytest.MonkeyPatch, home: Path, nasa: Earthdata, by: str) -> None:
    """Have a login of a kind."""
    if by == "token":
        monkeypatch.setenv("EARTHDATA_TOKEN", nasa.tokens.new("edl"))
    elif by == "password":
        known_as(monkeypatch, {"EARTHDATA_USERNAME": "me", "EARTHDATA_PASSWORD": PASSWORD})
    else:
        file = home / ".netrc"
        file.touch(mode=0o600)
        file.write_text(f"machine localhost login me password {PASSWORD}", encoding="utf-8")


@pytest.mark.parametrize("by", ["token", "password", "netrc"])
def test_nasa_sends_who_is_logged_in_to_a_signed_url_which_gets_no_header(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nasa: Earthdata, by: str
) -> None:
    log_in(monkeypatch, tmp_path, nasa, by)
    assert read(nasa.url) == EXPECTED
    assert nasa.data.paths() == ["/nsidc-cumulus-prod-protected/a.h5"]
    assert all("authorization" not in asked.headers for asked in nasa.storage.asked)
    assert len(nasa.storage.asked) == len(OFFSETS)


def test_a_password_of_nasa_gives_a_bearer_anew_when_one_is_revoked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nasa: Earthdata
) -> None:
    log_in(monkeypatch, tmp_path, nasa, "password")
    assert read(nasa.url) == EXPECTED
    nasa.tokens.revoke()
    nasa.signatures.revoke()
    assert read(nasa.url) == EXPECTED
    assert len(nasa.tokens.given) == 2


def test_who_is_not_logged_in_at_nasa_sees_no_page_but_an_error(nasa: Earthdata) -> None:
    with pytest.raises(CredentialsError, match="leads to a login page: set EARTHDATA_TOKEN, or"):
        first(nasa.url)


def test_a_licence_that_is_not_accepted_is_named_with_the_place_to_accept_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nasa: Earthdata
) -> None:
    log_in(monkeypatch, tmp_path, nasa, "token")
    where = "https://urs.example.org/accept_eula?eula_id=1&token=s3cr3t"
    nasa.refusal = said(403, {"error": "EULA Acceptance Failure", "resolution_url": where})
    for ask in (lambda: first(nasa.url), keys):
        with pytest.raises(
            ForbiddenError, match=r"licence is not accepted: accept it at https://urs\.example"
        ):
            ask()


def test_the_lifetime_of_keys_goes_by_the_clock_of_who_gives_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nasa: Earthdata
) -> None:
    log_in(monkeypatch, tmp_path, nasa, "token")
    for minutes in (-5, 5, -600):
        nasa.skew = timedelta(minutes=minutes)
        keeper.use(keeper.Keeper())
        assert keys().lifetime == pytest.approx(300, abs=2)


def test_no_secret_is_logged_nor_told(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    nasa: Earthdata,
    maap: Maap,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hosts = ",".join(host.host for service in (nasa, maap) for host in service.hosts)
    monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", hosts)
    log_in(monkeypatch, tmp_path, nasa, "password")
    maap.tokens.down = lambda: len(maap.tokens.calls) < 3
    with caplog.at_level(logging.DEBUG):
        assert read(nasa.url) == read(maap.url) == EXPECTED
        keys()
    asked = [*nasa.tokens.ends, *maap.tokens.issued.ends, *nasa.signatures.ends, *nasa.codes.ends]
    spoken = [OFFLINE, CLIENT_SECRET, PASSWORD, *asked, *(s for pair in nasa.secrets.values() for s in pair)]
    assert len(spoken) >= 8
    assert "is asked for again" in caplog.text
    assert not [secret for secret in spoken if secret in caplog.text]


def test_a_service_that_never_comes_back_is_an_error_in_the_end(maap: Maap) -> None:
    maap.tokens.down = lambda: True
    began = time.monotonic()
    with pytest.raises(AccessError, match="503 Service Unavailable"):
        first(maap.url)
    assert time.monotonic() - began < 30
    assert len(maap.tokens.calls) == 200
