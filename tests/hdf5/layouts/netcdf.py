"""Files as netCDF writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import netCDF4
import numpy as np

from tests.hdf5.files import noise

NETCDF: dict[str, Literal["NETCDF4", "NETCDF4_CLASSIC"]] = {
    "netcdf4": "NETCDF4",
    "netcdf4_classic": "NETCDF4_CLASSIC",
}
"""Formats of netCDF that are HDF5."""


def write_netcdf(path: Path, form: Literal["NETCDF4", "NETCDF4_CLASSIC"]) -> Path:
    """Write a file as netCDF does, which tracks the order of everything."""
    with netCDF4.Dataset(path, "w", format=form) as file:
        file.createDimension("time", None)
        file.createDimension("lat", 40)
        file.createDimension("lon", 70)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(1300)
        _packed_variables(file)
        for number in range(120):
            _many_attributes(file.createVariable(f"number_{number}", "i2", ("lat",)), number % 30)
        if form == "NETCDF4":
            _only_in_netcdf4(file)
    return path


def _packed_variables(file: netCDF4.Dataset) -> None:
    values = noise("<i4", 3, 40, 70)
    kinds: dict[str, dict[str, Any]] = {
        "bare": {"chunksizes": (2, 16, 33)},
        "packed": {"compression": "zlib", "shuffle": True, "fletcher32": True, "fill_value": -9999},
        "checked": {"fletcher32": True, "fill_value": False},
        "in_rows": {"chunksizes": (1, 1, 70)},
        "rounded": {"compression": "zlib", "least_significant_digit": 1},
    }
    for name, options in kinds.items():
        variable = file.createVariable(name, ">i4", ("time", "lat", "lon"), endian="big", **options)
        variable[3:6] = values
        variable.units, variable.long_name, variable.scale_factor = "m", f"a variable, {name}", 0.5
    file.createVariable("in_one_run", "i4", ("lat", "lon"), contiguous=True, fill_value=-1)[:] = values[0]
    file.createVariable("unwritten", "i1", ("time", "lon"), compression="zlib")
    file.createVariable("scalar", "f4", (), fill_value=1e20).units = ""
    file.createVariable("text", "S1", ("lat", "lon"))


def _many_attributes(variable: netCDF4.Variable[Any], count: int) -> None:
    for number in range(count):
        variable.setncattr(f"attribute_{number}", f"text {number}")
    variable.flag_values = np.arange(3, dtype="i2")
    variable.flag_meanings = "bad good best"
    variable.add_offset = 273.15


def _only_in_netcdf4(file: netCDF4.Dataset) -> None:
    file.createDimension("beam", None)
    for name in ("science", "science/ancillary"):
        group = file.createGroup(name)
        group.createDimension("local", 5)
        group.createVariable("twice", "u8", ("time", "beam"), compression="zlib")[3:9, 2:4] = noise(
            "<u8", 6, 2
        )
        group.createVariable("string", str, ("local",))[:] = np.array(
            ["a", "é", "", "ccc", "d" * 300], object
        )
    flags = file.createEnumType(np.int8, "flag", {"clear": 0, "cloudy": 1, "missing": -1})
    file.createVariable("flags", flags, ("lat",), fill_value=-1)[:] = 1
    pair = file.createCompoundType(np.dtype([("low", "f4"), ("high", "i2"), ("text", "S1", (8,))]), "pair")
    file.createVariable("pairs", pair, ("lat",))
    rows = file.createVLType(np.int32, "rows")
    file.createVariable("ragged", rows, ("lat",))[0] = np.arange(3, dtype="i4")
    file["bare"].setncattr_string("flag_meanings", ["several", "texts"])
