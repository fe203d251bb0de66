from __future__ import annotations

import json
import os
import traceback
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.access import logins
from eoscale.access.logins import Archive, Keys, OfflineToken, Password, Token, claims, find
from eoscale.errors import CredentialsError

S3CREDENTIALS = "https://data.nsidc.earthdatacloud.nasa.gov/s3credentials"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the folder of a user without any login, who works in another one."""
    folder = tmp_path / "home"
    folder.mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.chdir(tmp_path / "here")
    return folder


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file that nobody else may read."""
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("name", ["earthdata", "maap", "cdse", "cdse-s3", S3CREDENTIALS, "another", ""])
def test_who_has_no_login_has_none(name: str) -> None:
    assert find(name) is None


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("name", "said", "login"),
    [
        ("earthdata", {"EARTHDATA_TOKEN": " t0ken\n"}, Token(token="t0ken", source="EARTHDATA_TOKEN")),
        (
            "earthdata",
            {"EARTHDATA_USERNAME": "me", "EARTHDATA_PASSWORD": "p"},
            Password(username="me", password="p", source="EARTHDATA_USERNAME"),
        ),
        ("maap", {"MAAP_TOKEN": "t0ken"}, Token(token="t0ken", source="MAAP_TOKEN")),
        (
            "maap",
            {"MAAP_OFFLINE_TOKEN": "o", "MAAP_CLIENT_SECRET": "s", "MAAP_TOKEN": "t0ken"},
            OfflineToken(client_id="offline-token", client_secret="s", token="o", source="the environment"),
        ),
        (
            "cdse",
            {"CDSE_USERNAME": "me", "CDSE_PASSWORD": "p"},
            Password(username="me", password="p", source="CDSE_USERNAME"),
        ),
        (
            "cdse-s3",
            {"CDSE_S3_ACCESS_KEY": "a", "CDSE_S3_SECRET_KEY": "s"},
            Keys(access_key="a", secret_key="s", source="CDSE_S3_ACCESS_KEY"),
        ),
        (S3CREDENTIALS, {"EARTHDATA_TOKEN": "t"}, Archive(address=S3CREDENTIALS, source="EARTHDATA_TOKEN")),
    ],
)
def test_logins_are_found_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, said: dict[str, str], login: logins.Login
) -> None:
    for variable, value in said.items():
        monkeypatch.setenv(variable, value)
    assert find(name) == login
    assert not any(secret in repr(find(name)) for secret in ("t0ken", "password='p'"))


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("name", "there", "lacking"),
    [
        ("earthdata", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD"),
        ("earthdata", "EARTHDATA_PASSWORD", "EARTHDATA_USERNAME"),
        ("cdse", "CDSE_PASSWORD", "CDSE_USERNAME"),
        ("cdse-s3", "CDSE_S3_ACCESS_KEY", "CDSE_S3_SECRET_KEY"),
        ("maap", "MAAP_OFFLINE_TOKEN", "MAAP_CLIENT_SECRET"),
    ],
)
def test_half_a_login_is_an_error_that_names_the_other_half(
    monkeypatch: pytest.MonkeyPatch, name: str, there: str, lacking: str
) -> None:
    monkeypatch.setenv(there, "s3cr3t")
    with pytest.raises(CredentialsError, match=f"{there}.* {lacking}") as caught:
        find(name)
    assert "s3cr3t" not in str(caught.value)


def test_earthdata_goes_by_the_token_then_the_password_then_the_files(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    private(
        home / ".netrc", "machine urs.earthdata.nasa.gov login me password p\ndefault login no password no"
    )
    assert find("earthdata") == Password(username="me", password="p", source=str(home / ".netrc"))
    private(home / ".cmr_token", "filed\n")
    assert find("earthdata") == Token(token="filed", source=str(home / ".cmr_token"))
    monkeypatch.setenv("EARTHDATA_TOKEN_FILE", str(private(home / "other", "named")))
    assert find("earthdata") == Token(token="named", source=str(home / "other"))
    monkeypatch.setenv("EARTHDATA_USERNAME", "me")
    monkeypatch.setenv("EARTHDATA_PASSWORD", "p")
    assert isinstance(find("earthdata"), Password)
    monkeypatch.setenv("EARTHDATA_TOKEN", "t0ken")
    assert find("earthdata") == Token(token="t0ken", source="EARTHDATA_TOKEN")


def test_a_netrc_of_other_hosts_is_no_login(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    path = private(home / "mine", "machine example.org login me password p\ndefault login no password no")
    monkeypatch.setenv("NETRC", str(path))
    assert find("earthdata") is None
    monkeypatch.setenv("EOSCALE_EARTHDATA_URL", "https://example.org/login/")
    assert find("earthdata") == Password(username="me", password="p", source=str(path))


def test_a_broken_netrc_tells_its_line_and_not_what_it_says(home: Path) -> None:
    private(home / ".netrc", "machine a login b password c\nmachine urs.earthdata.nasa.gov s3cr3t x")
    with pytest.raises(CredentialsError, match=r"netrc cannot be read: line 2 is wrong") as caught:
        find("earthdata")
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


def test_maap_reads_the_file_of_its_tutorial(home: Path) -> None:
    text = "\n# mine\nnothing\nCLIENT_ID=offline-token\nCLIENT_SECRET=a=b\n\nOFFLINE_TOKEN=o==\n"
    path = private(home / "credentials.txt", text)
    assert find("maap") == OfflineToken(
        client_id="offline-token", client_secret="a=b", token="o==", source=str(path)
    )


@pytest.mark.usefixtures("home")
def test_maap_takes_the_token_of_the_portal_where_there_is_nothing_better() -> None:
    private(Path("credentials.txt"), "USER=somebody else's\n")
    private(Path("token.txt"), "p0rtal\n")
    assert find("maap") == Token(token="p0rtal", source="token.txt")


@pytest.mark.usefixtures("home")
def test_a_hub_token_serves_maap_if_it_is_of_its_realm(monkeypatch: pytest.MonkeyPatch) -> None:
    for realm, found in (
        ("https://iam.maap.eo.esa.int/realms/esa-maap", True),
        ("https://example.org", False),
    ):
        monkeypatch.setenv("KC_ACCESS_TOKEN", jwt({"iss": realm}))
        assert bool(find("maap")) == found


@pytest.mark.skipif(os.name != "posix", reason="others have no modes of files")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
@pytest.mark.parametrize(
    ("name", "file", "text"),
    [
        ("earthdata", ".cmr_token", "s3cr3t"),
        ("earthdata", ".netrc", "machine urs.earthdata.nasa.gov login me password s3cr3t"),
        ("maap", "credentials.txt", "OFFLINE_TOKEN=s3cr3t\nCLIENT_SECRET=s3cr3t"),
        ("maap", "../here/token.txt", "s3cr3t"),
    ],
)
def test_a_file_that_others_may_read_is_refused(
    home: Path, name: str, file: str, text: str, mode: int
) -> None:
    private(home / file, text, mode)
    with pytest.raises(
        CredentialsError, match=rf"may be read by others \(mode {mode:04o}\): chmod 600"
    ) as caught:
        find(name)
    assert "s3cr3t" not in str(caught.value)


def test_a_mended_file_is_heard(home: Path) -> None:
    private(home / ".cmr_token", "one")
    assert find("earthdata") == Token(token="one", source=str(home / ".cmr_token"))
    private(home / ".cmr_token", "two")
    assert find("earthdata") == Token(token="two", source=str(home / ".cmr_token"))


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3))
def test_what_a_token_says_of_itself_is_read(told: dict[str, object]) -> None:
    assert claims(jwt(told)) == told


@given(st.text() | st.binary().map(lambda body: f"a.{urlsafe_b64encode(body).decode()}.b"))
def test_what_is_no_json_web_token_says_nothing(text: str) -> None:
    assert isinstance(claims(text), dict)


def jwt(told: dict[str, object]) -> str:
    """Return a token that says something of itself, unsigned."""
    return f"e30.{urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip('=')}."
