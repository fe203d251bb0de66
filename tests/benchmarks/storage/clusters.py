"""A cluster as users of one machine have it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from distributed import Client, LocalCluster


@contextmanager
def processes(*modules: str) -> Iterator[Client]:
    """Give two processes of one thread, which have imported some modules."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(_import, modules)
        yield client


def _import(modules: tuple[str, ...]) -> None:
    for name in modules:
        import_module(name)
