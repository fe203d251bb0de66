"""EarthCARE products, by how catalogues know them and what their files are called; not yet read.

``ECA_EXBA_ATL_FM__2A_20250620T131444Z_20250620T145502Z_05999E``: agency, class and baseline, type, start,
when it was processed, orbit, and which eighth of it.
"""

from __future__ import annotations

from typing import Literal

from eoscale.model.product import Catalogued, Fill, Product

LONGEST = 720.0
"""Seconds. A frame is an eighth of an orbit of 92.5 minutes, and overlaps the next one."""
VALIDATED = "EarthCAREL2Validated_MAAP"
"""The collection that is open to all; others hold what is being checked, or is from commissioning."""


def _product(name: str, kind: Literal["swath", "curtain"], title: str) -> Product:
    return Product(
        name=name,
        title=title,
        kind=kind,
        groups=("ScienceData",),
        rates=(),
        variables={},
        epoch="2000-01-01T00:00:00",
        name_pattern=(
            rf"ECA_[EJ][XNO](?P<version>[A-Z]{{2}})_{name}_(?P<start>\d{{8}}T\d{{6}})Z"
            r"_(?P<revision>\d{8}T\d{6})Z_(?P<orbit>\d{5})(?P<frame>[A-H])"
        ),
        longest=LONGEST,
        fill=Fill(attribute=True, float32=9.969209968386869e36),
        catalogued=(Catalogued(provider="maap", name=name, collections=(VALIDATED,)),),
        identity=("orbit", "frame"),
    )


ATL_FM__2A = _product("ATL_FM__2A", "curtain", "EarthCARE ATL_FM__2A: ATLID feature mask")
MSI_COP_2A = _product("MSI_COP_2A", "swath", "EarthCARE MSI_COP_2A: cloud optical and physical properties")
CPR_CLD_2A = _product("CPR_CLD_2A", "curtain", "EarthCARE CPR_CLD_2A: cloud and precipitation by radar")
ACM_CAP_2B = _product("ACM_CAP_2B", "curtain", "EarthCARE ACM_CAP_2B: clouds, aerosols and precipitation")
