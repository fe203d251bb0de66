"""ATL06: land ice height. Structure of version 006; names, types, units and flags as in real granules."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from eoscale.synthetic import sun, surface, tracks
from eoscale.synthetic.columns import Column, Packed, Table, complete, exact, fitted, flag, largest, measure
from eoscale.synthetic.passes import CLOUDY, OPAQUE, Pass

_WEAK_PHOTONS, _STRONG_PHOTONS = 70, 280
"""Signal photons of a segment under a clear sky."""
_BYTE = int(largest("i1"))

_SEGMENTS = Table(
    group="land_ice_segments",
    columns=(
        exact("delta_time", "f8", "seconds since 2018-01-01"),
        exact("latitude", "f8", "degrees_north"),
        exact("longitude", "f8", "degrees_east"),
        fitted("h_li", "meters"),
        fitted("h_li_sigma", "meters"),
        measure("sigma_geo_h", "meters", 0.03, 0.3),
        flag("atl06_quality_summary", "best_quality potential_problem"),
        flag("segment_id", dtype="i4", fill=0),
        fitted("bias_correction/fpb_mean_corr", "meters", -0.02, 0.02),
        fitted("bias_correction/fpb_mean_corr_sigma", "meters", 0.01, 0.05),
        fitted("bias_correction/fpb_med_corr", "meters", -0.02, 0.02),
        fitted("bias_correction/fpb_med_corr_sigma", "meters", 0.01, 0.06),
        fitted("bias_correction/fpb_n_corr", "counts", 40.0, 300.0),
        measure("bias_correction/med_r_fit", "meters", -0.02, 0.02),
        fitted("bias_correction/tx_mean_corr", "meters", -0.002, 0.002),
        fitted("bias_correction/tx_med_corr", "meters", -0.004, 0.0),
        flag("dem/dem_flag", "none arctic gmted mss antarctic"),
        exact("dem/dem_h", "f4", "meters"),
        measure("dem/geoid_free2mean", "meters", -0.15, -0.1),
        measure("dem/geoid_h", "meters", 25.0, 55.0),
        fitted("fit_statistics/dh_fit_dx", "meters/meters"),
        measure("fit_statistics/dh_fit_dx_sigma", "meters/meters", 0.001, 0.02),
        measure("fit_statistics/dh_fit_dy", "meters/meters"),
        measure("fit_statistics/h_expected_rms", "meters", 0.1, 0.6),
        fitted("fit_statistics/h_mean", "meters"),
        measure("fit_statistics/h_rms_misfit", "meters", 0.1, 0.8),
        measure("fit_statistics/h_robust_sprd", "meters"),
        flag("fit_statistics/n_fit_photons", dtype="i4", fill=int(largest("i4"))),
        measure("fit_statistics/n_seg_pulses", "counts", 56.25, 57.5),
        measure("fit_statistics/sigma_h_mean", "meters"),
        flag(
            "fit_statistics/signal_selection_source",
            "succeeded_using_pe succeeded_using_flagged_pe succeeded_using_backup failed",
        ),
        flag("fit_statistics/signal_selection_source_status"),
        measure("fit_statistics/snr", "1"),
        measure("fit_statistics/snr_significance", "1", 0.0, 0.02),
        fitted("fit_statistics/w_surface_window_final", "meters", 3.0, 6.0),
        fitted("geophysical/bckgrd", "hz", 1e5, 2.6e6),
        flag("geophysical/bsnow_conf", first=-3, fill=_BYTE),
        measure("geophysical/bsnow_h", "meters"),
        measure("geophysical/bsnow_od", "1"),
        flag(
            "geophysical/cloud_flg_asr",
            "clear_with_high_confidence clear_with_medium_confidence clear_with_low_confidence "
            "cloudy_with_low_confidence cloudy_with_medium_confidence cloudy_with_high_confidence",
            fill=_BYTE,
        ),
        flag("geophysical/cloud_flg_atm", "no yes", fill=_BYTE),
        measure("geophysical/dac", "meters", -0.1, 0.1),
        measure("geophysical/e_bckgrd", "hz", 2e5, 1e6),
        flag("geophysical/layer_flag", "likely_clear likely_cloudy", fill=_BYTE),
        flag(
            "geophysical/msw_flag",
            "cannot_determine no_layers layer_gt_3km layer_between_1_and_3_km layer_lt_1km "
            "blow_snow_od_lt_0.5 blow_snow_od_gt_0.5",
            first=-1,
            fill=_BYTE,
        ),
        measure("geophysical/neutat_delay_total", "meters", 1.6, 2.3),
        fitted("geophysical/r_eff", "1", 0.3, 0.9),
        measure("geophysical/solar_azimuth", "degrees_east"),
        measure("geophysical/solar_elevation", "degrees"),
        measure("geophysical/tide_earth", "meters", -0.14, 0.14),
        measure("geophysical/tide_earth_free2mean", "meters", -0.05, -0.03),
        measure("geophysical/tide_equilibrium", "meters"),
        measure("geophysical/tide_load", "meters", -0.01, 0.01),
        measure("geophysical/tide_ocean", "meters"),
        measure("geophysical/tide_pole", "meters", -0.004, 0.004),
        measure("ground_track/ref_azimuth", "radians", -1.6, 1.6),
        measure("ground_track/ref_coelv", "radians", 1.54, 1.57),
        measure("ground_track/seg_azimuth", "degrees"),
        measure("ground_track/sigma_geo_at", "meters", 2.5, 5.0),
        measure("ground_track/sigma_geo_r", "meters", 0.03, 0.05),
        measure("ground_track/sigma_geo_xt", "meters", 2.5, 5.0),
        Column(path="ground_track/x_atc", dtype="f8", units="meters", fill=largest("f8")),
        fitted("ground_track/y_atc", "meters"),
    ),
)

_SELECTION = "signal_selection_status/signal_selection_status"
_REFERENCE_POINTS = Table(
    group="segment_quality",
    coordinates=("delta_time", "reference_pt_lat", "reference_pt_lon"),
    columns=(
        exact("delta_time", "f8", "seconds since 2018-01-01"),
        exact("record_number", "i4", "1"),
        exact("reference_pt_lat", "f8", "degrees_north"),
        exact("reference_pt_lon", "f8", "degrees_east"),
        exact("segment_id", "i4", "1"),
        flag(
            "signal_selection_source",
            "succeeded_using_pe succeeded_using_flagged_pe succeeded_using_backup failed",
        ),
        flag(f"{_SELECTION}_all"),
        flag(f"{_SELECTION}_backup"),
        flag(f"{_SELECTION}_confident"),
    ),
)

_SEGMENTS_A_HISTOGRAM = 10
_HISTOGRAMS = Table(
    group="residual_histogram",
    coordinates=("delta_time", "lat_mean", "lon_mean"),
    columns=(
        exact("delta_time", "f8", "seconds since 2018-01-01"),
        measure("bckgrd_per_m", "counts/meter", 0.01, 0.2),
        exact("count", "i4", "counts", scale="bin_top_h"),
        exact("lat_mean", "f8", "degrees_north"),
        exact("lon_mean", "f8", "degrees_east"),
        exact("pulse_count", "i4", "counts", 560, 575),
        exact("segment_id_list", "i4", "1", scale="ds_segment_id"),
        exact("x_atc_mean", "f8", "meters"),
    ),
    scales={
        "bin_top_h": np.linspace(-1.4, 1.5, 30).astype("f4"),
        "ds_segment_id": np.arange(1, _SEGMENTS_A_HISTOGRAM + 1, dtype="i4"),
    },
)


TABLES = (_SEGMENTS, _REFERENCE_POINTS, _HISTOGRAMS)
"""Of every beam."""


def observe(one: Pass, beam: str) -> Iterator[tuple[Table, Packed]]:
    """Yield the tables of one beam and their packed values."""
    track, kept = one.fly(beam)
    generator = one.generator(3, tracks.BEAMS.index(beam))
    cloud = one.cloudiness()[kept]
    yield _SEGMENTS, _segments(one, track, cloud, generator, strong=one.is_strong(beam))
    yield _REFERENCE_POINTS, _reference_points(one, generator)
    yield _HISTOGRAMS, _histograms(one, track, generator)


def _segments(
    one: Pass,
    track: tracks.Track,
    cloud: NDArray[np.float64],
    generator: np.random.Generator,
    *,
    strong: bool,
) -> Packed:
    valid = cloud < OPAQUE
    doubtful = ~valid | (cloud > CLOUDY) | (generator.random(cloud.size) < 0.02)
    height = surface.land_ice_height(track.longitude, track.latitude, one.years)
    slope = np.gradient(height, track.along)
    photons = 10 + (_STRONG_PHOTONS if strong else _WEAK_PHOTONS) * (1.0 - 0.7 * cloud)
    spread = 0.12 + 2.0 * np.abs(slope) + 0.3 * cloud
    error = 0.01 + spread / np.sqrt(photons)
    # where a cloud may have been taken for the surface the height is off by metres
    mistaken = np.where(doubtful, 4.0 * generator.standard_normal(cloud.size), 0.0)
    height = height + mistaken + error * generator.standard_normal(cloud.size)
    azimuth, elevation = sun.position(track.longitude, track.latitude, one.crossing + track.elapsed)
    values = {
        "delta_time": one.crossing + track.elapsed,
        "latitude": track.latitude,
        "longitude": track.longitude,
        "h_li": height,
        "h_li_sigma": error,
        "atl06_quality_summary": doubtful,
        "segment_id": _segment_id(track.along),
        "dem/dem_flag": np.where(track.latitude > 60.0, 1, 2),
        "dem/dem_h": surface.land_ice_height(track.longitude, track.latitude, 0.0) + 2.0 * cloud,
        "fit_statistics/dh_fit_dx": slope,
        "fit_statistics/h_mean": height + 0.01 * generator.standard_normal(cloud.size),
        "fit_statistics/h_robust_sprd": spread,
        "fit_statistics/n_fit_photons": photons,
        "fit_statistics/sigma_h_mean": error,
        "fit_statistics/signal_selection_source": np.digitize(cloud, [0.7, CLOUDY, 0.99]),
        "fit_statistics/snr": 20.0 * (1.0 - cloud),
        "geophysical/cloud_flg_asr": np.floor(6 * cloud),
        "geophysical/cloud_flg_atm": cloud > CLOUDY,
        "geophysical/layer_flag": cloud > CLOUDY,
        "geophysical/msw_flag": np.where(cloud > CLOUDY, 2, 0),
        "geophysical/solar_azimuth": azimuth,
        "geophysical/solar_elevation": elevation,
        "ground_track/seg_azimuth": track.azimuth,
        "ground_track/x_atc": track.along,
        # the producer counts across-track distance to the left
        "ground_track/y_atc": np.full(cloud.size, -track.across),
    }
    return complete(_SEGMENTS, values, generator, valid)


def _reference_points(one: Pass, generator: np.random.Generator) -> Packed:
    track = tracks.fly(one.node, one.arguments, 0.0)
    cloud = one.cloudiness()
    identity = _segment_id(track.along)
    values = {
        "delta_time": one.crossing + track.elapsed,
        "record_number": identity,
        "reference_pt_lat": track.latitude,
        "reference_pt_lon": track.longitude,
        "segment_id": identity,
        "signal_selection_source": np.digitize(cloud, [0.7, CLOUDY, OPAQUE]),
        f"{_SELECTION}_all": np.where(cloud > OPAQUE, 3, 0),
        f"{_SELECTION}_backup": np.where(cloud > OPAQUE, 4, 0),
        f"{_SELECTION}_confident": np.where(cloud > 0.7, 3, 0),
    }
    return complete(_REFERENCE_POINTS, values, generator)


def _histograms(one: Pass, track: tracks.Track, generator: np.random.Generator) -> Packed:
    rows = track.along.size // _SEGMENTS_A_HISTOGRAM
    grouped = slice(0, rows * _SEGMENTS_A_HISTOGRAM)
    members = (rows, _SEGMENTS_A_HISTOGRAM)
    bins = _HISTOGRAMS.scales["bin_top_h"].astype(np.float64)
    middle = slice(_SEGMENTS_A_HISTOGRAM // 2, grouped.stop, _SEGMENTS_A_HISTOGRAM)
    values = {
        "delta_time": one.crossing + track.elapsed[grouped].reshape(members).mean(axis=1),
        "count": generator.poisson(60.0 * np.exp(-((bins / 0.3) ** 2)) + 0.5, (rows, bins.size)),
        # of the middle one, as longitudes have no mean across the antimeridian
        "lat_mean": track.latitude[middle],
        "lon_mean": track.longitude[middle],
        "segment_id_list": _segment_id(track.along[grouped]).reshape(members),
        "x_atc_mean": track.along[grouped].reshape(members).mean(axis=1),
    }
    return complete(_HISTOGRAMS, values, generator)


def _segment_id(along: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which of the 20 m segments since the node hold some distances, from 1."""
    return np.floor(along / 20.0) + 1.0
