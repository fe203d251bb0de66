from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.errors import CorruptGranuleError, UnsupportedFilterError
from eoscale.hdf5.filters import SCALE_OFFSET
from eoscale.hdf5.scale_offset import restore, unpacked
from eoscale.model.columns import Array
from tests.hdf5.files import same
from tests.hdf5.libhdf5 import Step
from tests.hdf5.stored import described, filled, mutants, outcomes, step, store, unfilled

D_SCALING, E_SCALING, INTEGERS = range(3)
INTEGER_TYPES = [f"{order}{kind}{width}" for order, kind, width in product("<>", "iu", (1, 2, 4, 8))]
FLOAT_TYPES = [f"{order}f{width}" for order, width in product("<>", (4, 8))]
FILLS = st.sampled_from(["default", "none", "a value", "another"])


def bits(raw: bytes) -> int:
    """Return how many bits each number of a chunk has."""
    return int.from_bytes(raw[:4], "little")


def filling(which: str, values: Array, other: object) -> Step | None:
    """Return a step that sets a fill value: one that stands in the chunk, or not, or none."""
    steps = {
        "none": unfilled,
        "a value": filled(values.flat[values.size // 2]),
        "another": filled(np.array(other, values.dtype)),
    }
    return steps.get(which)


@st.composite
def integers(draw: st.DrawFn) -> Array:
    """Some integers of a type that span any number of its bits."""
    info = np.iinfo(draw(st.sampled_from(INTEGER_TYPES)))
    low = draw(st.integers(int(info.min), int(info.max)))
    high = draw(st.integers(low, min(int(info.max), low + 2 ** draw(st.integers(0, info.bits)))))
    values = draw(st.lists(st.integers(low, high), min_size=1, max_size=40))
    return np.array(values, draw(st.sampled_from("<>")) + info.dtype.str[1:])


@given(values=integers(), fill=FILLS)
def test_integers_come_back(values: Array, fill: str) -> None:
    packed = store(values, step(SCALE_OFFSET, INTEGERS, 0), fill=filling(fill, values, 3))
    assert same(packed.values, values)
    assert same(packed.decoded(), values)


@given(values=integers(), asked=st.integers(1, 63), fill=FILLS)
def test_integers_in_fewer_bits_than_they_need_read_as_libhdf5_reads_them(
    values: Array, asked: int, fill: str
) -> None:
    asked = min(asked, 8 * values.itemsize - 1)
    packed = store(values, step(SCALE_OFFSET, INTEGERS, asked), fill=filling(fill, values, 3))
    assert bits(packed.raw) == asked
    assert same(packed.decoded(), packed.values)


@given(
    kind=st.sampled_from(FLOAT_TYPES),
    middle=st.floats(-1e4, 1e4),
    reach=st.floats(0, 1e5),
    seed=st.integers(0, 99),
    digits=st.integers(-3, 6),
    fill=FILLS,
)
def test_floats_read_to_the_last_bit_as_libhdf5_reads_them(
    kind: str, middle: float, reach: float, seed: int, digits: int, fill: str
) -> None:
    random = np.random.default_rng(seed)
    values = (middle + reach * random.uniform(-1, 1, random.integers(1, 60))).astype(kind)
    asked = step(SCALE_OFFSET, D_SCALING, digits % 2**32)
    packed = store(values, asked, fill=filling(fill, values, 3.5))
    assert same(packed.decoded(), packed.values)
    if bits(packed.raw) < 8 * values.itemsize:
        # what was rounded, and what is a float at all
        allowed = 10.0**-digits + 4 * np.spacing(np.abs(values).max())
        assert np.abs(packed.decoded().astype("f8") - values.astype("f8")).max() <= allowed


@pytest.mark.parametrize("kind", INTEGER_TYPES)
def test_every_number_of_bits_is_read(kind: str) -> None:
    full = 8 * np.dtype(kind).itemsize
    low, seen = int(np.iinfo(kind).min), set[int]()
    for number in range(full + 1):
        span = np.array([low, low + 2**number - 1, low], kind)
        packed = store(span, step(SCALE_OFFSET, INTEGERS, 0), fill=unfilled)
        assert same(packed.decoded(), span)
        seen.add(bits(packed.raw))
    assert seen == set(range(full + 1))


@pytest.mark.parametrize("kind", FLOAT_TYPES)
def test_floats_too_far_apart_are_stored_as_they_are(kind: str) -> None:
    values = np.array([-1e30, 1e30, 0.1], kind)
    packed = store(values, step(SCALE_OFFSET, D_SCALING, 3))
    assert bits(packed.raw) == 8 * values.itemsize
    assert same(packed.decoded(), values)


@pytest.mark.parametrize("fill", [None, unfilled, filled(np.array(-9, "<i4"))])
def test_a_chunk_of_one_value_is_read(fill: Step | None) -> None:
    for value in (0, -9, 2**31 - 1):
        packed = store(np.full(50, value, "<i4"), step(SCALE_OFFSET, INTEGERS, 0), fill=fill)
        assert bits(packed.raw) <= 1
        assert same(packed.decoded(), packed.values)


@given(number=st.integers(0, 63), count=st.integers(1, 70), data=st.data())
def test_numbers_are_unpacked_from_their_bits(number: int, count: int, data: st.DataObject) -> None:
    expected = data.draw(st.lists(st.integers(0, 2**number - 1), min_size=count, max_size=count))
    text = "".join(f"{value:0{number}b}" if number else "" for value in expected)
    size = -(-len(text) // 8)
    packed = int(text.ljust(8 * size, "0") or "0", 2).to_bytes(size, "big")
    trailing = data.draw(st.binary(max_size=9))
    result = unpacked(np.frombuffer(packed + trailing, np.uint8), number, count)
    assert result.tolist() == expected


@pytest.mark.parametrize("floats", [0, 1])
def test_scaling_that_libhdf5_does_not_have_is_refused(floats: int) -> None:
    parameters = (E_SCALING, 2, 3, floats, 4, 1, 0, 0, *(0,) * 12)
    with pytest.raises(UnsupportedFilterError, match="scale-offset of kind 1"):
        restore(bytes(100), parameters, 12)


@pytest.mark.parametrize("kind", ["<i1", ">i4", "<u8", ">f4", "<f8"])
def test_a_chunk_that_is_cut_is_refused(kind: str) -> None:
    packed = store(np.arange(0, 90, 3).astype(kind), step(SCALE_OFFSET, INTEGERS * (kind[1] != "f"), 0))
    used = 21 + -(-30 * bits(packed.raw) // 8)
    refused, accepted = outcomes((packed.raw[:size] for size in range(len(packed.raw))), packed.dataset)
    # libhdf5 adds a byte that no number needs
    assert (refused, accepted) == (used, len(packed.raw) - used)
    assert len(packed.raw) - used <= 1


@pytest.mark.parametrize("kind", ["<i4", "<u1"])
@pytest.mark.parametrize("step_size", [0, 1])
def test_numbers_that_take_more_than_the_chunk_are_refused(kind: str, step_size: int) -> None:
    values = (7 + step_size * np.arange(50)).astype(kind)
    # equal numbers have no bits: nothing but its parameters tells how long such a chunk is
    packed = store(values, step(SCALE_OFFSET, INTEGERS, 0), fill=unfilled)
    (told,) = packed.dataset.filters
    room = values.nbytes
    assert len(restore(packed.raw, told.parameters, room)) == room
    for length in (51, 2**31, 2**32 - 1):
        parameters = (*told.parameters[:2], length, *told.parameters[3:])
        with pytest.raises(CorruptGranuleError, match=f"{length} numbers of . bits, room for {room}"):
            restore(packed.raw, parameters, room)


@pytest.mark.parametrize("kind", ["<i2", ">u8", "<f4", ">f8"])
def test_damaged_chunks_and_parameters_are_refused_or_decode_to_their_size(kind: str) -> None:
    values = np.arange(0, 999, 3).astype(kind)
    packed = store(values, step(SCALE_OFFSET, INTEGERS * (kind[1] != "f"), 0), fill=filled(values[3]))
    refused, accepted = outcomes(mutants(packed.raw, 1000, 21), packed.dataset)
    assert refused > 100
    assert accepted > 100
    random = np.random.default_rng(1)
    parameters = packed.dataset.filters[0].parameters
    for _ in range(500):
        other = list(parameters)
        other[random.integers(8)] = int(random.choice([0, 1, 2, 4, 8, 333, 2**31, 2**32 - 1]))
        dataset = described(kind, values.shape, [step(SCALE_OFFSET, *other[: random.integers(21)])])
        refused += outcomes(iter([packed.raw]), dataset)[0]
    assert refused > 300
