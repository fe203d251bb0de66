from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.access import https, keeper, services
from eoscale.errors import AccessError, CredentialsError, ForbiddenError, ThrottledError
from tests.servers.redirects import Answer, Asked, Host, redirect

Start = Callable[[Callable[[Asked], Answer]], Host]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Give a function that starts a service which may be asked."""
    with ExitStack() as stack:

        def begin(reply: Callable[[Asked], Answer]) -> Host:
            host = stack.enter_context(Host(reply))
            monkeypatch.setenv("EOSCALE_ALLOW_HOSTS", host.host)
            return host

        yield begin


@given(st.lists(st.tuples(st.text("abc[]$", min_size=1), st.text())))
def test_parameters_come_back_as_they_were_meant(parameters: list[tuple[str, str]]) -> None:
    text = services.encoded(parameters)
    assert text.isascii()
    assert parse_qsl(text, keep_blank_values=True, errors="surrogatepass") == parameters


def test_parameters_are_added_to_those_of_an_address(start: Start) -> None:
    host = start(lambda asked: Answer(200, [("Found", "2")], asked.target.encode()))
    assert (
        services.get(f"{host.origin}/search", [("a", "*_1"), ("b c", "é")]).body
        == b"/search?a=*_1&b%20c=%C3%A9"
    )
    reply = services.get(f"{host.origin}/search?page=2", [("a", "1")], {"CMR-Search-After": "x"})
    assert reply.body == b"/search?page=2&a=1"
    assert reply.headers["found"] == reply.headers["Found"] == "2"
    assert host.asked[-1].headers["cmr-search-after"] == "x"


def test_a_form_is_posted_and_follows_no_redirect(start: Start) -> None:
    def reply(asked: Asked) -> Answer:
        if asked.path == "/moved":
            return redirect("/search")
        return Answer(200, body=f"{asked.method} {asked.target} {asked.form}".encode())

    host = start(reply)
    found = services.post(f"{host.origin}/search", [("name", "a b"), ("name", "c")])
    assert found.body == b"POST /search {'name': 'c'}"
    assert host.asked[0].body == b"name=a%20b&name=c"
    with pytest.raises(services.Refused) as refused:
        services.post(f"{host.origin}/moved", [("name", "a")])
    assert refused.value.status == 302
    assert services.get(f"{host.origin}/moved").body == b"GET /search {}"


def test_answers_that_are_packed_are_unpacked(start: Start) -> None:
    host = start(lambda _: Answer(200, [("Content-Encoding", "gzip")], gzip.compress(b"found" * 1000)))
    assert services.get(host.origin).body == b"found" * 1000
    assert host.asked[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("packed", [True, False])
def test_an_answer_of_any_size_does_not_exhaust_this_machine(
    packed: bool,  # noqa: FBT001
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(https, "_MOST", 2**20)
    body = b"0" * (2**26 if packed else 2**20 + 1)
    sent = zlib.compressobj(wbits=31)
    told = [("Content-Encoding", "gzip")] if packed else []
    host = start(lambda _: Answer(200, told, sent.compress(body) + sent.flush() if packed else body))
    with pytest.raises(AccessError, match="answers at more than 1 MB"):
        services.get(host.origin)


def test_a_service_that_is_out_of_order_for_a_while_is_asked_again(start: Start) -> None:
    told = iter([Answer(503), Answer(500), Answer(429, [("Retry-After", "0")]), Answer(200, body=b"found")])
    host = start(lambda _: next(told))
    assert services.get(host.origin).body == b"found"
    assert len(host.asked) == 4


def test_a_service_that_stays_out_of_order_is_an_error(start: Start) -> None:
    host = start(lambda _: Answer(503))
    with pytest.raises(ThrottledError, match=r"503 Service Unavailable \(attempt 8\)"):
        services.get(host.origin)
    assert len(host.asked) == 8


@pytest.mark.parametrize("posted", [True, False])
def test_a_question_that_is_refused_says_why_and_is_not_asked_again(posted: bool, start: Start) -> None:  # noqa: FBT001
    host = start(lambda _: Answer(400, body=b'{"errors": ["no"]}'))
    with pytest.raises(services.Refused) as refused:
        services.post(host.origin, [("a", "1")]) if posted else services.get(host.origin)
    assert (refused.value.status, refused.value.body) == (400, '{"errors": ["no"]}')
    assert len(host.asked) == 1


@pytest.mark.parametrize("posted", [True, False])
def test_a_login_goes_to_the_hosts_of_its_provider_alone(
    posted: bool,  # noqa: FBT001
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def reply(asked: Asked) -> Answer:
        return Answer(200 if asked.headers.get("authorization") == "Bearer edl-1" else 401)

    def ask() -> None:
        services.post(url, [("a", "1")]) if posted else services.get(url)

    host = start(reply)
    url = f"{host.origin}/search"
    monkeypatch.setenv("EARTHDATA_TOKEN", "edl-1")
    keeper.use(keeper.Keeper())
    with pytest.raises(CredentialsError, match="401 Unauthorized"):
        ask()
    assert "authorization" not in host.asked[0].headers
    monkeypatch.setenv("EOSCALE_CMR_URL", f"{host.origin}/search")
    ask()
    assert len(host.asked) == 2


def test_a_right_that_is_missing_says_so(start: Start) -> None:
    host = start(lambda _: Answer(403))
    with pytest.raises(ForbiddenError, match="403 Forbidden; ask for the right"):
        services.get(host.origin)


def test_hosts_that_must_not_be_asked_are_not() -> None:
    with pytest.raises(ForbiddenError, match="it is not https"):
        services.get("http://127.0.0.1/search")
    with pytest.raises(ForbiddenError, match="is refused"):
        services.post("https://169.254.169.254/search", [])
