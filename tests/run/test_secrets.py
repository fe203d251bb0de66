"""Where secrets are not: whatever a run leaves, says, shows or sends, searched for all that is secret."""

from __future__ import annotations

import logging
import pickle
import re
import traceback
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, quote_plus, urljoin
from urllib.request import urlopen

import cloudpickle
import earthaccess
import fsspec
import pytest
from distributed import Client
from earthaccess.store import EarthAccessFile

import eoscale
from eoscale import synthetic
from eoscale.access import keeper, logins, loop
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.model.granule import Granule, GranuleList
from eoscale.products import ATL06
from eoscale.run import run
from eoscale.run.bind import bind
from eoscale.run.broker import TOPIC, connect
from eoscale.run.cluster import connected
from eoscale.run.plan import cut
from eoscale.run.progress import Silent
from tests.run.trials import FEW_TILES, RECIPE
from tests.servers.buckets import BucketServer
from tests.servers.logins import CLIENT_SECRET, OFFLINE, PASSWORD, Earthdata, Maap

if TYPE_CHECKING:
    from earthaccess.results import DataGranule

BUCKET = "nsidc-cumulus-prod-protected"


def forms(secret: str) -> Iterator[bytes]:
    """Yield how a secret may be written: as it is, percent-encoded, in base64 at each of three places."""
    yield from {each.encode() for each in (secret, quote(secret), quote(secret, safe=""), quote_plus(secret))}
    for shift in range(3):
        text = b64encode(b"\0" * shift + secret.encode())
        # what stands beside it decides on its first and last letters
        yield text[4 if shift else 0 : -4]


def found(secrets: Iterable[str], where: bytes) -> list[str]:
    """Return the secrets that some bytes hold."""
    return [secret for secret in secrets if any(form in where for form in forms(secret))]


class Providers:
    """Services of NASA and ESA, with a bucket; each has some granules, and a user is logged in to both."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.paths = synthetic.make(ATL06, 6, folder=folder, seed=4)
        contents = {path.name: path.read_bytes() for path in self.paths}
        self.maap = stack.enter_context(Maap(lambda path: contents[Path(path).name]))
        self.nasa = stack.enter_context(Earthdata(lambda path: contents[Path(path).name]))
        self.buckets = stack.enter_context(BucketServer(self.nasa.refuses))
        self.buckets.create(BUCKET)
        for path in self.paths[:2]:
            self.buckets.put(BUCKET, path.name, contents[path.name])

    def environment(self) -> dict[str, str]:
        """Return what the user sets."""
        told = self.maap.environment() | self.nasa.environment()
        hosts = [host.host for service in (self.maap, self.nasa) for host in service.hosts]
        return told | {
            "EOSCALE_ALLOW_HOSTS": ",".join(hosts),
            "EOSCALE_S3_ENDPOINT": self.buckets.address,
            "EARTHDATA_USERNAME": "me",
            "EARTHDATA_PASSWORD": PASSWORD,
            "AWS_REGION": "us-west-2",
        }

    def granules(self, folder: Path) -> GranuleList:
        """Return two granules by each way, and one by each that is not there."""
        listed = Listing([str(folder / "*.h5")]).search(Query(product=ATL06))
        ways = [f"s3://{BUCKET}", f"{self.nasa.data.origin}/{BUCKET}", f"{self.maap.data.origin}/data"]
        made: list[Granule] = []
        for number, one in enumerate(listed):
            way = ways[number // 2]
            there = [one.id, f"{one.id[:-1]}9"][: 1 + number % 2]
            route = "s3" if way.startswith("s3:") else "http"
            made += [replace(one, id=each, urls={route: f"{way}/{each}.h5"}) for each in there]
        return GranuleList(granules=made)

    def secrets(self) -> list[str]:
        """Return everything that is secret by now."""
        given = [
            *self.maap.tokens.issued.ends,
            *self.maap.tokens.refreshing.ends,
            *self.nasa.tokens.ends,
            *self.nasa.signatures.ends,
            *self.nasa.keys.ends,
            *(secret for pair in self.nasa.secrets.values() for secret in pair),
        ]
        return [PASSWORD, OFFLINE, CLIENT_SECRET, *given]


def test_no_secret_is_in_graphs_logs_errors_pages_nor_files(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    home, made = tmp_path / "home", tmp_path / "made"
    home.mkdir()
    for name, value in {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home),
        "EOSCALE_WORK": str(home / "w"),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    seen: dict[str, bytes] = {}
    with ExitStack() as stack:
        providers = Providers(made, stack)
        for name, value in providers.environment().items():
            monkeypatch.setenv(name, value)
        keeper.use(keeper.Keeper())
        stack.enter_context(caplog.at_level(logging.DEBUG))
        for name in ("eoscale", "distributed"):
            stack.enter_context(caplog.at_level(logging.DEBUG, name))
        granules = providers.granules(made)
        client = stack.enter_context(connected("local", workers=2))
        # what the scheduler says goes nowhere else
        core = logging.getLogger("distributed.core")
        core.addHandler(caplog.handler)
        stack.callback(core.removeHandler, caplog.handler)
        stack.enter_context(caplog.at_level(logging.DEBUG, core.name))
        connect(client)
        # a lazy frame, that fails for what is not there
        frame = eoscale.open(granules, variables=["h_li"], product="ATL06")
        seen["graph"] = cloudpickle.dumps(frame.dask) + cloudpickle.dumps(frame)
        with pytest.raises(OSError, match=r"not found|404 Not Found") as caught:
            frame.compute()
        seen["traceback"] = "".join(traceback.format_exception(caught.value)).encode()
        # a run, that goes on without them
        recipe = home / "recipe.yaml"
        recipe.write_text(
            RECIPE % ("zarr", "zarr") + FEW_TILES + "on_error: record\nmax_failed: 3\n", encoding="utf-8"
        )
        job = bind(eoscale.Recipe.from_file(recipe), granules)
        seen["job"] = job.to_json().encode() + repr(job).encode() + cloudpickle.dumps(job)
        result = run(cut(job), output=home / "out.zarr", work=home / "work", cluster=client, watcher=Silent())
        assert result.ledger.counts()["failed"] == 3
        assert result.ledger.counts()["used"] == 6
        seen |= pages(client)
        seen["events"] = repr(client.get_events()).encode() + repr(client.get_events(TOPIC)).encode()
        seen["client"] = repr([client, client.scheduler_info(n_workers=-1), result, frame]).encode()
        client.dump_cluster_state(str(home / "state"), exclude=(), format="yaml")
        held = loop.run(keeper.get("earthdata"))
        seen["reprs"] = repr([keeper._holder, vars(keeper._holder), held, logins.find("maap")]).encode()
        secrets = providers.secrets()
    out, err = capfd.readouterr()
    seen["output"] = (out + err).encode()
    seen["log"] = caplog.text.encode()
    seen |= {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    # each kind of secret was there, and each kind of place
    assert len(secrets) >= 10
    assert len([name for name in seen if "info" in name]) > 5
    assert min(seen[name].count(b"Message from") for name in ("log", "events")) > 10
    assert len([name for name in seen if name.endswith((".parquet", ".json", ".yaml"))]) > 5
    assert {name: told for name, where in seen.items() if (told := found(secrets, where))} == {}


def pages(client: Client) -> dict[str, bytes]:
    """Return the pages of a dashboard to which its list of workers leads, and what it says in JSON."""
    root = client.dashboard_link.removesuffix("/status")
    left = [f"{root}/info/main/workers.html", f"{root}/json/counts.json", f"{root}/json/identity.json"]
    left += [f"{root}/json/index.html", f"{root}/info/main/logs.html"]
    got: dict[str, bytes] = {}
    while left and len(got) < 60:
        page = left.pop(0)
        if page in got:
            continue
        try:
            with urlopen(page) as answer:  # noqa: S310  this machine
                got[page] = answer.read()
        except OSError:
            continue
        links = re.findall(rb'href="([^"#]+)"', got[page])
        left += [each for link in links if (each := urljoin(page, link.decode())).startswith(root)]
    return got


def test_the_search_finds_what_other_tools_send(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = "s3ntinel/t0ken+"
    monkeypatch.setattr(earthaccess.__auth__, "token", {"access_token": secret})
    monkeypatch.setattr(earthaccess.__auth__, "authenticated", True)
    path = tmp_path / "a.h5"
    path.write_bytes(b"bytes")
    with fsspec.open(str(path)) as file:
        assert found([secret], pickle.dumps(EarthAccessFile(file, cast("DataGranule", {}))))


@pytest.mark.parametrize("secret", [PASSWORD, OFFLINE, "a+b/c=d&e f%", "s3cr3t" * 9])
@pytest.mark.parametrize("before", [b"", b"x", b"xy", b"xyz"])
def test_the_search_finds_a_secret_however_it_is_written(secret: str, before: bytes) -> None:
    text = before + secret.encode() + b" and more"
    for where in (text, b64encode(text), quote(text).encode(), quote_plus(text).encode()):
        assert found([secret], b"something " + where) == [secret]
    assert found([secret], b"something else") == []
