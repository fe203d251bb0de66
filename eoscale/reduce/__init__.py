"""Statistics as functions of arrays: no files, no cluster."""
