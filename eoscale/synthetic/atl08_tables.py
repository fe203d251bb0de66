"""The datasets of an ATL08 beam."""

from __future__ import annotations

import numpy as np

from eoscale.synthetic.columns import Column, Table, exact, flag, largest, measure

METRICS = np.arange(10.0, 100.0, 5.0)
"""Percentiles of ``canopy_h_metrics``."""

_SINCE = "seconds since 2018-01-01"
_BYTE, _INTEGER = int(largest("i1")), int(largest("i4"))
_THRESHOLD = "below_threshold above_threshold"
_TERRAIN_HEIGHTS = (
    "best_fit",
    "interp",
    "max",
    "mean",
    "median",
    "min",
    "mode",
    "rh25",
    "skew",
    "std",
    "uncertainty",
)
_CANOPY_HEIGHTS = ("h_canopy", "h_max_canopy", "h_mean_canopy", "h_median_canopy", "h_min_canopy")

_SEGMENT = (
    exact("delta_time", "f8", _SINCE),
    exact("delta_time_beg", "f8", _SINCE),
    exact("delta_time_end", "f8", _SINCE),
    exact("latitude", "f4", "degrees_north"),
    exact("longitude", "f4", "degrees_east"),
    exact("latitude_20m", "f4", "degrees_north", scale="ds_geosegments"),
    exact("longitude_20m", "f4", "degrees_east", scale="ds_geosegments"),
    measure("asr"),
    measure("atlas_pa", "radians", 0.0, 0.03),
    measure("beam_azimuth", "radians"),
    measure("beam_coelev", "radians", 1.54, 1.57),
    flag("brightness_flag", "not_bright_surface bright_surface", fill=_BYTE),
    flag("cloud_flag_atm", fill=_BYTE),
    flag(
        "cloud_fold_flag",
        "no_folding goes5_indicates profile_indicates both_indicate",
        fill=_BYTE,
    ),
    flag("dem_flag", "none arctic gmted mss antarctic", fill=_BYTE),
    measure("dem_h", "meters"),
    flag("dem_removal_flag", _THRESHOLD),
    measure("h_dif_ref", "meters"),
    exact("last_seg_extend", "f4", "kilometers"),
    flag("layer_flag", "likely_clear likely_cloudy"),
    flag(
        "msw_flag",
        "cannot_determine no_layers layer_gt_3km layer_between_1_and_3_km layer_lt_1km "
        "blow_snow_od_lt_0.5 blow_snow_od_gt_0.5",
        first=-1,
        fill=_BYTE,
    ),
    exact("n_seg_ph", "i4", "1"),
    flag("night_flag", "day night", fill=_INTEGER, dtype="i4"),
    exact("ph_ndx_beg", "i8", "1"),
    flag("ph_removal_flag", _THRESHOLD),
    flag("psf_flag", _THRESHOLD),
    exact("rgt", "i2", "1"),
    flag("sat_flag", fill=_BYTE),
    exact("segment_id_beg", "i4", "1"),
    exact("segment_id_end", "i4", "1"),
    flag("segment_landcover", fill=255, dtype="i2"),
    flag("segment_snowcover", "ice_free_water snow_free_land snow ice", fill=_BYTE),
    flag("segment_watermask", "no_water water", fill=255, dtype="i4"),
    measure("sigma_across", "1", 4.0, 5.0),
    measure("sigma_along", "1", 4.0, 5.0),
    measure("sigma_atlas_land", "1", 0.2, 1.1),
    measure("sigma_h", "1", 0.1, 0.3),
    measure("sigma_topo"),
    measure("snr"),
    exact("solar_azimuth", "f4", "degrees_east"),
    exact("solar_elevation", "f4", "degrees"),
    flag("surf_type", "not_type is_type", scale="ds_surf_type"),
    flag("terrain_flg", _THRESHOLD, fill=_INTEGER, dtype="i4"),
    flag("urban_flag", "not_urban urban", fill=_INTEGER, dtype="i4"),
)

_CANOPY = (
    measure("canopy/can_noise", "1"),
    measure("canopy/canopy_h_metrics", "meters", scale="ds_metrics"),
    measure("canopy/canopy_h_metrics_abs", "meters", scale="ds_metrics"),
    measure("canopy/canopy_openness", "meters"),
    flag("canopy/canopy_rh_conf", "<5%_canopy >=5%_canopy_<5%_ground >=5%_canopy_>=5%_ground"),
    measure("canopy/centroid_height", "meters"),
    measure("canopy/h_canopy_20m", "meters", scale="ds_geosegments"),
    measure("canopy/h_canopy_quad", "meters"),
    measure("canopy/h_canopy_uncertainty", "meters"),
    measure("canopy/h_dif_canopy", "meters"),
    *(measure(f"canopy/{name}", "meters") for name in _CANOPY_HEIGHTS),
    *(measure(f"canopy/{name}_abs", "meters") for name in _CANOPY_HEIGHTS),
    exact("canopy/n_ca_photons", "i4", "1"),
    exact("canopy/n_toc_photons", "i4", "1"),
    measure("canopy/photon_rate_can", "photons/shot"),
    measure("canopy/photon_rate_can_nr", "photons/shot"),
    Column(path="canopy/segment_cover", dtype="i2", units="percent", fill=largest("i2")),
    flag(
        "canopy/subset_can_flag",
        "no_photon_data_within_geosegment no_canopy_photons_within_geosegment "
        "canopy_photons_present_within_geosegment",
        first=-1,
        fill=_BYTE,
        scale="ds_geosegments",
    ),
    measure("canopy/toc_roughness", "meters"),
)

_TERRAIN = (
    *(measure(f"terrain/h_te_{name}", "meters") for name in _TERRAIN_HEIGHTS),
    measure("terrain/h_te_best_fit_20m", "meters", scale="ds_geosegments"),
    exact("terrain/n_te_photons", "i4", "1"),
    measure("terrain/photon_rate_te", "photons/shot"),
    flag(
        "terrain/subset_te_flag",
        "no_photon_data_within_geosegment no_terrain_photons_within_geosegment "
        "terrain_photons_present_within_geosegment",
        first=-1,
        fill=_BYTE,
        scale="ds_geosegments",
    ),
    measure("terrain/terrain_slope"),
)

LAND = Table(group="land_segments", columns=(*_SEGMENT, *_CANOPY, *_TERRAIN))
"""Segments of 100 m."""

PHOTONS = Table(
    group="signal_photons",
    coordinates=("delta_time",),
    columns=(
        exact("delta_time", "f8", _SINCE),
        flag("classed_pc_flag", "noise ground canopy top_of_canopy"),
        exact("classed_pc_indx", "i4", "1"),
        flag("d_flag", "noise signal"),
        exact("ph_h", "f4", "meters"),
        exact("ph_segment_id", "i4", "1"),
    ),
)
"""Photons in the order of their segments, which count and place them."""

TABLES = (LAND, PHOTONS)
"""Of every beam."""

SCALES = {
    "ds_geosegments": np.arange(1, 6, dtype="i1"),
    "ds_metrics": np.arange(1, METRICS.size + 1, dtype="i1"),
    "ds_surf_type": np.arange(1, 6, dtype="i4"),
}
"""Of second dimensions, at the root of the file."""
