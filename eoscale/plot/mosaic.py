"""Mosaic: cells merged over time and over blocks of neighbours, so that a picture can show them all.

Merging is associative: blocks first and time second, or the reverse, give the same picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from eoscale.plot.subject import Subject

Floats: TypeAlias = NDArray[np.float64]
Window: TypeAlias = tuple[slice, slice]
"""Rows and columns of a grid."""
_STRIP = 512
"""Rows read at a time: a tile of the store."""


@dataclass(frozen=True, kw_only=True)
class Mosaic:
    """A map's values, and the weight of each: its observations, or its cells where no count is known."""

    values: Floats
    """(rows, columns), NaN where there is nothing."""
    weights: Floats
    """(rows, columns), 0 where there is nothing."""
    factor: int = 1
    """Cells of the grid along each side of a block."""

    def coarser(self, factor: int, statistic: str) -> Mosaic:
        """Return the mosaic with each block of factor by factor cells merged into one."""
        if factor == 1:
            return self
        merged = merge(_blocks(self.values, factor), _blocks(self.weights, factor), statistic)
        return replace(merged, factor=self.factor * factor)


def merge(values: Floats, weights: Floats, statistic: str) -> Mosaic:
    """Return values merged along their first axis, in the way that suits their statistic.

    Counts and sums add up, extrema stay extrema, means are weighted, and standard deviations are
    pooled: the root of the weighted mean variance, so what they say is the spread within one cell and
    span.

    Parameters
    ----------
    values : (n, ...) float64
        NaN where there is nothing.
    weights : (n, ...) float64
    statistic : str

    Examples
    --------
    >>> merge(np.array([[1.0, np.nan], [4.0, 7.0]]), np.array([[2.0, 0.0], [1.0, 5.0]]), "mean").values
    array([2., 7.])
    """
    weights = np.where(np.isnan(values), 0.0, weights)
    total = weights.sum(axis=0)
    merged: Floats
    if statistic in ("count", "sum"):
        merged = np.nansum(values, axis=0)
    elif statistic == "min":
        merged = np.fmin.reduce(values, axis=0)
    elif statistic == "max":
        merged = np.fmax.reduce(values, axis=0)
    elif statistic == "std":
        merged = np.sqrt(_average(values**2, weights, total))
    else:
        merged = _average(values, weights, total)
    return Mosaic(values=np.where(total > 0, merged, np.nan), weights=total)


def _average(values: Floats, weights: Floats, total: Floats) -> Floats:
    average = np.full_like(total, np.nan)
    np.divide(np.nansum(values * weights, axis=0), total, out=average, where=total > 0)
    return average


def _blocks(array: Floats, factor: int) -> Floats:
    rows, columns = (-(-size // factor) for size in array.shape)
    missing = rows * factor - array.shape[0], columns * factor - array.shape[1]
    padded = np.pad(array, ((0, missing[0]), (0, missing[1])), constant_values=np.nan)
    blocks = padded.reshape(rows, factor, columns, factor).transpose(1, 3, 0, 2)
    return blocks.reshape(factor * factor, rows, columns)


def factor_for(shape: tuple[int, ...], most: int) -> int:
    """Return the smallest power of two that cuts both sides of a map into at most so many blocks.

    Examples
    --------
    >>> factor_for((3000, 500), 1500)
    2
    """
    factor = 1
    while -(-max(shape) // factor) > most:
        factor *= 2
    return factor


def aligned(window: Window, factor: int) -> Window:
    """Return a window that begins at a whole block; then strips of the store are strips of blocks."""
    rows, columns = (slice(part.start - part.start % factor, part.stop) for part in window)
    return rows, columns


def read(subject: Subject, spans: Sequence[int], window: Window, factor: int) -> Mosaic:
    """Return some spans of time merged, read strip by strip: no more than a strip is held at full size.

    Parameters
    ----------
    subject : Subject
    spans : sequence of int
        One or more of the subject's.
    window : pair of slice
        As :func:`aligned` gave it.
    factor : int
        Cells along each side of a block.
    """
    mosaic = _read_span(subject.span(spans[0]), window, factor)
    for number in spans[1:]:
        mosaic = together([mosaic, _read_span(subject.span(number), window, factor)], subject.statistic)
    return mosaic


def together(mosaics: Sequence[Mosaic], statistic: str) -> Mosaic:
    """Return mosaics of one window merged into one."""
    values = np.stack([mosaic.values for mosaic in mosaics])
    merged = merge(values, np.stack([mosaic.weights for mosaic in mosaics]), statistic)
    return replace(merged, factor=mosaics[0].factor)


def occupied(subject: Subject) -> Window | None:
    """Return the smallest window that holds every cell with data, or None where there is none."""
    rows, columns = (np.zeros(size, bool) for size in subject.values.shape[-2:])
    everywhere = slice(0, rows.size), slice(0, columns.size)
    for number in range(subject.spans):
        for strip in _strips(everywhere, 1):
            filled = _load(subject.span(number), strip).weights > 0
            rows[strip[0]] |= filled.any(axis=1)
            columns |= filled.any(axis=0)
    if not rows.any():
        return None
    (top, bottom), (left, right) = (
        (np.flatnonzero(a)[0], np.flatnonzero(a)[-1] + 1) for a in (rows, columns)
    )
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def _read_span(subject: Subject, window: Window, factor: int) -> Mosaic:
    strips = [_load(subject, strip).coarser(factor, subject.statistic) for strip in _strips(window, factor)]
    return Mosaic(
        values=np.concatenate([strip.values for strip in strips]),
        weights=np.concatenate([strip.weights for strip in strips]),
        factor=factor,
    )


def _strips(window: Window, factor: int) -> Iterator[Window]:
    rows, columns = window
    height = max(_STRIP, factor)
    for start in range(rows.start - rows.start % height, rows.stop, height):
        yield slice(max(start, rows.start), min(start + height, rows.stop)), columns


def _load(subject: Subject, window: Window) -> Mosaic:
    values = np.asarray(subject.values[window].to_numpy(), np.float64)
    if subject.counts is None:
        weights = (~np.isnan(values)).astype(np.float64)
    else:
        weights = np.asarray(subject.counts[window].to_numpy(), np.float64)
    values = np.where(weights > 0, values, np.nan)
    return Mosaic(values=values, weights=np.where(np.isnan(values), 0.0, weights))
