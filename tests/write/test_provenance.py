from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from eoscale.model.recipe import Recipe
from eoscale.write.provenance import DIGEST, provenance, source_of
from tests.model.test_recipe import POLICIES
from tests.write.jobs import granule, job

_EXCLUDED = st.dictionaries(st.sampled_from([granule(number).id for number in range(3)]), st.text(min_size=1))


def test_a_store_says_what_it_is_made_of() -> None:
    made = job(title="Heights")
    attributes = provenance(made)
    assert attributes["Conventions"] == "CF-1.11"
    assert attributes["title"] == "Heights"
    assert attributes["source"] == f"{made.product.title}, version 002"
    assert attributes["references"] == made.product.citation
    assert attributes[DIGEST] == made.digest
    assert attributes["eoscale_version"] == version("eoscale")
    assert attributes["eoscale_granules"] == [granule.id for granule in made.granules]
    assert attributes["eoscale_quality"].startswith("best: ")


def test_its_recipe_can_be_run_again() -> None:
    made = job()
    words = json.loads(provenance(made)["eoscale_recipe"])
    assert not {"output", "granules", "batch_bytes"} & set(words)
    again = Recipe(**{**words, "output": {"zarr": "again.zarr"}})
    assert again.words(without=["output"]) == made.recipe.words(without=["output"])


@given(POLICIES)
def test_what_was_to_happen_to_failed_granules_is_no_part_of_what_it_is(policy: dict[str, Any]) -> None:
    made = job()
    asked = replace(made, recipe=Recipe(**made.recipe.words(), **policy))
    assert provenance(asked) == provenance(made)
    assert Recipe(**json.loads(provenance(asked)["eoscale_recipe"])).on_error == "raise"


@given(_EXCLUDED)
def test_each_granule_is_either_part_of_it_or_excluded_for_a_reason(excluded: dict[str, str]) -> None:
    attributes = provenance(job(), excluded)
    told = json.loads(attributes.get("eoscale_excluded", "{}"))
    assert ("eoscale_excluded" in attributes) == bool(excluded)
    assert told == excluded
    assert list(told) == sorted(told)
    assert json.loads(json.dumps(attributes)) == attributes  # as Parquet holds them
    assert sorted([*attributes["eoscale_granules"], *told]) == [each.id for each in job().granules]
    other_order = dict(reversed(excluded.items()))
    assert json.dumps(provenance(job(), other_order)) == json.dumps(attributes)


def test_without_excluded_granules_it_is_as_if_none_could_be() -> None:
    assert provenance(job(), {}) == provenance(job())
    assert "eoscale_excluded" not in provenance(job())


def test_versions_are_those_of_the_granules_that_are_part_of_it() -> None:
    first, *others = job().granules
    mixed = replace(
        job(), granules=replace(job().granules, granules=[replace(first, version="001"), *others])
    )
    assert source_of(mixed)["source"].endswith("version 001, 002")
    assert provenance(mixed, {first.id: "AccessError: gone"})["source"].endswith("version 002")


@pytest.mark.parametrize("form", ["zarr 2", "zarr 3", "netcdf"])
@pytest.mark.parametrize("number", [1, 2])
def test_what_is_excluded_survives_the_formats_of_arrays(tmp_path: Path, form: str, number: int) -> None:
    reason = 'CorruptGranuleError: "größer"; a\\b\nline \x00'
    attributes = provenance(job(), {granule(n).id: reason for n in range(number)})
    kept = xr.Dataset(attrs=attributes)
    if form == "netcdf":
        kept.to_netcdf(tmp_path / "out.nc", engine="h5netcdf")
        back = xr.load_dataset(tmp_path / "out.nc", engine="h5netcdf")
    else:
        kept.to_zarr(tmp_path / "out.zarr", zarr_format=int(form[-1]), consolidated=True)
        back = xr.load_dataset(tmp_path / "out.zarr", engine="zarr")
    assert back.attrs["eoscale_excluded"] == attributes["eoscale_excluded"]
    assert set(json.loads(back.attrs["eoscale_excluded"]).values()) == {reason}
    assert np.atleast_1d(back.attrs["eoscale_granules"]).tolist() == attributes["eoscale_granules"]


def test_its_region_is_a_polygon_in_degrees() -> None:
    outline = shapely.from_geojson(provenance(job())["eoscale_region"])
    assert outline.equals(shapely.box(-51, 69, -49, 72))


def test_the_same_job_gives_the_same_attributes_and_they_are_json() -> None:
    first, second = provenance(job()), provenance(job())
    assert json.dumps(first) == json.dumps(second)
    assert str(np.datetime64("today")) not in json.dumps(first)


def test_what_is_not_known_is_not_claimed() -> None:
    attributes = provenance(job(0, quality=None))
    assert attributes["source"].endswith("version unknown")
    assert attributes["title"] == "Statistics of ATL06"
    assert "eoscale_quality" not in attributes
