from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from eoscale.model.region import Region
from eoscale.products.icesat2 import ATL08
from eoscale.synthetic import make

FLOAT_MAX = np.finfo("f4").max


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a granule over central Europe."""
    region = Region.from_bbox(6, 46, 16, 54)
    return make(ATL08, 1, folder=tmp_path_factory.mktemp("forest"), region=region)[0]


def test_segments_count_and_place_their_photons(forest: Path) -> None:
    with h5py.File(forest) as file:
        for beam in (name for name in file if name.startswith("gt")):
            land, photons = file[beam]["land_segments"], file[beam]["signal_photons"]
            first, number = land["ph_ndx_beg"][:], land["n_seg_ph"][:]
            assert number.sum() == photons["delta_time"].size
            assert (first[number == 0] == 0).all()
            some = number > 0
            np.testing.assert_array_equal(first[some][1:], first[some][:-1] + number[some][:-1])
            assert first[some][0] == 1
            owner = np.repeat(np.arange(number.size), number)
            assert (photons["ph_segment_id"][:] >= land["segment_id_beg"][:][owner] - 3).all()
            assert (photons["ph_segment_id"][:] <= land["segment_id_end"][:][owner] + 3).all()


def test_photons_of_each_class_are_counted(forest: Path) -> None:
    with h5py.File(forest) as file:
        land, photons = file["gt2l/land_segments"], file["gt2l/signal_photons"]
        kinds = np.bincount(photons["classed_pc_flag"][:], minlength=4)
        assert kinds[1] == land["terrain/n_te_photons"][:].sum()
        assert kinds[2] == land["canopy/n_ca_photons"][:].sum()
        assert kinds[3] == land["canopy/n_toc_photons"][:].sum()
        assert (np.diff(photons["delta_time"][:]) >= 0).all()


def test_there_are_trees_in_europe_and_bare_ground_between_them(forest: Path) -> None:
    with h5py.File(forest) as file:
        canopy = file["gt2l/land_segments/canopy"]
        height = canopy["h_canopy"][:]
        there = height != FLOAT_MAX
        assert 0.2 < there.mean() < 0.95
        assert 2 < np.median(height[there]) < 40
        assert (canopy["h_max_canopy"][:][there] >= height[there]).all()
        metrics = canopy["canopy_h_metrics"][:][there]
        assert (np.diff(metrics, axis=1) >= 0).all()
        assert (metrics[:, -1] <= height[there]).all()


def test_canopy_is_missing_on_the_ice(atl08: tuple[Path, ...]) -> None:
    with h5py.File(atl08[0]) as file:
        land = file["gt1l/land_segments"]
        icy = land["segment_landcover"][:] == 70
        assert icy.any()
        assert (land["canopy/h_canopy"][:][icy] == FLOAT_MAX).all()
        assert (land["canopy/segment_cover"][:][icy] == 32_767).all()
