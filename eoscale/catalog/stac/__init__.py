"""STAC: the catalogue of ESA MAAP, and any other that speaks it."""
