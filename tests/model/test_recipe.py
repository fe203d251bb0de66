from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from eoscale.errors import RecipeError
from eoscale.model.product import Product
from eoscale.model.recipe import Recipe, schema
from eoscale.model.vocabulary import STATISTICS, By, Crossing, Duplicates, Synthetic

_TEXT = """\
title: Ice
product: ATL06
granules: "*.h5"
variables: [h_li]
reduce:
  by:
    - grid: {crs: EPSG:3413, resolution: 1000}
    - period: 1MS
  statistics: [count, mean]
output: {zarr: out.zarr}
"""
_WORDS: dict[str, Any] = yaml.safe_load(_TEXT)
_INLINE = """\
product:
  name: MINE
  title: A product of my own
  kind: track
  groups: [beam]
  rates: [{name: shot, group: data, longitude: data/x, latitude: data/y, time: data/t}]
  variables: {h: {path: data/h, units: m}}
  epoch: "2000-01-01"
  name_pattern: MINE_.*
  longest: 60
variables: [h]
reduce: {by: [{period: 1D}], statistics: [mean]}
output: {zarr: out.zarr}
"""


def _with(line: str) -> str:
    """Return the good recipe with another line at its end, which is line 11."""
    return _TEXT + line + "\n"


def _refused(text: str, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        Recipe.from_yaml(text)


def _replaced(line: int, text: str) -> str:
    lines = _TEXT.splitlines()
    lines[line - 1] = text
    return "\n".join(lines)


_AXES = st.lists(
    st.sampled_from([{"grid": {"crs": "EPSG:3413", "resolution": 500.0}}, {"period": "1MS"}]),
    min_size=1,
    max_size=2,
    unique_by=str,
)
_RECIPES = st.fixed_dictionaries(
    {
        "product": st.sampled_from(["ATL06", "ATL08"]),
        "variables": st.sampled_from([["h_li"], ["h_li", "a/b"], {"height": "h_li"}]),
        "reduce": st.fixed_dictionaries(
            {"by": _AXES, "statistics": st.lists(st.sampled_from(STATISTICS), min_size=1, unique=True)}
        ),
        "output": st.just({"zarr": "out.zarr"}),
    },
    optional={
        "title": st.text(),
        "search": st.sampled_from([{}, {"version": "006"}]),
        "granules": st.sampled_from(
            ["*.h5", ["a.h5", "b.h5"], {"synthetic": 3}, {"synthetic": 3, "seed": 1}]
        ),
        "period": st.sampled_from(
            [["2024-04-01", "2024-07-01T12:00"], [dt.date(2024, 1, 1), dt.date(2025, 1, 1)]]
        ),
        "region": st.sampled_from(["area.geojson", [-51, 69, -49, 72.5]]),
        "quality": st.just("best"),
        "allow_empty": st.booleans(),
        "batch_bytes": st.integers(1, 2**40),
        "zarr_format": st.sampled_from([2, 3]),
    },
)


SHARES = st.builds("{}.{:02}{}%".format, st.integers(0, 99), st.integers(0, 99), st.sampled_from(["", " "]))
LIMITS = st.integers(0, 2**40) | SHARES | st.sampled_from(["0%", "5%", "100%"])
POLICIES = st.just({"on_error": "raise"}) | st.fixed_dictionaries(
    {"on_error": st.just("record")}, optional={"max_failed": st.none() | LIMITS}
)
"""What a recipe may say of granules that fail."""


@given(_RECIPES, st.just({}) | POLICIES)
def test_the_words_of_a_recipe_make_the_same_recipe(words: dict[str, Any], policy: dict[str, Any]) -> None:
    recipe = Recipe(**words, **policy)
    assert recipe.on_error == policy.get("on_error", "raise")
    assert recipe.max_failed == policy.get("max_failed")
    plain = json.loads(json.dumps(recipe.words()))
    assert Recipe(**plain) == recipe
    assert Recipe.from_yaml(yaml.safe_dump(plain)) == recipe
    assert Recipe(**plain).words() == recipe.words()


def test_the_yaml_form_and_the_constructor_take_the_same_words() -> None:
    assert Recipe.from_yaml(_TEXT) == Recipe(**_WORDS)
    assert Recipe.from_yaml(_TEXT).words() == _WORDS | {"reduce": Recipe(**_WORDS).words()["reduce"]}
    assert repr(Recipe.from_yaml(_TEXT)) == "<Recipe Ice: h_li of ATL06>"


def test_words_that_say_the_default_are_not_repeated() -> None:
    recipe = Recipe.from_yaml(_TEXT + "zarr_format: 3\non_error: raise\nsearch: {}\nwhere: null\n")
    assert recipe == Recipe.from_yaml(_TEXT)
    assert recipe.words().keys() == _WORDS.keys()
    assert "output" not in recipe.words(without={"output"})


def test_a_path_gives_its_last_part_as_name_and_a_mapping_renames() -> None:
    paths = _replaced(4, "variables: [h_li, land_ice_segments/dem/dem_h]")
    assert Recipe.from_yaml(paths).columns == {"h_li": "h_li", "dem_h": "land_ice_segments/dem/dem_h"}
    renamed = _replaced(4, "variables: {height: h_li, again: h_li}")
    assert Recipe.from_yaml(renamed).columns == {"height": "h_li", "again": "h_li"}


def test_two_variables_of_one_column_name_are_refused() -> None:
    for variables in ("[h_li, a/h_li]", "[h_li, h_li]", "[a/h_li, b/h_li/]"):
        _refused(
            _replaced(4, f"variables: {variables}"),
            "line 4: `variables` has two variables of the column name h_li: rename one",
        )


@pytest.mark.parametrize(
    ("granules", "expected"),
    [
        ('"*.h5"', "*.h5"),
        ("[a.h5, b.h5]", ("a.h5", "b.h5")),
        ("{synthetic: 5}", Synthetic(synthetic=5)),
        ("{synthetic: 5, seed: 2}", Synthetic(synthetic=5, seed=2)),
    ],
)
def test_granules_are_a_place_some_places_or_miniatures(granules: str, expected: object) -> None:
    assert Recipe.from_yaml(_replaced(3, f"granules: {granules}")).granules == expected


def test_a_product_may_be_described_in_the_recipe() -> None:
    recipe = Recipe.from_yaml(_INLINE)
    assert isinstance(recipe.product, Product)
    assert recipe.product.path("h") == "data/h"
    assert recipe.product.rates[0].time == "data/t"
    assert recipe.product.fill.attribute
    assert Recipe(**recipe.words()) == recipe
    assert repr(recipe) == "<Recipe without title: h of MINE>"


_SPRING = ("2024-04-01T00:00:00", "2024-07-01T00:00:00")


@pytest.mark.parametrize(
    "period",
    [
        "[2024-04-01, 2024-07-01]",
        "[2024-4-1, 2024-7-1]",
        '["2024-04-01", "2024-07-01"]',
        "[2024-04-01T00:00:00Z, 2024-07-01 00:00:00]",
        "[2024-04-01T02:00:00+02:00, 2024-06-30T20:00:00-04:00]",
    ],
)
def test_a_period_is_in_utc_however_it_is_written(period: str) -> None:
    assert Recipe.from_yaml(_with(f"period: {period}")).period == _SPRING


@pytest.mark.parametrize(
    "moments",
    [
        (dt.date(2024, 4, 1), dt.date(2024, 7, 1)),
        (dt.datetime(2024, 4, 1, tzinfo=dt.UTC), dt.datetime(2024, 7, 1)),  # noqa: DTZ001  without means UTC
        (
            dt.datetime(2024, 4, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            dt.datetime(2024, 6, 30, 20, tzinfo=dt.timezone(dt.timedelta(hours=-4))),
        ),
    ],
)
def test_the_constructor_takes_dates_and_times(moments: tuple[dt.date, dt.date]) -> None:
    assert Recipe(**_WORDS, period=moments).period == _SPRING


@pytest.mark.parametrize(
    ("period", "reason"),
    [
        ("[2024-07-01, 2024-04-01]", "` starts at 2024-07-01 00:00:00 and stops at 2024-04-01 00:00:00"),
        ("[2024-07-01, 2024-07-01]", "` starts .* expected start before stop"),
        ("[2024-02-30, 2024-07-01]", "` holds 2024-02-30, which is no date: expected one from 1678 to 2261"),
        ("[spring, summer]", "` holds spring, which is no date"),
        ("[2024-04-01, 9999-12-31]", "` holds 9999-12-31, which is no date: expected one from 1678 to 2261"),
        ("[2024, 2025]", "` holds 2024, which is no date"),
        ("[null, null]", "` is open at both ends: give one of them, or leave it out"),
        ("[2024-04-01]", ".1` is missing"),
        ("[2024-04-01, 2024-05-01, 2024-06-01]", "` has 3 items: expected 2"),
        ("2024-04", "` is text: expected a list"),
    ],
)
def test_what_is_no_period_is_refused_with_its_line(period: str, reason: str) -> None:
    _refused(_with(f"period: {period}"), f"^line 11: `period{reason}")


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("{cycle: 3, orbit: [1, 2]}", {"cycle": (3,), "orbit": (1, 2)}),
        ("{concept_id: C2027878642-NSIDC_CPRD}", {"concept_id": ("C2027878642-NSIDC_CPRD",)}),
        ("{rgt: [384, 12], frame: E}", {"rgt": (384, 12), "frame": ("E",)}),
        ("{rgt: crossing, timeliness: NT}", {"rgt": "crossing", "timeliness": "NT"}),
        ("{rgt: {orbits: tracks.gpkg, within: 5}}", {"rgt": Crossing(orbits="tracks.gpkg", within=5)}),
        ("{cloud_hosted: true, max_items: 5}", {"cloud_hosted": True, "max_items": 5}),
        (
            "{provider: maap, filter: orbitNumber > 5000}",
            {"provider": "maap", "filter": "orbitNumber > 5000"},
        ),
    ],
)
def test_words_of_a_search_are_one_value_or_several(search: str, found: dict[str, object]) -> None:
    recipe = Recipe.from_yaml(_with(f"search: {search}"))
    assert {name: getattr(recipe.search, name) for name in found} == found
    assert Recipe(**recipe.words()) == recipe


@pytest.mark.parametrize(
    ("search", "fault"),
    [
        ("{rgt: 1388}", "search.rgt.*less than or equal to 1387"),
        ("{cycle: many}", "`search.cycle"),
        ("{max_items: 0}", "`search.max_items` should be greater than 0"),
        ("{concept_id: ATL03}", "search.concept_id.*should match pattern"),
        ("{cloud_hosted: maybe}", "`search.cloud_hosted` is text: expected true or false"),
        ("{timeliness: late}", "`search.timeliness` should be 'NR', 'ST' or 'NT'"),
        ("{framme: E}", "`search.framme` is no word of a recipe; did you mean frame?"),
        ("{rgt: {whithin: 3}}", "did you mean within?"),
    ],
)
def test_a_word_of_a_search_that_says_nothing_is_refused_with_its_line(search: str, fault: str) -> None:
    _refused(_with(f"search: {search}"), f"^line 11: .*{re.escape(fault) if '?' in fault else fault}")


def test_of_duplicates_the_newest_all_or_pinned_ones_are_kept() -> None:
    assert Recipe.from_yaml(_TEXT).duplicates == "newest"
    assert Recipe.from_yaml(_with("duplicates: keep")).duplicates == "keep"
    pinned = Recipe.from_yaml(_with('duplicates: {version: "005"}'))
    assert pinned.duplicates == Duplicates(version="005")
    assert Recipe(**pinned.words()) == pinned
    _refused(_with("duplicates: oldest"), "^line 11: `duplicates` should be 'newest' or 'keep'")
    _refused(_with("duplicates: {version: 5}"), "write it in quotes")


@pytest.mark.parametrize("output", ["parquet", "csv", "json"])
def test_observations_are_what_a_recipe_without_reduce_writes(output: str) -> None:
    lines = _TEXT.splitlines()
    observations = "\n".join(lines[:4] + lines[9:])
    recipe = Recipe.from_yaml(observations.replace("output: {zarr:", f"output: {{{output}:"))
    assert recipe.reduce is None
    assert recipe.output is not None
    assert recipe.output.kind == output
    assert Recipe(**recipe.words()) == recipe
    _refused(observations, "^line 5: `output` is zarr: without `reduce`, observations go to parquet")
    _refused(
        _replaced(10, f"output: {{{output}: out}}"), f"^line 10: `output` is {output}: statistics go to zarr"
    )
    _refused(_replaced(10, f"output: {{zarr: a, {output}: b}}"), "^line 10: `output` has exactly one of")


def test_a_condition_is_read_at_once_and_its_fault_names_the_line() -> None:
    assert Recipe.from_yaml(_with("where: h_li_sigma < 1")).where == "h_li_sigma < 1"
    _refused(_with("where: open('x') < 1"), "^line 11: `where` the condition calls a function, open")
    _refused(_with("where: 3"), "^line 11: `where` is 3: expected text")


@pytest.mark.parametrize(
    "axis", ["zones: {file: a.parquet, name: ECO}", "bins: {variable: h, edges: [0, 1]}"]
)
def test_zones_and_bins_are_not_yet_axes(axis: str) -> None:
    word = axis.partition(":")[0]
    _refused(_replaced(8, f"    - {axis}"), f"^line 8: `reduce.by.1.{word}` is not yet supported")


@pytest.mark.parametrize(
    "statistic", ["median", "mode", "p50", "p99.9", "fraction(forest)", "first", "last", "valid_fraction"]
)
def test_other_statistics_are_not_yet_there(statistic: str) -> None:
    text = _replaced(9, f"  statistics: [count, {statistic}]")
    with pytest.raises(RecipeError) as caught:
        Recipe.from_yaml(text)
    assert str(caught.value).startswith(
        f"line 9: `reduce.statistics` holds {statistic}, which is not yet supported"
    )


def test_means_of_cells_are_not_yet_there() -> None:
    _refused(
        _replaced(9, "  statistics: [mean]\n  mean_of: cells"),
        "^line 10: `reduce.mean_of` is not yet supported",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (_replaced(2, "prodct: ATL06"), "line 2: `prodct` is no word of a recipe; did you mean product?"),
        (_with("serach: {}"), "line 11: `serach` is no word of a recipe; did you mean search?"),
        (_with('search: {vesion: "006"}'), "line 11: `search.vesion` .* did you mean version?"),
        (_replaced(3, "granules: {synthetic: 3, sead: 1}"), "^line 3: `granules.sead` .* did you mean seed?"),
        (_replaced(9, "  statistic: [mean]"), "line 9: `reduce.statistic` .* did you mean statistics?"),
        (_replaced(8, "    - perod: 1MS"), "line 8: `reduce.by.1.perod` .* did you mean period?"),
        (
            _replaced(7, "    - grid: {crs: EPSG:3413, resolutoin: 9}"),
            "line 7: `reduce.by.0.grid.resolutoin` .* did you mean resolution?",
        ),
        (_replaced(10, "output: {zar: out.zarr}"), "^line 10: `output.zar` .* did you mean zarr?"),
        (_replaced(10, "output: {jsn: out}"), "^line 10: `output.jsn` .* did you mean json?"),
        (_INLINE.replace("  longest", "  longset"), "line 10: `product.longset` .* did you mean longest?"),
        (_INLINE.replace("units", "unts"), "line 7: `product.variables.h.unts` .* did you mean units?"),
        (_INLINE.replace("time:", "tme:"), "line 6: `product.rates.0.tme` .* did you mean time?"),
        (_with("self: 1"), "line 11: `self` is no word of a recipe"),
        (_with("xyzzy: 1"), "did you mean title, product, search"),
        (_with("batch_bytes: 1\nbatch_byte: 1"), "line 12: `batch_byte` .* did you mean batch_bytes"),
    ],
)
def test_a_misspelt_word_names_its_line_and_the_nearest_word(text: str, reason: str) -> None:
    _refused(text, reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("title: x", "`product` is missing"),
        (_replaced(1, "title: 5"), "^line 1: `title` is 5: expected text$"),
        (_replaced(2, "product: 6"), "^line 2: `product` is 6: expected text or a mapping of words$"),
        (_INLINE.replace("  longest: 60\n", ""), "^line 1: `product.longest` is missing$"),
        (
            _replaced(3, "granules: 5"),
            "^line 3: `granules` is 5: expected text or a list or a mapping of words$",
        ),
        (_replaced(3, "granules: {synthetic: 0}"), "^line 3: `granules.synthetic` should be greater than 0$"),
        (_replaced(4, "variables: h_li"), "^line 4: `variables` is text: expected a list or a mapping$"),
        (_replaced(4, "variables: []"), "^line 4: `variables` is empty: expected at least one item$"),
        (_replaced(4, "variables: {h: 5}"), "^line 4: `variables.h` is 5: expected text$"),
        (_with("region: [1, 2, 3]"), "^line 11: `region.3` is missing$"),
        (_with("region: [1, 2, 3, x]"), "^line 11: `region.3` is text: expected a number$"),
        (_with("region: {a: 1}"), "^line 11: `region` is a mapping: expected text or a list$"),
        (
            _replaced(9, "  statistics: [mena]"),
            "^line 9: .* holds mena, which is no statistic; did you mean mean?",
        ),
        (_replaced(9, "  statistics: [pmean]"), "holds pmean, which is no statistic; did you mean mean?"),
        (_replaced(9, "  statistics: [mean, mean]"), "^line 9: `reduce.statistics` names a statistic twice$"),
        (_replaced(9, "  statistics: mean"), "^line 9: `reduce.statistics` is text: expected a list$"),
        (
            _replaced(8, "    - grid: {crs: EPSG:3413, resolution: 5}"),
            "^line 6: `reduce.by` names one axis twice$",
        ),
        (_replaced(8, "    - {}"), "^line 8: `reduce.by.1` has exactly one of grid, period, zones and bins$"),
        (
            _replaced(8, "    - {period: 1D, grid: {crs: EPSG:3413, resolution: 5}}"),
            "^line 8: `reduce.by.1` has exactly one of",
        ),
        (
            _replaced(7, "    - grid: {crs: EPSG:3413, resolution: -5}"),
            "^line 7: `reduce.by.0.grid.resolution` should be greater than 0$",
        ),
        (
            _replaced(7, "    - grid: {crs: EPSG:3413, resolution: .inf}"),
            "^line 7: `reduce.by.0.grid.resolution` is inf: expected a finite number$",
        ),
        (
            _replaced(7, "    - grid: {crs: 3413, resolution: 5}"),
            "^line 7: .*grid.crs` is 3413: expected text$",
        ),
        (_replaced(10, "output: out.zarr"), "^line 10: `output` is text: expected a mapping of words$"),
        (
            _replaced(10, "output: {}"),
            "^line 10: `output` has exactly one of zarr, icechunk, parquet, csv and json$",
        ),
        (_with("on_error: ignore"), "^line 11: `on_error` should be 'raise' or 'record'$"),
        (_with("zarr_format: 4"), "^line 11: `zarr_format` should be 2 or 3$"),
        (_with("batch_bytes: 256 MB"), "^line 11: `batch_bytes` is text: expected a whole number$"),
        (_with("allow_empty: perhaps"), "^line 11: `allow_empty` is text: expected true or false$"),
        (_with("batch_bytes: 0\nzarr_format: 4"), "^line 11: `batch_bytes` .*; line 12: `zarr_format` "),
    ],
)
def test_a_wrong_value_names_its_line_and_what_was_expected(text: str, reason: str) -> None:
    _refused(text, reason)


@given(LIMITS)
def test_a_limit_of_failures_in_yaml_is_the_one_of_the_constructor(limit: int | str) -> None:
    recipe = Recipe.from_yaml(_with(f"on_error: record\nmax_failed: {limit}"))
    assert recipe == Recipe(**_WORDS, on_error="record", max_failed=limit)
    assert recipe == Recipe.from_yaml(_TEXT, {"on_error": "record", "max_failed": str(limit)})
    assert recipe.max_failed == limit


@pytest.mark.parametrize(
    ("limit", "got"),
    [
        ("-1", "-1"),
        ("3.0", "3.0"),
        ("0.05", "0.05"),
        ("yes", "True"),
        (".nan", "nan"),
        ('"3"', "text"),
        ("-5%", "text"),
        ("100.1%", "text"),
        ("5 percent", "text"),
        ("5% of them", "text"),
        ('"5%\\n"', "text"),
        ("1e1%", "text"),
        ("\u0665%", "text"),  # an Arabic-Indic 5
        ("[5%]", "a list"),
        ("{share: 5}", "a mapping"),
    ],
)
def test_what_is_no_limit_of_failures_is_told_with_what_is(limit: str, got: str) -> None:
    _refused(
        _with(f"on_error: record\nmax_failed: {limit}"),
        f"^line 12: `max_failed` is {got}: expected a whole number from 0 on, "
        "or a share of the granules from 0% to 100%, e.g. 5%$",
    )


@pytest.mark.parametrize("policy", ["", "on_error: raise\n"])
@given(limit=LIMITS)
def test_a_limit_of_failures_where_none_is_allowed_says_what_to_write(policy: str, limit: int | str) -> None:
    _refused(
        _with(f"{policy}max_failed: {limit}"),
        f"^line 1[12]: `max_failed` is {limit}, and on_error is raise, which allows no failure: "
        "write on_error: record beside it, or leave max_failed out$",
    )


def test_a_wrong_policy_is_the_only_fault_that_is_told_of_its_limit() -> None:
    _refused(_with("on_error: ignore\nmax_failed: 3"), "^line 11: `on_error` should be 'raise' or 'record'$")


@pytest.mark.parametrize("version", ["006", "6", "6.0"])
def test_an_unquoted_version_says_to_quote_it(version: str) -> None:
    _refused(
        _with(f"search: {{version: {version}}}"),
        '^line 11: `search.version` is the number .* in quotes, e.g. "006"',
    )


def test_what_is_wrong_is_said_without_showing_text_that_may_be_secret() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_yaml(_with("search: https://me:secret@host"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a recipe is a mapping of words to values"),
        ("- product: ATL06", "a recipe is a mapping of words to values"),
        ("just text", "a recipe is a mapping of words to values"),
        ("1: 2", "a recipe is a mapping of words to values"),
        ("product: [", "^line 1: this is no YAML: expected the node content"),
        ("title: a\n\tproduct: b", "^line 2: this is no YAML"),
        ("title: a\x01", "this is no YAML: unacceptable character"),
        ("title: 0x_", "this is no YAML: "),
        ("title: " + "[" * 600 + "]" * 600, "this is no YAML"),
        ("title: a\n---\ntitle: b", "this is no YAML: but found another document"),
        ("title: !!python/object/apply:os.getcwd []", "this is no YAML: could not determine a constructor"),
        (_TEXT + "title: again", "^line 11: `title` stands in line 1 already$"),
        (
            _replaced(7, "    - grid: {crs: EPSG:3413, crs: EPSG:3031}"),
            "^line 7: `crs` stands in line 7 already$",
        ),
        ("title: &name x\nproduct: *name", r"a recipe has no YAML aliases \(\*name\): write the value out"),
    ],
)
def test_what_is_no_recipe_is_refused(text: str, reason: str) -> None:
    _refused(text, reason)


def test_the_constructor_refuses_with_the_same_words() -> None:
    with pytest.raises(
        RecipeError, match=r"^`search.vesion` is no word of a recipe; did you mean version\?$"
    ):
        Recipe(**_WORDS, search={"vesion": "006"})
    with pytest.raises(RecipeError, match=r"^`reduce.by.0.period` is 5: expected text$"):
        Recipe(**{**_WORDS, "reduce": {"by": [{"period": 5}], "statistics": ["mean"]}})


def test_a_recipe_cannot_be_changed() -> None:
    recipe = Recipe(**_WORDS)
    with pytest.raises(ValueError, match="frozen"):
        recipe.title = "another"  # type: ignore[misc]


def test_changes_set_words_by_their_dotted_names() -> None:
    changes = {
        "search.version": '"006"',
        "title": "Another",
        "reduce.statistics": "[max]",
        "period": "[2024-04-01, 2024-07-01]",
    }
    recipe = Recipe.from_yaml(_TEXT, changes)
    assert recipe.search.version == "006"
    assert recipe.title == "Another"
    assert recipe.reduce is not None
    assert recipe.reduce.statistics == ("max",)
    assert recipe.reduce.by[1] == By(period="1MS")
    assert recipe.period == _SPRING


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("serch.version", '"006"', "`serch` is no word of a recipe; did you mean search?"),
        ("search.vesion", '"006"', "`search.vesion` is no word of a recipe; did you mean version?"),
        ("search.version", "006", "`search.version` is the number 6.*in quotes"),
        ("batch_bytes", "0", "`batch_bytes` should be greater than 0"),
        ("period", "[2024-02-30, 2024-04-01]", "`period` holds 2024-02-30, which is no date"),
        ("title", "[", r"title: '\[' is no YAML value"),
        ("product.name", "x", "product.name: `product` is no mapping, so it has no word `name`"),
        ("reduce.by.0", "x", "reduce.by.0: `by` is no mapping, so it has no word `0`"),
    ],
)
def test_a_change_that_cannot_be_is_refused(key: str, value: str, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        Recipe.from_yaml(_TEXT, {key: value})


def test_a_file_knows_what_lies_beside_it(tmp_path: Path) -> None:
    place = tmp_path / "recipes" / "ice.yaml"
    place.parent.mkdir()
    place.write_text(_TEXT, encoding="utf-8")
    recipe = Recipe.from_file(place, {"title": "Schnee"})
    assert recipe.title == "Schnee"
    assert recipe.beside("area.geojson") == str(place.parent / "area.geojson")
    assert recipe.beside("../area.geojson") == str(place.parent / "../area.geojson")
    assert recipe.beside(str(tmp_path / "area.geojson")) == str(tmp_path / "area.geojson")
    assert recipe.beside("s3://bucket/area.parquet") == "s3://bucket/area.parquet"
    assert Recipe.from_yaml(_TEXT).beside("area.geojson") == "area.geojson"


def test_a_file_that_cannot_be_a_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"the recipe .*nowhere\.yaml cannot be read"):
        Recipe.from_file(tmp_path / "nowhere.yaml")
    binary = tmp_path / "granule.h5"
    binary.write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(RecipeError, match=r"the recipe .*granule\.h5 cannot be read"):
        Recipe.from_file(binary)
    large = tmp_path / "large.yaml"
    large.write_text("#" * (1 << 20) + "\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"large\.yaml is larger than 1 MiB"):
        Recipe.from_file(large)


def test_the_schema_for_editors_knows_every_word() -> None:
    known = schema()
    assert set(known["properties"]) == set(Recipe.model_fields)
    assert known["additionalProperties"] is False
    assert {"zarr", "icechunk", "parquet", "csv", "json"} == set(known["$defs"]["Output"]["properties"])
    assert known["properties"]["on_error"]["enum"] == ["raise", "record"]
    assert {kind["type"] for kind in known["properties"]["max_failed"]["anyOf"]} == {
        "integer",
        "string",
        "null",
    }
