"""The faults of a recipe, in the words of the person who wrote it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from eoscale.model.product import Catalogued, Condition, Fill, Preset, Product, Rate, Variable
from eoscale.model.recipe_text import Place
from eoscale.model.vocabulary import By, Crossing, Duplicates, GridWords, Output, Reduce, Search, Synthetic

_VOCABULARY: dict[str | int, Any] = {
    "product": Product,
    "rates": Rate,
    "variables": Variable,
    "fill": Fill,
    "quality": Preset,
    "conditions": Condition,
    "catalogued": Catalogued,
    "search": Search,
    "rgt": Crossing,
    "duplicates": Duplicates,
    "granules": Synthetic,
    "reduce": Reduce,
    "by": By,
    "grid": GridWords,
    "output": Output,
}
"""What stands under a word, to know which words are valid there."""
_EXPECTED = {
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping of words",
    "dataclass_type": "a mapping of words",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "failures": "a whole number from 0 on, or a share of the granules from 0% to 100%, e.g. 5%",
}
"""What each type of fault wants, pydantic's and the vocabulary's own, in the words of YAML."""


def explain(
    error: ValidationError, top: type[BaseModel], words: Mapping[str, Any], lines: Mapping[Place, int]
) -> str:
    """Return all faults of a recipe, each with the line it stands in and the nearest valid word.

    Parameters
    ----------
    error : pydantic.ValidationError
    top : type
        The model that was to be made.
    words : mapping
        What the recipe said.
    lines : mapping
        Line of each place; empty where the recipe was no text.
    """
    found = [(_known(fault, words), fault) for fault in error.errors()]
    deepest = {path[:n] for path, _ in found for n in range(len(path))}
    faults: dict[Place, list[ErrorDetails]] = {}
    for path, fault in found:
        # what is wrong inside a value says more than that the value is not of another allowed type
        if path not in deepest:
            faults.setdefault(path, []).append(fault)
    texts = []
    for path, alternatives in faults.items():
        sentence = _sentence(alternatives, path, top)
        line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
        texts.append((line or len(lines) + 1, f"line {line}: {sentence}" if line else sentence))
    return "; ".join(text for _, text in sorted(texts, key=lambda pair: pair[0]))


def _known(fault: ErrorDetails, words: Mapping[str, Any]) -> Place:
    """Return where a fault is, without what pydantic puts in for the alternatives of a union."""
    path: Place = ()
    value: Any = words
    for step in fault["loc"]:
        in_list = isinstance(value, list | tuple) and isinstance(step, int) and step < len(value)
        if in_list or (isinstance(value, dict) and step in value):
            path, value = (*path, step), value[step]
    return (*path, fault["loc"][-1]) if fault["type"] in ("missing", "missing_argument") else path


def _sentence(alternatives: Sequence[ErrorDetails], path: Place, top: type[BaseModel]) -> str:
    """Return what is wrong at one place, of which each allowed type may have its own opinion."""
    word = ".".join(str(step) for step in path)
    fault = alternatives[0]
    match fault["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            known = _words_of(path, top)
            near = get_close_matches(str(path[-1]), known, n=1) or known
            return f"`{word}` is no word of a recipe; did you mean {', '.join(near)}?"
        case "missing" | "missing_argument":
            return f"`{word}` is missing"
        case "too_short" if not fault["input"]:
            return f"`{word}` is empty: expected at least one item"
        case "too_long":
            return f"`{word}` has {len(fault['input'])} items: expected {fault['ctx']['max_length']}"
        case kind if kind in _EXPECTED:
            wanted = dict.fromkeys(_EXPECTED.get(other["type"], "") for other in alternatives)
            return f"`{word}` is {_kind(fault['input'])}: expected {' or '.join(filter(None, wanted))}"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"`{word}` {message[:1].lower()}{message[1:]}" if word else message


def _kind(value: object) -> str:
    """Return what a value is, without showing text that may hold a secret."""
    match value:
        case None:
            return "empty"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case dict():
            return "a mapping"
    return str(value)


def _words_of(path: Place, top: type[BaseModel]) -> list[str]:
    """Return the words that may stand where the last step of a path does."""
    kind: Any = next((_VOCABULARY[step] for step in reversed(path[:-1]) if step in _VOCABULARY), top)
    if issubclass(kind, BaseModel):
        return [field.alias or name for name, field in kind.model_fields.items()]
    return [field.name for field in dataclasses.fields(kind)]
