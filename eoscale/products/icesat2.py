"""ICESat-2 products: ATL06 land ice height, ATL08 land and vegetation height.

Structure as read from granules of versions 002 (ATL06) and 006 (ATL08), and from the dumps of whole
granules of version 003. Seconds count from 2018-01-01 UTC: ``atlas_sdp_gps_epoch`` is that same moment
in GPS seconds, so nothing is added and no leap second removed.
"""

from __future__ import annotations

from eoscale.model.product import Catalogued, Condition, Fill, Preset, Product, Rate, Variable

BEAMS = ("gt1l", "gt1r", "gt2l", "gt2r", "gt3l", "gt3r")
"""Ground tracks from left to right of the flight direction. Which are strong follows ``sc_orient``."""

EPOCH = "2018-01-01T00:00:00"
FILL = Fill(attribute=True, float32=3.4028234663852886e38, float64=1.7976931348623157e308)
"""Floats are filled with the largest value of their type; integers only as their attribute says."""

LONGEST = 900.0
"""Seconds. A granule covers one of 14 regions of an orbit of 94.2 minutes, the longest about 8.5 minutes."""

IDENTITY = ("rgt", "cycle", "region")


def _name_pattern(product: str) -> str:
    # ATLxx_yyyymmddhhmmss_ttttccss_vvv_rr: track, cycle, region, version, revision
    return (
        rf"{product}_(?P<start>\d{{14}})_(?P<rgt>\d{{4}})(?P<cycle>\d{{2}})(?P<region>\d{{2}})"
        r"_(?P<version>\d{3})_(?P<revision>\d{2})"
    )


_COORDINATES = {
    "latitude": "degrees_north",
    "longitude": "degrees_east",
    "delta_time": "seconds since 2018-01-01",
}


def _coordinates(group: str) -> dict[str, Variable]:
    return {name: Variable(path=f"{group}/{name}", units=units) for name, units in _COORDINATES.items()}


_ICE = "land_ice_segments"

ATL06 = Product(
    name="ATL06",
    title="ICESat-2 ATL06: land ice height, 40 m segments",
    kind="track",
    groups=BEAMS,
    rates=(
        Rate(
            name="segment",
            group=_ICE,
            longitude=f"{_ICE}/longitude",
            latitude=f"{_ICE}/latitude",
            time=f"{_ICE}/delta_time",
        ),
        Rate(name="residual histogram", group="residual_histogram"),
        Rate(name="reference point", group="segment_quality"),
    ),
    variables={
        **_coordinates(_ICE),
        "h_li": Variable(path=f"{_ICE}/h_li", units="m", description="land ice height above WGS 84"),
        "h_li_sigma": Variable(path=f"{_ICE}/h_li_sigma", units="m", description="error of h_li from fit"),
        "sigma_geo_h": Variable(
            path=f"{_ICE}/sigma_geo_h", units="m", description="error of h_li from geolocation"
        ),
        "atl06_quality_summary": Variable(
            path=f"{_ICE}/atl06_quality_summary", units="1", description="0 best, 1 potential problem"
        ),
        "segment_id": Variable(path=f"{_ICE}/segment_id", units="1", description="along-track segment"),
        "dh_fit_dx": Variable(
            path=f"{_ICE}/fit_statistics/dh_fit_dx", units="1", description="along-track slope"
        ),
        "h_robust_sprd": Variable(
            path=f"{_ICE}/fit_statistics/h_robust_sprd", units="m", description="spread of residuals"
        ),
        "n_fit_photons": Variable(
            path=f"{_ICE}/fit_statistics/n_fit_photons", units="1", description="photons of the fit"
        ),
        "dem_h": Variable(path=f"{_ICE}/dem/dem_h", units="m", description="height of the reference DEM"),
        "geoid_h": Variable(path=f"{_ICE}/dem/geoid_h", units="m", description="geoid above WGS 84"),
        "x_atc": Variable(path=f"{_ICE}/ground_track/x_atc", units="m", description="along-track distance"),
        "bsnow_h": Variable(
            path=f"{_ICE}/geophysical/bsnow_h", units="m", description="top of blowing snow layer"
        ),
    },
    epoch=EPOCH,
    name_pattern=_name_pattern("ATL06"),
    longest=LONGEST,
    fill=FILL,
    quality={
        "best": Preset(
            conditions=(Condition(variable="atl06_quality_summary", comparison="==", value=0),),
            source="ATL06 ATBD section 4.3: zero means that no quality test found a problem",
        ),
    },
    catalogued=(Catalogued(provider="cmr", name="ATL06"),),
    identity=IDENTITY,
    citation=(
        "Smith, B. et al. ATLAS/ICESat-2 L3A Land Ice Height (ATL06). NASA National Snow and Ice Data "
        "Center Distributed Active Archive Center. https://doi.org/10.5067/ATLAS/ATL06"
    ),
)

_LAND = "land_segments"
_CANOPY = f"{_LAND}/canopy"
_TERRAIN = f"{_LAND}/terrain"

ATL08 = Product(
    name="ATL08",
    title="ICESat-2 ATL08: land and vegetation height, 100 m segments",
    kind="track",
    groups=BEAMS,
    rates=(
        Rate(
            name="segment",
            group=_LAND,
            longitude=f"{_LAND}/longitude",
            latitude=f"{_LAND}/latitude",
            time=f"{_LAND}/delta_time",
        ),
        Rate(
            name="photon",
            group="signal_photons",
            parent="segment",
            first=f"{_LAND}/ph_ndx_beg",
            number=f"{_LAND}/n_seg_ph",
        ),
    ),
    variables={
        **_coordinates(_LAND),
        "h_canopy": Variable(
            path=f"{_CANOPY}/h_canopy", units="m", description="98 % relative canopy height"
        ),
        "h_canopy_uncertainty": Variable(path=f"{_CANOPY}/h_canopy_uncertainty", units="m"),
        "h_max_canopy": Variable(
            path=f"{_CANOPY}/h_max_canopy", units="m", description="highest relative canopy height"
        ),
        "h_mean_canopy": Variable(
            path=f"{_CANOPY}/h_mean_canopy", units="m", description="mean relative canopy height"
        ),
        "canopy_openness": Variable(
            path=f"{_CANOPY}/canopy_openness", units="m", description="spread of canopy photon heights"
        ),
        "toc_roughness": Variable(
            path=f"{_CANOPY}/toc_roughness", units="m", description="spread of top of canopy photons"
        ),
        "n_ca_photons": Variable(
            path=f"{_CANOPY}/n_ca_photons", units="1", description="canopy photons of the segment"
        ),
        "h_te_best_fit": Variable(
            path=f"{_TERRAIN}/h_te_best_fit", units="m", description="terrain height at mid-point"
        ),
        "h_te_uncertainty": Variable(path=f"{_TERRAIN}/h_te_uncertainty", units="m"),
        "terrain_slope": Variable(
            path=f"{_TERRAIN}/terrain_slope", units="1", description="along-track slope"
        ),
        "n_te_photons": Variable(
            path=f"{_TERRAIN}/n_te_photons", units="1", description="ground photons of the segment"
        ),
        "dem_h": Variable(path=f"{_LAND}/dem_h", units="m", description="height of the reference DEM"),
        "layer_flag": Variable(path=f"{_LAND}/layer_flag", units="1", description="1 likely cloudy"),
        "night_flag": Variable(path=f"{_LAND}/night_flag", units="1", description="1 night"),
        "msw_flag": Variable(path=f"{_LAND}/msw_flag", units="1", description="multiple scattering"),
        "ph_removal_flag": Variable(path=f"{_LAND}/ph_removal_flag", units="1"),
        "dem_removal_flag": Variable(path=f"{_LAND}/dem_removal_flag", units="1"),
    },
    epoch=EPOCH,
    name_pattern=_name_pattern("ATL08"),
    longest=LONGEST,
    fill=FILL,
    quality={
        "clear": Preset(
            conditions=(
                Condition(variable="layer_flag", comparison="==", value=0),
                Condition(variable="ph_removal_flag", comparison="==", value=0),
                Condition(variable="dem_removal_flag", comparison="==", value=0),
            ),
            source=(
                "ATL08 data dictionary: no cloud or blowing snow likely (layer_flag, from ATL09), at most "
                "half of the photons removed (ATBD 4.13), at most a fifth by the DEM test (ATBD 2.4.11)"
            ),
        ),
    },
    catalogued=(Catalogued(provider="cmr", name="ATL08"),),
    identity=IDENTITY,
    citation=(
        "Neuenschwander, A. L. et al. ATLAS/ICESat-2 L3A Land and Vegetation Height (ATL08). NASA National "
        "Snow and Ice Data Center Distributed Active Archive Center. https://doi.org/10.5067/ATLAS/ATL08"
    ),
)

ATL03 = Product(
    name="ATL03",
    title="ICESat-2 ATL03: geolocated photons",
    kind="track",
    groups=BEAMS,
    rates=(),
    variables={},
    epoch=EPOCH,
    name_pattern=_name_pattern("ATL03"),
    longest=LONGEST,
    fill=FILL,
    catalogued=(Catalogued(provider="cmr", name="ATL03"),),
    identity=IDENTITY,
    citation=(
        "Neumann, T. A. et al. ATLAS/ICESat-2 L2A Global Geolocated Photon Data (ATL03). NASA National Snow "
        "and Ice Data Center Distributed Active Archive Center. https://doi.org/10.5067/ATLAS/ATL03"
    ),
)
