"""The HDF5 file format, read without libhdf5 and without I/O.

:func:`datasets` is a walk (see :mod:`~eoscale.hdf5.format.walk`): it yields the ranges that it needs, is
sent their bytes, and ends with the chunk indexes of the wanted variables. From the file inwards::

    superblock -> contents -> objects -> groups (trees, heaps)
                              objects -> dataset -> messages, datatypes, attributes
                                                    chunk_indexes (trees, arrays)

Written from the public HDF5 File Format Specification, version 3.0.
"""

from eoscale.hdf5.format.contents import Contents, datasets, names, texts
from eoscale.hdf5.format.walk import Range, Unfamiliar, Walk

__all__ = ["Contents", "Range", "Unfamiliar", "Walk", "datasets", "names", "texts"]
