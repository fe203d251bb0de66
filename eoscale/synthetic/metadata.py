"""What belongs to no beam of a granule: root attributes, METADATA, orbit, ancillary data, quality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from h5py import h5ds, h5g

from eoscale.synthetic import tracks
from eoscale.synthetic.passes import EPOCH, Pass
from eoscale.synthetic.writing import group, set_attributes, write_growing, write_single

_GPS_EPOCH = 1_198_800_018.0
"""GPS seconds at 2018-01-01 UTC."""
_WEEK = 7 * 86_400
_SINCE = "seconds since 2018-01-01"
TITLES = {"ATL06": "Land Ice Height", "ATL08": "Land and Vegetation Height"}
"""Of the products that have a synthetic form."""

_ORBIT = {
    "crossing_time": (np.float64, 16, _SINCE),
    "cycle_number": (np.int8, 10, "counts"),
    "lan": (np.float64, 16, "degrees_east"),
    "orbit_number": (np.uint16, 16, "1"),
    "rgt": (np.int16, 10, "counts"),
    "sc_orient_time": (np.float64, 16, _SINCE),
    "sc_orient": (np.int8, 16, "1"),
    "bounding_polygon_lat1": (np.float64, 50, "degrees_north"),
    "bounding_polygon_lon1": (np.float64, 50, "degrees_east"),
}
"""Type, rows of a chunk and units."""

_QUALITY = {
    "qa_granule_fail_reason": (
        "no_failure PROCESS_ERROR INSUFFICIENT_OUTPUT failure_3 failure_4 OTHER_FAILURE"
    ),
    "qa_granule_pass_fail": "PASS FAIL",
}
"""Flags and their meanings."""


def write_metadata(root: h5g.GroupID, product: str, one: Pass) -> None:
    """Write all that belongs to no beam."""
    set_attributes(root, _root(product, one))
    for path, attributes in _structured(product, one).items():
        group(root, f"METADATA/{path}", attributes)
    _write_ancillary(group(root, "ancillary_data", {"Description": "Synthetic ancillary data"}), product, one)
    _write_orbit(group(root, "orbit_info", {"Description": "Synthetic orbit"}), one)
    quality = group(root, "quality_assessment", {"Description": "Synthetic quality assessment"})
    for name, meanings in _QUALITY.items():
        flags = np.arange(len(meanings.split()), dtype="i4")
        dataset = write_single(quality, name, np.zeros(1, "i4"))
        set_attributes(dataset, {"units": "1", "flag_values": flags, "flag_meanings": meanings})


def beam_attributes(one: Pass, beam: str) -> dict[str, str]:
    """Return the attributes of a beam: which is strong follows the orientation of the satellite.

    Spots 1 to 6 lie from left to right flying backward, from right to left flying forward; odd ones are
    strong.
    """
    place = tracks.BEAMS.index(beam) + 1
    spot = 7 - place if one.forward else place
    return {
        "Description": "Synthetic ground track",
        "atlas_beam_type": "strong" if one.is_strong(beam) else "weak",
        "atlas_pce": f"pce{(spot + 1) // 2}",
        "atlas_spot_number": str(spot),
        "atmosphere_profile": f"profile_{(spot + 1) // 2}",
        "groundtrack_id": beam,
        "sc_orientation": "Forward" if one.forward else "Backward",
    }


def _root(product: str, one: Pass) -> dict[str, Any]:
    track = tracks.fly(one.node, one.arguments, 0.0)
    name = one.granule(product)
    return {
        "Conventions": "CF-1.6",
        "date_type": "UTC",
        "description": (
            "SYNTHETIC granule made by eoscale from a seed: its structure is that of a real one, "
            "its values are invented and measure nothing"
        ),
        "featureType": "trajectory",
        "geospatial_lat_max": _rounded(track.latitude.max()),
        "geospatial_lat_min": _rounded(track.latitude.min()),
        "geospatial_lat_units": "degrees_north",
        "geospatial_lon_max": _rounded(track.longitude.max()),
        "geospatial_lon_min": _rounded(track.longitude.min()),
        "geospatial_lon_units": "degrees_east",
        "granule_type": product,
        "history": f"eoscale.synthetic seed {one.seed} number {one.number}",
        "identifier_file_product_type": product,
        "identifier_product_doi": f"10.5067/ATLAS/{product}.006",
        "identifier_product_doi_authority": "http://dx.doi.org",
        "identifier_product_format_version": "6.0",
        "identifier_product_type": product,
        "instrument": "none (synthetic)",
        "level": "L3A",
        "platform": "none (synthetic)",
        "processing_level": "3A",
        "producer_granule_id": f"{name}.h5",
        "short_name": product,
        "standard_name_vocabulary": "CF-1.6",
        "time_coverage_duration": _rounded(one.duration),
        "time_coverage_end": _utc(one.start + one.duration),
        "time_coverage_start": _utc(one.start),
        "time_type": "CCSDS UTC-A",
        "title": f"Synthetic miniature of ATLAS/ICESat-2 L3A {TITLES[product]}",
    }


def _structured(product: str, one: Pass) -> Mapping[str, Mapping[str, Any]]:
    """Return the groups below METADATA and their attributes."""
    root = _root(product, one)
    identity = {"shortName": product, "VersionID": "006", "abstract": root["description"]}
    return {
        "AcquisitionInformation/lidar": {"identifier": "ATLAS", "type": "Laser Altimeter"},
        "AcquisitionInformation/platform": {"identifier": "ICESat-2", "type": "Spacecraft"},
        "DataQuality": {"scope": "NOT_SET"},
        "DatasetIdentification": {**identity, "fileName": root["producer_granule_id"]},
        "Extent": {
            "eastBoundLongitude": root["geospatial_lon_max"],
            "northBoundLatitude": root["geospatial_lat_max"],
            "rangeBeginningDateTime": root["time_coverage_start"],
            "rangeEndingDateTime": root["time_coverage_end"],
            "southBoundLatitude": root["geospatial_lat_min"],
            "westBoundLongitude": root["geospatial_lon_min"],
        },
        "Lineage": {},
        "ProcessStep/PGE": {"identifier": "eoscale.synthetic"},
        "SeriesIdentification": {**identity, "format": "HDF", "formatVersion": "5"},
    }


def _write_ancillary(parent: h5g.GroupID, product: str, one: Pass) -> None:
    first, last = one.start, one.start + one.duration
    values: dict[str, Any] = {
        "atlas_sdp_gps_epoch": _GPS_EPOCH,
        "data_start_utc": _utc(first),
        "data_end_utc": _utc(last),
        "granule_start_utc": _utc(first),
        "granule_end_utc": _utc(last),
        "qa_at_interval": 0.0,
        "release": "006".ljust(80),
        "version": "01".ljust(80),
    }
    for end, moment, argument in (("start", first, one.first), ("end", last, one.last)):
        gps = moment + _GPS_EPOCH
        values |= {
            f"{end}_cycle": np.int32(one.cycle),
            f"{end}_delta_time": _rounded(moment),
            f"{end}_geoseg": np.int32(argument * tracks.EARTH_RADIUS / 20.0) + 1,
            f"{end}_gpssow": _rounded(gps % _WEEK),
            f"{end}_gpsweek": np.int32(gps // _WEEK),
            f"{end}_orbit": np.int32(one.revolution),
            f"{end}_region": np.int32(one.region),
            f"{end}_rgt": np.int32(one.reference_track),
        }
    for name, value in sorted(values.items()):
        units = _SINCE if name.endswith("delta_time") else "1"
        set_attributes(
            write_single(parent, name, value), {"long_name": name.replace("_", " "), "units": units}
        )
    control = f"synthetic={one.granule(product)}\nseed={one.seed}\nnumber={one.number}\n"
    write_single(parent, "control", control.ljust(1000), contiguous=True)


def _write_orbit(parent: h5g.GroupID, one: Pass) -> None:
    latitude, longitude = _outline(one)
    values = {
        "crossing_time": _rounded(one.crossing),
        "cycle_number": one.cycle,
        "lan": _rounded(one.node),
        "orbit_number": one.revolution,
        "rgt": one.reference_track,
        "sc_orient": int(one.forward),
        "sc_orient_time": float(one.start - 30 * 86_400),
        "bounding_polygon_lat1": latitude,
        "bounding_polygon_lon1": longitude,
    }
    scales = {}
    for name, (dtype, rows, units) in _ORBIT.items():
        dataset = write_growing(parent, name, np.atleast_1d(values[name]).astype(dtype), rows=rows)
        set_attributes(dataset, {"long_name": name.replace("_", " "), "units": units})
        if name.endswith("_time"):
            set_attributes(dataset, {"CLASS": "DIMENSION_SCALE"})
            scales[name] = dataset
        elif not name.startswith("bounding"):
            of = "sc_orient_time" if name == "sc_orient" else "crossing_time"
            h5ds.attach_scale(dataset, scales[of], 0)


def _outline(one: Pass) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return latitudes and longitudes of a closed ring of 23 points around all beams."""
    arguments = np.linspace(one.first, one.last, 11)
    left = tracks.fly(one.node, arguments, -5000.0)
    right = tracks.fly(one.node, arguments, 5000.0)
    ring = np.r_[0:11, 21:10:-1, 0]
    latitude = np.concatenate([left.latitude, right.latitude])[ring]
    return _rounded(latitude), _rounded(np.concatenate([left.longitude, right.longitude])[ring])


def _rounded(value: Any) -> Any:  # noqa: ANN401  number or array alike
    """Return float64 in steps of 2**-20, the same on machines that differ in a last bit."""
    return np.rint(np.asarray(value, np.float64) * 2.0**20) / 2.0**20


def _utc(seconds: float) -> str:
    """Return seconds since 2018-01-01 as a moment with microseconds, as the producer writes it."""
    microseconds = np.timedelta64(int(_rounded(seconds) * 1e6), "us")
    return f"{np.datetime_as_string(EPOCH.astype('datetime64[us]') + microseconds, unit='us')}Z"
