"""Layout: where the maps of a page stand, in inches, for any shape of a view."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import TypeAlias

from eoscale.plot.page import FOOT, HEAD, LEFT, RIGHT

Place: TypeAlias = tuple[float, float, float, float]
"""Left, bottom, width and height in inches."""
_AREA, _TALLEST, _BROADEST = 38.0, 6.9, 10.2
"""Of the large map: square inches, inches."""
_PANORAMA = 1.5
"""Width over height from which the small maps stand below the large one."""
_NARROW, _BROAD = 3.0, 4.2
"""Limits of the side column's width."""
_GAP = 0.62
"""What keeps legend and small maps from the large one."""
_LEGEND, _PANORAMA_LEGEND = 1.62, 3.4
"""Height of the legend, and its width below a panorama."""
_BELOW = 2.4
"""Greatest height of the small maps below a panorama."""
_TITLE, _BAR, _BETWEEN = 0.26, 0.42, 0.2
"""Above each small map, below the last one, and between them."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A page with a large map, a legend, and room for small maps."""

    width: float
    height: float
    large: Place
    legend: Place
    small: tuple[Place, ...]
    """In reading order."""

    @classmethod
    def of(cls, aspect: float, number: int) -> Layout:
        """Return the layout for a number of small maps, all maps of one width over height."""
        return cls._below(aspect, number) if aspect >= _PANORAMA else cls._beside(aspect, number)

    @classmethod
    def _beside(cls, aspect: float, number: int) -> Layout:
        height = min(sqrt(_AREA / aspect), _TALLEST)
        width, room = height * aspect, height - _LEGEND - 0.1
        block = _Block.fitting(_BROAD, room, number, aspect)
        side = max(block.width, _NARROW)
        left = LEFT + width + _GAP
        return cls(
            width=left + side + RIGHT,
            height=HEAD + height + FOOT,
            large=(LEFT, FOOT, width, height),
            legend=(left, FOOT + height - _LEGEND, side, _LEGEND),
            small=block.places((left, FOOT, side, room)),
        )

    @classmethod
    def _below(cls, aspect: float, number: int) -> Layout:
        width, height = _BROADEST, _BROADEST / aspect
        room = width - _PANORAMA_LEGEND - _GAP
        block = _Block.fitting(room, _BELOW, number, aspect)
        below, foot = max(block.height, _LEGEND), FOOT - 0.3
        return cls(
            width=LEFT + width + RIGHT,
            height=HEAD + height + _GAP + below + foot,
            large=(LEFT, foot + below + _GAP, width, height),
            legend=(LEFT, foot + below - _LEGEND, _PANORAMA_LEGEND, _LEGEND),
            small=block.places((LEFT + width - room, foot, room, below)),
        )


@dataclass(frozen=True, kw_only=True)
class _Block:
    """Maps of one size in rows and columns, with titles above them and a colour bar below the last."""

    number: int
    columns: int
    map_width: float
    map_height: float

    @classmethod
    def fitting(cls, width: float, height: float, number: int, aspect: float) -> _Block:
        """Return the block of the largest maps in a room that leaves few places empty."""
        best, most = cls(number=0, columns=1, map_width=0.0, map_height=0.0), 0.0
        for columns in range(1, number + 1):
            rows = ceil(number / columns)
            tall = (height - _BAR - rows * _TITLE - (rows - 1) * _BETWEEN) / rows
            broad = min((width - (columns - 1) * _BETWEEN) / columns, tall * aspect)
            worth = broad * sqrt(number / (rows * columns))
            if worth > most:
                best, most = (
                    cls(number=number, columns=columns, map_width=broad, map_height=broad / aspect),
                    worth,
                )
        return best

    @property
    def rows(self) -> int:
        return ceil(self.number / self.columns)

    @property
    def width(self) -> float:
        return self.columns * self.map_width + (self.columns - 1) * _BETWEEN

    @property
    def height(self) -> float:
        return self.rows * (self.map_height + _TITLE) + (self.rows - 1) * _BETWEEN + _BAR

    def places(self, room: Place) -> tuple[Place, ...]:
        """Return where the maps stand, moved apart as far as a room allows and looks well."""
        left, bottom, width, height = room
        across = _BETWEEN + min((width - self.width) / max(self.columns - 1, 1), 0.6 * self.map_width)
        down = _BETWEEN + min((height - self.height) / max(self.rows - 1, 1), 0.25 * self.map_height)
        top = bottom + height - self.map_height - _TITLE
        return tuple(
            (
                left + (i % self.columns) * (self.map_width + across),
                top - (i // self.columns) * (self.map_height + _TITLE + down),
                self.map_width,
                self.map_height,
            )
            for i in range(self.number)
        )
