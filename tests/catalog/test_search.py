from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.catalog import naming
from eoscale.catalog.search import OUTSIDE_PERIOD, Query
from eoscale.errors import CatalogError, RecipeError
from eoscale.model.granule import Granule
from eoscale.model.product import Product
from eoscale.model.vocabulary import Search
from eoscale.products import ATL06, GEDI02_A, OL_1_EFR, product

FRAME = "ECA_EXBA_ATL_FM__2A_20250620T131444Z_20250620T145502Z_05999E"
OLCI = "S3A_OL_1_EFR____20180602T181007_20180602T181307_20180603T230737_0179_032_027_1620_LN1_O_NT_002"
TRACK = "ATL06_20190613065109_11610303_002_01"


def made(name: str, known: Product) -> Granule:
    granule, _ = naming.listed(f"https://host/{name}.h5", known)
    return granule


@pytest.mark.parametrize(
    ("name", "known", "words", "why"),
    [
        (TRACK, "ATL06", {"rgt": 1161, "cycle": [3, 4]}, ""),
        (TRACK, "ATL06", {"rgt": [1, 2]}, "rgt is 1161"),
        (TRACK, "ATL06", {"cycle": 4}, "cycle is 3"),
        (TRACK, "ATL06", {"rgt": "crossing"}, ""),
        (TRACK, "ATL06", {"name": "ATL06_201906*"}, ""),
        (TRACK, "ATL06", {"name": [f"{TRACK}.h5", "x"]}, ""),
        (TRACK, "ATL06", {"name": "ATL06_2018*"}, "its name is not ATL06_2018*"),
        (FRAME, "ATL_FM__2A", {"frame": "E", "orbit": 5999}, ""),
        (FRAME, "ATL_FM__2A", {"frame": ["A", "B"]}, "frame is E"),
        (FRAME, "ATL_FM__2A", {"orbit": 6000}, "orbit is 5999"),
        (OLCI, "OL_1_EFR", {"timeliness": "NT", "cycle": 32, "orbit": 27}, ""),
        (OLCI, "OL_1_EFR", {"timeliness": "NR"}, "timeliness is NT"),
        (OLCI, "OL_1_EFR", {"name": f"{OLCI}.SEN3"}, ""),
    ],
)
def test_what_a_name_tells_decides(name: str, known: str, words: dict[str, object], why: str) -> None:
    query = Query(product=product(known), search=Search.model_validate(words))
    assert query.refusal(made(name, query.product)) == why


@pytest.mark.parametrize(
    ("known", "words"),
    [("ATL06", {"frame": "E"}), ("GEDI02_A", {"rgt": 3}), ("ATL_FM__2A", {"timeliness": "NT"})],
)
def test_words_that_no_name_of_a_product_tells_are_refused(known: str, words: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=f"{known} has no {next(iter(words))} in the names"):
        Query(product=product(known), search=Search.model_validate(words))


@given(st.integers(-2000, 2000), st.sampled_from([None, 0]), st.sampled_from([None, 600]))
def test_a_granule_is_outside_a_period_if_it_ends_before_or_begins_when_it_stops(
    begin: int, start: int | None, stop: int | None
) -> None:
    zero = np.datetime64("2019-06-13", "ns")
    period = tuple(None if end is None else zero + np.timedelta64(end, "s") for end in (start, stop))
    first = zero + np.timedelta64(begin, "s")
    last = first + np.timedelta64(300, "s")
    granule = Granule(id=TRACK, product="ATL06", urls={"file": "/a.h5"}, start=first, end=last)
    outside = (stop is not None and begin >= stop) or (start is not None and begin + 300 < start)
    assert Query(product=ATL06, period=period).refusal(granule) == OUTSIDE_PERIOD * outside  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "known", "start"),
    [
        (TRACK, ATL06, "2019-06-13T06:51:09"),
        ("GEDI02_A_2019108080338_O01964_02_T05337_02_003_01_V002", GEDI02_A, "2019-04-18T08:03:38"),
        (OLCI, OL_1_EFR, "2018-06-02T18:10:07"),
    ],
)
@pytest.mark.parametrize("ending", ["", ".h5", ".SEN3", ".zip", ".SEN3.zip"])
def test_a_name_tells_when_a_granule_began_whatever_its_form(
    name: str, known: Product, start: str, ending: str
) -> None:
    named = naming.named(known, f"subset_{name}{ending}")
    assert (named.id, named.product) == (name, known.name)
    assert named.start == np.datetime64(start)


def test_a_name_with_a_time_that_is_none_is_an_error() -> None:
    with pytest.raises(CatalogError, match="20191313065109 in a granule's name is no time"):
        naming.named(ATL06, TRACK.replace("20190613", "20191313"))
