"""CMR: the catalogue of all NASA archives."""
