from __future__ import annotations

import socket
import traceback
from collections.abc import Sequence
from itertools import chain

import aiohttp
import pytest
from aiohttp.abc import ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from eoscale.access.head import Head
from eoscale.errors import AccessError, ForbiddenError
from tests.access import pieces
from tests.access.remote import CONTENT, EXPECTED, OFFSETS, Allow, first, read, whole
from tests.servers.redirects import ETAG, Answer, Archive, Asked, Host, part, redirect

pytestmark = pytest.mark.usefixtures("fresh")


def test_a_chain_is_walked_once_and_its_end_serves_all_ranges(earthdata: Archive) -> None:
    assert pieces.head(earthdata.url) == Head(len(CONTENT), ETAG)
    assert read(earthdata.url) == EXPECTED
    assert earthdata.data.paths() == ["/granules/a.h5", "/login", "/granules/a.h5"]
    assert earthdata.login.paths() == ["/oauth"]
    assert len(earthdata.storage.asked) == 1 + len(OFFSETS)


def test_a_chain_is_walked_once_when_all_ranges_are_asked_for_at_once(earthdata: Archive) -> None:
    assert read(earthdata.url) == EXPECTED
    assert [len(host.asked) for host in earthdata.hosts] == [3, 1, len(OFFSETS)]


def test_a_login_is_kept_for_other_granules(earthdata: Archive) -> None:
    assert read(earthdata.url) == read(f"{earthdata.data.origin}/granules/b.h5") == EXPECTED
    assert len(earthdata.login.asked) == 1
    assert earthdata.data.paths()[3:] == ["/granules/b.h5"]


def test_a_signature_that_expired_is_asked_for_anew_once_and_the_read_goes_on(earthdata: Archive) -> None:
    assert read(earthdata.url) == EXPECTED
    for walks in (1, 2):
        earthdata.expire()
        assert read(earthdata.url) == EXPECTED
        assert earthdata.signature == 1 + walks
    assert len(earthdata.data.asked) == 3 + 2
    assert len(earthdata.login.asked) == 1
    refused = len(earthdata.storage.asked) - 3 * len(OFFSETS)
    assert 2 <= refused <= 2 * len(OFFSETS)


def test_a_right_that_is_missing_is_not_asked_for_again_and_again(earthdata: Archive) -> None:
    assert read(earthdata.url) == EXPECTED
    earthdata.good = 99
    asked = len(earthdata.storage.asked)
    with pytest.raises(ForbiddenError, match=f"{earthdata.url} cannot be read: 403 Forbidden"):
        first(earthdata.url)
    assert len(earthdata.storage.asked) - asked == 2
    assert earthdata.signature == 2


def test_each_cookie_goes_back_to_the_origin_that_set_it_and_to_no_other(earthdata: Archive) -> None:
    read(earthdata.url)
    earthdata.data.asked.clear()
    earthdata.data.reply = lambda asked: redirect(f"{earthdata.login.origin}/oauth?{asked.path}")
    with pytest.raises(AccessError, match="redirected more than 10 times"):
        first(f"{earthdata.data.origin}/b.h5")
    assert {tuple(asked.cookies) for asked in earthdata.data.asked} == {("session=one",)}
    assert [asked.cookies for asked in earthdata.login.asked[:2]] == [[], ["user=me"]]
    assert {tuple(asked.cookies) for asked in earthdata.storage.asked} == {()}


@pytest.mark.parametrize("domain", ["", "127.0.0.1", "localhost", ".localhost", "0.0.1", "example.org", "."])
@pytest.mark.parametrize(
    "names", [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost"), ("localhost", "127.0.0.1")]
)
def test_no_domain_makes_a_cookie_travel(allow: Allow, domain: str, names: tuple[str, str]) -> None:
    cookie = "token=s3cr3t; Path=/" + (f"; Domain={domain}" if domain else "")
    with (
        Host(lambda asked: part(CONTENT, asked, ("Set-Cookie", cookie)), names[0]) as one,
        Host(whole, names[1]) as other,
    ):
        allow(one, other)
        for host in (one, other, one, other):
            assert first(f"{host.origin}/a.h5") == CONTENT[:700]
    assert one.asked[0].cookies == other.asked[0].cookies == other.asked[1].cookies == []
    assert one.asked[1].cookies in ([], ["token=s3cr3t"])
    assert domain or one.asked[1].cookies


@given(st.text("abcXYZ019!#$%&'()*+-./:<=>?@[]^_`{|}~", min_size=1, max_size=30))
def test_a_cookie_comes_back_as_it_was_set(value: str) -> None:
    cookies = [("Set-Cookie", f"token={value}"), ("Set-Cookie", "b=2")]
    with (
        Host(lambda asked: part(CONTENT, asked, *cookies)) as host,
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("EOSCALE_ALLOW_HOSTS", host.host)
        first(f"{host.origin}/a.h5")
        first(f"{host.origin}/a.h5")
    assert sorted(host.asked[1].cookies) == ["b=2", f"token={value}"]


@pytest.mark.parametrize(
    "hop",
    [
        "http://{other}/a.h5",
        "https://{other}/a.h5",
        "//{other}/a.h5",
        "http://me:s3cr3t@{listed}/a.h5",
        "https://me:s3cr3t@data.example.org/a.h5",
        "https://data.example.org:8443/a.h5",
        "http://data.example.org/a.h5",
        "https://169.254.169.254/latest/meta-data",
        "http://169.254.169.254/latest/meta-data",
        "https://localhost/a.h5",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "ftp://data.example.org/a.h5",
        "data:text/plain,x",
    ],
)
@pytest.mark.parametrize("before", [0, 3])
def test_a_redirect_to_where_a_url_must_not_lead_is_refused_and_not_followed(
    allow: Allow, hop: str, before: int
) -> None:
    with Host(whole, "127.0.0.2") as other, Host(whole, "127.0.0.3") as listed:
        target = hop.format(other=other.host, listed=listed.host)
        places = iter([*(f"/{number}" for number in range(before)), target])
        with Host(lambda _: redirect(next(places))) as host:
            allow(host, listed)
            with pytest.raises(ForbiddenError, match="is refused") as raised:
                first(f"{host.origin}/a.h5")
    assert (other.connections, listed.connections, len(host.asked)) == (0, 0, before + 1)
    assert "s3cr3t" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("hop", ["http://[::1", "file://{listed}/etc/passwd", "ftp://{listed}/a.h5"])
def test_a_redirect_to_what_is_no_web_server_is_an_error_at_once(allow: Allow, hop: str) -> None:
    with (
        Host(whole, "127.0.0.3") as listed,
        Host(lambda _: redirect(hop.format(listed=listed.host))) as host,
    ):
        allow(host, listed)
        with pytest.raises(AccessError, match=f"{host.origin}/a.h5 cannot be read: it leads to no URL"):
            first(f"{host.origin}/a.h5?X-Signature=s3cr3t")
    assert (listed.connections, len(host.asked)) == (0, 1)


@pytest.mark.parametrize("hops", [1, 10, 11])
def test_ten_redirects_are_followed_and_no_more(allow: Allow, hops: int) -> None:
    def reply(asked: Asked) -> Answer:
        number = int(asked.path[1:])
        return (
            whole(asked)
            if number == hops
            else redirect(f"/{number + 1}", status=[301, 302, 303, 307, 308][number % 5])
        )

    with Host(reply) as host:
        allow(host)
        if hops > 10:
            with pytest.raises(AccessError, match="redirected more than 10 times"):
                first(f"{host.origin}/0")
        else:
            assert first(f"{host.origin}/0") == CONTENT[:700]
    assert host.paths() == [f"/{number}" for number in range(min(hops, 10) + 1)]


@pytest.mark.parametrize("place", ["/a.h5", "", None])
def test_a_circle_of_redirects_ends(allow: Allow, place: str | None) -> None:
    headers = [] if place is None else [("Location", place)]
    with Host(lambda _: Answer(302, headers)) as host:
        allow(host)
        with pytest.raises(AccessError, match="redirected more than 10 times"):
            first(f"{host.origin}/a.h5")
    assert len(host.asked) == 11


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("b.h5", "/deep/b.h5"),
        ("/b.h5", "/b.h5"),
        ("../b.h5", "/b.h5"),
        ("./b.h5?x=1&y=%2F", "/deep/b.h5?x=1&y=%2F"),
        ("?signed=a%2Bb+c", "/deep/a.h5?signed=a%2Bb+c"),
        ("//{host}/b.h5", "/b.h5"),
        ("http://{host}/b%20c.h5#part", "/b%20c.h5"),
    ],
)
def test_places_are_told_as_the_standard_allows(allow: Allow, place: str, target: str) -> None:
    with Host(
        lambda asked: whole(asked) if len(host.asked) > 1 else redirect(place.format(host=host.host))
    ) as host:
        allow(host)
        assert first(f"{host.origin}/deep/a.h5") == CONTENT[:700]
    assert [asked.target for asked in host.asked] == ["/deep/a.h5", target]


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["10.1.2.3"], ["::1"], ["8.8.8.8", "169.254.169.254"], ["100.64.0.1"]]
)
def test_a_name_that_leads_into_this_network_is_refused_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, allow: Allow, addresses: Sequence[str]
) -> None:
    asked = []
    resolve = aiohttp.ThreadedResolver.resolve

    async def resolved(
        resolver: aiohttp.ThreadedResolver, host: str, port: int, family: socket.AddressFamily
    ) -> list[ResolveResult]:
        if host != "innocent.example.org":
            return await resolve(resolver, host, port, family)
        asked.append(port)
        answers = [await resolve(resolver, address, port, socket.AF_UNSPEC) for address in addresses]
        return list(chain.from_iterable(answers))

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolved)
    with pytest.raises(
        ForbiddenError, match=f"innocent.example.org is refused: its address {addresses[-1]} is not"
    ):
        first("https://innocent.example.org/a.h5")
    with Host(lambda _: redirect("https://innocent.example.org/a.h5?X-Signature=s3cr3t")) as host:
        allow(host)
        with pytest.raises(ForbiddenError, match=r"innocent\.example\.org is refused"):
            first(f"{host.origin}/a.h5")
    assert set(asked) == {443}


def test_errors_behind_redirects_tell_no_secrets(earthdata: Archive) -> None:
    assert read(earthdata.url) == EXPECTED
    earthdata.storage.reply = lambda _: Answer(404, body=b"X-Signature=s1")
    with pytest.raises(AccessError) as raised:
        first(earthdata.url)
    told = "".join(traceback.format_exception(raised.value))
    assert f"{earthdata.url} cannot be read: 404 Not Found" in told
    assert all(secret not in told for secret in ("Signature", "session=", "code="))
