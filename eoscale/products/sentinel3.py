"""Sentinel-3 products, by how catalogues know them and what their folders are called; not yet read.

``S3A_OL_1_EFR____20180602T181007_20180602T181307_20180603T230737_0179_032_027_1620_LN1_O_NT_002``: satellite,
type, start, stop, when it was processed, seconds, cycle, relative orbit, frame, centre, operational or
reprocessed, how soon, and baseline.
"""

from __future__ import annotations

from eoscale.model.product import Catalogued, Product

OL_1_EFR = Product(
    name="OL_1_EFR",
    title="Sentinel-3 OL_1_EFR: OLCI radiances at the top of the atmosphere, 300 m",
    kind="swath",
    groups=(),
    rates=(),
    variables={},
    epoch="2000-01-01T00:00:00",
    name_pattern=(
        r"(?P<satellite>S3[A-D])_OL_1_EFR____(?P<start>\d{8}T\d{6})_(?P<stop>\d{8}T\d{6})"
        r"_(?P<revision>\d{8}T\d{6})_\d{4}_(?P<cycle>\d{3})_(?P<orbit>\d{3})_(?P<frame>\d{4})"
        r"_(?P<centre>\w{3})_(?P<platform>[OFDR])_(?P<timeliness>NR|ST|NT)_(?P<version>\d{3})"
    ),
    longest=300.0,
    catalogued=(Catalogued(provider="cdse", name="OL_1_EFR___", collections=("SENTINEL-3",)),),
    identity=("satellite", "cycle", "orbit", "frame"),
    preference={"timeliness": ("NR", "ST", "NT"), "platform": ("O", "R")},
)
