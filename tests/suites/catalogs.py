"""The laws of every catalogue, as a class of tests to inherit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from eoscale.catalog.search import Catalog, Query
from eoscale.errors import CatalogError
from eoscale.model.vocabulary import Search


@dataclass(frozen=True, kw_only=True)
class Case:
    """A catalogue, a query that it can answer, and what there is to find."""

    catalog: Catalog
    query: Query
    found: int
    """Granules that the catalogue holds, wanted or not; at least two of them wanted."""
    foreign: int
    """Of them, those of another product or none; at least one."""


class CatalogLaws:
    """Inherit, and give a fixture ``case``."""

    @pytest.fixture
    def case(self) -> Case:
        raise NotImplementedError

    def test_granules_are_sorted_by_id(self, case: Case) -> None:
        ids = [granule.id for granule in case.catalog.search(case.query)]
        assert len(ids) >= 2
        assert ids == sorted(ids)
        assert len(set(ids)) == len(ids)

    def test_kept_and_dropped_are_all_that_was_found(self, case: Case) -> None:
        granules = case.catalog.search(case.query)
        assert len(granules) + len(granules.dropped) == granules.found == case.found

    def test_granules_of_another_product_are_dropped_and_say_so(self, case: Case) -> None:
        granules = case.catalog.search(case.query)
        name = case.query.product.name
        assert {granule.product for granule in granules} == {name}
        foreign = [(granule, why) for granule, why in granules.dropped if granule.product != name]
        assert len(foreign) == case.foreign
        for granule, why in foreign:
            assert why == f"is of product {granule.product or 'unknown'}, not {name}"

    def test_whatever_is_dropped_has_a_reason(self, case: Case) -> None:
        assert all(why for _, why in case.catalog.search(case.query).dropped)

    def test_the_same_query_has_the_same_answer(self, case: Case) -> None:
        first, second = (case.catalog.search(case.query) for _ in range(2))
        assert first == second
        assert first.digest == second.digest

    def test_a_period_drops_and_loses_nothing(self, case: Case) -> None:
        never = np.datetime64("1970-01-01", "ns"), np.datetime64("1970-01-02", "ns")
        granules = case.catalog.search(replace(case.query, period=never))
        assert len(granules) == 0
        assert granules.found == case.found
        assert "outside the period" in {why for _, why in granules.dropped}

    def test_another_version_than_the_one_asked_for_is_an_error(self, case: Case) -> None:
        with pytest.raises(CatalogError, match="version 999 was asked for"):
            case.catalog.search(replace(case.query, search=Search(version="999")))
