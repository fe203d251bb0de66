"""Where tasks run: a local cluster of processes, or one that is there already."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client, LocalCluster

from eoscale.errors import RecipeError, RunError


@contextmanager
def connected(cluster: str | Client = "local", *, workers: int | None = None) -> Iterator[Client]:
    """Give a client of a cluster, and close what was opened for it.

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
    if isinstance(cluster, Client):
        yield cluster
    elif cluster == "local":
        number = workers or os.cpu_count() or 1
        with (
            LocalCluster(
                n_workers=number,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # any free port: runs side by side do not meet
            ) as local,
            Client(local) as client,
        ):
            yield client
    elif cluster.startswith(("tcp://", "tls://")):
        try:
            client = Client(cluster, timeout="10s")
        except OSError as error:
            raise RunError(f"no scheduler answers at {cluster}: {error}") from error
        with client:
            yield client
    elif cluster == "gateway":
        raise RecipeError("cluster `gateway` is not yet supported: give local or tcp://HOST:PORT")
    else:
        raise RecipeError(f"cluster {cluster!r} is unknown: give local or tcp://HOST:PORT")
