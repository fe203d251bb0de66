from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eoscale.model.reduction import Partial
from eoscale.reduce.cells import group, overlay, union
from tests.strategies import partials

_KEYS = st.lists(st.integers(0, 2**62), max_size=30).map(lambda keys: np.array(keys, np.int64))


@given(_KEYS)
def test_grouped_rows_find_their_own_key(keys: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
    groups = group(keys)
    assert groups.keys.tolist() == sorted(set(keys.tolist()))
    assert groups.keys[groups.cell].tolist() == keys.tolist()


@given(st.lists(partials(), max_size=4))
def test_the_union_holds_every_cell_once_and_ascends(several: list[Partial]) -> None:
    assert union(several).tolist() == sorted({key for partial in several for key in partial.keys.tolist()})


@given(st.lists(partials(), max_size=4))
def test_the_overlay_keeps_order_and_finds_each_cell(several: list[Partial]) -> None:
    keys = union(several)
    laid = list(overlay(keys, several))
    assert [partial for _, partial in laid] == several
    for at, partial in laid:
        assert keys[at].tolist() == partial.keys.tolist()
