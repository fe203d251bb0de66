"""The types: to learn eoscale is to read this folder.

They describe; numpy, pandas, geopandas and xarray carry the data. A recipe becomes a job
(:mod:`~eoscale.model.job`) of granules (:mod:`~eoscale.model.granule`) of a product
(:mod:`~eoscale.model.product`), whose rows inside a region (:mod:`~eoscale.model.region`) are located
on axes (:mod:`~eoscale.model.axis`, :mod:`~eoscale.model.grid`, :mod:`~eoscale.model.period`), reduced
(:mod:`~eoscale.model.reduction`) and written to a sink (:mod:`~eoscale.model.sink`).
"""
