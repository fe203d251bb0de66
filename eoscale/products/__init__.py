"""Products: what each data product holds, as values, and the registry of them.

>>> product("ATL06").title
'ICESat-2 ATL06: land ice height, 40 m segments'
"""

from __future__ import annotations

from difflib import get_close_matches

from eoscale.errors import RecipeError
from eoscale.model.product import Product
from eoscale.products.earthcare import ACM_CAP_2B, ATL_FM__2A, CPR_CLD_2A, MSI_COP_2A
from eoscale.products.gedi import GEDI02_A, GEDI02_B, GEDI04_A
from eoscale.products.icesat2 import ATL03, ATL06, ATL08
from eoscale.products.sentinel3 import OL_1_EFR

_ALL = (
    *(ATL03, ATL06, ATL08),
    *(GEDI02_A, GEDI02_B, GEDI04_A),
    *(ATL_FM__2A, MSI_COP_2A, CPR_CLD_2A, ACM_CAP_2B),
    OL_1_EFR,
)
REGISTRY: dict[str, Product] = {known.name: known for known in _ALL}


def product(name: str) -> Product:
    """Return a registered product.

    Raises
    ------
    RecipeError
        If there is none of that name; names the nearest.
    """
    if name not in REGISTRY:
        near = get_close_matches(name.upper(), REGISTRY, n=3, cutoff=0.4) or sorted(REGISTRY)
        raise RecipeError(f"no product {name!r} is registered; did you mean {', '.join(near)}?")
    return REGISTRY[name]


__all__ = [
    "ACM_CAP_2B",
    "ATL03",
    "ATL06",
    "ATL08",
    "ATL_FM__2A",
    "CPR_CLD_2A",
    "GEDI02_A",
    "GEDI02_B",
    "GEDI04_A",
    "MSI_COP_2A",
    "OL_1_EFR",
    "REGISTRY",
    "product",
]
