"""The types: to learn eoscale is to read this folder.

They describe; numpy, pandas, geopandas and xarray carry the data. In the order of the line:

- :mod:`~eoscale.model.recipe` (its words in :mod:`~eoscale.model.vocabulary`) becomes a
  :mod:`~eoscale.model.job`, bound to a :mod:`~eoscale.model.product`, a :mod:`~eoscale.model.region` and a
  list of :mod:`granules <eoscale.model.granule>`;
- a :mod:`~eoscale.model.chunk_index` says where a granule's chunks lie in the file, a
  :mod:`~eoscale.model.zone_map` where its rows lie on the Earth; rows come as :mod:`~eoscale.model.columns`;
- rows are located on :mod:`axes <eoscale.model.axis>`, a :mod:`~eoscale.model.grid` and a
  :mod:`~eoscale.model.period`, which span a :mod:`~eoscale.model.cube`;
- a :mod:`~eoscale.model.reduction` makes and merges partials; a :mod:`~eoscale.model.receipt` says what
  became of each granule; a :mod:`~eoscale.model.sink` takes finished blocks.
"""
