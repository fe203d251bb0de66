"""Product: what a data product holds and where in its files, as pure data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eoscale.errors import RecipeError
from eoscale.model.columns import Array


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A variable that a product lists under a short name."""

    path: str
    """Below the group (beam): ``land_ice_segments/h_li``."""
    units: str = ""
    """As CF writes them: ``m``, ``degrees_north``, ``1``."""
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Variables of one length: photons, segments, shots, scan lines."""

    name: str
    group: str
    """Below the beam. A variable belongs to the rate with the longest group that begins its path."""
    longitude: str = ""
    latitude: str = ""
    time: str = ""
    """Names or paths of the coordinates; empty where the rate has none of its own."""
    parent: str = ""
    """The rate that places this one, through ``first`` and ``number``."""
    first: str = ""
    """A variable of the parent: 1-based index of its first row here; 0 where it has none."""
    number: str = ""
    """A variable of the parent: how many rows here."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition on one variable: ``atl06_quality_summary == 0``. Missing values fail it."""

    variable: str
    comparison: Literal["==", "!=", "<", "<=", ">", ">="]
    value: float

    def passes(self, values: Array) -> NDArray[np.bool_]:
        """Return which of the (n,) values meet the condition."""
        compare = {
            "==": np.equal,
            "!=": np.not_equal,
            "<": np.less,
            "<=": np.less_equal,
            ">": np.greater,
            ">=": np.greater_equal,
        }[self.comparison]
        return np.asarray(compare(values, self.value), dtype=np.bool_)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named quality rule: all conditions must hold. Presets never change under their name."""

    conditions: tuple[Condition, ...]
    source: str
    """Where the rule is from, so that a reader can argue with it."""


@dataclass(frozen=True, kw_only=True)
class Fill:
    """How a product marks missing values. Nothing else is masked, and NaN always is missing."""

    attribute: bool = True
    """The file's own ``_FillValue`` marks a missing value."""
    float32: float | None = None
    float64: float | None = None
    """Values that mark it in floats of that width, whether or not an attribute says so."""


@dataclass(frozen=True, kw_only=True)
class Catalogued:
    """How a catalogue knows a product."""

    provider: Literal["cmr", "maap", "cdse"]
    name: str
    """Its short name (cmr), or its product type (maap, cdse)."""
    collections: tuple[str, ...] = ()
    """Those to search, where a catalogue has the product in collections that hold others too."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """What a data product holds and where in the file.

    A new product is a new value, never a class; YAML can describe one. Any variable of the file can be
    asked for by its path below the group, listed or not.

    Examples
    --------
    >>> from eoscale.products import ATL06
    >>> ATL06.path("h_li")
    'land_ice_segments/h_li'
    >>> ATL06.path("land_ice_segments/geophysical/dac")
    'land_ice_segments/geophysical/dac'
    >>> ATL06.rate("h_li").name
    'segment'
    """

    name: str
    title: str
    kind: Literal["track", "swath", "curtain", "grid"]
    groups: tuple[str, ...]
    """Beams, each a group that repeats the same variables. Any may be absent from a granule."""
    rates: tuple[Rate, ...]
    variables: Mapping[str, Variable]
    epoch: str
    """Times are seconds since this UTC moment, ISO 8601."""
    name_pattern: str
    """Matches a granule's id; named groups ``start`` (yyyymmddhhmmss or yyyymmddThhmmss), ``version``,
    ``revision``, and those of ``identity`` and ``preference``."""
    longest: float
    """Seconds; no granule lasts longer. Bounds a granule whose end nobody states."""
    fill: Fill = Fill()
    quality: Mapping[str, Preset] = field(default_factory=dict)
    catalogued: tuple[Catalogued, ...] = ()
    """Where it can be searched for; unless another is asked for, in the first."""
    identity: tuple[str, ...] = ()
    """Groups of the name pattern that tell one observation from another, whatever its version."""
    preference: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Groups of the name pattern, each with what it may say from worst to best; they count before the
    version."""
    companions: tuple[str, ...] = ()
    """Ends of the names of files that come with a granule and are not read."""
    citation: str = ""

    def __repr__(self) -> str:
        return f"<Product {self.name}: {self.kind}, {len(self.variables)} listed variables>"

    def path(self, name: str) -> str:
        """Return the path below the group of a listed name or a path.

        Raises
        ------
        RecipeError
            If the name is not listed and is no path (it has no ``/``), and names the nearest listed ones; or
            if the product is not :attr:`readable`.
        """
        if not self.readable:
            raise RecipeError(
                f"{self.name} can be searched for and downloaded, and not yet read by this version of eoscale"
            )
        if name in self.variables:
            return self.variables[name].path
        if "/" in name.strip("/"):
            return name.strip("/")
        near = get_close_matches(name, self.variables, n=3) or sorted(self.variables)[:5]
        raise RecipeError(
            f"{self.name} lists no variable {name!r}; did you mean {', '.join(near)}? "
            "An unlisted variable is given by its path in the beam, e.g. group/variable"
        )

    def rate(self, name: str) -> Rate:
        """Return the rate of a variable.

        Raises
        ------
        RecipeError
            If the path lies in no rate of the product.
        """
        path = self.path(name)
        within = [rate for rate in self.rates if path.startswith(rate.group + "/") or not rate.group]
        if not within:
            known = ", ".join(rate.group for rate in self.rates)
            raise RecipeError(f"{path} is in no rate of {self.name}: expected a path in {known}")
        return max(within, key=lambda rate: len(rate.group))

    @property
    def readable(self) -> bool:
        """Whether it is known what its files hold, and not only how to find them."""
        return bool(self.rates)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The compiled name pattern."""
        return re.compile(self.name_pattern)

    def times(self, seconds: Array) -> NDArray[np.datetime64]:
        """Return UTC times of (n,) float64 seconds since the epoch; NaT where they are not finite.

        Whole seconds and fractions are converted apart, so that no nanosecond is lost to float64.
        """
        # beyond +-292 years from 1970 datetime64[ns] overflows; such a time is a fill value, not a time
        epoch = np.datetime64(self.epoch, "ns").astype(np.int64)
        first, last = -9.2e9 - epoch / 1e9, 9.2e9 - epoch / 1e9
        if not (first < seconds.min(initial=0) and seconds.max(initial=0) < last):
            good = (first < seconds) & (seconds < last)
            result = np.full(seconds.shape, np.datetime64("NaT"), dtype="datetime64[ns]")
            result[good] = self.times(seconds[good])
            return result
        whole = np.floor(seconds)
        ticks = np.rint((seconds - whole) * 1e9).astype(np.int64)
        ticks += whole.astype(np.int64) * 1_000_000_000
        ticks += epoch
        return ticks.view("datetime64[ns]")

    def missing(self, values: Array, fill_value: Array | None) -> NDArray[np.bool_]:
        """Return which of the (n, ...) values are missing, by the product's fill rule.

        Parameters
        ----------
        values : (n, ...) array
        fill_value : 0-d array or None
            The file's ``_FillValue`` attribute.

        Examples
        --------
        >>> from eoscale.products import ATL06
        >>> ATL06.missing(np.array([1.5, 3.4028235e38, np.nan], "f4"), None)
        array([False,  True,  True])
        """
        absent = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, np.bool_)
        marks = [fill_value] if self.fill.attribute and fill_value is not None else []
        stated = {"float32": self.fill.float32, "float64": self.fill.float64}.get(values.dtype.name)
        if stated is not None:
            marks.append(np.asarray(stated, values.dtype))
        for mark in marks:
            absent |= values == mark.astype(values.dtype)
        return absent
