"""The values of every dataset of a file, against what h5py reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import h5py
import hdf5plugin  # noqa: F401  h5py reads by its filters then
import numpy as np
from h5py import h5t

from eoscale.errors import UnsupportedFilterError
from eoscale.hdf5.index import index
from eoscale.hdf5.read import read
from eoscale.model.chunk_index import ChunkIndex
from eoscale.model.columns import Array
from tests.hdf5.files import granule, same
from tests.hdf5.format.oracle import Links
from tests.hdf5.format.stored_types import stored


@dataclass
class Parity:
    """What came of comparing, added up over files."""

    asked: Callable[[], object] = lambda: None
    """What a service was asked for until now: nothing more on account of what is refused."""
    equal: int = 0
    refused: int = 0
    different: dict[str, list[str]] = field(default_factory=dict)
    """Paths by file."""
    filters: Counter[int] = field(default_factory=Counter)
    """How many of the compared datasets were packed by each."""

    def __str__(self) -> str:
        filters = ", ".join(f"{number} ({count:,})" for number, count in sorted(self.filters.items()))
        return f"{self.equal:,} datasets as h5py reads them, {self.refused} refused; filters {filters}"

    def add(self, path: Path, place: Path | str, *, without: Collection[str] = ()) -> None:
        """Index and read all datasets of a file but some, at a path or URL, and compare them."""
        self.compare(path.name, place, Expected.of(path, without))

    def compare(self, name: str, place: Path | str, expected: Expected) -> None:
        """Index and read all datasets of a file, at a path or URL, and compare them."""
        found = index(granule(place), expected.names)
        assert found.datasets.keys() == expected.names
        assert not found.absent
        columns = read(found, dict.fromkeys(expected.values)).columns
        different = [each for each, values in expected.values.items() if not agree(columns[each], values)]
        before = self.asked()
        assert all(refused(found, each) for each in expected.unread)
        assert self.asked() == before
        self.equal += len(columns) - len(different)
        self.refused += len(expected.unread)
        self.different |= {name: different} if different else {}
        self.filters.update(step.id for each in columns for step in found.datasets[each].filters)


class Expected(NamedTuple):
    """What h5py reads of a file."""

    values: dict[str, Array]
    """By name, of the datasets that are read."""
    unread: frozenset[str]
    """The names of the others."""

    @classmethod
    def of(cls, path: Path, without: Collection[str] = ()) -> Self:
        """Read all datasets of a file but some."""
        with h5py.File(path) as file:
            datasets = {name: node for name, node in Links(file).datasets.items() if name not in without}
            read = {name: values(node) for name, node in datasets.items() if is_read(node)}
        return cls(read, frozenset(datasets.keys() - read.keys()))

    @property
    def names(self) -> frozenset[str]:
        """Of all datasets."""
        return self.unread.union(self.values)


def is_read(dataset: h5py.Dataset) -> bool:
    """Return whether values of a dataset's type are read.

    Those are not that are opaque, references, times, integers that are shifted or short, floats that are not
    IEEE's, texts padded with spaces, lists of varying length, and structures that hold any of these or texts
    of varying length.
    """
    kind = dataset.id.get_type()
    text = kind.get_class() == h5t.STRING and kind.is_variable_str()
    return text or not _void(stored(kind))


def _void(dtype: np.dtype[Any]) -> bool:
    if dtype.names:
        return any(_void(dtype[name]) for name in dtype.names)
    return _void(dtype.base) if dtype.subdtype else dtype.kind == "V"


def refused(found: ChunkIndex, name: str) -> bool:
    """Return whether a dataset is refused as one that is not read."""
    try:
        read(found, {name: None})
    except UnsupportedFilterError:
        return True
    return False


def values(dataset: h5py.Dataset) -> Array:
    """Return what h5py reads; texts of varying length as objects."""
    if h5py.check_string_dtype(dataset.dtype) and dataset.dtype.kind == "O":
        return np.asarray(dataset.asstr(errors="replace")[()], object)
    return np.asarray(dataset[()])


def agree(found: Array, expected: Array) -> bool:
    """Return whether two arrays agree to the last bit: NaN payloads too, but not what pads a structure."""
    if expected.dtype.kind == "O":
        return found.dtype == np.dtypes.StringDType() and found.tolist() == expected.tolist()
    if expected.dtype.names and found.dtype == expected.dtype:
        return all(agree(found[name], expected[name]) for name in expected.dtype.names)
    return same(found, expected)
