"""Grammar: what a condition on the variables of a row may be made of."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from eoscale.errors import RecipeError

Act = Callable[[Any, Any], Any]
ORDER: Mapping[type, Act] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
EQUALITY: Mapping[type, Act] = {ast.Eq: operator.eq, ast.NotEq: operator.ne}
ARITHMETIC: Mapping[type, Act] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Mod: np.mod,
}
BITS: Mapping[type, Act] = {ast.BitAnd: np.bitwise_and, ast.BitOr: np.bitwise_or}


class Grammar:
    """What a condition may be made of. A node is a ``condition``, a ``number`` or ``bits`` of an integer.

    Parameters
    ----------
    paths : mapping of str to str
        Names that stand for paths in backquotes, to show a person the path.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = paths

    def kind(self, node: ast.expr) -> str:  # noqa: PLR0911, C901  one case a kind of node
        """Return what a node is.

        Raises
        ------
        RecipeError
            If it, or anything below it, may not be in a condition.
        """
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                if value >= 2**64 and isinstance(value, int):
                    raise _refused(f"holds {self._shown(node)}, no integer of 64 bits: write it as 1e20")
                return "number"
            case ast.Name():
                return "number"
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                return self._all([operand], "number", "the sign")
            case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
                return self._all([operand], "condition", "not")
            case ast.BoolOp(values=values):
                return self._all(values, "condition", "and/or")
            case ast.BinOp(op=ast.BitAnd() | ast.BitOr(), left=left, right=right):
                return self._ampersand([left, right])
            case ast.BinOp(op=op, left=left, right=right) if type(op) in ARITHMETIC:
                return self._all([left, right], "number", "arithmetic")
            case ast.Compare():
                return self._comparison(node)
            case ast.Call():
                raise _refused(f"calls a function, {self._shown(node.func)}(...)")
        raise _refused(f"holds {self._shown(node)!r}")

    def _all(self, nodes: list[ast.expr], wanted: str, what: str) -> str:
        for node in nodes:
            kind = self.kind(node)
            if kind != wanted:
                raise _refused(f"has a {kind} where {what} wants a {wanted}: {self._shown(node)}")
        return wanted

    def _ampersand(self, nodes: Sequence[ast.expr]) -> str:
        kinds = {self.kind(node) for node in nodes}
        if kinds == {"condition"}:
            return "condition"
        if "condition" in kinds:
            raise _refused("joins a condition and a number by & or |: put each condition in parentheses")
        self._demand_whole(nodes)
        return "bits"

    def _comparison(self, node: ast.Compare) -> str:
        if isinstance(node.ops[0], ast.In | ast.NotIn) and len(node.ops) == 1:
            return self._membership(node)
        kinds = [self.kind(side) for side in (node.left, *node.comparators)]
        operators = {type(op) for op in node.ops}
        if not operators <= ORDER.keys() | EQUALITY.keys():
            raise _refused(f"compares otherwise than by <, <=, >, >=, == and !=, {self._shown(node)!r}")
        equal = operators <= EQUALITY.keys() and len(node.ops) == 1
        if "condition" in kinds:
            raise _refused("compares a condition: put the comparisons that & and | join in parentheses")
        if "bits" in kinds:
            if not equal:
                # a < 1 & b < 2 is read as a < (1 & b) < 2
                raise _refused("compares bits otherwise than by == or !=: put each condition in parentheses")
            self._demand_parentheses(node)
            self._demand_whole([node.left, *node.comparators])
        if not (equal or operators <= {ast.Lt, ast.LtE} or operators <= {ast.Gt, ast.GtE}):
            raise _refused("chains comparisons that do not all ascend or all descend: join two by and")
        return "condition"

    def _demand_parentheses(self, node: ast.Compare) -> None:
        """Refuse ``flags & 4 == 0`` and ``a == 1 & b``: what is meant, only parentheses can tell."""
        left, right = node.left, node.comparators[-1]
        begins = (left.lineno, left.col_offset) == (node.lineno, node.col_offset)
        ends = (right.end_lineno, right.end_col_offset) == (node.end_lineno, node.end_col_offset)
        if (begins and is_bits(left)) or (ends and is_bits(right)):
            raise _refused(
                "compares bits without parentheses: write (flags & 4) == 0, or (a == 1) & (b == 2)"
            )

    def _demand_whole(self, nodes: Sequence[ast.expr]) -> None:
        for node in nodes:
            match node:
                case ast.Name() | ast.Constant(value=int()):
                    continue
                case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=ast.Constant(value=int())):
                    continue
            if not is_bits(node):
                raise _refused(f"asks for bits of {self._shown(node)}, which is no variable and no integer")

    def _membership(self, node: ast.Compare) -> str:
        match node.comparators[0]:
            case ast.Tuple(elts=items) | ast.List(elts=items) if items and not any(
                isinstance(name, ast.Name) for item in items for name in ast.walk(item)
            ):
                self._all([node.left, *items], "number", "in")
                return "condition"
        raise _refused("asks for `in` of something else than a list of numbers")

    def _shown(self, node: ast.expr) -> str:
        text = ast.unparse(node)
        for identifier, path in self._paths.items():
            text = text.replace(identifier, f"`{path}`")
        return text if len(text) <= 40 else text[:40] + "…"


def is_bits(node: ast.expr) -> bool:
    """Return whether a node joins integers bit by bit, or conditions, by ``&`` or ``|``."""
    return isinstance(node, ast.BinOp) and type(node.op) in BITS


def _refused(fault: str) -> RecipeError:
    return RecipeError(
        f"the condition {fault}: expected comparisons of variables and numbers, joined by and, or, not; "
        "a path stands in backquotes"
    )
