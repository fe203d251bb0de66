"""Miniature granules, made from a seed: the embedded default, and the tests' input.

Their structure is that of real granules (:mod:`~eoscale.synthetic.atl06`, :mod:`~eoscale.synthetic.atl08`);
their heights are of an invented Earth (:mod:`~eoscale.synthetic.surface`), seen along ground tracks
(:mod:`~eoscale.synthetic.tracks`) that pass over a region (:mod:`~eoscale.synthetic.passes`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eoscale.errors import RecipeError
from eoscale.model.product import Product
from eoscale.model.region import Region
from eoscale.synthetic.icesat2 import FORMS, write_granule
from eoscale.synthetic.passes import plan

__all__ = ["make"]

_GREENLAND = (-55.0, 62.0, -25.0, 82.0)
_SPRING = (np.datetime64("2024-04-01T00:00:00", "s"), np.datetime64("2024-07-01T00:00:00", "s"))


def make(
    product: Product,
    number: int,
    *,
    folder: Path,
    seed: int = 0,
    region: Region | None = None,
    period: tuple[np.datetime64, np.datetime64] | None = None,
) -> tuple[Path, ...]:
    """Make miniature granules of a product.

    The same arguments give the same granules, and a larger number the smaller one's granules and more.

    Parameters
    ----------
    product : Product
        ATL06 or ATL08.
    number : int
        Of granules, 1 or more.
    folder : Path
        Made if need be. A granule of the same name is replaced.
    seed : int
        Not negative.
    region : Region, optional
        Every reference track crosses it; a box around Greenland unless given.
    period : (start, end), optional
        Half-open, UTC; all observations lie inside. April to June 2024 unless given.

    Returns
    -------
    tuple of Path
        Sorted by name.

    Raises
    ------
    RecipeError
        If the product has no synthetic form, or no such granules can be.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from eoscale.products.icesat2 import ATL06
    >>> with TemporaryDirectory() as folder:
    ...     [path.name for path in make(ATL06, 1, folder=Path(folder))]
    ['ATL06_...h5']
    """
    if product.name not in FORMS:
        raise RecipeError(f"{product.name} has no synthetic form; these have: {', '.join(sorted(FORMS))}")
    if number < 1 or seed < 0:
        raise RecipeError(
            f"number is {number} and seed {seed}: expected at least 1 granule and no negative seed"
        )
    passes = plan(number, seed=seed, region=region or Region.from_bbox(*_GREENLAND), period=period or _SPRING)
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(sorted(write_granule(product.name, one, folder) for one in passes))
