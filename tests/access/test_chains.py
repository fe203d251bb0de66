"""Chains of redirects, made at random: where a bearer arrives, and where nothing does."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from eoscale.errors import AccessError
from tests.access.remote import CONTENT, first
from tests.servers.logins import OFFLINE, Maap, bearer
from tests.servers.redirects import Answer, Asked, Host, part, redirect

pytestmark = pytest.mark.usefixtures("fresh")

CHAINS = 1000
_FORBIDDEN = (
    "http://127.0.0.9:{port}/meta",
    "http://127.1:{port}/meta",
    "http://2130706433:{port}/meta",
    "http://0x7f.1:{port}/meta",
    "http://[::1]:{port}/meta",
    "http://[::ffff:127.0.0.9]:{port}/meta",
    "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1/",
    "https://10.255.255.254:8443/",
    "https://192.168.1.1/",
    "https://169.254.170.2/v2/credentials",
    "https://localhost:{port}/meta",
    "http://metadata.localhost:{port}/",
    "//127.0.0.9:{port}/meta",
    "ftp://127.0.0.9/meta",
    "file:///etc/passwd",
)


class World:
    """A provider, hosts of others that may be reached, and one that may not."""

    def __init__(self, maap: Maap, others: list[Host], secret: Host) -> None:
        self.maap = maap
        self.others = others
        self.secret = secret
        self.chains: dict[str, list[str]] = {}
        """Where each hop of a chain leads, by its name."""
        for host in (maap.data, *others):
            host.reply = self.reply

    def reply(self, asked: Asked) -> Answer:
        """Send a request one hop further, or answer it where its chain ends."""
        _, name, hop, *_ = asked.path.split("/")
        places = self.chains[name]
        if int(hop) < len(places):
            return redirect(places[int(hop)])
        return part(CONTENT, asked)

    def chain(self, name: str, dice: random.Random) -> str:
        """Make a chain, and return its URL."""
        hosts = [self.maap.data, *self.others]
        begin, *rest = [dice.choice(hosts) for _ in range(dice.randint(1, 7))]
        self.chains[name] = [f"{host.origin}/{name}/{hop}/a.h5" for hop, host in enumerate(rest, 1)]
        if dice.random() < 0.3:
            self.chains[name].append(dice.choice(_FORBIDDEN).format(port=self.secret.host.partition(":")[2]))
        elif dice.random() < 0.3 and rest:
            self.chains[name][-1] += "?X-Amz-Signature=1"
        return f"{begin.origin}/{name}/0/a.h5"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with (
        Maap(CONTENT) as maap,
        Host(lambda _: Answer(200), "127.0.0.2") as one,
        Host(lambda _: Answer(200), "localhost") as other,
        Host(lambda _: Answer(200, body=b"secret"), "127.0.0.9") as secret,
    ):
        for name, value in maap.environment().items():
            monkeypatch.setenv(name, value)
        known = ",".join(host.host for host in (*maap.hosts, one, other))
        monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", known)
        yield World(maap, [one, other], secret)


def test_a_thousand_chains_carry_a_bearer_to_its_provider_and_reach_nothing_that_is_private(
    world: World,
) -> None:
    dice = random.Random(11)  # noqa: S311  no secret
    read, told = 0, []
    for number in range(CHAINS):
        url = world.chain(f"c{number}", dice)
        private = (world.chains[f"c{number}"] or [url])[-1].rpartition("/")[2] != "a.h5"
        signed = "Signature" in (world.chains[f"c{number}"] or [url])[-1]
        try:
            assert first(url) == CONTENT[:700]
            read += 1
            assert not private or signed
        except AccessError as error:
            told.append(str(error))
            assert private
    assert OFFLINE not in str(told)
    carried = [asked for asked in world.maap.data.asked if bearer(asked)]
    bare = [asked for asked in world.maap.data.asked if not bearer(asked)]
    assert all("Signature" in asked.target for asked in bare)
    assert not [asked for host in world.others for asked in host.asked if "authorization" in asked.headers]
    assert world.secret.connections == 0
    # what was to happen did
    assert min(read, len(told)) > CHAINS // 5
    assert min(len(carried), *(len(host.asked) for host in world.others)) > CHAINS // 2
    assert bare
    assert len(world.maap.tokens.calls) == 1
