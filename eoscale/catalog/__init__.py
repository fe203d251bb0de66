"""Catalogues: where granule lists come from."""
