"""OData: the catalogue of the Copernicus Data Space."""
