"""Where tasks run: a local cluster of processes, or one that is there already."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import dask
from distributed import Client, LocalCluster, Worker, WorkerPlugin

from eoscale.errors import RecipeError, RunError
from eoscale.run.broker import brokered
from eoscale.run.signals import unheard


@contextmanager
def connected(cluster: str | Client = "local", *, workers: int | None = None) -> Iterator[Client]:
    """Give a client of a cluster whose workers read with the user's logins, and close what was opened for it.

    What is logged on workers goes to the loggers of this process: of eoscale, and of a local cluster. Of
    Ctrl-C workers of a local cluster hear nothing.

    Parameters
    ----------
    cluster : str or distributed.Client
        ``local``: worker processes of one thread on this machine, reachable from it only; an address
        ``tcp://HOST:PORT``; or a client, which stays open.
    workers : int, optional
        Of a local cluster; one a processor unless given.

    Raises
    ------
    RecipeError
        If the word is unknown.
    RunError
        If nobody answers at the address.
    """
    with _client(cluster, workers) as client, brokered(client):
        yield client


@contextmanager
def _client(cluster: str | Client, workers: int | None) -> Iterator[Client]:
    if isinstance(cluster, Client):
        yield cluster
    elif cluster == "local":
        number = workers or os.cpu_count() or 1
        with ExitStack() as stack:
            # workers that die and come back, and die at once, are not given up for that
            stack.enter_context(dask.config.set({"distributed.deploy.lost-worker-timeout": "1 hour"}))
            with unheard():
                local = stack.enter_context(
                    LocalCluster(
                        n_workers=number,
                        threads_per_worker=1,
                        processes=True,
                        host="127.0.0.1",
                        dashboard_address="127.0.0.1:0",  # any free port: runs side by side do not meet
                    )
                )
            client = stack.enter_context(Client(local))
            _log_here(client, "eoscale", "distributed")
            yield client
    elif cluster.startswith(("tcp://", "tls://")):
        try:
            client = Client(cluster, timeout="10s")
        except OSError as error:
            raise RunError(f"no scheduler answers at {cluster}: {error}") from error
        with client:
            _log_here(client, "eoscale")
            yield client
    elif cluster == "gateway":
        raise RecipeError("cluster `gateway` is not yet supported: give local or tcp://HOST:PORT")
    else:
        raise RecipeError(f"cluster {cluster!r} is unknown: give local or tcp://HOST:PORT")


class _Loggers(WorkerPlugin):
    """Has loggers of workers, also of those that begin later, say what the client's process would say."""

    name = "eoscale-loggers"

    def __init__(self, levels: dict[str, int]) -> None:
        self._levels = levels

    def setup(self, worker: Worker) -> None:  # noqa: ARG002  the same on every worker
        for name, level in self._levels.items():
            logger = logging.getLogger(name)
            logger.setLevel(level)
            # else some go straight to standard error, through the bars
            logger.handlers = [logging.NullHandler()]


def _log_here(client: Client, *names: str) -> None:
    """Have what these loggers say on workers said by the loggers of the same name in this process."""
    client.register_plugin(_Loggers({name: logging.getLogger(name).getEffectiveLevel() for name in names}))
    for name in names:
        client.forward_logging(name)
