from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from eoscale.errors import RecipeError
from eoscale.model.product import Product
from eoscale.model.region import Region
from eoscale.products.icesat2 import ATL06, ATL08
from eoscale.synthetic import icesat2, make


def _content(path: Path) -> dict[str, object]:
    """Return all values and attributes of a file, but for references, which are addresses."""
    found: dict[str, object] = {}

    def keep(name: str, item: Any) -> None:  # noqa: ANN401  group or dataset
        for key, value in item.attrs.items():
            if key not in ("DIMENSION_LIST", "REFERENCE_LIST"):
                found[f"{name}@{key}"] = np.asarray(value).tobytes()
        if isinstance(item, h5py.Dataset):
            found[name] = (item.dtype.str, item.shape, item[()].tobytes())

    with h5py.File(path) as file:
        keep("/", file)
        file.visititems(keep)
    return found


@pytest.mark.parametrize("product", [ATL06, ATL08], ids=lambda product: product.name)
def test_two_makes_are_equal_in_every_dataset_and_attribute(product: Product, tmp_path: Path) -> None:
    first = make(product, 1, folder=tmp_path / "a")
    icesat2._empty.cache_clear()
    second = make(product, 1, folder=tmp_path / "b")
    assert [path.name for path in first] == [path.name for path in second]
    assert _content(first[0]) == _content(second[0])


def test_a_larger_number_extends_a_smaller_one(atl06: tuple[Path, ...], tmp_path: Path) -> None:
    (one,) = make(ATL06, 1, folder=tmp_path)
    (same,) = (path for path in atl06 if path.name == one.name)
    assert _content(one) == _content(same)


def test_paths_are_sorted_and_named_as_the_product_names_its_granules(atl06: tuple[Path, ...]) -> None:
    assert list(atl06) == sorted(atl06)
    for path in atl06:
        assert ATL06.pattern.fullmatch(path.stem)
        assert path.suffix == ".h5"


@pytest.mark.parametrize("product", [ATL06, ATL08], ids=lambda product: product.name)
def test_every_listed_variable_of_the_product_is_there(
    product: Product, request: pytest.FixtureRequest
) -> None:
    (path, *_) = request.getfixturevalue(product.name.lower())
    with h5py.File(path) as file:
        for name, variable in product.variables.items():
            assert variable.path in file["gt1l"], name
        for rate in product.rates:
            assert rate.group in file["gt1l"], rate.name


def test_observations_lie_inside_the_period_and_cross_the_region(tmp_path: Path) -> None:
    period = (np.datetime64("2022-01-10T06:00"), np.datetime64("2022-01-10T07:00"))
    region = Region.from_bbox(-52, 68, -46, 72)
    for path in make(ATL06, 2, folder=tmp_path / "new", seed=7, region=region, period=period):
        with h5py.File(path) as file:
            beams = [file[beam]["land_ice_segments"] for beam in file if beam.startswith("gt")]
            times = ATL06.times(np.concatenate([beam["delta_time"] for beam in beams]))
            crossings = [region.contains(beam["longitude"], beam["latitude"]).any() for beam in beams]
        assert period[0] <= times.min()
        assert times.max() < period[1]
        assert any(crossings)


def test_a_product_without_synthetic_form_is_refused_with_those_that_have_one(tmp_path: Path) -> None:
    other = dataclasses.replace(ATL06, name="ATL99")
    with pytest.raises(RecipeError, match="ATL99 has no synthetic form; these have: ATL06, ATL08"):
        make(other, 1, folder=tmp_path)


@pytest.mark.parametrize(("number", "seed"), [(0, 0), (1, -1)])
def test_no_granules_and_negative_seeds_are_refused(number: int, seed: int, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="expected at least 1"):
        make(ATL06, number, folder=tmp_path, seed=seed)
