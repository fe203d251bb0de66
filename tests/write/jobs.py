"""A small job with everything that a job may hold."""

from __future__ import annotations

import numpy as np
import shapely

from eoscale.model.granule import Granule, GranuleList
from eoscale.model.job import Job
from eoscale.model.recipe import Recipe
from eoscale.model.region import Region
from eoscale.products import ATL06


def granule(number: int) -> Granule:
    """Return a granule with everything that a catalogue may say."""
    start = np.datetime64("2019-04-16T09:39:11", "ns") + np.timedelta64(number, "D")
    return Granule(
        id=f"ATL06_201904{16 + number:02}093911_02770303_002_01",
        product="ATL06",
        version="002",
        revision="01",
        urls={"file": f"/data/{number}.h5", "https": f"https://data.example.org/{number}.h5"},
        start=start,
        end=start + np.timedelta64(300, "s"),
        footprint=shapely.box(-51, 69, -49, 72),
        size=10**6 + number,
        checksum=f"md5:{number:04x}",
    )


def job(number: int = 3, *, title: str = "", quality: str | None = "best") -> Job:
    """Return a job of some granules, of which another one was dropped."""
    recipe = Recipe(
        title=title,
        product="ATL06",
        variables=("h_li", "h_li_sigma"),
        period=("2019-04-01", "2019-07-01"),
        region=(-51, 69, -49, 72),
        quality=quality,
        output={"zarr": "out.zarr"},
        reduce={
            "by": [{"grid": {"crs": "EPSG:3413", "resolution": 10_000}}, {"period": "1MS"}],
            "statistics": ["count", "mean"],
        },
    )
    granules = GranuleList(
        granules=[granule(n) for n in range(number)], dropped=[(granule(9), "outside the period")]
    )
    return Job(recipe=recipe, product=ATL06, region=Region.from_bbox(-51, 69, -49, 72), granules=granules)
