"""ATL08: land and vegetation height. Structure of version 006; names, types, units and flags as in real ones.

Photons are few: about four a segment, where a real strong beam has hundreds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from eoscale.synthetic import sun, surface, tracks
from eoscale.synthetic.atl08_tables import LAND, METRICS, PHOTONS
from eoscale.synthetic.columns import Packed, Table, complete
from eoscale.synthetic.passes import CLOUDY, OPAQUE, Pass

_SPEED = 2 * np.pi * tracks.EARTH_RADIUS / tracks.PERIOD
_STEPS = np.arange(-40.0, 41.0, 20.0)
"""Metres from a segment's middle to those of its five parts."""
_NOISE, _GROUND, _CANOPY, _TOP = range(4)

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ground:
    """What lies below one beam, all arrays (n,) float64; NaN where it was not seen."""

    terrain: Floats
    ice: Floats
    trees: Floats
    canopy: Floats
    """Height of the trees where canopy photons returned."""
    cloud: Floats
    photons: NDArray[np.int64]
    """(n, 4) photons of each class."""


def observe(one: Pass, beam: str) -> Iterator[tuple[Table, Packed]]:
    """Yield the tables of one beam and their packed values."""
    track, kept = one.fly(beam)
    generator = one.generator(3, tracks.BEAMS.index(beam))
    ground = _ground(one, track, one.cloudiness()[kept], generator)
    values = {
        **_place(one, track, ground),
        **_flags(one, track, ground, generator),
        **_terrain(track, ground, generator),
        **_canopy(ground, generator),
    }
    yield LAND, complete(LAND, values, generator)
    yield PHOTONS, _photons(one, track, ground, generator)


def _ground(one: Pass, track: tracks.Track, cloud: Floats, generator: np.random.Generator) -> _Ground:
    where = track.longitude, track.latitude
    trees = surface.canopy_height(*where)
    total = generator.poisson(np.where(cloud < OPAQUE, 4.0, 0.2))
    shares = np.where(trees[:, None] > 0, [0.1, 0.4, 0.3, 0.2], [0.1, 0.9, 0.0, 0.0])
    photons = generator.multinomial(total, shares)
    seen = (cloud < OPAQUE) & (photons[:, _GROUND] > 0)
    leaves = (cloud < OPAQUE) & (photons[:, _CANOPY] + photons[:, _TOP] > 0)
    height = surface.land_ice_height(*where, one.years)
    return _Ground(
        terrain=np.where(seen, height + 0.1 * generator.standard_normal(cloud.size), nan),
        ice=surface.ice_thickness(*where),
        trees=trees,
        canopy=np.where(leaves, trees * (1.0 + 0.1 * generator.standard_normal(cloud.size)), nan),
        cloud=cloud,
        photons=photons,
    )


def _place(one: Pass, track: tracks.Track, ground: _Ground) -> dict[str, NDArray[np.generic]]:
    """Return where and when the segments are, and which photons are theirs."""
    seconds = one.crossing + track.elapsed
    north, east = np.cos(np.radians(track.azimuth)), np.sin(np.radians(track.azimuth))
    degrees = np.degrees(_STEPS / tracks.EARTH_RADIUS)
    parallel = np.cos(np.radians(track.latitude))
    longitude = track.longitude[:, None] + (east / parallel)[:, None] * degrees
    azimuth, elevation = sun.position(track.longitude, track.latitude, seconds)
    first = np.floor(track.along / 20.0) + 1.0
    number = ground.photons.sum(axis=1)
    begin = np.concatenate([[0], np.cumsum(number)[:-1]]) + 1
    return {
        "delta_time": seconds,
        "delta_time_beg": seconds - 50.0 / _SPEED,
        "delta_time_end": seconds + 50.0 / _SPEED,
        "latitude": track.latitude,
        "longitude": track.longitude,
        "latitude_20m": track.latitude[:, None] + north[:, None] * degrees,
        "longitude_20m": (longitude + 180.0) % 360.0 - 180.0,
        "segment_id_beg": first,
        "segment_id_end": first + 4,
        "rgt": np.full(number.size, one.reference_track),
        "n_seg_ph": number,
        "ph_ndx_beg": np.where(number > 0, begin, 0),
        "beam_azimuth": np.radians(track.azimuth),
        "solar_azimuth": azimuth,
        "solar_elevation": elevation,
        "night_flag": elevation < 0.0,
    }


def _flags(
    one: Pass, track: tracks.Track, ground: _Ground, generator: np.random.Generator
) -> dict[str, NDArray[np.generic]]:
    """Return what is told about clouds and cover."""
    cloudy, icy = ground.cloud > CLOUDY, ground.ice > 0.0
    rare = generator.random((3, cloudy.size)) < 0.03
    winter = np.cos(2 * np.pi * one.years) * np.sign(track.latitude) > 0.0
    none = np.zeros(cloudy.size)
    return {
        "asr": np.where(icy, 0.8, 0.25) * (1.0 - 0.7 * ground.cloud),
        "brightness_flag": icy,
        "cloud_flag_atm": np.floor(4.0 * ground.cloud),
        "dem_flag": np.where(track.latitude > 60.0, 1, 2),
        "dem_removal_flag": rare[0],
        "layer_flag": cloudy,
        "msw_flag": np.where(cloudy, 2, 0),
        "ph_removal_flag": rare[1],
        "psf_flag": rare[2],
        "segment_landcover": np.select([icy, ground.trees > 5.0, ground.trees > 0.0], [70, 111, 20], 60),
        "segment_snowcover": np.select([icy, winter], [3, 2], 1),
        "snr": 0.3 + 8.0 * (1.0 - ground.cloud),
        "surf_type": np.stack([none + 1, none, none, icy, none], axis=1),
    }


def _terrain(
    track: tracks.Track, ground: _Ground, generator: np.random.Generator
) -> dict[str, NDArray[np.generic]]:
    """Return heights of the ground, all following the best fit."""
    height, terrain = ground.terrain, "terrain"
    reference = surface.land_ice_height(track.longitude, track.latitude, 0.0)
    slope = np.gradient(reference, track.along)
    spread = 0.2 + 30.0 * np.abs(slope)
    parts = height[:, None] + slope[:, None] * _STEPS
    unseen = generator.random(parts.shape) < 0.4
    return {
        "dem_h": reference,
        "h_dif_ref": height - reference,
        "sigma_topo": spread,
        f"{terrain}/h_te_best_fit": height,
        f"{terrain}/h_te_best_fit_20m": np.where(unseen, nan, parts),
        f"{terrain}/h_te_interp": height,
        f"{terrain}/h_te_max": height + 2.0 * spread,
        f"{terrain}/h_te_mean": height + 0.05 * spread,
        f"{terrain}/h_te_median": height,
        f"{terrain}/h_te_min": height - 2.0 * spread,
        f"{terrain}/h_te_mode": height,
        f"{terrain}/h_te_rh25": height - 0.7 * spread,
        f"{terrain}/h_te_skew": 0.0 * height,
        f"{terrain}/h_te_std": spread + 0.0 * height,
        f"{terrain}/h_te_uncertainty": 3.0 * spread + 0.0 * height,
        f"{terrain}/n_te_photons": ground.photons[:, _GROUND],
        f"{terrain}/photon_rate_te": ground.photons[:, _GROUND] / 14.0,
        f"{terrain}/subset_te_flag": _subset(unseen, ground.photons[:, _GROUND]),
        f"{terrain}/terrain_slope": slope + 0.0 * height,
    }


def _canopy(ground: _Ground, generator: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """Return heights of the trees, all in proportion to their 98 % height; missing where there are none."""
    tall = ground.canopy
    # without photons of the ground a height above it has nothing to stand on
    tall = np.where(np.isnan(ground.terrain), nan, tall)
    shares = {"": 1.0, "_max": 1.15, "_mean": 0.56, "_median": 0.54, "_min": 0.08}
    values: dict[str, NDArray[np.generic]] = {}
    for name, share in shares.items():
        # the producer puts "max" before the word and calls the 98 % height by the bare word
        path = f"canopy/h{name}_canopy"
        values[path] = share * tall
        values[f"{path}_abs"] = share * tall + ground.terrain
    profile = tall[:, None] * (METRICS / 98.0) ** 0.8
    leaves = ground.photons[:, _CANOPY] + ground.photons[:, _TOP]
    unseen = generator.random((tall.size, _STEPS.size)) < 0.4
    cover = np.where(np.isnan(tall), nan, np.clip(25.0 + 3.0 * tall, 0.0, 100.0))
    return values | {
        "canopy/canopy_h_metrics": profile,
        "canopy/canopy_h_metrics_abs": profile + ground.terrain[:, None],
        "canopy/canopy_openness": 0.22 * tall,
        "canopy/canopy_rh_conf": np.where(leaves > 0, 2, 0),
        "canopy/can_noise": 0.1 * tall,
        "canopy/centroid_height": 0.45 * tall + ground.terrain,
        "canopy/h_canopy_20m": np.where(unseen, nan, tall[:, None]),
        "canopy/h_canopy_quad": 0.62 * tall,
        "canopy/h_canopy_uncertainty": 1.0 + 0.2 * tall,
        "canopy/h_dif_canopy": 0.46 * tall,
        "canopy/n_ca_photons": ground.photons[:, _CANOPY],
        "canopy/n_toc_photons": ground.photons[:, _TOP],
        "canopy/photon_rate_can": leaves / 14.0,
        "canopy/photon_rate_can_nr": leaves / 14.0,
        "canopy/segment_cover": cover,
        "canopy/subset_can_flag": _subset(unseen, leaves),
        "canopy/toc_roughness": 0.2 * tall,
    }


def _subset(unseen: NDArray[np.bool_], photons: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (n, 5) flags: -1 without any photon in that part, 0 without one of the class, 1 with some."""
    return np.where(unseen, -1, (photons > 0)[:, None].astype(np.int64))


def _photons(one: Pass, track: tracks.Track, ground: _Ground, generator: np.random.Generator) -> Packed:
    """Return the photons of all segments, one segment after the other."""
    segment = np.repeat(np.arange(track.along.size), ground.photons.sum(axis=1))
    kind = np.repeat(np.tile(np.arange(4), track.along.size), ground.photons.ravel())
    trees, chance = ground.trees[segment], generator.random(segment.size)
    height = np.select(
        [kind == _GROUND, kind == _CANOPY, kind == _TOP],
        [0.3 * (chance - 0.5), trees * (0.1 + 0.7 * chance), trees * (0.8 + 0.3 * chance)],
        60.0 * (chance - 0.3),
    )
    # from one segment's begin to its end, whose photons are then in order of time
    begins = np.flatnonzero(np.diff(segment, prepend=-1))
    rank = np.arange(segment.size) - np.repeat(begins, np.diff(begins, append=segment.size))
    offset = (np.minimum(rank, 19) * 5.0 - 47.5) / _SPEED
    values = {
        "delta_time": one.crossing + track.elapsed[segment] + offset,
        "classed_pc_flag": kind,
        "classed_pc_indx": rank + 1,
        "d_flag": kind != _NOISE,
        "ph_h": height,
        "ph_segment_id": np.floor((track.along[segment] + offset * _SPEED) / 20.0) + 1.0,
    }
    return complete(PHOTONS, values, generator)
