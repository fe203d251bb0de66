from __future__ import annotations

import operator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.errors import RecipeError
from eoscale.model.product import Condition, Fill, Product, Rate
from eoscale.products import ATL06, ATL08, REGISTRY, product

_EPOCH = int(np.datetime64(ATL06.epoch, "ns").astype(np.int64))
_FINE = st.builds(lambda n, k: n / 2**k, st.integers(-(2**53), 2**53), st.integers(21, 32))
"""Seconds with as many binary digits behind the point as those of a mission have, and more."""


@given(st.lists(_FINE, min_size=1))
def test_times_are_exact_to_the_nanosecond(seconds: list[float]) -> None:
    times = ATL06.times(np.array(seconds)).astype(np.int64).tolist()
    assert times == [_EPOCH + round(Fraction(moment) * 10**9) for moment in seconds]


@given(st.floats(-7e9, 7e9))
def test_any_time_is_at_most_half_a_nanosecond_off(seconds: float) -> None:
    time = int(ATL06.times(np.array([seconds])).astype(np.int64)[0])
    exact = _EPOCH + Fraction(seconds) * 10**9
    assert abs(time - exact) <= Fraction(1, 2) + Fraction(1, 10**6)


@pytest.mark.parametrize(
    "seconds",
    [np.nan, np.inf, -np.inf, 1.7976931348623157e308, -1.7976931348623157e308, 7.8e9, 8.9e9, -1.2e10],
)
def test_a_fill_value_is_no_time(seconds: float) -> None:
    assert np.isnat(ATL06.times(np.array([seconds, 0.0]))).tolist() == [True, False]


@given(st.integers(1700, 2100), st.floats(-2e10, 2e10))
def test_no_time_wraps_around_whatever_the_epoch(year: int, seconds: float) -> None:
    (time,) = replace(ATL06, epoch=f"{year}-01-01T00:00:00").times(np.array([seconds]))
    exact = int(np.datetime64(str(year), "s").astype(np.int64)) + Fraction(seconds)
    if np.isnat(time):
        assert abs(exact) > 9.1e9
    else:
        assert abs(Fraction(int(time.astype(np.int64)), 10**9) - exact) < Fraction(1, 10**6)


def test_times_of_float32_seconds_are_those_of_their_values() -> None:
    assert ATL06.times(np.array([0.5], np.float32)) == np.datetime64("2018-01-01T00:00:00.5", "ns")


@pytest.mark.parametrize(
    ("dtype", "largest"), [("f4", 3.4028234663852886e38), ("f8", 1.7976931348623157e308)]
)
def test_the_largest_float_of_a_type_is_missing(dtype: str, largest: float) -> None:
    values = np.array([1.5, largest, -largest, np.nan, np.inf], dtype)
    assert ATL06.missing(values, None).tolist() == [False, True, False, True, False]


def test_the_largest_float32_is_a_value_in_a_float64() -> None:
    assert not ATL06.missing(np.array([3.4028234663852886e38]), None).any()


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "i4", "u4", "i8"])
def test_integers_are_never_masked_without_an_attribute(dtype: str) -> None:
    limits = np.iinfo(dtype)
    values = np.array([limits.min, 0, limits.max], dtype)
    assert not ATL06.missing(values, None).any()
    assert ATL06.missing(values, np.asarray(limits.max, dtype)).tolist() == [False, False, True]


def test_the_files_own_fill_value_is_missing_unless_the_product_says_otherwise() -> None:
    values = np.array([[-9999.0, 1.0], [2.0, np.nan]], np.float32)
    mark = np.asarray(-9999, np.float32)
    assert ATL06.missing(values, mark).tolist() == [[True, False], [False, True]]
    deaf = replace(ATL06, fill=Fill(attribute=False))
    assert deaf.missing(values, mark).tolist() == [[False, False], [False, True]]


@given(
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    st.lists(st.floats(-3, 3).map(round) | st.floats()),
    st.integers(-2, 2) | st.floats(allow_nan=False),
)
def test_a_condition_compares_as_python_does(comparison: str, values: list[float], value: float) -> None:
    compare = {
        "==": operator.eq,
        "!=": operator.ne,
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
    }[comparison]
    condition = Condition(variable="flag", comparison=comparison, value=value)  # type: ignore[arg-type]
    found = condition.passes(np.array(values, np.float64))
    assert found.dtype == np.bool_
    assert found.tolist() == [compare(each, value) for each in values]


def test_a_path_is_a_listed_name_or_any_path_of_the_file() -> None:
    assert ATL06.path("h_li") == "land_ice_segments/h_li"
    assert ATL06.path("/land_ice_segments/geophysical/dac/") == "land_ice_segments/geophysical/dac"


@pytest.mark.parametrize(
    ("name", "near"), [("h_lli", "h_li"), ("quality_summary", "atl06_quality_summary"), ("zzz", "bsnow_h")]
)
def test_an_unknown_name_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(RecipeError, match=rf"ATL06 lists no variable '{name}'; did you mean .*\b{near}\b"):
        ATL06.path(name)


def test_a_variable_is_of_the_rate_with_the_longest_group() -> None:
    assert ATL06.rate("h_li").name == "segment"
    assert ATL06.rate("segment_quality/segment_id").name == "reference point"
    assert ATL08.rate("signal_photons/ph_h").name == "photon"
    inner = Rate(name="bin", group="land_ice_segments/dem")
    whole = Rate(name="beam", group="")
    nested = replace(ATL06, rates=(*ATL06.rates, inner, whole))
    assert nested.rate("dem_h").name == "bin"
    assert nested.rate("h_li").name == "segment"
    assert nested.rate("other/variable").name == "beam"


def test_a_path_in_no_rate_is_refused_with_the_groups_that_are() -> None:
    with pytest.raises(
        RecipeError, match="land_ice_segmentsx/h is in no rate of ATL06: expected a path in land_ice"
    ):
        ATL06.rate("land_ice_segmentsx/h")


@pytest.mark.parametrize("known", REGISTRY.values(), ids=REGISTRY)
def test_a_registered_product_agrees_with_itself(known: Product) -> None:
    groups = known.pattern.groupindex.keys()
    assert {*known.identity, *known.preference, "start", "version"} <= groups
    assert known.catalogued
    if not known.readable:
        assert not known.variables
        with pytest.raises(
            RecipeError, match=f"{known.name} can be searched for and downloaded, and not yet"
        ):
            known.path("anything/at_all")
        return
    assert all(known.rate(name).longitude for name in known.variables)
    assert all(known.rate(place) for place in (known.rates[0].latitude, known.rates[0].time))
    for rule in known.quality.values():
        assert {condition.variable for condition in rule.conditions} <= set(known.variables)
        assert rule.source


def test_an_id_tells_start_version_and_revision() -> None:
    found = ATL06.pattern.search("ATL06_20190405123456_01010303_006_02")
    assert found is not None
    assert found.group("start", "version", "revision") == ("20190405123456", "006", "02")


def test_an_unregistered_product_names_the_nearest() -> None:
    assert product("ATL08") is ATL08
    with pytest.raises(RecipeError, match="no product 'atl6' is registered; did you mean ATL06"):
        product("atl6")
    with pytest.raises(RecipeError, match="did you mean GEDI0"):
        product("GEDI")


@pytest.mark.parametrize(
    ("name", "identity", "version"),
    [
        ("ATL06_20190405123456_01010303_006_02", ("0101", "03", "03"), "006"),
        ("GEDI02_A_2019108080338_O01964_02_T05337_02_003_01_V002", ("01964", "02"), "002"),
        ("ECA_EXBA_ATL_FM__2A_20250620T131444Z_20250620T145502Z_05999E", ("05999", "E"), "BA"),
        (
            "S3A_OL_1_EFR____20180602T181007_20180602T181307_20180603T230737_0179_032_027_1620_LN1_O_NT_002",
            ("S3A", "032", "027", "1620"),
            "002",
        ),
    ],
)
def test_a_name_tells_the_observation_and_its_version(
    name: str, identity: tuple[str, ...], version: str
) -> None:
    (known,) = (each for each in REGISTRY.values() if each.pattern.fullmatch(name))
    found = known.pattern.fullmatch(name)
    assert found is not None
    assert tuple(found[part] for part in known.identity) == identity
    assert found["version"] == version
