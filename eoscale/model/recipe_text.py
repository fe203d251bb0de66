"""The text of a recipe: from YAML to words, each with the line that it stands in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import yaml

from eoscale.errors import RecipeError

Place = tuple[str | int, ...]
"""Words and positions in lists, from the top to a value."""


class _Loader(yaml.SafeLoader):
    """Reads plain data. A date stays text until a word asks for a date: so a wrong one has a line."""

    yaml_constructors: ClassVar = {
        **yaml.SafeLoader.yaml_constructors,
        "tag:yaml.org,2002:timestamp": yaml.SafeLoader.yaml_constructors["tag:yaml.org,2002:str"],
    }


def load(text: str) -> tuple[dict[str, Any], dict[Place, int]]:
    """Return the words of a YAML text, and the line of each.

    Raises
    ------
    RecipeError
        If the text is no YAML mapping, has aliases, or a word twice.
    """
    try:
        aliased = any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, _Loader))
        node = yaml.compose(text, _Loader)
        words = yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"line {line}: this is no YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"this is no YAML: {error}") from error
    if aliased:
        raise RecipeError("a recipe has no YAML aliases (*name): write the value out")
    if not isinstance(words, dict) or not all(isinstance(word, str) for word in words):
        raise RecipeError("a recipe is a mapping of words to values, e.g. `product: ATL06`")
    lines: dict[Place, int] = {}
    for path, line in _lines(node, ()):
        if path in lines:
            raise RecipeError(f"line {line}: `{path[-1]}` stands in line {lines[path]} already")
        lines[path] = line
    return words, lines


def _lines(node: yaml.Node | None, path: Place) -> Iterator[tuple[Place, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield inner, key.start_mark.line + 1
            yield from _lines(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*path, number), value.start_mark.line + 1
            yield from _lines(value, (*path, number))


def change(words: dict[str, Any], key: str, value: str) -> None:
    """Replace the value of a dotted word by a YAML text.

    Raises
    ------
    RecipeError
        If a parent is no mapping, or the text no YAML.
    """
    *parents, last = key.split(".")
    inner: Any = words
    for parent in parents:
        inner = inner.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"{key}: `{parent}` is no mapping, so it has no word `{last}`")
    try:
        inner[last] = yaml.load(value, _Loader)  # noqa: S506  a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{key}: {value!r} is no YAML value") from error
