"""Granules to measure on: ATL08 as large as real ones, along tracks across a polygon and on both sides of it.

What is in them is what :mod:`eoscale.synthetic` knows of the product, of more points along a track. Each is
there twice, with the same chunks: in ``v006`` metadata and chunks lie as HDF5 puts them if nobody cares, in
``v007`` in pages of 8 MiB.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import h5py
import numpy as np
from h5py import h5d, h5ds

from eoscale.synthetic import atl08, passes, tracks
from eoscale.synthetic.atl08_tables import LAND, SCALES
from eoscale.synthetic.columns import Packed, Table
from eoscale.synthetic.metadata import beam_attributes, write_metadata
from eoscale.synthetic.passes import EPOCH, Pass
from eoscale.synthetic.writing import CHUNK, described, group, set_attributes, write_scale
from tests.benchmarks.storage.questions import HALF, LATITUDE, LONGITUDE


class Size(NamedTuple):
    """How much there is to read."""

    granules: int
    points: int
    """Along a track, before beams lose some of them."""


SIZES = {"small": Size(6, 4_000), "full": Size(24, 36_000), "large": Size(4, 220_000)}
LAYOUTS: Mapping[str, Mapping[str, Any]] = {
    "v006": {},
    "v007": {"fs_strategy": "page", "fs_page_size": 2**23},
}
"""How HDF5 is told to lay a file out."""
_FIRST = int((np.datetime64("2024-04-01T00:00:00", "s") - EPOCH).astype(int))
_BETWEEN = 320_123
"""Seconds from one pass to the next."""
_PHOTONS = 5
"""In the place of one."""


def make(folder: Path, size: Size, *, seed: int = 0) -> list[str]:
    """Make the granules that a folder lacks, below the names of both layouts, and return their names."""
    for layout in LAYOUTS:
        (folder / layout).mkdir(parents=True, exist_ok=True)
    flights = list(_flights(size.granules, seed))
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        return list(pool.map(_make, repeat(folder), flights, repeat(size.points)))


def _flights(number: int, seed: int) -> Iterator[Pass]:
    """Yield passes at even distances over twice the width of the polygon, in no order, northward in turn."""
    longitudes = LONGITUDE + np.linspace(-2 * HALF, 2 * HALF, number)
    for place, longitude in enumerate(np.random.default_rng(seed).permutation(longitudes)):
        argument = tracks.argument_of_latitude(LATITUDE, ascending=place % 2 == 0)
        region, first, last = tracks.region_of(argument)
        yield Pass(
            seed=seed,
            number=place,
            start=_FIRST + place * _BETWEEN,
            node=tracks.node_through(float(longitude), argument),
            first=first,
            last=last,
            region=region,
            forward=place % 4 < 2,
            beams=tracks.BEAMS,
        )


def _make(folder: Path, flight: Pass, points: int) -> str:
    name = f"{flight.granule('ATL08')}.h5"
    for layout, told in LAYOUTS.items():
        path = folder / layout / name
        if not path.exists():
            partial = path.with_suffix(".partial")
            with patch.object(passes, "_POINTS", points), h5py.File(partial, "w", **told) as file:
                _fill(file, flight)
            partial.replace(path)
    return name


def _fill(file: h5py.File, flight: Pass) -> None:
    """Write a granule, one dataset after the other: so their headers lie between chunks."""
    root = group(file.id, ".")
    write_metadata(root, "ATL08", flight)
    scales = {name: write_scale(root, name, values) for name, values in SCALES.items()}
    for beam in flight.beams:
        group(root, beam, beam_attributes(flight, beam))
        generator = flight.generator(4, flight.beams.index(beam))
        for table, values in atl08.observe(flight, beam):
            rows = _with_more_photons(table, values, generator)
            _write(file[beam].create_group(table.group), table, rows, scales)


def _with_more_photons(table: Table, values: Packed, generator: np.random.Generator) -> Packed:
    """Return rows of a beam with more photons than a miniature has: most of a real granule are photons."""
    if table is LAND:
        begin, number = values["ph_ndx_beg"], values["n_seg_ph"]
        begins = np.where(begin > 0, _PHOTONS * (begin - 1) + 1, 0)
        return {**values, "ph_ndx_beg": begins, "n_seg_ph": _PHOTONS * number}
    photons = {path: np.repeat(rows, _PHOTONS, axis=0) for path, rows in values.items()}
    for path, spread in (("ph_h", 0.3), ("delta_time", 1e-4)):
        noise = spread * generator.standard_normal(photons[path].size)
        photons[path] = photons[path] + noise.astype(photons[path].dtype)
    return photons


def _write(home: h5py.Group, table: Table, values: Packed, scales: Mapping[str, h5d.DatasetID]) -> None:
    for column in table.columns:
        rows = values[column.path]
        dataset = home.create_dataset(
            column.path,
            data=rows,
            chunks=(CHUNK, *rows.shape[1:]),
            maxshape=(None, *rows.shape[1:]),
            fillvalue=column.fill,
            compression=6,
            shuffle=True,
        ).id
        set_attributes(dataset, described(column, table.coordinates))
        if column.path == "delta_time":
            time = dataset
            set_attributes(time, {"CLASS": "DIMENSION_SCALE"})
            continue
        h5ds.attach_scale(dataset, time, 0)
        if column.scale:
            h5ds.attach_scale(dataset, scales[column.scale], 1)
