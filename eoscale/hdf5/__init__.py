"""HDF5: where the chunks of a granule lie, and their values.

:mod:`index` gives a chunk index: from the :mod:`store`, else read by :mod:`format`, our own reader of
metadata, else by libhdf5 in a process of its own (:mod:`fallback`, :mod:`library`). :mod:`read` gives the
rows that it is asked for. Values never pass through libhdf5.
"""
