from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, mkdtemp
from unittest.mock import patch

import geopandas as gpd
import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eoscale
from eoscale import synthetic
from eoscale.catalog.listing import Listing
from eoscale.catalog.search import Query
from eoscale.errors import RunError
from eoscale.model.curve import SPANS
from eoscale.model.granule import GranuleList
from eoscale.model.job import Job
from eoscale.model.receipt import Receipt
from eoscale.model.recipe import Recipe
from eoscale.model.region import Region
from eoscale.model.vocabulary import Output
from eoscale.products import ATL06
from eoscale.steps import table
from eoscale.write.work import Batch, Work

NUMBER = 5
_FOLDER = Path(mkdtemp())
"""Of the granules: hypothesis wants no fixture, and caches outlive their tests."""
BOX = (-55.0, 62.0, -25.0, 82.0)
VARIABLES = {"h_li": "h_li", "flag": "atl06_quality_summary", "segment_id": "segment_id"}


def job_of(granules: GranuleList) -> Job:
    recipe = Recipe(product="ATL06", variables=VARIABLES, where="h_li_sigma < 5")
    return Job(recipe=recipe, product=ATL06, region=Region.from_bbox(*BOX), granules=granules)


@cache
def granules() -> GranuleList:
    paths = synthetic.make(ATL06, NUMBER, folder=_FOLDER, seed=3)
    return Listing([str(path) for path in paths]).search(Query(product=ATL06))


@pytest.fixture(scope="module", autouse=True)
def _removed() -> Iterator[None]:
    yield
    rmtree(_FOLDER)


def written(
    job: Job, cut: list[Batch], folder: Path, order: list[int] | None = None
) -> tuple[Path, list[Receipt]]:
    """Write a table by its steps, batches in some order, and return its file and all receipts."""
    work = Work(folder=str(folder / "work"), digest=job.digest)
    work.save_job(job)
    finished = {cut[n]: table.read_batch(work, cut[n]) for n in order or range(len(cut))}
    work = work.staged(finished.values())
    everything = [receipt for batch in sorted(finished) for receipt in finished[batch].receipts]
    output = Output(parquet=str(folder / "out.parquet"))
    sink = table.sink(work, output, everything)
    sink.prepare()
    write = table.writer(work, output, everything)
    counts = [write(part)["h_li"] for part in reversed(table.parts(job, everything))]
    assert sum(counts) == sum(receipt.binned.get("h_li", 0) for receipt in everything)
    sink.publish()
    return Path(output.path), everything


@cache
def reference() -> bytes:
    with TemporaryDirectory() as folder:
        path, _ = written(job_of(granules()), [(0, NUMBER)], Path(folder))
        return path.read_bytes()


@settings(max_examples=15)
@given(data=st.data())
def test_batches_never_change_a_bit(data: st.DataObject) -> None:
    edges = [0, *sorted(data.draw(st.sets(st.integers(1, NUMBER - 1)))), NUMBER]
    cut = list(pairwise(edges))
    order = data.draw(st.permutations(range(len(cut))))
    with TemporaryDirectory() as folder:
        path, _ = written(job_of(granules()), cut, Path(folder), order)
        assert path.read_bytes() == reference()


def test_rows_are_those_of_the_lazy_frame_in_the_order_of_the_curve(tmp_path: Path) -> None:
    job = job_of(granules())
    path, receipts = written(job, [(0, 2), (2, NUMBER)], tmp_path)
    found = gpd.read_parquet(path)
    lazily = eoscale.open(granules(), variables=VARIABLES, region=BOX, where="h_li_sigma < 5")
    expected = lazily.compute(scheduler="threads")
    assert len(found) == len(expected) > 1000
    names = ["granule", "beam", "segment_id"]
    one, other = (rows.astype({"granule": str, "beam": str}).sort_values(names) for rows in (found, expected))
    for name in (*names, "time", "longitude", "latitude", "h_li", "flag"):
        assert one[name].astype("object").tolist() == other[name].astype("object").tolist(), name
    distance = job.curve.distance(found.longitude.to_numpy(), found.latitude.to_numpy())
    assert (np.diff(distance.astype(np.int64)) >= 0).all()
    assert all(receipt.status == "used" for receipt in receipts)
    step = np.hypot(*np.diff(found[["longitude", "latitude"]].to_numpy(), axis=0).T)
    assert np.median(step) < 0.05


def test_a_table_of_several_parts_is_the_same_table(tmp_path: Path) -> None:
    with patch.object(table, "ROWS_PER_PART", 300):
        path, receipts = written(job_of(granules()), [(0, NUMBER)], tmp_path)
        parts = table.parts(job_of(granules()), receipts)
    assert len(parts) > 5
    (tmp_path / "whole.parquet").write_bytes(reference())
    whole, cut = (pq.read_table(each).drop_columns("bbox") for each in (tmp_path / "whole.parquet", path))
    assert cut.to_pandas().equals(whole.to_pandas())


def test_parts_cover_the_curve_and_end_before_they_have_too_many_rows() -> None:
    receipts = [
        Receipt(granule="a", tiles={3: 700_000, 9: 400_000}),
        Receipt(granule="b", tiles={9: 900_000}),
    ]
    parts = table.parts(job_of(granules()), receipts)
    assert parts == ((0, 8), (9, SPANS - 1))
    assert table.parts(job_of(granules()), []) == ((0, SPANS - 1),)


def test_units_and_names_go_into_the_file(tmp_path: Path) -> None:
    path, _ = written(job_of(granules()), [(0, NUMBER)], tmp_path)
    schema = pq.read_schema(path)
    assert schema.field("h_li").metadata[b"units"] in (b"m", b"meters")
    assert schema.field("longitude").metadata[b"units"] == b"degrees_east"
    assert [str(schema.field(name).type) for name in VARIABLES] == ["float", "int8", "int32"]


def test_a_granule_that_fails_leaves_the_rows_of_the_others(tmp_path: Path) -> None:
    damaged = tmp_path / Path(granules()[1].url).name
    damaged.write_bytes(Path(granules()[1].url).read_bytes()[:50_000])
    places = [granule.url for granule in granules() if granule.id != granules()[1].id]
    listed = Listing([*places, str(damaged)]).search(Query(product=ATL06))
    path, receipts = written(job_of(listed), [(0, NUMBER)], tmp_path)
    assert [receipt.status for receipt in receipts].count("failed") == 1
    assert damaged.stem not in set(gpd.read_parquet(path).granule)


def test_granules_of_another_width_are_widened_and_those_of_another_kind_refused(tmp_path: Path) -> None:
    copy = tmp_path / Path(granules()[0].url).name
    copy.write_bytes(Path(granules()[0].url).read_bytes())
    with h5py.File(copy, "r+") as file:
        for beam in (group for group in ATL06.groups if group in file):
            flags = file[f"{beam}/land_ice_segments/atl06_quality_summary"]
            wide = flags[:].astype(np.int32)
            del file[flags.name]
            file[f"{beam}/land_ice_segments/atl06_quality_summary"] = wide
    listed = Listing([str(copy), granules()[1].url]).search(Query(product=ATL06))
    path, _ = written(job_of(listed), [(0, 1), (1, 2)], tmp_path)
    assert str(pq.read_schema(path).field("flag").type) == "int32"
    mixed = [Receipt(granule=kind, attributes={"flag": {"dtype": kind}}) for kind in ("int8", "float32")]
    with pytest.raises(RunError, match="flag is of types float32, int8 in different granules"):
        table.types(mixed)


def test_a_table_without_rows_is_a_table(tmp_path: Path) -> None:
    recipe = Recipe(product="ATL06", variables=VARIABLES)
    job = Job(recipe=recipe, product=ATL06, region=Region.from_bbox(10, 10, 11, 11), granules=granules())
    path, receipts = written(job, [(0, NUMBER)], tmp_path)
    assert [receipt.status for receipt in receipts] == ["empty"] * NUMBER
    empty = gpd.read_parquet(path)
    assert len(empty) == 0
    names = ["granule", "beam", "time", "longitude", "latitude", *VARIABLES, "geometry"]
    assert empty.columns.tolist() == names
