"""HDF5: where the chunks of a granule lie, and their values.

:func:`index.index` gives a chunk index, :func:`read.read` the rows that it is asked for. Values never
pass through libhdf5.
"""
