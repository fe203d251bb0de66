"""Routes: by which of its URLs a granule is read, from where this machine is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from eoscale.access import providers, region
from eoscale.model.granule import Granule, GranuleList

_BUCKETS, _WEB = ("s3", "s3a"), ("https", "http")


def routed(granules: GranuleList, here: Callable[[], str] = region.here) -> tuple[GranuleList, str]:
    """Return granules without the routes that cannot be taken from here, and what was chosen.

    Buckets of NASA's archives are read from their own region alone. A granule that is known by its bucket
    and by https goes by the bucket there, and by https from anywhere else. Who gives keys for the buckets
    is learnt from the list.

    Parameters
    ----------
    granules : GranuleList
    here : callable
        Returns the region of this machine; asked only where there is a choice.

    Returns
    -------
    GranuleList
    str
        For a person; empty where there was no choice.

    Examples
    --------
    >>> both = {"s3": "s3://nsidc-cumulus-prod-protected/a.h5", "https": "https://data.example.org/a.h5"}
    >>> granules = GranuleList(granules=[Granule(id="a", product="ATL06", urls=both)])
    >>> routed(granules, lambda: "us-west-2")[0][0].url
    's3://nsidc-cumulus-prod-protected/a.h5'
    >>> found, told = routed(granules, lambda: "")
    >>> found[0].url, told
    ('https://data.example.org/a.h5', '1 by https: this is not known to be us-west-2')
    """
    providers.learn(granules.givers)
    choices = [_has_choice(granule) for granule in granules]
    if not any(choices):
        return granules, ""
    place = here()
    inside = place == providers.ARCHIVES_REGION
    left_out = _WEB if inside else _BUCKETS
    kept = [
        replace(one, urls={route: url for route, url in one.urls.items() if route not in left_out})
        if choice
        else one
        for one, choice in zip(granules, choices, strict=True)
    ]
    why = f"this is {place}" if place else f"this is not known to be {providers.ARCHIVES_REGION}"
    ways = Counter(one.url.partition(":")[0] for one, choice in zip(kept, choices, strict=True) if choice)
    told = ", ".join(f"{number:,} by {way}" for way, number in sorted(ways.items()))
    return replace(granules, granules=kept), f"{told}: {why}"


def _has_choice(granule: Granule) -> bool:
    buckets = [granule.urls[route] for route in _BUCKETS if route in granule.urls]
    return any(map(_is_archive, buckets)) and any(route in granule.urls for route in _WEB)


def _is_archive(url: str) -> bool:
    return providers.gives_keys(providers.keys(url.partition("://")[2].partition("/")[0]))
