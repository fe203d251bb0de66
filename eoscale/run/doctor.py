"""The doctor: what a user's machine and cluster have, and what is wrong with it."""

from __future__ import annotations

import platform
from importlib.metadata import version

from distributed import Client

from eoscale.access import checkup, endpoints, providers, region
from eoscale.errors import scrub
from eoscale.run.cluster import connected

PACKAGES = ("eoscale", "dask", "distributed", "xarray", "zarr", "obstore", "numpy", "pandas", "pyarrow")
"""That client and workers have in one version, or understand each other badly."""


def examine(*, cluster: str | Client | None = None, output: str | None = None) -> dict[str, tuple[bool, str]]:
    """Return what was looked at, whether it is as it should be, and what was found.

    Nothing that is secret is told.

    Parameters
    ----------
    cluster : str or distributed.Client, optional
        ``local``, an address, or a client, whose workers are asked too.
    output : str, optional
        Folder or URL where results are to go.

    Examples
    --------
    >>> told = examine()
    >>> told["index store"][0], told["ESA MAAP"][1]
    (True, 'no login')
    """
    told = {"versions": (True, _versions()), "region": _region()}
    told |= {title: checkup.login(name) for title, name in checkup.NAMES.items()}
    for title, root in {"index store": endpoints.index_store(), "output": output}.items():
        if root is not None:
            good, what = checkup.store(root)
            told[title] = good, f"{scrub(root)}: {what}" if good else what
    if cluster is not None:
        with connected(cluster) as client:
            told |= _workers(client)
    return told


def _versions() -> str:
    return ", ".join(
        [f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)]
    )


def _region() -> tuple[bool, str]:
    here = region.here()
    if here == providers.ARCHIVES_REGION:
        return True, f"{here}: NASA's buckets can be read in place"
    return True, f"{here or 'not known to be one of AWS'}: NASA's granules are read by https"


def _workers(client: Client) -> dict[str, tuple[bool, str]]:
    """Return how workers differ from this process, and what they know of the region."""
    found = client.run(_of_worker)
    mine = _versions()
    others = sorted({told for told, _ in found.values()} - {mine})
    regions = sorted({place or "not known to be one of AWS" for _, place in found.values()})
    same = f"{len(found)} workers, as here"
    return {
        "workers": (not others, f"they have {'; '.join(others)}" if others else same),
        "region of workers": (len(regions) < 2, ", ".join(regions) or "there are no workers"),
    }


def _of_worker() -> tuple[str, str]:
    return _versions(), region.here()
