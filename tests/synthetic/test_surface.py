from __future__ import annotations

import numpy as np

from eoscale.synthetic import surface

LONGITUDE, LATITUDE = (
    values.ravel() for values in np.meshgrid(np.arange(-180.0, 180.0, 3.0), np.arange(-90.0, 90.1, 3.0))
)


def test_every_place_of_the_earth_has_a_plausible_height() -> None:
    height = surface.land_ice_height(LONGITUDE, LATITUDE, 6.0)
    assert np.isfinite(height).all()
    assert height.min() > -20
    assert height.max() < 4000


def test_ice_lies_in_greenland_only_and_has_two_summits() -> None:
    ice = surface.ice_thickness(LONGITUDE, LATITUDE)
    there = (LONGITUDE > -75) & (LONGITUDE < -10) & (LATITUDE > 58) & (LATITUDE < 84)
    assert not ice[~there].any()
    summits_and_saddle = surface.ice_thickness(np.array([-39.0, -43.0, -44.8]), np.array([72.7, 67.0, 64.3]))
    assert summits_and_saddle.argmin() == 1


def test_the_surface_has_no_seam_at_the_antimeridian() -> None:
    latitude = np.linspace(-85.0, 85.0, 50)
    east = surface.land_ice_height(np.full(50, 180.0), latitude, 0.0)
    west = surface.land_ice_height(np.full(50, -180.0), latitude, 0.0)
    np.testing.assert_allclose(east, west, atol=1e-6)


def test_ice_thins_near_the_margin_and_stays_inland() -> None:
    longitude, latitude = np.array([-38.5, -49.3]), np.array([72.6, 68.0])
    change = surface.land_ice_height(longitude, latitude, 6.0) - surface.land_ice_height(
        longitude, latitude, 0.0
    )
    assert -0.5 < change[0] <= 0
    assert -10 < change[1] < -0.5


def test_trees_grow_in_patches_off_the_ice_and_lower_towards_the_poles() -> None:
    trees = surface.canopy_height(LONGITUDE, LATITUDE)
    assert not trees[surface.ice_thickness(LONGITUDE, LATITUDE) > 0].any()
    assert trees.max() < 60
    assert trees[np.abs(LATITUDE) < 10].max() > trees[np.abs(LATITUDE - 65) < 5].max()
    assert not trees[np.abs(LATITUDE) > 85].any()
    assert 0.1 < np.mean(trees > 0) < 0.9
