from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.model.reduction import Partial
from tests.strategies import partials


@given(partials())
def test_an_arrow_batch_gives_the_partial_back_to_the_bit(partial: Partial) -> None:
    stream = io.BytesIO()
    batch = partial.to_arrow()
    with pa.ipc.new_stream(stream, batch.schema) as writer:
        writer.write_batch(batch)
    stream.seek(0)
    again = Partial.from_arrow(pa.ipc.open_stream(stream).read_next_batch())
    assert again == partial
    assert list(again.columns) == list(partial.columns)


@given(partials(), st.integers(0, 2**60), st.integers(0, 2**60))
def test_between_keeps_the_cells_of_a_half_open_range(partial: Partial, start: int, stop: int) -> None:
    part = partial.between(start, stop)
    chosen = (partial.keys >= start) & (partial.keys < stop)
    assert part.keys.tolist() == partial.keys[chosen].tolist()
    assert part.columns["count"].tolist() == partial.columns["count"][chosen].tolist()


@given(partials(), st.integers(0, 2**60))
def test_the_parts_of_a_partial_are_the_whole(partial: Partial, cut: int) -> None:
    below, above = partial.between(0, cut), partial.between(cut, 2**62)
    assert len(below) + len(above) == len(partial)
    assert np.concatenate([below.keys, above.keys]).tolist() == partial.keys.tolist()


@pytest.mark.parametrize("keys", [[2, 1], [1, 1], [1, 3, 2]])
def test_keys_must_ascend_strictly(keys: list[int]) -> None:
    with pytest.raises(ValueError, match="ascend strictly"):
        Partial(keys=np.array(keys), columns={})


def test_columns_have_one_value_a_key() -> None:
    with pytest.raises(ValueError, match="column count has 3 values for 2 keys"):
        Partial(keys=np.array([1, 2]), columns={"count": np.arange(3)})


def test_equality_goes_by_content() -> None:
    one = Partial(keys=np.array([1]), columns={"sum": np.array([0.1])})
    assert one == Partial(keys=np.array([1]), columns={"sum": np.array([0.1])})
    assert one != Partial(keys=np.array([1]), columns={"sum": np.nextafter([0.1], 1)})
    assert one != Partial(keys=np.array([2]), columns={"sum": np.array([0.1])})
    assert repr(one) == "<Partial of 1 cells: sum>"
