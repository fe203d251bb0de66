"""The line that data travels, one granule, batch or tile at a time: ordinary functions, no Dask.

``observe`` reads the rows of a granule that a job wants. They become ``statistics`` (partials, folded tile
by tile) or a ``table`` (the rows themselves, in the order of a curve). Granules are the unit of reducing,
cells that of folding and places that of sorting, so batches and tiles never change a bit of the result.
"""
