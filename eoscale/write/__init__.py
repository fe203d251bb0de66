"""Writing: partials in the work folder, blocks in a Zarr store, and the moment when readers see it."""
