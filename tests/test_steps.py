from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale import steps, synthetic
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.errors import CorruptGranuleError, MissingVariableError, RecipeError
from eoscale.model.columns import Array
from eoscale.model.job import Job
from eoscale.model.recipe import Recipe
from eoscale.model.reduction import Partial
from eoscale.model.region import Region
from eoscale.products import ATL06, ATL08
from eoscale.write import partials
from eoscale.write.partials import Part

NUMBER = 5


@dataclass(frozen=True)
class Case:
    """A job on miniature granules, and what each of them holds."""

    job: Job
    seen: tuple[steps.Observations, ...]


@cache
def case() -> Case:
    recipe = Recipe(
        product="ATL06",
        variables=("h_li", "h_li_sigma"),
        quality="best",
        period=("2024-04-01", "2024-06-15"),
        region=(-55, 62, -25, 82),
        reduce={
            "by": [{"grid": {"crs": "EPSG:3413", "resolution": 50_000}}, {"period": "1MS"}],
            "statistics": ["count", "mean", "std", "sum", "var", "min", "max"],
        },
        output={"zarr": "out.zarr"},
    )
    with TemporaryDirectory() as folder:
        paths = synthetic.make(ATL06, NUMBER, folder=Path(folder), seed=3)
        granules = Listing([str(path) for path in paths]).search(Query(product=ATL06))
        region = Region.from_bbox(-55, 62, -25, 82)
        job = Job(recipe=recipe, product=ATL06, region=region, granules=granules)
        return Case(job, tuple(steps.observe(job, granule) for granule in granules))


def cut_into(tile_shape: tuple[int, ...]) -> Job:
    """Return the job with its cube cut otherwise: tiles are derived, so they are no field of it."""
    job = replace(case().job)
    job.__dict__["cube"] = replace(case().job.cube, tile_shape=tile_shape)
    return job


def cube(job: Job, batches: list[list[int]], folder: Path) -> dict[str, Array]:
    """Return the whole result, by way of partials that batches leave in files."""
    files = []
    for number, batch in enumerate(batches):
        parts: dict[Part, Partial] = {}
        for position in batch:
            found, _ = steps.reduce_rows(job, case().seen[position])
            parts |= {part._replace(granule=position): partial for part, partial in found.items()}
        files.append(folder / f"{number}.arrow")
        partials.save(files[-1], parts)
    result: dict[str, Array] = {}
    for tile in range(job.cube.tiles):
        gathered: dict[Part, Partial] = {}
        for file in files:
            gathered |= partials.load(file, tile)
        blocks, _ = steps.fold_tile(job, tile, gathered)
        for name, block in blocks.items():
            whole = result.setdefault(name, np.empty(job.cube.shape, block.dtype))
            whole[job.cube.block(tile)] = block
    return result


@cache
def reference() -> dict[str, Array]:
    with TemporaryDirectory() as folder:
        return cube(cut_into(case().job.cube.shape), [list(range(NUMBER))], Path(folder))


@given(data=st.data())
def test_batches_and_tiles_never_change_a_bit(data: st.DataObject) -> None:
    shape = case().job.cube.shape
    tile_shape = data.draw(st.tuples(*(st.integers(max(1, n // 3), n) for n in shape)))
    order = data.draw(st.permutations(range(NUMBER)))
    cuts = sorted(data.draw(st.sets(st.integers(1, NUMBER - 1))))
    batches = [list(order[a:b]) for a, b in zip([0, *cuts], [*cuts, NUMBER], strict=True)]
    with TemporaryDirectory() as folder:
        found = cube(cut_into(tile_shape), batches, Path(folder))
    for name, expected in reference().items():
        assert found[name].dtype == expected.dtype
        assert found[name].tobytes() == expected.tobytes(), name


def test_the_result_equals_numpy_on_all_rows_at_once() -> None:
    job = case().job
    columns = {
        name: np.concatenate([seen.columns[name] for seen in case().seen]) for name in case().seen[0].columns
    }
    missing = np.concatenate([seen.missing["h_li"] for seen in case().seen])
    located = job.cube.locate(columns)
    heights = np.asarray(columns["h_li"][located.rows], np.float64)[~missing[located.rows]]
    keys = located.bins[~missing[located.rows]]
    assert heights.size > 1000
    flat = {name: values.reshape(job.cube.tiles, -1) for name, values in reference().items()}
    for key in np.unique(keys):
        tile, cell = divmod(int(key), job.cube.tile_cells)
        values = heights[keys == key]
        assert flat["h_li_count"][tile, cell] == values.size
        assert flat["h_li_mean"][tile, cell] == pytest.approx(values.mean(), rel=1e-12)
        assert flat["h_li_std"][tile, cell] == pytest.approx(values.std(), rel=1e-9, abs=1e-6)


def test_every_row_that_was_read_is_counted_once() -> None:
    for seen in case().seen:
        _, receipt = steps.reduce_rows(case().job, seen)
        assert receipt.read > 0
        for name in case().job.columns:
            parts = receipt.outside + receipt.quality + receipt.off_axis
            assert receipt.read == parts + receipt.missing[name] + receipt.binned[name]
    assert any(seen.receipt.outside for seen in case().seen)
    assert any(seen.receipt.quality for seen in case().seen)


def test_a_variable_that_no_beam_holds_is_named(tmp_path: Path) -> None:
    words = {**case().job.recipe.words(), "variables": ["land_ice_segments/no_such_thing"]}
    paths = synthetic.make(ATL06, 1, folder=tmp_path)
    granules = Listing([str(paths[0])]).search(Query(product=ATL06))
    job = Job(recipe=Recipe(**words), product=ATL06, region=case().job.region, granules=granules)
    with pytest.raises(MissingVariableError, match="no_such_thing") as caught:
        steps.observe(job, granules[0])
    assert caught.value.granule == granules[0].id


def test_columns_of_different_lengths_are_corrupt(tmp_path: Path) -> None:
    (path,) = synthetic.make(ATL06, 1, folder=tmp_path)
    granules = Listing([str(path)]).search(Query(product=ATL06))
    with h5py.File(path, "r+") as file:
        beam = next(group for group in ATL06.groups if group in file)
        heights = file[f"{beam}/land_ice_segments/h_li"]
        heights.resize((heights.shape[0] - 1,))
    job = Job(recipe=case().job.recipe, product=ATL06, region=case().job.region, granules=granules)
    with pytest.raises(CorruptGranuleError, match=f"{beam} has columns of different lengths"):
        steps.observe(job, granules[0])


def test_a_beam_without_the_variable_is_absent(tmp_path: Path) -> None:
    (path,) = synthetic.make(ATL06, 1, folder=tmp_path)
    granules = Listing([str(path)]).search(Query(product=ATL06))
    job = Job(recipe=case().job.recipe, product=ATL06, region=case().job.region, granules=granules)
    before = steps.observe(job, granules[0]).receipt
    with h5py.File(path, "r+") as file:
        beam = next(group for group in ATL06.groups if group in file)
        rows = file[f"{beam}/land_ice_segments/h_li"].shape[0]
        del file[f"{beam}/land_ice_segments/h_li"]
    after = steps.observe(job, granules[0]).receipt
    assert set(after.absent) == {*before.absent, beam}
    assert after.read == before.read - rows


def test_a_variable_of_several_numbers_a_row_is_refused(tmp_path: Path) -> None:
    recipe = Recipe(
        product="ATL08",
        variables=("land_segments/canopy/canopy_h_metrics",),
        reduce={"by": [{"grid": {"crs": "EPSG:4326", "resolution": 1}}], "statistics": ["mean"]},
        output={"zarr": "out.zarr"},
    )
    paths = synthetic.make(ATL08, 1, folder=tmp_path)
    granules = Listing([str(paths[0])]).search(Query(product=ATL08))
    job = Job(recipe=recipe, product=ATL08, region=None, granules=granules)
    with pytest.raises(RecipeError, match="one number a row"):
        steps.observe(job, granules[0])
