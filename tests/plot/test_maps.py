from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import run

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from PIL import Image

from eoscale.errors import RecipeError
from eoscale.model.cube import Cube
from eoscale.model.grid import Grid
from eoscale.plot import maps


def words(figure: Figure) -> str:
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    return "\n".join(text.get_text() for text in texts)


def pictures(figure: Figure) -> list[np.ma.MaskedArray[tuple[int, ...], np.dtype[np.float64]]]:
    return [np.ma.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def degrees(*, rows: int, columns: int, resolution: float = 0.25) -> xr.Dataset:
    grid = Grid(crs="EPSG:4326", resolution=resolution, west=-200, south=280, width=columns, height=rows)
    cube = Cube(axes=(grid,))
    values = np.arange(float(rows * columns)).reshape(rows, columns)
    return xr.Dataset({"h_mean": (cube.dims, values, {"units": "m"})}, cube.coordinates().coords)


def test_the_large_map_shows_the_mean_over_time_weighted_by_counts(three_months: xr.Dataset) -> None:
    large = pictures(maps.draw(three_months))[0]
    count = three_months["h_li_count"].to_numpy()
    filled = count.sum(axis=0) > 0
    values = np.nan_to_num(three_months["h_li_mean"].to_numpy())
    expected = np.average(values[:, filled], axis=0, weights=count[:, filled])
    np.testing.assert_allclose(np.sort(large.compressed()), np.sort(expected))


def test_there_is_a_small_map_for_each_span_and_one_of_counts(three_months: xr.Dataset) -> None:
    figure = maps.draw(three_months)
    assert len(pictures(figure)) == 1 + 3 + 1
    assert all(text in words(figure) for text in ("Apr 2024", "May 2024", "Jun 2024", "Observations"))
    assert pictures(figure)[-1].sum() == three_months["h_li_count"].sum()


def test_spans_share_the_colours_of_the_large_map(three_months: xr.Dataset) -> None:
    norms = [axes.images[0].norm for axes in maps.draw(three_months).axes if axes.images]
    assert norms[0] is norms[1] is norms[2] is norms[3]


def test_many_spans_are_merged_into_six_small_maps(ice_sheet: Callable[..., xr.Dataset]) -> None:
    figure = maps.draw(ice_sheet(resolution=100_000, months=12))
    assert len(pictures(figure)) == 1 + 6 + 1
    assert "Dec 2024 \N{EN DASH} Jan 2025" in words(figure)


def test_without_time_there_are_the_map_and_its_counts(ice_sheet: Callable[..., xr.Dataset]) -> None:
    assert len(pictures(maps.draw(ice_sheet(resolution=100_000, months=None)))) == 2


def test_a_map_of_counts_adds_them_up_and_shows_them_once(three_months: xr.Dataset) -> None:
    figure = maps.draw(three_months, variable="h_li_count")
    assert len(pictures(figure)) == 1 + 3
    assert pictures(figure)[0].sum() == three_months["h_li_count"].sum()


def test_the_page_says_what_when_and_from_how_much(three_months: xr.Dataset) -> None:
    said = words(maps.draw(three_months)).replace("\n", " ")
    assert "Land-ice elevation of Greenland" in said
    assert "Mean  ·  50 km cells  ·  Apr\N{EN DASH}Jun 2024  ·  30 ATL06 granules" in said
    assert "Land ice height, mean [m]" in said
    assert "doi.org/10.5067" in said
    assert "eoscale " in said


def test_the_page_says_how_many_granules_failed(three_months: xr.Dataset) -> None:
    excluded = json.dumps({"a": "CorruptGranuleError: cut", "b": "CorruptGranuleError: cut"})
    said = words(maps.draw(three_months.assign_attrs(eoscale_excluded=excluded))).replace("\n", " ")
    assert "30 ATL06 granules, without 2 that failed" in said


def test_meridians_and_parallels_are_named_at_the_frame(three_months: xr.Dataset) -> None:
    large = maps.draw(three_months).axes[0]
    names = {text.get_text() for text in large.texts if isinstance(text, Annotation)}
    assert {"45°W", "70°N"} <= names


@pytest.mark.parametrize("region", [True, False])
def test_a_result_without_data_says_so(three_months: xr.Dataset, *, region: bool) -> None:
    nothing = three_months.where(three_months["h_li_count"] < 0)
    nothing["h_li_count"] = three_months["h_li_count"] * 0
    if not region:
        nothing = nothing.drop_attrs(deep=False)
    figure = maps.draw(nothing)
    assert "no data" in words(figure)
    assert not pictures(figure)


def test_no_map_draws_more_than_1500_blocks_a_side() -> None:
    assert pictures(maps.draw(degrees(rows=40, columns=720)))[0].shape == (40, 720)
    fine = degrees(rows=40, columns=3400, resolution=0.05)
    drawn = pictures(maps.draw(fine))[0]
    assert max(drawn.shape) <= 1500
    assert drawn.mean() == pytest.approx(float(fine["h_mean"].mean()))
    assert "Drawn in blocks of 4" in words(maps.draw(fine))


def test_a_grid_of_one_row_is_drawn() -> None:
    assert pictures(maps.draw(degrees(rows=1, columns=12)))[0].count() == 12


def test_a_map_without_a_region_is_cropped_to_its_data() -> None:
    result = degrees(rows=40, columns=40)
    result["h_mean"][:, 10:] = np.nan
    result["h_mean"][5:] = np.nan
    axes = maps.draw(result).axes[0]
    assert np.mean(axes.get_xlim()) == pytest.approx(-50 + 10 * 0.25 / 2)
    assert np.mean(axes.get_ylim()) == pytest.approx(80 - 5 * 0.25 / 2)
    assert np.ptp(axes.get_xlim()) < 2 * 10 * 0.25


def test_an_unknown_variable_names_the_nearest(three_months: xr.Dataset) -> None:
    with pytest.raises(RecipeError, match="did you mean h_li_mean"):
        maps.draw(three_months, variable="h_li_maen")


def test_a_result_without_maps_or_series_is_refused() -> None:
    with pytest.raises(RecipeError, match="nothing to draw"):
        maps.draw(xr.Dataset({"h_mean": ("zone", [1.0])}))


@pytest.mark.parametrize(
    ("dropped", "shown"),
    [(["mean"], "h_li_std"), (["mean", "std", "min", "max"], "h_li_count"), (["count"], "h_li_mean")],
)
def test_the_first_mean_is_shown_else_what_is_no_count(
    three_months: xr.Dataset, dropped: list[str], shown: str
) -> None:
    result = three_months.drop_vars([f"h_li_{statistic}" for statistic in dropped])
    assert words(maps.draw(result)) == words(maps.draw(result, variable=shown))


def test_a_result_without_counts_weighs_its_spans_alike(three_months: xr.Dataset) -> None:
    figure = maps.draw(three_months.drop_vars("h_li_count"))
    assert len(pictures(figure)) == 1 + 3
    expected = three_months["h_li_mean"].mean("time").to_numpy()
    np.testing.assert_allclose(
        np.sort(pictures(figure)[0].compressed()), np.sort(expected[np.isfinite(expected)])
    )


def test_a_result_that_lost_its_coordinates_is_refused(three_months: xr.Dataset) -> None:
    with pytest.raises(RecipeError, match="time_bounds"):
        maps.draw(three_months[["h_li_mean"]])
    with pytest.raises(RecipeError, match="spatial_ref"):
        maps.draw(three_months.drop_vars("spatial_ref"))


def test_the_same_result_gives_the_same_bytes_and_no_date(three_months: xr.Dataset, tmp_path: Path) -> None:
    first = maps.save(three_months, tmp_path / "first.png")
    second = maps.save(three_months, str(tmp_path / "second.png"))
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as image:
        assert set(image.info) <= {"dpi"}
        assert min(image.size) > 1500


def test_a_result_is_drawn_from_its_store(three_months: xr.Dataset, tmp_path: Path) -> None:
    three_months.to_zarr(tmp_path / "result.zarr")
    stored = xr.open_zarr(tmp_path / "result.zarr", chunks=None)
    assert words(maps.draw(stored)) == words(maps.draw(three_months))


def test_series_show_the_line_the_range_and_the_counts(one_year: xr.Dataset) -> None:
    figure = maps.draw(one_year)
    line, bars = figure.axes
    np.testing.assert_array_equal(line.lines[0].get_ydata(), one_year["h_li_mean"])
    legend = line.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["Minimum to maximum", "Mean"]
    assert len(bars.patches) == 12


def test_a_series_without_data_says_so(one_year: xr.Dataset) -> None:
    assert "no data" in words(maps.draw(one_year.where(one_year["h_li_count"] < 0)))


def test_drawing_leaves_pyplot_alone() -> None:
    code = "import sys, eoscale.plot.maps; assert 'matplotlib.pyplot' not in sys.modules"
    run([sys.executable, "-c", code], check=True)  # noqa: S603  our own words
