from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import numpy as np
import pytest

from eoscale.access import loop, quota
from tests.access import pieces
from tests.access.remote import CONTENT
from tests.servers.logins import Copernicus
from tests.servers.redirects import ETAG

pytestmark = pytest.mark.usefixtures("fresh")


@pytest.fixture
def copernicus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Copernicus]:
    with Copernicus(CONTENT) as service:
        for name, value in service.environment().items():
            monkeypatch.setenv(name, value)
        yield service


def test_a_process_asks_copernicus_for_no_more_than_it_may(copernicus: Copernicus) -> None:
    offsets, sizes = np.arange(0, 300_000, 20_000), np.full(15, 700)
    copernicus.seconds = 0.01
    began = time.monotonic()

    def read() -> None:
        found, _ = pieces.read(copernicus.url, ETAG, offsets, sizes)
        assert [bytes(body) for body in found] == [CONTENT[start : start + 700] for start in offsets]

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    assert copernicus.nodes.most_open == 4
    assert len(copernicus.nodes.asked) == 8 * len(offsets)
    assert len(copernicus.nodes.asked) <= took * 2000 / 60 + 4


def test_who_gave_up_waiting_holds_no_permit(copernicus: Copernicus) -> None:
    async def use() -> None:
        async with AsyncExitStack() as stack:
            for _ in range(4):
                await stack.enter_async_context(quota.permit(copernicus.url))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(quota._permits.take("cdse", 4), 0.02)
        async with asyncio.timeout(1):
            for _ in range(4):
                await quota._permits.take("cdse", 4)
        for _ in range(4):
            await quota._permits.give("cdse")

    loop.run(use())


def test_others_need_no_permit() -> None:
    assert quota.quota("https://data.nsidc.earthdatacloud.nasa.gov/a.h5") is None
    assert quota.quota("s3://nsidc-cumulus-prod-protected/a.h5") is None
    assert quota.quota("/data/a.h5") is None
    assert quota.quota("s3://eodata/a.nc") == quota.QUOTAS["cdse"]
