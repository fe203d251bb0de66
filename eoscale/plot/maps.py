"""The picture of a result: one page that says what was measured, where, when and how often."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import matplotlib as mpl
import xarray as xr
from matplotlib.figure import Figure

from eoscale.plot import atlas, series
from eoscale.plot.page import STYLE
from eoscale.plot.subject import TIME, choose

_DOTS_PER_INCH = 200


def draw(dataset: xr.Dataset, *, variable: str | None = None) -> Figure:
    """Return the picture of a result: a page of maps, or a series where there is only time.

    Parameters
    ----------
    dataset : xarray.Dataset
        A result, as its store opens; read strip by strip.
    variable : str, optional
        Name of the variable to show; the first mean unless given.

    Raises
    ------
    RecipeError
        If the result has no such variable; names the nearest.
    """
    subject = choose(dataset, variable)
    with mpl.rc_context(STYLE):
        page = (
            series.draw(dataset, subject) if subject.values.dims == (TIME,) else atlas.draw(dataset, subject)
        )
    return page.figure


def save(dataset: xr.Dataset, path: str | PathLike[str], *, variable: str | None = None) -> Path:
    """Write the picture of a result as PNG and return where; the same result gives the same bytes.

    Parameters
    ----------
    dataset : xarray.Dataset
        A result, as its store opens.
    path : path-like
    variable : str, optional
        As for :func:`draw`.
    """
    figure = draw(dataset, variable=variable)
    with mpl.rc_context(STYLE):
        # by itself matplotlib would write its version into the file
        figure.savefig(path, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return Path(path)
