from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.catalog.routes import routed
from eoscale.model.granule import Granule, GranuleList

S3, WEB = "s3://nsidc-cumulus-prod-protected/{}.h5", "https://data.nsidc.earthdatacloud.nasa.gov/{}.h5"
OWN = "s3://my-own/{}.h5"
WAYS = st.sampled_from([{"s3": S3}, {"https": WEB}, {"s3": S3, "https": WEB}, {"s3": OWN, "https": WEB}])


def listed(ways: list[dict[str, str]]) -> GranuleList:
    """Return granules that are known by some ways."""
    return GranuleList(
        granules=[
            Granule(
                id=f"g{n:03}", product="ATL06", urls={r: url.format(f"g{n:03}") for r, url in way.items()}
            )
            for n, way in enumerate(ways)
        ]
    )


@given(st.lists(WAYS, max_size=6), st.sampled_from(["us-west-2", "eu-central-1", ""]))
def test_every_granule_is_read_by_a_way_of_its_own_that_leads_there(
    ways: list[dict[str, str]], here: str
) -> None:
    granules = listed(ways)
    found, told = routed(granules, lambda: here)
    assert found == granules
    for one, before in zip(found, granules, strict=True):
        assert one.urls.items() <= before.urls.items()
        if before.urls.keys() == {"s3", "https"} and "nsidc" in before.urls["s3"]:
            assert one.url.startswith("s3" if here == "us-west-2" else "https")
        else:
            assert one.urls == before.urls
    assert bool(told) == any(set(way) == {"s3", "https"} and way["s3"] == S3 for way in ways)


def test_where_there_is_no_choice_nobody_is_asked_where_this_is() -> None:
    def never() -> str:
        pytest.fail("it was asked")

    assert routed(listed([{"s3": S3}, {"https": WEB}, {"s3": OWN, "https": WEB}]), never)[1] == ""


@pytest.mark.parametrize(
    ("keys", "url", "told"),
    [
        (True, "s3://eodata/Sentinel-3/{}.SEN3", "2 by s3: there are keys for the bucket of Copernicus"),
        (False, "https://download.dataspace.copernicus.eu/odata/v1/Products(1)/Nodes({}.SEN3)",
         "2 by https: there are no keys for the bucket of Copernicus"),
    ],
)  # fmt: skip
def test_who_has_keys_for_the_bucket_of_copernicus_reads_by_it(keys: bool, url: str, told: str) -> None:  # noqa: FBT001
    ways = {
        "s3": "s3://eodata/Sentinel-3/{}.SEN3",
        "https": "https://download.dataspace.copernicus.eu/odata/v1/Products(1)/Nodes({}.SEN3)",
    }
    found, why = routed(listed([ways, ways]), lambda: "us-west-2", lambda: keys)
    assert [granule.url for granule in found] == [url.format(granule.id) for granule in found]
    assert why == told


def test_what_was_chosen_is_told_for_each_provider() -> None:
    ways = {"s3": "s3://eodata/{}.SEN3", "https": "https://download.dataspace.copernicus.eu/{}.SEN3"}
    _, why = routed(listed([ways, {"s3": S3, "https": WEB}]), lambda: "", lambda: True)
    assert why == (
        "1 by https: this is not known to be us-west-2; 1 by s3: there are keys for the bucket of Copernicus"
    )
