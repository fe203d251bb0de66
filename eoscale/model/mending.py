"""Mending: polygons with crossing rings, where only one area can be meant."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry
from shapely.validation import explain_validity

from eoscale.errors import RecipeError
from eoscale.model.sphere import polygons_of

_ALIKE = 1e-9
"""Relative difference of areas that are the same."""
_FRAMES = 4
"""From here to where the user made the region."""


def joined(shapes: Sequence[BaseGeometry]) -> BaseGeometry:
    """Return the union of all polygons of a table, each mended.

    Raises
    ------
    RecipeError
        If there is none, or something else than polygons.
    """
    filled = [shape for shape in shapes if not shape.is_empty]
    if not filled:
        raise RecipeError("the region's table holds no polygons")
    other = {shape.geom_type for shape in filled} - {"Polygon", "MultiPolygon"}
    if other:
        raise RecipeError(
            f"a region is made of polygons, its table holds {' and '.join(sorted(other))}: leave them out"
        )
    return shapely.union_all([mended(shape) for shape in filled])


def mended(shape: BaseGeometry) -> BaseGeometry:
    """Return a polygon in two dimensions, valid as it is or mended with a warning.

    Parts may overlap, and holes: then their union is meant. A ring that crosses itself is mended if the
    area it encloses is the same whether what it winds round twice counts or not.

    Raises
    ------
    RecipeError
        If it is no polygon, covers nothing, or more than one area could be meant.
    """
    if shape.geom_type not in ("Polygon", "MultiPolygon"):
        raise RecipeError(f"a region is made of polygons, got a {shape.geom_type}")
    if shape.is_empty:
        raise RecipeError("the region is empty: give a polygon that covers something")
    flat = shapely.force_2d(shape)
    if not np.isfinite(shapely.get_coordinates(flat)).all():
        raise RecipeError("the region has corners without coordinates (NaN or infinite): leave them out")
    if flat.is_valid:
        return flat
    reason = explain_validity(flat)
    whole = polygons_of(shapely.union_all([_part(part, reason) for part in shapely.get_parts(flat)]))
    if not whole.area > 0:
        raise RecipeError(f"the region covers no area ({reason}): give a polygon that covers something")
    warnings.warn(f"the region was mended: {reason}", UserWarning, stacklevel=_FRAMES)
    return whole


def _part(part: shapely.Polygon, reason: str) -> BaseGeometry:
    """Return what one polygon covers: its shell without its holes."""
    if part.is_valid:
        return part
    shell, *holes = (_disc(ring, reason) for ring in shapely.get_rings(part))
    taken = shapely.union_all(holes)
    left = shapely.difference(shell, taken)
    if not np.isclose(left.area, shell.area - taken.area, rtol=0, atol=_ALIKE * shell.area):
        raise _ambiguous(reason)
    return left


def _disc(ring: shapely.LinearRing, reason: str) -> BaseGeometry:
    """Return what a ring encloses, by both ways to count what it winds round twice."""
    disc = shapely.Polygon(ring)
    if disc.is_valid:
        return disc
    crossing = shapely.make_valid(disc, method="linework")
    winding = shapely.make_valid(disc, method="structure", keep_collapsed=False)
    if not np.isclose(crossing.area, winding.area, rtol=_ALIKE, atol=0):
        raise _ambiguous(reason)
    return polygons_of(winding)


def _ambiguous(reason: str) -> RecipeError:
    return RecipeError(
        f"the region is no valid polygon ({reason}), and more than one area could be meant: "
        "draw that ring anew, or choose one with shapely.make_valid"
    )
