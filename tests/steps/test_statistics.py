from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale import synthetic
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.model.columns import Array
from eoscale.model.cube import Tile
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.model.recipe import Recipe
from eoscale.model.reduction import Partial
from eoscale.model.region import Region
from eoscale.products import ATL06
from eoscale.steps import statistics
from eoscale.steps.observe import Observations
from eoscale.steps.statistics import Reduced, Summary
from eoscale.write import partials
from eoscale.write.partials import Part
from eoscale.write.work import Work
from tests.steps.observing import observe

NUMBER = 5


@dataclass(frozen=True)
class Case:
    """A job on miniature granules, and what each of them holds."""

    job: Job
    seen: tuple[Observations, ...]


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
        return Case(job, tuple(observe(job, granule) for granule in granules))


def reduced(job: Job, seen: Observations) -> Reduced:
    return Summary.of(job).reduce(
        seen.coordinates, {name: seen.values(path) for name, path in job.columns.items()}
    )


def cut_into(tile_shape: tuple[int, ...]) -> Job:
    """Return the job with its cube cut otherwise: tiles are derived, so they are no field of it."""
    job = replace(case().job)
    job.__dict__["cube"] = replace(case().job.cube, tile_shape=tile_shape)
    return job


def cube(job: Job, batches: list[list[int]], folder: Path) -> dict[str, Array]:
    """Return the whole result, by way of partials that batches leave in files."""
    summary, work = Summary.of(job), Work(folder=str(folder), digest=job.digest)
    work.save_job(job)
    finished = []
    for number, batch in enumerate(batches):
        parts: dict[Tile, dict[Part, Partial]] = {}
        for position in batch:
            found = summary.by_tile(f"granule {position}", reduced(job, case().seen[position]))
            for tile, some in found.items():
                parts.setdefault(tile, {}).update(some)
        left = partials.save(work.left((number, number + 1)), parts)
        receipts = [Receipt(granule=f"granule {position}") for position in sorted(batch)]
        finished.append(work.finish((number, number + 1), receipts, left))
    staged = work.staged(finished)
    result: dict[str, Array] = {}
    for tile in range(job.cube.tiles):
        for name, block in summary.blocks(tile, summary.merged(tile, staged.pieces(tile))).items():
            whole = result.setdefault(name, np.empty(job.cube.shape, block.dtype))
            whole[job.cube.block(tile)] = block
    return result


@cache
def reference() -> dict[str, Array]:
    with TemporaryDirectory() as folder:
        return cube(cut_into(case().job.cube.shape), [list(range(NUMBER))], Path(folder))


@given(data=st.data())
def test_batches_and_tiles_and_what_is_held_at_once_never_change_a_bit(data: st.DataObject) -> None:
    shape = case().job.cube.shape
    tile_shape = data.draw(st.tuples(*(st.integers(max(1, n // 3), n) for n in shape)))
    order = data.draw(st.permutations(range(NUMBER)))
    cuts = sorted(data.draw(st.sets(st.integers(1, NUMBER - 1))))
    batches = [list(order[a:b]) for a, b in zip([0, *cuts], [*cuts, NUMBER], strict=True)]
    cells = data.draw(st.sampled_from([1, 10, statistics.CELLS_AT_ONCE]))
    with TemporaryDirectory() as folder, patch.object(statistics, "CELLS_AT_ONCE", cells):
        found = cube(cut_into(tile_shape), batches, Path(folder))
    for name, expected in reference().items():
        assert found[name].dtype == expected.dtype
        assert found[name].tobytes() == expected.tobytes(), name


def test_the_result_equals_numpy_on_all_rows_at_once() -> None:
    job = case().job
    names = case().seen[0].coordinates
    columns = {name: np.concatenate([seen.coordinates[name] for seen in case().seen]) for name in names}
    columns["h_li"] = np.concatenate([seen.values(job.columns["h_li"]).data for seen in case().seen])
    missing = np.concatenate([seen.values(job.columns["h_li"]).missing for seen in case().seen])
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
        found = reduced(case().job, seen)
        assert seen.receipt.read > 0
        for name in case().job.columns:
            refused = seen.receipt.outside + seen.receipt.quality + found.off_axis
            assert seen.receipt.read == refused + found.missing[name] + found.binned[name]
        assert sum(found.tiles.values()) + found.off_axis == seen.size
    assert any(seen.receipt.outside for seen in case().seen)
    assert any(seen.receipt.quality for seen in case().seen)
