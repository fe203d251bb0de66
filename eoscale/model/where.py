"""Where: a condition on the variables of a row, parsed into a small tree and never run as code."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from eoscale.errors import RecipeError
from eoscale.model.columns import Array, Columns
from eoscale.model.digest import Digested
from eoscale.model.grammar import ARITHMETIC, BITS, EQUALITY, ORDER, Grammar, is_bits

_LONGEST = 2000
"""Characters; a longer text is no condition that a person wrote."""
_DEEPEST = 100
"""Levels; far from where Python's own recursion ends, which differs between a client and its workers."""
_QUOTED = re.compile(r"`([^`]*)`")


@dataclass(frozen=True, kw_only=True, eq=False)
class Where(Digested):
    """A condition on the variables of a row: ``h_li_sigma < 1 and abs_slope <= 0.2``.

    Comparisons of numbers, variables, sums, differences, products, quotients and remainders; joined by
    ``and``, ``or``, ``not`` (or ``&``, ``|``, ``~`` between conditions in parentheses); ``in`` with a list
    of numbers; bits of integers by ``(flags & 4) == 0``. A variable of the file that the product does not
    list is given by its path in backquotes. Nothing else: no call, no attribute, no index.

    Comparisons are those of numpy on the values as stored; arithmetic on integers is in float64. With NaN
    ``!=`` and ``not in`` are true and all other comparisons false.

    Parameters
    ----------
    text : str

    Raises
    ------
    RecipeError
        If the text holds anything else, or may read one way and mean another (``a < 1 & b < 2``).

    Examples
    --------
    >>> where = Where(text="h_li_sigma < 1 and `dem/dem_h` > 0")
    >>> where.names
    ('h_li_sigma', 'dem/dem_h')
    >>> where.holds({"h_li_sigma": np.array([0.5, 2.0]), "dem/dem_h": np.array([9.0, 9.0])})
    array([ True, False])
    >>> Where(text="exec('…')")
    Traceback (most recent call last):
    eoscale.errors.RecipeError: the condition calls a function, exec(...): expected comparisons of ...
    """

    text: str

    def __post_init__(self) -> None:
        if "" in self._paths.values():
            raise RecipeError(f"{self.text!r} has no path in its backquotes: expected e.g. `dem/dem_h`")
        kind = Grammar(self._paths).kind(self._tree)
        if kind != "condition":
            raise RecipeError(f"{self.text!r} is a number: expected a condition such as h_li_sigma < 1")
        if not self.names:
            raise RecipeError(f"{self.text!r} names no variable: expected a condition such as h_li_sigma < 1")

    def __str__(self) -> str:
        return self.text

    def __getstate__(self) -> Mapping[str, object]:
        """Return the text only: the tree grows from it again."""
        return {"text": self.text}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The variables, in the order in which they appear, each once."""
        nodes = [node for node in ast.walk(self._tree) if isinstance(node, ast.Name)]
        ordered = sorted(nodes, key=lambda node: (node.lineno, node.col_offset))
        return tuple(dict.fromkeys(self._paths.get(node.id, node.id) for node in ordered))

    def holds(self, columns: Columns) -> NDArray[np.bool_]:
        """Return which rows meet the condition.

        Parameters
        ----------
        columns : mapping
            (n,) values of every variable of :attr:`names`.

        Raises
        ------
        RecipeError
            If bits are asked of a variable that is no integer.
        """
        with np.errstate(all="ignore"):  # 1 / 0 is infinite and 0 / 0 NaN, as everywhere in numpy
            return np.asarray(_Evaluation(columns, self._paths).value(self._tree), np.bool_)

    @cached_property
    def _paths(self) -> dict[str, str]:
        return {_identifier(path): path.strip("/ ") for path in _QUOTED.findall(self.text)}

    @cached_property
    def _tree(self) -> ast.expr:
        if len(self.text) > _LONGEST:
            raise RecipeError(f"the condition has {len(self.text)} characters: at most {_LONGEST} are read")
        text = _QUOTED.sub(lambda quoted: f" {_identifier(quoted[1])} ", self.text)
        try:
            tree = ast.parse(f"[{text}\n]", mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error) or "it is nested too deeply"
            raise RecipeError(f"{self.text!r} cannot be read as a condition: {reason}") from None
        if _depth(tree) > _DEEPEST:
            raise RecipeError(f"the condition {self.text[:40]!r}… is nested too deeply")
        match tree:
            case ast.List(elts=[condition]):
                return condition
        raise RecipeError(f"{self.text!r} is not one condition: expected one such as h_li_sigma < 1")


def _identifier(path: str) -> str:
    """Return what stands for a path in backquotes while Python's parser reads the text."""
    return f"path_{path.encode('utf-8', 'surrogatepass').hex()}"


def _depth(tree: ast.AST) -> int:
    levels, nodes = 0, [tree]
    while nodes:
        levels, nodes = levels + 1, [each for node in nodes for each in ast.iter_child_nodes(node)]
    return levels


class _Evaluation:
    """The value of each node of a tree that the grammar has passed, for some rows."""

    _SIGNS: ClassVar[Mapping[type, Callable[[Any], Any]]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}

    def __init__(self, columns: Columns, paths: Mapping[str, str]) -> None:
        self._columns, self._paths = columns, paths

    def value(self, node: ast.expr) -> Any:  # noqa: ANN401, PLR0911, C901  numbers or arrays; one case a node
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._columns[self._paths.get(name, name)]
            case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
                return np.logical_not(self.value(operand))
            case ast.UnaryOp(op=sign, operand=ast.Constant(value=value)):
                return self._SIGNS[type(sign)](value)
            case ast.UnaryOp(op=sign, operand=operand):
                return self._SIGNS[type(sign)](_real(self.value(operand)))
            case ast.BoolOp(op=join, values=values):
                both = np.logical_and if isinstance(join, ast.And) else np.logical_or
                return reduce(both, [self.value(each) for each in values])
            case ast.BinOp(op=op, left=left, right=right) if type(op) in ARITHMETIC:
                number = ARITHMETIC[type(op)](_real(self.value(left)), _real(self.value(right)))
                # a number of the text has no type of its own: it takes that of what it is compared with
                return number if np.ndim(number) else float(number)
            case ast.BinOp(op=op, left=left, right=right):
                return BITS[type(op)](_whole(self.value(left)), _whole(self.value(right)))
            case ast.Compare():
                return self._compare(node)
        raise AssertionError(ast.dump(node))

    def _compare(self, node: ast.Compare) -> Array:
        left = self.value(node.left)
        if isinstance(node.ops[0], ast.In | ast.NotIn):
            items = node.comparators[0]
            assert isinstance(items, ast.Tuple | ast.List)  # noqa: S101  the grammar has seen to it
            found = reduce(np.logical_or, [left == self.value(item) for item in items.elts])
            return np.asarray(np.not_equal(found, isinstance(node.ops[0], ast.NotIn)), np.bool_)
        sides = [left, *(self.value(side) for side in node.comparators)]
        if any(is_bits(side) for side in (node.left, *node.comparators)):
            sides = [_whole(side) for side in sides]
        compare = [{**ORDER, **EQUALITY}[type(op)] for op in node.ops]
        terms = [act(a, b) for act, a, b in zip(compare, sides[:-1], sides[1:], strict=True)]
        return np.asarray(reduce(np.logical_and, terms), np.bool_)


def _real(value: Any) -> Any:  # noqa: ANN401  a number or an array
    """Return integers as float64, so that none wraps around."""
    if isinstance(value, int):
        return float(value)
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype.kind in "iub" else value


def _whole(value: Any) -> Any:  # noqa: ANN401  a number or an array
    """Return the bits of integers as uint64, negative ones in two's complement."""
    array = np.asarray(value)
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iu":
        raise RecipeError(f"the condition asks for bits of values of type {array.dtype}: expected integers")
    return array.astype(np.uint64)
