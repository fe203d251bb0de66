"""Routes: by which of its URLs a granule is read, from where this machine is and with which logins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from eoscale.access import logins, providers, region
from eoscale.model.granule import Granule, GranuleList

_BUCKETS, _WEB = ("s3", "s3a"), ("https", "http")


def _has_keys() -> bool:
    return logins.find(providers.CDSE_KEYS) is not None


def routed(
    granules: GranuleList,
    here: Callable[[], str] = region.here,
    has_keys: Callable[[], bool] = _has_keys,
) -> tuple[GranuleList, str]:
    """Return granules without the routes that cannot be taken from here, and what was chosen.

    Buckets of NASA's archives are read from their own region alone, that of Copernicus by who has keys for
    it. A granule that is known by its bucket and by https goes by the bucket there, and by https otherwise.
    Who gives keys for the buckets of NASA is learnt from the list.

    Parameters
    ----------
    granules : GranuleList
    here : callable
        Returns the region of this machine; asked only where there is a choice.
    has_keys : callable
        Returns whether the user has keys for the bucket of Copernicus; likewise.

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
    owners = [_owner(granule) for granule in granules]
    if not any(owners):
        return granules, ""
    whys: dict[str, str] = {}
    left_out: dict[str, tuple[str, ...]] = {}
    if providers.EARTHDATA in owners:
        place = here()
        inside = place == providers.ARCHIVES_REGION
        left_out[providers.EARTHDATA] = _WEB if inside else _BUCKETS
        unknown = f"this is not known to be {providers.ARCHIVES_REGION}"
        whys[providers.EARTHDATA] = f"this is {place}" if place else unknown
    if providers.CDSE in owners:
        keys = has_keys()
        left_out[providers.CDSE] = _WEB if keys else _BUCKETS
        whys[providers.CDSE] = f"there are {'' if keys else 'no '}keys for the bucket of Copernicus"
    kept = [
        replace(one, urls={route: url for route, url in one.urls.items() if route not in left_out[owner]})
        if owner
        else one
        for one, owner in zip(granules, owners, strict=True)
    ]
    told = [
        f"{_ways(one for one, its in zip(kept, owners, strict=True) if its == owner)}: {why}"
        for owner, why in whys.items()
    ]
    return replace(granules, granules=kept), "; ".join(told)


def _ways(granules: Iterable[Granule]) -> str:
    ways = Counter(granule.url.partition(":")[0] for granule in granules)
    return ", ".join(f"{number:,} by {way}" for way, number in sorted(ways.items()))


def _owner(granule: Granule) -> str:
    """Return whose a granule is that may be read by a bucket or by https; empty of one without a choice."""
    buckets = [granule.urls[route] for route in _BUCKETS if route in granule.urls]
    if not buckets or not any(route in granule.urls for route in _WEB):
        return ""
    return next(filter(None, map(providers.owner, buckets)), "")
