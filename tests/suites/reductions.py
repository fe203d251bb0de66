"""What every reduction keeps to: subclass :class:`ReductionLaws` and name the reduction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from eoscale.model.reduction import Partial, Reduction
from tests.strategies import Floats, observations

Observations = tuple[NDArray[np.int64], Floats]

_SEVERAL = st.lists(observations(), max_size=5)


class ReductionLaws:
    """The laws of :class:`eoscale.model.reduction.Reduction`.

    A statistic is compared with numpy's over all values of a cell at once. Where float64 rounds, two ways
    of merging agree within a tolerance relative to the largest magnitude among all values, in the unit of
    the statistic: a sum may be off by so much for each value, a variance by so much of its square.
    """

    reduction: ClassVar[Reduction]
    exact: ClassVar[frozenset[str]]
    """Statistics in which no order of merging changes anything."""
    reference: ClassVar[Mapping[str, Callable[[Floats], float]]]
    """Each statistic of the values of one cell, by numpy."""
    scale: ClassVar[Mapping[str, Callable[[float, int], float]]]
    """Magnitude of each inexact statistic for values of a magnitude and number."""
    between_orders: ClassVar[float] = 1e-12
    to_numpy: ClassVar[float] = 1e-9

    def chunks(self, parts: Sequence[Observations]) -> list[Partial]:
        return [self.reduction.chunk(keys, values) for keys, values in parts]

    def same(self, left: Partial, right: Partial, parts: Sequence[Observations]) -> None:
        """Assert that two partials of the same observations give the same statistics."""
        assert left.keys.tolist() == right.keys.tolist()
        for statistic in self.reduction.statistics:
            a, b = (self.reduction.finalize(side, statistic) for side in (left, right))
            within = 0.0 if statistic in self.exact else self.between_orders
            assert np.abs(a - b).max(initial=0.0) <= within * self.magnitude(statistic, parts)

    def magnitude(self, statistic: str, parts: Sequence[Observations]) -> float:
        values = np.concatenate([np.zeros(1), *(values for _, values in parts)])
        largest = float(np.abs(values).max())
        return 1.0 if statistic in self.exact else self.scale[statistic](largest, values.size)

    @given(observations())
    def test_an_empty_partial_is_the_identity_to_the_bit(self, rows: Observations) -> None:
        empty = self.reduction.merge([])
        partial = self.reduction.chunk(*rows)
        assert len(empty) == 0
        for merged in ([partial], [empty, partial], [partial, empty], [empty, partial, empty]):
            assert self.reduction.merge(merged) == partial

    def test_no_rows_give_an_empty_partial(self) -> None:
        nothing = self.reduction.chunk(np.empty(0, np.int64), np.empty(0))
        assert len(nothing) == 0
        assert nothing == self.reduction.merge([])
        assert all(
            self.reduction.finalize(nothing, statistic).shape == (0,)
            for statistic in self.reduction.statistics
        )

    @given(observations(), observations(), observations())
    def test_merge_is_associative(self, a: Observations, b: Observations, c: Observations) -> None:
        merge, parts = self.reduction.merge, [a, b, c]
        x, y, z = self.chunks(parts)
        self.same(merge([merge([x, y]), z]), merge([x, merge([y, z])]), parts)

    @given(observations(), observations())
    def test_merge_is_commutative(self, a: Observations, b: Observations) -> None:
        x, y = self.chunks([a, b])
        self.same(self.reduction.merge([x, y]), self.reduction.merge([y, x]), [a, b])

    @given(_SEVERAL)
    def test_merging_gives_what_numpy_gives_on_all_values_at_once(self, parts: list[Observations]) -> None:
        merged = self.reduction.merge(self.chunks(parts))
        keys = np.concatenate([np.empty(0, np.int64), *(keys for keys, _ in parts)])
        values = np.concatenate([np.empty(0), *(values for _, values in parts)])
        assert merged.keys.tolist() == np.unique(keys).tolist()
        for statistic in self.reduction.statistics:
            expected = [self.reference[statistic](values[keys == key]) for key in merged.keys]
            difference = self.reduction.finalize(merged, statistic) - np.array(expected)
            within = 0.0 if statistic in self.exact else self.to_numpy
            assert np.abs(difference).max(initial=0.0) <= within * self.magnitude(statistic, parts)

    @given(_SEVERAL, st.lists(st.integers(0, 10), max_size=3))
    def test_merging_tile_by_tile_gives_the_same_bits(
        self, parts: list[Observations], cuts: list[int]
    ) -> None:
        partials = self.chunks(parts)
        whole = self.reduction.merge(partials)
        edges = [0, *sorted(cuts), 10]
        for start, stop in pairwise(edges):
            tile = self.reduction.merge([partial.between(start, stop) for partial in partials])
            assert tile == whole.between(start, stop)

    @given(_SEVERAL, st.integers(0, 5))
    def test_merge_is_the_left_fold_to_the_bit(self, parts: list[Observations], first: int) -> None:
        merge, partials = self.reduction.merge, self.chunks(parts)
        assert merge([merge(partials[:first]), *partials[first:]]) == merge(partials)

    @given(_SEVERAL)
    def test_merge_leaves_its_partials_as_they_were(self, parts: list[Observations]) -> None:
        partials, again = self.chunks(parts), self.chunks(parts)
        self.reduction.merge(partials)
        assert partials == again

    @given(observations())
    def test_a_partial_survives_its_file_format(self, rows: Observations) -> None:
        partial = self.reduction.chunk(*rows)
        assert Partial.from_arrow(partial.to_arrow()) == partial

    @given(observations())
    def test_every_statistic_has_one_value_a_cell(self, rows: Observations) -> None:
        partial = self.reduction.chunk(*rows)
        for statistic in self.reduction.statistics:
            assert self.reduction.finalize(partial, statistic).shape == partial.keys.shape

    def test_a_statistic_that_it_does_not_give_is_refused_by_name(self) -> None:
        with pytest.raises(ValueError, match="'modus' is none of"):
            self.reduction.finalize(self.reduction.merge([]), "modus")
