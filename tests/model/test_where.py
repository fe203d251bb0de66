from __future__ import annotations

import operator
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eoscale.errors import RecipeError
from eoscale.model.columns import Array, Columns
from eoscale.model.where import Where

DTYPES = {
    "small": "i1",
    "flags": "u1",
    "signed": "i8",
    "shot_number": "u8",
    "sigma": "f4",
    "h_li": "f8",
    "geophysical/dac": "f4",
}
INTEGERS = [name for name, dtype in DTYPES.items() if dtype[0] in "iu"]
EDGES = [0, 1, 4, 127, 128, 255, 256, 2**24 + 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]
OPERATORS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.mod,
}


@dataclass(frozen=True)
class Phrase:
    """A piece of a condition, and what numpy makes of the columns for it."""

    text: str
    meaning: Callable[[Columns], Any]


def written(name: str) -> str:
    return f"`{name}`" if "/" in name else name


def variable(name: str) -> Phrase:
    return Phrase(written(name), lambda columns: columns[name])


def constant(value: float) -> Phrase:
    return Phrase(repr(value), lambda _: value)


def real(value: Any) -> Any:  # noqa: ANN401  a number or an array
    """Return integers as float64, and floats of any width as they are."""
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind == "f" else value.astype(np.float64)
    return float(value)


def calculated(sign: str, left: Phrase, right: Phrase) -> Phrase:
    def meaning(columns: Columns) -> Any:  # noqa: ANN401  a number or an array
        result = ARITHMETIC[sign](real(left.meaning(columns)), real(right.meaning(columns)))
        return result if np.ndim(result) else float(result)  # a number without a type of its own, as 0.1 is

    return Phrase(f"({left.text} {sign} {right.text})", meaning)


def negative(number: Phrase) -> Phrase:
    return Phrase(f"-{number.text}", lambda columns: -real(number.meaning(columns)))


def compared(sign: str, left: Phrase, right: Phrase) -> Phrase:
    return Phrase(
        f"{left.text} {sign} {right.text}",
        lambda columns: OPERATORS[sign](left.meaning(columns), right.meaning(columns)),
    )


def between(low: Phrase, middle: Phrase, high: Phrase) -> Phrase:
    return Phrase(
        f"{low.text} < {middle.text} <= {high.text}",
        lambda columns: (
            np.less(low.meaning(columns), middle.meaning(columns))
            & np.less_equal(middle.meaning(columns), high.meaning(columns))
        ),
    )


def listed(left: Phrase, items: Sequence[Phrase]) -> Phrase:
    return Phrase(
        f"{left.text} in [{', '.join(item.text for item in items)}]",
        lambda columns: np.any([left.meaning(columns) == item.meaning(columns) for item in items], axis=0),
    )


def masked(name: str, mask: int, wanted: int, sign: str) -> Phrase:
    """Ask for bits of the 64 of an integer, as Python's own integers have them."""

    def meaning(columns: Columns) -> Array:
        bits = np.array([int(value) & mask for value in columns[name]], object)
        return np.asarray((bits == wanted) == (sign == "=="), np.bool_)

    return Phrase(f"({name} & {mask}) {sign} {wanted}", meaning)


def joined(word: str, left: Phrase, right: Phrase) -> Phrase:
    both = np.logical_and if word in ("and", "&") else np.logical_or
    return Phrase(
        f"({left.text}) {word} ({right.text})",
        lambda columns: both(left.meaning(columns), right.meaning(columns)),
    )


def inverted(word: str, condition: Phrase) -> Phrase:
    return Phrase(f"({word} ({condition.text}))", lambda columns: np.logical_not(condition.meaning(columns)))


VARIABLES = st.sampled_from(sorted(DTYPES)).map(variable)
FRACTIONS = (
    st.floats(0, allow_infinity=False, allow_subnormal=False) | st.sampled_from([0.1, 1e39, 1e300])
).map(constant)
CONSTANTS = (st.sampled_from(EDGES) | st.integers(0, 300)).map(constant) | FRACTIONS
NUMBERS = st.recursive(
    VARIABLES | CONSTANTS,
    lambda inner: (
        st.builds(calculated, st.sampled_from(sorted(ARITHMETIC)), inner, inner)
        | st.builds(negative, VARIABLES | FRACTIONS)
    ),
    max_leaves=4,
)
COMPARISONS = (
    st.builds(compared, st.sampled_from(sorted(OPERATORS)), NUMBERS, NUMBERS)
    | st.builds(between, NUMBERS, NUMBERS, NUMBERS)
    | st.builds(listed, NUMBERS, st.lists(CONSTANTS, min_size=1, max_size=3))
    | st.builds(
        masked,
        st.sampled_from(INTEGERS),
        st.sampled_from(EDGES),
        st.sampled_from(EDGES),
        st.sampled_from(["==", "!="]),
    )
)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: (
        st.builds(joined, st.sampled_from(["and", "or", "&", "|"]), inner, inner)
        | st.builds(inverted, st.sampled_from(["not", "~"]), inner)
    ),
    max_leaves=5,
).filter(lambda phrase: any(name in phrase.text for name in DTYPES))
ROWS = 5
COLUMNS = st.fixed_dictionaries(
    {
        name: hnp.arrays(
            dtype, ROWS, elements=None if dtype[0] == "f" else st.sampled_from(
                [edge for edge in (*EDGES, -1, -127) if np.iinfo(dtype).min <= edge <= np.iinfo(dtype).max]
            )
        )
        for name, dtype in DTYPES.items()
    }
)  # fmt: skip


@given(CONDITIONS, COLUMNS)
def test_a_condition_gives_what_numpy_gives(condition: Phrase, columns: dict[str, Array]) -> None:
    holds = Where(text=condition.text).holds(columns)
    with np.errstate(all="ignore"):
        expected = np.broadcast_to(condition.meaning(columns), ROWS)
    assert holds.dtype == np.bool_
    assert holds.tolist() == expected.tolist()


@given(CONDITIONS)
def test_the_names_of_a_condition_are_its_variables_in_order_each_once(condition: Phrase) -> None:
    places = {name: condition.text.find(written(name)) for name in DTYPES}
    found = [name for name in sorted(places, key=places.__getitem__) if places[name] >= 0]
    assert list(Where(text=condition.text).names) == found


@given(CONDITIONS, COLUMNS)
def test_a_condition_survives_pickling_with_its_digest(condition: Phrase, columns: dict[str, Array]) -> None:
    where = Where(text=condition.text)
    again = pickle.loads(pickle.dumps(where))  # noqa: S301  its own
    assert again == where
    assert again.digest == where.digest == Where(text=condition.text).digest
    assert again.names == where.names
    assert again.holds(columns).tolist() == where.holds(columns).tolist()
    assert Where(text=f"({condition.text})") != where


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a < 1 or b < 1 and c < 1", "(a < 1) or ((b < 1) and (c < 1))"),
        ("not a < 1 and b < 1", "(not (a < 1)) and (b < 1)"),
        ("~(a < 1) & (b < 1)", "(not (a < 1)) and (b < 1)"),
        ("a + b * c < -a / c - b", "(a + (b * c)) < ((-a / c) - b)"),
        ("a == 1 and (b & 1) == 1", "(a in [1]) and ((b & 1) != 0)"),
        ("a < 1\n  and b < 1  # of two lines\n", "(a < 1) and (b < 1)"),
        ("a not in [1, 2]", "not a in (1, 2)"),
        ("a < 1 and 1 < 2", "a < 1"),
        ("1 not in [1] or a < 1", "a < 1"),
        ("0 < 1 <= a", "a >= 1"),
        ("(a & b) == (c & 7)", "(a & b & 7) == (c & 7)"),
    ],
)
def test_words_bind_as_in_python(text: str, same: str) -> None:
    grid = np.meshgrid(*[np.arange(-1, 4)] * 3)
    columns = dict(zip("abc", (axis.ravel() for axis in grid), strict=True))
    if "&" in text:
        columns = {name: np.abs(values) for name, values in columns.items()}
    assert Where(text=text).holds(columns).tolist() == Where(text=same).holds(columns).tolist()
    assert Where(text=text).holds(columns).any()


# what cannot be read

HOSTILE = (
    *"()[]{}`'\"\\#:;,.=<>!&|~+-*/%^@ \n\t\x00\ud800\N{KELVIN SIGN}",
    *("**", "<<", "//", ":=", "->", "is", "lambda x:", "for x in y", "if", "else", "await ", "yield "),
    *("exec('heard')", "__import__('os')", ".__class__", "f'{x}'", "b''", "True", "None", "1j", "...", "0x"),
    *("-" * 99, "(" * 99, "not " * 99, "9" * 400, "1e999", "nan", "inf", "``", "`x"),
)
TEXTS = st.text(max_size=60) | st.lists(
    st.sampled_from([*HOSTILE, *HOSTILE, "x", "y", "1", "2.5", " < ", " == ", " and ", " in ", " & "]),
    max_size=12,
).map("".join)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Conditions with pieces cut out of them, or put into them."""
    text: str = draw(CONDITIONS).text
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        stop = draw(st.integers(start, min(start + 6, len(text))))
        text = text[:start] + draw(st.just("") | st.sampled_from(HOSTILE)) + text[stop:]
    return text


_heard: list[str] | None = None


def _hear(event: str, _: object) -> None:
    if _heard is not None:
        _heard.append(event)


sys.addaudithook(_hear)


@contextmanager
def hearing() -> Iterator[list[str]]:
    """Hear of everything that Python runs: the hook itself stays for as long as the process does."""
    global _heard  # noqa: PLW0603  a hook cannot be taken away again
    events: list[str] = []
    _heard = events
    try:
        yield events
    finally:
        _heard = None


def test_what_python_runs_is_heard() -> None:
    with hearing() as events:
        exec("heard = 1", {})  # noqa: S102  the proof that the ears are open
    assert "exec" in events


@given(TEXTS | mutated())
def test_any_text_is_a_condition_or_a_recipe_error_and_runs_nothing(text: str) -> None:
    with hearing() as events:
        try:
            where = Where(text=text)
        except RecipeError:
            where = None
    assert "exec" not in events
    if where is None:
        return
    # what has been accepted is never refused, nor worse, when its rows come
    columns = {name: np.arange(ROWS) for name in where.names}
    assert where.holds(columns).shape == (ROWS,)


REFUSED = {
    "a call": ("abs(x) < 1", r"calls a function, abs\(\.\.\.\)"),
    "a call of a path": ("`a/b`(x) < 1", r"calls a function, `a/b`\(\.\.\.\)"),
    "an import": ("__import__('os').system('ls') < 1", "calls a function"),
    "an attribute": ("x.real < 1", "holds 'x.real'"),
    "an index": ("x[0] < 1", r"holds 'x\[0\]'"),
    "a slice": ("x[1:] < 1", r"holds 'x\[1:\]'"),
    "a lambda": ("(lambda: x) < 1", "holds 'lambda: x'"),
    "a comprehension": ("[y for y in x] < 1", r"holds '\[y for y in x\]'"),
    "a generator": ("(y for y in x) < 1", r"holds '\(y for y in x\)'"),
    "a bare generator": ("x for x in y", "is not one condition"),
    "an f-string": ("f'{x}' < 1", "holds \"f'{x}'\""),
    "a walrus": ("(y := x) < 1", r"holds '\(y := x\)'"),
    "a string": ("x == 'good'", "holds \"'good'\""),
    "bytes": ("x == b'good'", "holds \"b'good'\""),
    "a truth": ("x == True", "holds 'True'"),
    "nothing": ("x == None", "holds 'None'"),
    "an ellipsis": ("x == ...", r"holds '\.\.\.'"),
    "a complex number": ("x == 1j", "holds '1j'"),
    "a power": ("x ** 2 < 1", r"holds 'x \*\* 2'"),
    "a power of numbers": ("9 ** 9 ** 9 < x", r"holds '9 \*\* 9 \*\* 9'"),
    "a shift": ("x << 2 < 1", "holds 'x << 2'"),
    "a whole quotient": ("x // 2 < 1", "holds 'x // 2'"),
    "a product of matrices": ("x @ y < 1", "holds 'x @ y'"),
    "an exclusive or": ("x ^ 4 == 0", r"holds 'x \^ 4'"),
    "an identity": ("x is 1", "'x is 1'"),
    "a star": ("*x", r"holds '\*x'"),
    "a conditional": ("x < 1 if y else x < 2", "holds 'x < 1 if y else x < 2'"),
    "a set": ("{x} == {y}", "holds '{x}'"),
    "a list": ("[x < 1]", r"holds '\[x < 1\]'"),
    "an await": ("await x", "holds 'await x'"),
    "two conditions": ("x < 1, y < 2", "is not one condition"),
    "two lines": ("x < 1\ny < 2", "cannot be read as a condition"),
    "two statements": ("x < 1; y < 2", "cannot be read as a condition"),
    "an assignment": ("x = 1", "Maybe you meant '=='"),
    "a bracket too many": ("x < 1) and (y < 2", "cannot be read as a condition"),
    "no text": ("", "is not one condition"),
    "a null byte": ("x < 1\0", "null bytes"),
    "half a character": ("x < 1\ud800", "surrogates not allowed"),
    "many signs": ("-" * 1500 + "x < 1", "nested too deeply"),
    "many nots": ("not " * 150 + "x < 1", "nested too deeply"),
    "many terms": ("x < 1" + " + 1" * 150, "nested too deeply"),
    "many brackets": ("(" * 250 + "x < 1" + ")" * 250, "cannot be read as a condition: too many nested"),
    "deep in what is refused": ("f(" + "[y for y in " + "-" * 200 + "x]) < 1", "nested too deeply"),
    "a long text": ("x < 1" + " " * 2000, "2005 characters: at most 2000"),
    "a long integer": ("x < 18446744073709551616", "18446744073709551616, no integer of 64 bits"),
    "a number": ("x + 1", "is a number"),
    "a number among conditions": ("x < 1 and y", "has a number where and/or wants a condition: y"),
    "no variable": ("1 < 2", "names no variable"),
    "an open backquote": ("`x < 1", "cannot be read as a condition"),
    "empty backquotes": ("`/` < 1", "no path in its backquotes"),
    "a name at a backquote": ("a`b/c` < 1", "cannot be read as a condition"),
    "a variable among items": ("x in [1, y]", "`in` of something else than a list of numbers"),
    "no items": ("x in []", "`in` of something else than a list of numbers"),
    "a number for items": ("x in (1)", "`in` of something else than a list of numbers"),
    "a zigzag": ("1 < x > 0", "do not all ascend or all descend"),
    "an unequal chain": ("x != y != z", "do not all ascend or all descend"),
    "a comparison of conditions": ("(x < 1) == (y < 2)", "compares a condition"),
    "bits of a fraction": ("(x & 1.5) == 0", "asks for bits of 1.5"),
    "bits of a sum": ("((x + 1) & 4) == 0", r"asks for bits of x \+ 1"),
    "bits like a fraction": ("(x & 4) == 0.5", "asks for bits of 0.5"),
    "bits in an order": ("(x & 4) < 1", "compares bits otherwise than by == or !="),
    "bits alone": ("x & 4", "is a number"),
    "bits of a condition": ("(x < 1) & 4", "joins a condition and a number by & or |"),
}


@pytest.mark.parametrize(("text", "told"), REFUSED.values(), ids=REFUSED)
def test_what_a_condition_must_not_hold_is_refused_and_named(text: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        Where(text=text)


TRAPS = {
    "a < 1 & b < 2": "(a < 1) & (b < 2)",
    "a == 1 & b == 2": "(a == 1) & (b == 2)",
    "a < 1 | b < 2": "(a < 1) | (b < 2)",
    "a == 1 & b": "a == (1 & b)",
    "flags & 4 == 0": "(flags & 4) == 0",
    "0 == flags & 4": "0 == (flags & 4)",
    "flags & 4 == flags & 2": "(flags & 4) == (flags & 2)",
    "flags &\n4 == 0": "(flags &\n4) == 0",
    "(a < 1) & b == 2": "(a < 1) & (b == 2)",
    "~a == 1": "~(a == 1)",
}


@pytest.mark.parametrize(("trap", "meant"), TRAPS.items())
def test_what_reads_one_way_and_means_another_wants_parentheses(trap: str, meant: str) -> None:
    with pytest.raises(RecipeError, match=r"parentheses|where not wants a condition"):
        Where(text=trap)
    assert Where(text=meant).text == meant


# numbers

SHOTS = st.integers(2**53, 2**64 - 1)


@given(st.lists(SHOTS, min_size=1, max_size=5), SHOTS)
def test_large_integers_are_compared_to_the_last_digit(shots: list[int], other: int) -> None:
    for asked in (shots[0], other):
        column = {"shot_number": np.array([*shots, asked - 1], np.uint64)}
        expected = [shot == asked for shot in [*shots, asked - 1]]
        for text in (
            f"shot_number == {asked}",
            f"shot_number in [7, {asked}]",
            f"not shot_number != {asked}",
        ):
            assert Where(text=text).holds(column).tolist() == expected


@given(st.integers(-(2**63), -(2**53)))
def test_so_are_negative_ones(number: int) -> None:
    column = {"x": np.array([number, number + 1], np.int64)}
    for text in (f"x == {number}", f"x in [{number}]", f"(x & -1) == {number}"):
        assert Where(text=text).holds(column).tolist() == [True, False]


@given(st.integers(-128, 127), st.integers(0, 127), st.sampled_from(["i1", "i2", "i4", "i8"]))
def test_bits_of_negative_integers_are_those_of_twos_complement(value: int, mask: int, dtype: str) -> None:
    columns = {"flags": np.array([value], dtype), "mask": np.array([mask], "u1")}
    for text in (f"(flags & {mask}) == {value & mask}", f"(flags & mask) == {value & mask}"):
        assert Where(text=text).holds(columns).all()
    assert Where(text="(flags & mask) == mask").holds(columns).item() == (value & mask == mask)
    assert Where(text="(flags | mask) == flags").holds(columns).item() == (value | mask == value)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_bits_of_fractions_are_refused_when_their_type_is_known(dtype: str) -> None:
    where = Where(text="(flags & 4) == 0")
    with pytest.raises(RecipeError, match="bits of values of type float"):
        where.holds({"flags": np.zeros(2, dtype)})


def test_flags_of_true_and_false_have_one_bit() -> None:
    flags = {"flags": np.array([True, False])}
    assert Where(text="(flags & 1) == 1").holds(flags).tolist() == [True, False]
    assert Where(text="flags == 1").holds(flags).tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "dtype", "value"),
    [
        ("x + 100 > 255", "u1", 200),
        ("x - 201 < 0", "u1", 200),
        ("x * x == 40000", "u1", 200),
        ("-x == 128", "i1", -128),
        ("-x < 0", "u8", 1),
        ("x + x > 9.3e18", "i8", 2**63 - 1),
        ("x / 2 == 100.5", "u1", 201),
        ("x == 200 and x < 1000 and x > -1", "u1", 200),
    ],
)
def test_integers_never_wrap_around(text: str, dtype: str, value: int) -> None:
    assert Where(text=text).holds({"x": np.array([value], dtype)}).all()


def test_numbers_of_the_text_take_the_precision_of_what_they_are_compared_with() -> None:
    column = {"x": np.array([0.1, -0.1, 0.30000000000000004], np.float32)}
    for text, expected in {"x == 0.1": 0, "x == -0.1": 1, "x == 0.1 + 0.2": 2, "x in [-0.1]": 1}.items():
        assert np.flatnonzero(Where(text=text).holds(column)).tolist() == [expected]


def test_nan_is_unequal_to_everything_and_nothing_else() -> None:
    column = {"x": np.array([np.nan])}
    assert not any(Where(text=f"x {sign} x").holds(column) for sign in ("<", "<=", ">", ">=", "=="))
    assert Where(text="x != x and x not in [1]").holds(column).all()


def test_a_quotient_by_zero_is_infinite_or_nan_and_warns_of_nothing() -> None:
    column = {"x": np.array([1, 0, -1])}
    assert Where(text="x / 0 > 1e308").holds(column).tolist() == [True, False, False]
    assert Where(text="x / 0 != x / 0").holds(column).tolist() == [False, True, False]
    assert Where(text="x < 1 / 0").holds(column).all()


# names


def test_a_path_stands_in_backquotes_and_any_name_may() -> None:
    where = Where(text="`/dem/dem_h/` > h_li and `lambda` < `dem/dem_h` and `a b` < 1  # `no/name`")
    assert where.names == ("dem/dem_h", "h_li", "lambda", "a b")
    columns = {name: np.array([n, 0]) for n, name in enumerate(["h_li", "a b", "dem/dem_h", "lambda"])}
    assert where.holds(columns | {"lambda": np.array([1, 1])}).tolist() == [False, False]
    assert where.holds(columns | {"lambda": np.array([1, 1]), "a b": np.array([0, 0])}).tolist() == [
        True,
        False,
    ]


def test_a_condition_shows_as_its_text() -> None:
    text = "h_li < 1 and `dem/dem_h` > 0"
    assert str(Where(text=text)) == Where(text=text).text == text


def test_no_rows_are_none_that_hold() -> None:
    assert Where(text="x < 1 and 1 < 2").holds({"x": np.empty(0)}).shape == (0,)
