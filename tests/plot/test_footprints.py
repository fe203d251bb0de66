from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from shapely.geometry.base import BaseGeometry

from eoscale.catalog.footprints import box, polygon
from eoscale.errors import RecipeError
from eoscale.model.granule import Granule, GranuleList
from eoscale.plot import footprints

BEGIN = np.datetime64("2024-04-01", "ns")


def listed(*shapes: BaseGeometry | None, dropped: int = 0) -> GranuleList:
    made = [
        Granule(
            id=f"granule-{i}",
            product="OL_1_EFR",
            version="002",
            urls={"https": f"https://host/{i}.h5"},
            size=10**9,
            start=BEGIN + np.timedelta64(i, "D"),
            footprint=shape,
        )
        for i, shape in enumerate(shapes)
    ]
    kept = made[: len(made) - dropped]
    return GranuleList(granules=kept, dropped=[(one, "too old") for one in made[len(kept) :]])


def texts(figure: Figure) -> str:
    return " | ".join(text.get_text() for text in figure.texts)


def lines(figure: Figure) -> list[np.ndarray]:
    """Return the points of all drawn edges."""
    (drawn,) = (
        each
        for axes in figure.axes
        for each in axes.collections
        if isinstance(each, LineCollection) and each.get_zorder() == 4
    )
    return [np.asarray(path.vertices) for path in drawn.get_paths()]


def test_a_map_says_what_when_how_much_and_what_is_not_drawn() -> None:
    figure = footprints.draw(
        listed(box(0, 0, 2, 2), box(3, 0, 5, 2), None, box(9, 9, 10, 10), dropped=1).to_dataframe()
    )
    said = texts(figure)
    assert "3 granules of OL_1_EFR" in said
    assert "1\N{EN DASH}3 Apr 2024" in said
    assert "version 002" in said
    assert "3.0 GB" in said
    assert "1 without a footprint are not drawn" in said
    assert "1 more were found and not kept" in said
    assert len(lines(figure)) == 2


def test_across_the_antimeridian_footprints_are_drawn_side_by_side_without_the_cut() -> None:
    figure = footprints.draw(listed(box(178, -20, -178, -16), box(-177, -20, -175, -16)).to_dataframe())
    left, right = figure.axes[0].get_xlim()
    assert right - left < 12
    # no edge goes along the meridian at which the first one is cut
    for points in lines(figure):
        along = np.abs(points[:-1, 0] % 360 - 180) + np.abs(points[1:, 0] % 360 - 180)
        assert not (along == 0).any()


def test_near_a_pole_the_map_is_about_the_pole() -> None:
    ring = [(longitude, 80.0) for longitude in range(-180, 180, 30)]
    figure = footprints.draw(listed(polygon(ring), box(10, 70, 20, 75)).to_dataframe())
    assert "Polar Stereographic North" in texts(figure)
    assert all(np.isfinite(points).all() for points in lines(figure))


def test_lines_of_orbits_are_drawn_as_lines() -> None:
    line = shapely.MultiLineString([[(170, 0), (180, 10)], [(-180, 10), (-170, 20)]])
    assert len(lines(footprints.draw(listed(line).to_dataframe()))) >= 2


def test_a_list_that_was_cut_says_so_on_its_map() -> None:
    cut = GranuleList(granules=listed(box(0, 0, 1, 1)).granules, truncated=True)
    assert "Truncated: the catalogue has more" in texts(footprints.draw(cut.to_dataframe()))


def test_without_footprints_there_is_no_map() -> None:
    with pytest.raises(RecipeError, match="none of the 2 granules has a footprint"):
        footprints.draw(listed(None, None).to_dataframe())


def test_the_same_list_gives_the_same_bytes(tmp_path: Path) -> None:
    frame = listed(box(0, 0, 2, 2), box(3, 0, 5, 2)).to_dataframe()
    one, other = (footprints.save(frame, tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert one == other
