from __future__ import annotations

import json
from importlib.metadata import version

import numpy as np
import shapely

from eoscale.model.recipe import Recipe
from eoscale.write.provenance import provenance
from eoscale.write.publish import DIGEST
from tests.write.jobs import job


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
