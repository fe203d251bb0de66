"""GEDI products, by how catalogues know them and what their files are called; not yet read.

``GEDI02_A_2019108080338_O01964_02_T05337_02_003_01_V002``: start (year and day of it), orbit, the part of the
orbit, track, and how it was processed (https://lpdaac.usgs.gov/documents/998/GEDI02_UserGuide_V21.pdf).
"""

from __future__ import annotations

from eoscale.model.product import Catalogued, Fill, Product

BEAMS = ("BEAM0000", "BEAM0001", "BEAM0010", "BEAM0011", "BEAM0101", "BEAM0110", "BEAM1000", "BEAM1011")
LONGEST = 1800.0
"""Seconds. A granule covers a quarter of an orbit of 93 minutes."""


def _product(name: str, short_name: str, title: str) -> Product:
    return Product(
        name=name,
        title=title,
        kind="track",
        groups=BEAMS,
        rates=(),
        variables={},
        epoch="2018-01-01T00:00:00",
        name_pattern=(
            rf"{name}_(?P<start>\d{{13}})_O(?P<orbit>\d{{5}})_(?P<part>\d{{2}})_T(?P<track>\d{{5}})"
            r"_(?P<revision>\d{2}_\d{3}_\d{2})_V(?P<version>\d{3})"
        ),
        longest=LONGEST,
        fill=Fill(attribute=False),
        catalogued=(Catalogued(provider="cmr", name=short_name),),
        identity=("orbit", "part"),
    )


GEDI02_A = _product("GEDI02_A", "GEDI02_A", "GEDI L2A: elevation and height metrics of footprints")
GEDI02_B = _product("GEDI02_B", "GEDI02_B", "GEDI L2B: canopy cover and vertical profile of footprints")
GEDI04_A = _product(
    "GEDI04_A", "GEDI_L4A_AGB_Density_V2_1_2056", "GEDI L4A: aboveground biomass density of footprints"
)
