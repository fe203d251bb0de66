from __future__ import annotations

import logging
import os
import signal
import time

import pytest
from distributed import Client

from eoscale.errors import RecipeError, RunError
from eoscale.run.cluster import connected

LONG = 60
"""Seconds."""


def test_a_client_that_was_given_stays_open(scheduler: str) -> None:
    with Client(scheduler) as client:
        with connected(client) as same:
            assert same is client
        assert client.submit(sum, [1, 2]).result() == 3


def test_an_address_gives_its_cluster(scheduler: str) -> None:
    with connected(scheduler) as client:
        assert len(client.nthreads()) == 2


def test_nobody_at_an_address_is_told() -> None:
    with pytest.raises(RunError, match="no scheduler answers"), connected("tcp://127.0.0.1:9"):
        pass


@pytest.mark.parametrize(("word", "sentence"), [("gateway", "not yet"), ("slurm", "is unknown")])
def test_an_unknown_cluster_is_refused(word: str, sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence), connected(word):
        pass


def speak(name: str, level: int) -> int:
    logging.getLogger(name).log(level, "%s of a worker", "word")
    return os.getpid()


def heard(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what our loggers were told here, at least one record if it comes within some seconds."""
    end = time.monotonic() + 10
    while True:
        told = [record.getMessage() for record in caplog.records if record.name == "eoscale.access"]
        if told or time.monotonic() > end:
            return told
        time.sleep(0.01)


def test_what_is_logged_on_workers_is_logged_here(scheduler: str, caplog: pytest.LogCaptureFixture) -> None:
    with connected(scheduler) as client:
        pid = client.submit(speak, "eoscale.access", logging.INFO, pure=False).result()
        client.submit(speak, "eoscale.access", logging.WARNING, pure=False).result()
        assert heard(caplog) == ["word of a worker"]
    assert pid != os.getpid()


def test_workers_log_at_the_levels_of_this_process(scheduler: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "eoscale"), connected(scheduler) as client:
        client.submit(speak, "eoscale.access", logging.INFO, pure=False).result()
        assert heard(caplog) == ["word of a worker"]


def blocked() -> set[signal.Signals]:
    return {signal.Signals(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])}


def test_workers_do_not_hear_an_interrupt_neither_do_those_that_begin_later(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    here = blocked()
    with caplog.at_level(logging.CRITICAL, "distributed"), connected(workers=1) as client:
        assert blocked() == here
        pid = client.submit(os.getpid).result(LONG)
        os.kill(pid, signal.SIGINT)
        assert client.submit(os.getpid, pure=False).result(LONG) == pid
        os.kill(pid, signal.SIGKILL)
        later = client.submit(speak, "eoscale.access", logging.WARNING, pure=False).result(LONG)
        assert later != pid
        os.kill(later, signal.SIGINT)
        assert client.submit(os.getpid, pure=False).result(LONG) == later
        assert heard(caplog) == ["word of a worker"]
    assert capfd.readouterr().err == ""
