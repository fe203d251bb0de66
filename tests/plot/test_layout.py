from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.plot.layout import Layout, Place

aspects = st.floats(0.45, 2.3)


def overlap(one: Place, other: Place) -> bool:
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    along = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return across > 1e-9 and along > 1e-9


@given(aspects, st.integers(0, 7))
def test_nothing_on_a_page_overlaps_or_leaves_it(aspect: float, number: int) -> None:
    layout = Layout.of(aspect, number)
    places = [layout.large, layout.legend, *layout.small]
    assert not any(overlap(one, other) for one, other in combinations(places, 2))
    for left, bottom, width, height in places:
        assert left > 0
        assert bottom > 0
        assert left + width < layout.width
        assert bottom + height < layout.height


@given(aspects, st.integers(1, 7))
def test_all_maps_have_the_shape_of_the_view(aspect: float, number: int) -> None:
    layout = Layout.of(aspect, number)
    assert len(layout.small) == number
    for _, _, width, height in (layout.large, *layout.small):
        assert width / height == pytest.approx(aspect)
        assert min(width, height) > 0.3
