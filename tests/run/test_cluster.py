from __future__ import annotations

import pytest
from distributed import Client

from eoscale.errors import RecipeError, RunError
from eoscale.run.cluster import connected


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
