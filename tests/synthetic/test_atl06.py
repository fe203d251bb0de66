from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

FLOAT_MAX = np.finfo("f4").max


@pytest.fixture
def beams(atl06: tuple[Path, ...]) -> list[dict[str, np.ndarray]]:
    names = [
        "delta_time",
        "latitude",
        "longitude",
        "h_li",
        "h_li_sigma",
        "atl06_quality_summary",
        "segment_id",
    ]
    found = []
    for path in atl06:
        with h5py.File(path) as file:
            groups = [file[beam]["land_ice_segments"] for beam in file if beam.startswith("gt")]
            found += [{name: group[name][:] for name in names} for group in groups]
    return found


def test_rows_go_forward_in_time_and_never_repeat(beams: list[dict[str, np.ndarray]]) -> None:
    for beam in beams:
        assert (np.diff(beam["delta_time"]) > 0).all()
        assert (np.diff(beam["segment_id"]) > 0).all()


def test_about_an_eighth_to_a_sixth_of_the_heights_are_missing_and_a_fifth_is_doubtful(
    beams: list[dict[str, np.ndarray]],
) -> None:
    missing = np.concatenate([beam["h_li"] == FLOAT_MAX for beam in beams])
    doubtful = np.concatenate([beam["atl06_quality_summary"] == 1 for beam in beams])
    assert 0.12 < missing.mean() < 0.18
    assert 0.17 < doubtful.mean() < 0.25
    assert doubtful[missing].all()


def test_doubtful_rows_come_in_runs_as_clouds_do(beams: list[dict[str, np.ndarray]]) -> None:
    doubtful = beams[0]["atl06_quality_summary"] == 1
    begins = np.count_nonzero(np.diff(doubtful.astype(int)) == 1)
    assert doubtful.sum() / max(begins, 1) > 3


def test_neighbouring_beams_agree_on_the_height_within_their_errors(atl06: tuple[Path, ...]) -> None:
    with h5py.File(atl06[0]) as file:
        left, right = (file[f"{beam}/land_ice_segments"] for beam in ("gt1l", "gt1r"))
        _, one, other = np.intersect1d(left["segment_id"], right["segment_id"], return_indices=True)
        best = (left["atl06_quality_summary"][:][one] == 0) & (right["atl06_quality_summary"][:][other] == 0)
        difference = (left["h_li"][:][one] - right["h_li"][:][other])[best]
    assert np.median(np.abs(difference)) < 1.0


def test_missing_heights_take_their_fit_with_them(atl06: tuple[Path, ...]) -> None:
    with h5py.File(atl06[0]) as file:
        group = file["gt1l/land_ice_segments"]
        missing = group["h_li"][:] == FLOAT_MAX
        for name in ("h_li_sigma", "fit_statistics/h_mean", "fit_statistics/dh_fit_dx", "geophysical/r_eff"):
            np.testing.assert_array_equal(group[name][:] == FLOAT_MAX, missing)
