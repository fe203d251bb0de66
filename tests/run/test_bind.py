from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eoscale.errors import CatalogError, RecipeError
from eoscale.model.recipe import Recipe
from eoscale.model.region import Region
from eoscale.products import ATL06
from eoscale.run.bind import bind

WORDS = {
    "product": "ATL06",
    "variables": ["h_li"],
    "period": ["2024-04-01", "2024-07-01"],
    "reduce": {"by": [{"grid": {"crs": "EPSG:3413", "resolution": 100_000}}], "statistics": ["mean"]},
    "output": {"zarr": "out.zarr"},
}
NAMES = ("ATL06_20240401000000_02770303_006_01.h5", "ATL06_20240630235959_02770303_006_01.h5")


def recipe(**words: object) -> Recipe:
    return Recipe(**{**WORDS, **words})


@pytest.fixture
def place(tmp_path: Path) -> str:
    for name in NAMES:
        (tmp_path / name).touch()
    return f"{tmp_path}/*.h5"


def test_given_granules_beat_those_of_the_recipe(place: str) -> None:
    job = bind(recipe(granules="nowhere/*.h5"), place)
    assert len(job.granules) == 2
    assert job.product is ATL06


def test_the_recipe_lists_granules_relative_to_its_file(tmp_path: Path, place: str) -> None:
    assert place
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "product: ATL06\nvariables: [h_li]\ngranules: '*.h5'\nregion: area.geojson\n"
        "reduce: {by: [{period: 1MS}], statistics: [mean]}\noutput: {zarr: out.zarr}\n"
    )
    import geopandas as gpd  # noqa: PLC0415  only this test writes a region

    area = Region.from_bbox(-50, 60, -40, 70)
    gpd.GeoSeries([area.geometry], crs=area.crs).to_file(tmp_path / "area.geojson")
    job = bind(Recipe.from_file(path))
    assert len(job.granules) == 2
    assert job.region is not None
    assert job.region.bounds == area.bounds
    # without a period the axis spans what the granules can last
    assert job.cube.shape == (4,)


def test_a_recipe_without_granules_is_searched_for_and_a_product_that_no_catalogue_knows_says_so() -> None:
    unknown = replace(ATL06, catalogued=())
    with pytest.raises(RecipeError, match="no catalogue is known for ATL06"):
        bind(recipe(product=unknown))


def test_another_version_is_an_error(place: str) -> None:
    with pytest.raises(CatalogError, match="version 007 was asked for, the list has 006"):
        bind(recipe(search={"version": "007"}), place)


def test_an_unknown_product_names_the_nearest(place: str) -> None:
    with pytest.raises(RecipeError, match="did you mean ATL0"):
        bind(recipe(product="ATL7"), place)


@pytest.mark.parametrize(("number", "kept"), [(1, 1), (2, 2), (9, 2)])
def test_a_sample_is_spread_over_the_list(place: str, number: int, kept: int) -> None:
    job = bind(recipe(), place, sample=number)
    assert len(job.granules) == kept
    assert job.granules.found == 2


def test_a_sample_of_none_is_refused(place: str) -> None:
    with pytest.raises(RecipeError, match="at least 1"):
        bind(recipe(), place, sample=0)


def test_granules_outside_the_period_are_dropped_with_the_reason(place: str) -> None:
    job = bind(recipe(period=("2024-05-01", "2024-07-01")), place)
    assert [granule.id for granule in job.granules] == [NAMES[1].removesuffix(".h5")]
    assert [reason for _, reason in job.granules.dropped] == ["outside the period"]
    assert job.span()[0] == np.datetime64("2024-05-01")
