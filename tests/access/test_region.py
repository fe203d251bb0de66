from __future__ import annotations

import time

import pytest

from eoscale.access import region
from tests.servers.redirects import Answer, Asked, Host


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    region._told.cache_clear()


def metadata(asked: Asked) -> Answer:
    """Answer as the service of a machine of AWS."""
    if asked.method == "PUT" and asked.path == "/latest/api/token":
        return Answer(200, body=b"t0ken")
    if asked.headers.get("x-aws-ec2-metadata-token") != "t0ken":
        return Answer(401)
    return Answer(200, body=b"us-west-2") if asked.path.endswith("/placement/region") else Answer(404)


def test_the_machine_is_asked_once_where_the_environment_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Host(metadata) as host:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", host.origin)
        assert [region.here(), region.here()] == ["us-west-2"] * 2
        assert len(host.asked) == 2
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        assert region.here() == "eu-central-1"
        monkeypatch.delenv("AWS_REGION")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        assert region.here() == ""


@pytest.mark.parametrize("body", [b"", b"<html>", b"s3cr3t", b"\xff"])
def test_what_is_no_region_is_none(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    with Host(lambda _: Answer(200, body=body)) as host:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", host.origin)
        assert region.here() == ""


def test_a_machine_without_the_service_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(_asked: Asked) -> Answer:
        time.sleep(3)
        return Answer(200, body=b"us-west-2")

    began = time.monotonic()
    with Host(late) as host:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", host.origin)
        assert region.here() == ""
    assert time.monotonic() - began < 2
