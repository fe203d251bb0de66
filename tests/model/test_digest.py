from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from eoscale.model.digest import Digested, digest

_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@dataclass(frozen=True, eq=False)
class _Box(Digested):
    side: float


@dataclass(frozen=True, eq=False)
class _Ball(Digested):
    side: float


@given(_PLAIN)
def test_a_value_always_has_the_same_digest(value: object) -> None:
    assert digest(value) == digest(value)
    assert len(digest(value)) == 64


@given(st.dictionaries(st.text(max_size=3), st.integers(), max_size=5))
def test_the_order_of_a_mapping_does_not_matter(mapping: dict[str, int]) -> None:
    assert digest(dict(reversed(mapping.items()))) == digest(mapping)


@given(st.lists(st.integers(), unique=True, min_size=2))
def test_the_order_of_a_sequence_matters(items: list[int]) -> None:
    assert digest(items[::-1]) != digest(items)
    assert digest(tuple(items)) == digest(items)


_DIFFERENT: list[object] = [
    None,
    0,
    0.0,
    False,
    "",
    "0",
    b"",
    b"0",
    [],
    {},
    [[]],
    [0, [1]],
    [[0], 1],
    {"a": 0},
    ["a", 0],
    dt.date(2024, 1, 1),
    dt.datetime(2024, 1, 1),  # noqa: DTZ001  plain data
    np.zeros(1, "i4"),
    np.zeros(1, "f4"),
    np.zeros((1, 1), "f4"),
    np.zeros(0, "f4"),
    shapely.Point(0, 0),
    shapely.box(0, 0, 1, 1),
    _Box(1.0),
    _Box(2.0),
    _Ball(1.0),
]


def test_different_values_have_different_digests() -> None:
    assert len({digest(value) for value in _DIFFERENT}) == len(_DIFFERENT)


def test_an_array_is_told_by_its_content_not_by_its_layout() -> None:
    table = np.arange(6).reshape(2, 3)
    assert digest(np.asfortranarray(table)) == digest(table)
    assert digest(np.arange(12)[::2]) == digest(np.arange(0, 12, 2))


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, {"a": object()}, print, 1j, np.array(["a"], object), np.array([None])]
)
def test_what_could_differ_between_processes_has_no_digest(value: object) -> None:
    with pytest.raises(TypeError, match="no stable digest of a"):
        digest(value)


def test_equality_and_hash_follow_the_digest() -> None:
    assert _Box(1.0) == _Box(1.0)
    assert len({_Box(1.0), _Box(1.0), _Box(2.0)}) == 2
    assert _Box(1.0) != _Ball(1.0)
    assert _Box(1.0) != 1.0


def test_a_digest_is_the_same_in_every_process_and_every_version() -> None:
    value = {"b": [1, 2.5, None, True], "a": "ä", "c": np.arange(3, dtype="<i4"), "d": _Box(0.5), "e": b"e"}
    assert digest(value) == "c931eb1f2dbdfca38ca08ab0dedb6322234a1bad130bc6da1713a6fa30390740"
    assert (
        digest(shapely.box(0, 0, 1, 1)) == "78d7fdf6aa7472c22630a8f9958c5e9681fe2f795d5266fb536cdb4a0de278b4"
    )
