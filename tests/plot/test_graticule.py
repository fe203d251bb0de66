from __future__ import annotations

import numpy as np
import pytest
from pyproj import CRS

from eoscale.plot import graticule
from eoscale.plot.view import Box, View

VIEWS = {
    "Greenland": View.around(CRS(3413), (-700e3, -3400e3, 900e3, -600e3)),
    "the South Pole": View.around(CRS(3031), (-3e6, -3e6, 3e6, 3e6)),
    "Fiji, across the antimeridian": View.around(CRS(3832), (2.9e6, -2.3e6, 3.7e6, -1.6e6)),
    "the whole Earth": View.around(CRS(4326), (-180.0, -90.0, 180.0, 90.0)),
    "a kilometre": View.around(CRS(32622), (500e3, 7700e3, 501e3, 7701e3)),
}
each_view = pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)


@each_view
def test_lines_transformed_back_keep_their_degrees(view: View) -> None:
    for line in graticule.lines(view):
        longitude, latitude = view.unproject(line.x, line.y)
        off = longitude - line.degrees if line.meridian else latitude - line.degrees
        off = off[np.isfinite(off)]
        off = (off + 180) % 360 - 180 if line.meridian else off
        assert off.size
        assert np.abs(off).max() < 1e-6


@each_view
def test_a_view_has_some_meridians_and_parallels_but_not_many(view: View) -> None:
    found = graticule.lines(view)
    meridians = [line for line in found if line.meridian]
    assert 1 <= len(meridians) <= 13
    assert 1 <= len(found) - len(meridians) <= 8
    assert len({line.label for line in meridians}) >= len(meridians) - 1


@each_view
def test_lines_cross_the_frame_where_they_meet_it(view: View) -> None:
    left, bottom, right, top = view.box
    for line in graticule.lines(view):
        for edge, x, y in graticule.crossings(line, view):
            on = {"left": x == left, "right": x == right, "bottom": y == bottom, "top": y == top}
            assert on[edge]
            longitude, latitude = view.unproject(np.array([x]), np.array([y]))
            off = longitude[0] - line.degrees if line.meridian else latitude[0] - line.degrees
            assert abs((off + 180) % 360 - 180) < 0.05


@each_view
def test_names_at_the_frame_are_unique_and_do_not_overlap(view: View) -> None:
    inch = (view.box[2] - view.box[0]) / 6
    names = list(graticule.named(graticule.lines(view), view, inch))
    assert len({id(line) for line, *_ in names}) == len(names)
    for edge, room in (("left", 0.24), ("bottom", 0.55), ("top", 0.55), ("right", 0.24)):
        upright = edge in ("left", "right")
        unit = inch / view.stretch if upright else inch
        at = sorted((y if upright else x) for _, on, x, y in names if on == edge)
        assert (np.diff(at) > room * unit).all()


@pytest.mark.parametrize(
    ("meridian", "degrees", "text"),
    [
        (True, -50.0, "50°W"),
        (True, 190.0, "170°W"),
        (True, 180.0, "180°"),
        (False, 0.0, "0°"),
        (False, -7.5, "7.5°S"),
    ],
)
def test_a_line_is_named_by_degrees_and_side(*, meridian: bool, degrees: float, text: str) -> None:
    nowhere = np.empty(0)
    assert graticule.Line(meridian=meridian, degrees=degrees, x=nowhere, y=nowhere).label == text


@pytest.mark.parametrize("box", [(0.0, 0.0, 1000.0, 1.0), (0.0, 0.0, 1.0, 1000.0)])
def test_a_view_of_a_single_row_or_column_has_the_shape_of_a_map(box: Box) -> None:
    view = View.around(CRS(3413), box)
    assert 0.45 <= round(view.aspect, 6) <= 2.3
    assert view.box[0] < box[0] < box[2] < view.box[2]
    assert view.box[1] < box[1] < box[3] < view.box[3]


def test_a_view_in_degrees_is_true_to_shape_in_its_middle() -> None:
    assert View(crs=CRS(4326), box=(-51, 59, -49, 61)).stretch == pytest.approx(2.0)
    assert View(crs=CRS(3413), box=(0, -1e6, 1e6, 0)).stretch == 1.0
