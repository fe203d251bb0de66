"""Files with every structure of the HDF5 format that h5py can write, for readers of metadata.

Each maker is named after what it writes.
"""

from tests.hdf5.layouts.attributes import DESCRIBING, typed_attribute
from tests.hdf5.layouts.chunks import chunk_of
from tests.hdf5.layouts.datatypes import NEWER_TYPES, TYPES, plain
from tests.hdf5.layouts.kinds import KINDS, Kind, write
from tests.hdf5.layouts.netcdf import NETCDF, write_netcdf
from tests.hdf5.layouts.unfamiliar import write_cache_image, write_old_layouts

__all__ = [
    "DESCRIBING",
    "KINDS",
    "NETCDF",
    "NEWER_TYPES",
    "TYPES",
    "Kind",
    "chunk_of",
    "plain",
    "typed_attribute",
    "write",
    "write_cache_image",
    "write_netcdf",
    "write_old_layouts",
]
